/* Gradients of the operators that work row by row, and what training needs beside them.  No alignment is asked for;
 * strides are elements from row to row; outputs do not overlap inputs unless stated. */
#ifndef DS_KERNELS_GRAD_H
#define DS_KERNELS_GRAD_H

#include <stdbool.h>

#include "kernels/kernels.h"
#include "tensor/activation.h"
#include "tensor/philox.h"

typedef struct ds__grad_f32 {
    ds__kernel kernel;
    /* dx[i] = f'(x[i]) * dy[i], i in [0, n); dx may be dy or x.  Error of f' at most 2e-6 absolute.  relu'(0) = 0. */
    void (*activate)(ds__activation activation, const float *x, const float *dy, float *dx, size_t n);
    /* Of y = (x - mean) / sqrt(variance + eps) * gamma + beta over rows of n:
     *   dx = r * (g - mean(g) - xhat * mean(g * xhat)),
     *   g = dy * gamma,  xhat = (x - mean) * r,  r = 1 / sqrt(variance + eps)
     *
     * dx may be dy (same stride).  mean and r are made again from x, in two passes. */
    void (*layer_norm)(const float *x, size_t ldx, const float *gamma, float eps, const float *dy, size_t lddy,
                       float *dx, size_t lddx, size_t rows, size_t n);
    /* dgamma[c] += sum over rows of dy[r, c] * xhat[r, c], row after row; dgamma: [n]. */
    void (*layer_norm_gamma)(const float *x, size_t ldx, float eps, const float *dy, size_t lddy, float *dgamma,
                             size_t rows, size_t n);
    /* y[c] += sum over rows of x[r, c], row after row; c in [0, n). */
    void (*sum_rows)(const float *x, size_t ldx, float *y, size_t rows, size_t n);
    /* y[r, c] = x[r, c] * scale where element (first_row + r, c) stays (tensor/philox.h), else 0; y may be x. */
    void (*dropout)(const ds__dropout *dropout, uint32_t first_row, const float *x, size_t ldx, float *y, size_t ldy,
                    size_t rows, size_t n);
} ds__grad_f32;

const ds__grad_f32 *ds__grad_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__grad_f32 ds__##op##_##isa;
#include "kernels/grad/grad_variants.def"
#undef DS_KERNEL

#endif
