/* Element by element: y[i] = f(x[i]) or f(a[i], b[i]) over `n` consecutive floats.  y may be an input itself, else no
 * overlap; no alignment is asked for.  Error bounds against the exact function are stated beside each. */
#ifndef DS_KERNELS_ELEMENTWISE_H
#define DS_KERNELS_ELEMENTWISE_H

#include <stdint.h>

#include "kernels/kernels.h"

/* X(NAME, text): activations that the gemm epilogue and the elementwise kernels share.
 * gelu: x * 0.5 * (1 + erf(x / sqrt 2));  gelu_tanh: its tanh form (Hendrycks and Gimpel 2016), "gelu_new". */
#define DS__ACTIVATION_LIST(X)                                                                                         \
    X(NONE, "none")                                                                                                    \
    X(RELU, "relu")                                                                                                    \
    X(GELU, "gelu")                                                                                                    \
    X(GELU_TANH, "gelu_tanh")                                                                                          \
    X(TANH, "tanh")                                                                                                    \
    X(SIGMOID, "sigmoid")

typedef enum ds__activation {
#define DS__ACTIVATION_ENUM(name, text) DS__ACTIVATION_##name,
    DS__ACTIVATION_LIST(DS__ACTIVATION_ENUM)
#undef DS__ACTIVATION_ENUM
    DS__ACTIVATION_COUNT
} ds__activation;

typedef struct ds__elementwise_f32 {
    ds__kernel kernel;
    void (*add)(const float *a, const float *b, float *y, size_t n);
    void (*mul)(const float *a, const float *b, float *y, size_t n);
    /* Error at most 4 ulp or 1e-6 absolute, whichever is larger; NaN stays NaN, infinities give the limits. */
    void (*activate)(ds__activation activation, const float *x, float *y, size_t n);
    /* Exact widening; x and y do not overlap. */
    void (*widen_f16)(const uint16_t *x, float *y, size_t n);
    void (*widen_bf16)(const uint16_t *x, float *y, size_t n);
} ds__elementwise_f32;

const ds__elementwise_f32 *ds__elementwise_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__elementwise_f32 ds__##op##_##isa;
#include "kernels/elementwise/elementwise_variants.def"
#undef DS_KERNEL

#endif
