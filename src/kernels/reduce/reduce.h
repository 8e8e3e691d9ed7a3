/* Reductions over rows and over the rows of a sequence.  No alignment is asked for; no overlap unless stated. */
#ifndef DS_KERNELS_REDUCE_H
#define DS_KERNELS_REDUCE_H

#include "kernels/kernels.h"

typedef struct ds__reduce_f32 {
    ds__kernel kernel;
    /* Each row of x [rows, n]: exp(x - max) / sum; y may be x (same stride). A row of -inf only gives NaN. */
    void (*softmax)(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t n);
    /* y[c] = mean over r of x[r, c] and max over r; x: [rows, n], rows >= 1, summed in the order of the rows. */
    void (*mean_rows)(const float *x, size_t ldx, float *y, size_t rows, size_t n);
    void (*max_rows)(const float *x, size_t ldx, float *y, size_t rows, size_t n);
} ds__reduce_f32;

const ds__reduce_f32 *ds__reduce_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__reduce_f32 ds__##op##_##isa;
#include "kernels/reduce/reduce_variants.def"
#undef DS_KERNEL

#endif
