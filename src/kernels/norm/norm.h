/* Normalising rows of [rows, n] (ldx and ldy elements from row to row).  y may be x (same stride), else no overlap. */
#ifndef DS_KERNELS_NORM_H
#define DS_KERNELS_NORM_H

#include "kernels/kernels.h"

typedef struct ds__norm_f32 {
    ds__kernel kernel;
    /* y = (x - mean) / sqrt(variance + eps) * gamma + beta, population variance in two passes (no cancellation); gamma
     * and beta: [n]. Relative error of a row at most 1e-5 of its largest output. */
    void (*layer_norm)(const float *x, size_t ldx, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy, size_t rows, size_t n);
    /* y = x / max(|x|, eps), |x| the Euclidean length. */
    void (*l2_normalize)(const float *x, size_t ldx, float eps, float *y, size_t ldy, size_t rows, size_t n);
} ds__norm_f32;

const ds__norm_f32 *ds__norm_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__norm_f32 ds__##op##_##isa;
#include "kernels/norm/norm_variants.def"
#undef DS_KERNEL

#endif
