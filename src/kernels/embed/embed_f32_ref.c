/* embed_f32 in portable C. */
#include <string.h>

#include "kernels/embed/embed.h"
#include "tensor/convert.h"

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
        } else {
            widen_row(dtype, (const uint16_t *)table + first, y, n);
        }
    }
}

const ds__embed_f32 ds__embed_f32_ref = {
    .kernel = DS_KERNEL_HEAD(embed, embed_f32, ref, "one element at a time"),
    .gather = gather,
};
