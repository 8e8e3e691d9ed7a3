/* The activations' derivatives one float at a time, on the C library. */
#ifndef DS_KERNELS_VEC_GRADIENT_REF_H
#define DS_KERNELS_VEC_GRADIENT_REF_H

#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/elementwise/vec_math_ref.h"

/* Beyond the limits the derivative rounds to 0 or 1; without them infinity would give NaN.  NaN stays. */
static inline float ds__within_ref(float x, float limit) { return x < -limit ? -limit : x > limit ? limit : x; }

/* Phi(x) + x * density(x). */
static inline float ds__gelu_gradient_ref(float x) {
    const float c = ds__within_ref(x, 13.0f);
    return 0.5f * erfcf(c * -0.707106781f) + c * DS__NORMAL_C0 * expf(-0.5f * c * c);
}

/* sigma + x * sigma (1 - sigma) * 2 s', sigma = 1 / (1 + e), e = exp(-2 s); e * sigma is 1 - sigma and does not cancel.
 */
static inline float ds__gelu_tanh_gradient_ref(float x) {
    const float c = ds__within_ref(x, 9.9f), e = exp2f(c * (DS__GELU_TANH_C1 + DS__GELU_TANH_C3 * c * c));
    const float sigma = 1.0f / (1.0f + e);
    return sigma + e * sigma * sigma * c * (DS__GELU_TANH_D0 + DS__GELU_TANH_D2 * c * c);
}

static inline float ds__activation_gradient_ref(ds__activation activation, float x) {
    float y;
    switch (activation) {
    case DS__ACTIVATION_RELU: return x <= 0.0f ? 0.0f : 1.0f;
    case DS__ACTIVATION_GELU: return ds__gelu_gradient_ref(x);
    case DS__ACTIVATION_GELU_TANH: return ds__gelu_tanh_gradient_ref(x);
    case DS__ACTIVATION_TANH: y = ds__tanh_ref(x); return 1.0f - y * y;
    case DS__ACTIVATION_SIGMOID: y = ds__sigmoid_ref(x); return y - y * y;
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return 1.0f;
}

#endif
