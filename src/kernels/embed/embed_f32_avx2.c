/* embed_f32 with the wide conversions of avx2; rows of floats are copied as they are. */
#include <string.h>

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/elementwise/vec_quantize_avx2.h"
#include "kernels/embed/embed.h"

static void gather(const void *table, ds_dtype dtype, const int32_t *ids, float *y, size_t ldy, size_t count,
                   size_t n) {
    if (n == 0) return;
    for (size_t i = 0; i < count; i++, y += ldy) {
        size_t first = (size_t)ids[i] * n;
        if (dtype == DS_F32) {
            memcpy(y, (const float *)table + first, n * sizeof *y);
        } else if (dtype == DS_F16) {
            ds__widen_f16_avx2((const uint16_t *)table + first, y, n);
        } else if (dtype == DS_I8) {
            float scale;
            const int8_t *codes = ds__embed_i8_row(table, n, ids[i], &scale);
            ds__widen_i8_avx2(codes, scale, y, n);
        } else {
            ds__widen_bf16_avx2((const uint16_t *)table + first, y, n);
        }
    }
}

static void quantize(const float *rows, size_t ld, size_t count, size_t n, void *table) {
    int8_t *to = table;
    for (size_t i = 0; i < count; i++, to += n + sizeof(float)) {
        const float scale = ds__quantize_weights_avx2(rows + i * ld, n, to);
        memcpy(to + n, &scale, sizeof scale);
    }
}

const ds__embed_f32 ds__embed_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(embed, embed_f32, avx2, "rows widened in registers"),
    .gather = gather,
    .quantize = quantize,
};
