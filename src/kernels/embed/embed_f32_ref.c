/* embed_f32 in portable C. */
#include <string.h>

#include "kernels/embed/embed.h"
#include "tensor/convert.h"
#include "tensor/quantize.h"

static void widen_row(ds_dtype dtype, const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = dtype == DS_F16 ? ds__f16_to_f32(x[i]) : ds__bf16_to_f32(x[i]);
}

static void gather(const void *table, ds_dtype dtype, const int32_t *ids, float *y, size_t ldy, size_t count,
                   size_t n) {
    if (n == 0) return;
    for (size_t i = 0; i < count; i++, y += ldy) {
        size_t first = (size_t)ids[i] * n;
        if (dtype == DS_F32) {
            memcpy(y, (const float *)table + first, n * sizeof *y);
        } else if (dtype == DS_I8) {
            float scale;
            const int8_t *codes = ds__embed_i8_row(table, n, ids[i], &scale);
            for (size_t j = 0; j < n; j++) y[j] = (float)codes[j] * scale;
        } else {
            widen_row(dtype, (const uint16_t *)table + first, y, n);
        }
    }
}

static void quantize(const float *rows, size_t ld, size_t count, size_t n, void *table) {
    int8_t *to = table;
    for (size_t i = 0; i < count; i++, to += n + sizeof(float)) {
        const float *row = rows + i * ld, scale = ds__weight_scale(ds__weight_range_of(row, n));
        for (size_t p = 0; p < n; p++) to[p] = ds__weight_code(row[p], ds__weight_factor(scale));
        memcpy(to + n, &scale, sizeof scale);
    }
}

const ds__embed_f32 ds__embed_f32_ref = {
    .kernel = DS_KERNEL_HEAD(embed, embed_f32, ref, "one element at a time"),
    .gather = gather,
    .quantize = quantize,
};
