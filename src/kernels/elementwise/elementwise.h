/* Element by element: y[i] = f(x[i]) or f(a[i], b[i]) over `n` consecutive floats.  y may be an input itself, else no
 * overlap; no alignment is asked for.  Error bounds against the exact function are stated beside each. */
#ifndef DS_KERNELS_ELEMENTWISE_H
#define DS_KERNELS_ELEMENTWISE_H

#include <stdint.h>

#include "kernels/kernels.h"
#include "tensor/activation.h"

typedef struct ds__elementwise_f32 {
    ds__kernel kernel;
    void (*add)(const float *a, const float *b, float *y, size_t n);
    void (*mul)(const float *a, const float *b, float *y, size_t n);
    /* Error at most 4 ulp or 1e-6 absolute, whichever is larger; NaN stays NaN, infinities give the limits. */
    void (*activate)(ds__activation activation, const float *x, float *y, size_t n);
    /* Exact widening; x and y do not overlap. */
    void (*widen_f16)(const uint16_t *x, float *y, size_t n);
    void (*widen_bf16)(const uint16_t *x, float *y, size_t n);
    /* To the nearest even, as ds__f32_to_bf16: the same bits from every variant; x and y do not overlap. */
    void (*narrow_bf16)(const float *x, uint16_t *y, size_t n);
} ds__elementwise_f32;

const ds__elementwise_f32 *ds__elementwise_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__elementwise_f32 ds__##op##_##isa;
#include "kernels/elementwise/elementwise_variants.def"
#undef DS_KERNEL

#endif
