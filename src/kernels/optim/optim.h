/* Optimiser steps over n consecutive floats.  No alignment is asked for; the arrays do not overlap.  Each element is by
 * itself and all variants do the same operations in the same order, with one rounding each (no fused multiply-adds), so
 * every variant gives the same bits. */
#ifndef DS_KERNELS_OPTIM_H
#define DS_KERNELS_OPTIM_H

#include "kernels/kernels.h"

/* AdamW (Loshchilov and Hutter 2019) as torch.optim.AdamW has it:
 *   g' = grad_scale * g;  w *= decay;  m += (1 - beta1) * (g' - m);  v = beta2 * v + (1 - beta2) * g' * g'
 *   w -= step_size * m / (sqrt(v) * v_correction + epsilon)
 * decay = 1 - rate * weight_decay, step_size = rate / (1 - beta1^t), v_correction = 1 / sqrt(1 - beta2^t), all computed
 * by the caller in double and rounded once. */
typedef struct ds__adamw {
    float grad_scale, decay, step_size, v_correction, epsilon, one_minus_beta1, beta2, one_minus_beta2;
} ds__adamw;

/* SGD as torch.optim.SGD has it: g' = grad_scale * g + weight_decay * w;  m = momentum * m + g' (m = g' at the first
 * step: m starts at 0);  w -= rate * (momentum == 0 ? g' : m).  m: NULL when momentum is 0. */
typedef struct ds__sgd {
    float grad_scale, weight_decay, momentum, rate;
} ds__sgd;

typedef struct ds__optim_f32 {
    ds__kernel kernel;
    void (*adamw)(const ds__adamw *with, const float *g, float *w, float *m, float *v, size_t n);
    void (*sgd)(const ds__sgd *with, const float *g, float *w, float *m, size_t n);
    /* Sum of squares in double: eight interleaved partial sums (element i in partial i % 8), added as
     * ((0+1)+(2+3))+((4+5)+(6+7)); the same bits from every variant.  NaN and infinities show in the result. */
    double (*sum_of_squares)(const float *x, size_t n);
} ds__optim_f32;

const ds__optim_f32 *ds__optim_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__optim_f32 ds__##op##_##isa;
#include "kernels/optim/optim_variants.def"
#undef DS_KERNEL

#endif
