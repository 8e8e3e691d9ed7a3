/* Scalar exp and activations on the C library: the portable variants' arithmetic, and what the others are held against
 * (with a double-precision check beside it). */
#ifndef DS_KERNELS_VEC_MATH_REF_H
#define DS_KERNELS_VEC_MATH_REF_H

#include <math.h>

#include "kernels/elementwise/elementwise.h"

static inline float ds__exp_ref(float x) { return expf(x); }
static inline float ds__tanh_ref(float x) { return tanhf(x); }
static inline float ds__sigmoid_ref(float x) { return 1.0f / (1.0f + expf(-x)); }

/* Below the guards the exact result is smaller than any float; without them -infinity would give NaN. */
static inline float ds__gelu_ref(float x) { return x < -16.0f ? -0.0f : 0.5f * x * (1.0f + erff(x * 0.707106781f)); }

static inline float ds__gelu_tanh_ref(float x) {
    return x < -16.0f ? -0.0f : 0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
}

static inline float ds__activate_ref(ds__activation activation, float x) {
    switch (activation) {
    case DS__ACTIVATION_RELU: return x < 0.0f ? 0.0f : x;
    case DS__ACTIVATION_GELU: return ds__gelu_ref(x);
    case DS__ACTIVATION_GELU_TANH: return ds__gelu_tanh_ref(x);
    case DS__ACTIVATION_TANH: return ds__tanh_ref(x);
    case DS__ACTIVATION_SIGMOID: return ds__sigmoid_ref(x);
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return x;
}

#endif
