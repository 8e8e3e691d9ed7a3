/* Looking rows up in a table: y[i] = table[ids[i]].  The caller has checked that 0 <= ids[i] < the table's rows. */
#ifndef DS_KERNELS_EMBED_H
#define DS_KERNELS_EMBED_H

#include <stdint.h>

#include "deepseek/tensor.h"
#include "kernels/kernels.h"

typedef struct ds__embed_f32 {
    ds__kernel kernel;
    /* table: [rows, n] dense, of `dtype` (DS_F32, DS_F16 or DS_BF16), widened to float; it may be mapped from a file
     * and aligned to its element only. ids: [count]. y: [count, n], ldy. */
    void (*gather)(const void *table, ds_dtype dtype, const int32_t *ids, float *y, size_t ldy, size_t count, size_t n);
} ds__embed_f32;

const ds__embed_f32 *ds__embed_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__embed_f32 ds__##op##_##isa;
#include "kernels/embed/embed_variants.def"
#undef DS_KERNEL

#endif
