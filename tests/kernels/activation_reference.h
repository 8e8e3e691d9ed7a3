/* The activations in double precision, and how far a float result may be off: what two kernel tests measure against. */
#ifndef DS_TESTS_ACTIVATION_REFERENCE_H
#define DS_TESTS_ACTIVATION_REFERENCE_H

#include <math.h>

#include "kernels/elementwise/elementwise.h"

static inline double reference_activation(ds__activation activation, double x) {
    const double root_half = 0.70710678118654752440, root_2_over_pi = 0.79788456080286535588;
    switch (activation) {
    case DS__ACTIVATION_RELU: return x < 0 ? 0 : x;
    case DS__ACTIVATION_GELU: return x == -INFINITY ? 0 : 0.5 * x * erfc(-x * root_half);
    case DS__ACTIVATION_GELU_TANH:
        return x == -INFINITY ? 0 : x / (1 + exp(-2 * root_2_over_pi * (x + 0.044715 * x * x * x)));
    case DS__ACTIVATION_TANH: return tanh(x);
    case DS__ACTIVATION_SIGMOID: return 1 / (1 + exp(-x));
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return x;
}

/* The distance from |value| to the next float above it; that of the largest floats for everything beyond them. */
static inline double ulp_of(double value) {
    int exponent;
    frexp(value, &exponent);
    return ldexp(1, exponent < -125 ? -149 : exponent > 128 ? 104 : exponent - 24);
}

/* Whether `y` is x's activation within `ulps` ulp or `absolute`, whichever is more. */
static inline bool is_near(float y, double expected, double ulps, double absolute) {
    if (isnan(expected)) return isnan(y);
    if (isinf(y) || isinf(expected)) return (float)expected == y;
    return fabs((double)y - expected) <= fmax(ulps * ulp_of(expected), absolute);
}

#endif
