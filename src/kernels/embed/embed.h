/* Looking rows up in a table: y[i] = table[ids[i]].  The caller has checked that 0 <= ids[i] < the table's rows. */
#ifndef DS_KERNELS_EMBED_H
#define DS_KERNELS_EMBED_H

#include <stdint.h>
#include <string.h>

#include "deepseek/tensor.h"
#include "kernels/kernels.h"

typedef struct ds__embed_f32 {
    ds__kernel kernel;
    /* table: [rows, n] dense, of `dtype` (DS_F32, DS_F16, DS_BF16 or DS_I8), widened to float; it may be mapped from a
     * file and aligned to its element only.  A row of DS_I8 is n codes and right behind them their scale, a float with
     * no alignment: n + 4 bytes, y = code * scale. ids: [count]. y: [count, n], ldy. */
    void (*gather)(const void *table, ds_dtype dtype, const int32_t *ids, float *y, size_t ldy, size_t count, size_t n);
    /* Makes `count` rows of such a DS_I8 table from rows of n floats, ld from row to row (tensor/quantize.h). */
    void (*quantize)(const float *rows, size_t ld, size_t count, size_t n, void *table);
} ds__embed_f32;

/* A row of a DS_I8 table: its codes; its scale goes to *scale. */
static inline const int8_t *ds__embed_i8_row(const void *table, size_t n, int32_t id, float *scale) {
    const int8_t *codes = (const int8_t *)table + (size_t)id * (n + sizeof *scale);
    memcpy(scale, codes + n, sizeof *scale);
    return codes;
}

const ds__embed_f32 *ds__embed_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__embed_f32 ds__##op##_##isa;
#include "kernels/embed/embed_variants.def"
#undef DS_KERNEL

#endif
