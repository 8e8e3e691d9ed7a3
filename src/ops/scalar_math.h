/* Activations one number at a time, on the C library's functions: the operators' definition. */
#ifndef DS_OPS_SCALAR_MATH_H
#define DS_OPS_SCALAR_MATH_H

#include <math.h>

#include "tensor/activation.h"

static inline const char *ds__activation_name(ds__activation activation) {
    static const char *const names[] = {
#define DS__ACTIVATION_TEXT(name, text) text,
        DS__ACTIVATION_LIST(DS__ACTIVATION_TEXT)
#undef DS__ACTIVATION_TEXT
    };
    return names[activation];
}

static inline float ds__scalar_activate(ds__activation activation, float x) {
    double v = x;
    switch (activation) {
    case DS__ACTIVATION_RELU: return x < 0 ? 0.0f : x;
    case DS__ACTIVATION_GELU: return (float)(0.5 * v * erfc(-v * 0.70710678118654752440));
    case DS__ACTIVATION_GELU_TANH:
        return (float)(0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v))));
    case DS__ACTIVATION_TANH: return (float)tanh(v);
    case DS__ACTIVATION_SIGMOID: return (float)(1 / (1 + exp(-v)));
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return x;
}

/* The derivative; relu'(0) = 0. */
static inline double ds__scalar_activate_gradient(ds__activation activation, double x) {
    double y, inner;
    switch (activation) {
    case DS__ACTIVATION_RELU: return x <= 0 ? 0 : 1;
    case DS__ACTIVATION_GELU:
        return 0.5 * erfc(-x * 0.70710678118654752440) + x * 0.39894228040143267794 * exp(-0.5 * x * x);
    case DS__ACTIVATION_GELU_TANH:
        y = tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x));
        inner = 0.79788456080286535588 * (1 + 3 * 0.044715 * x * x);
        return 0.5 * (1 + y) + 0.5 * x * (1 - y * y) * inner;
    case DS__ACTIVATION_TANH: y = tanh(x); return 1 - y * y;
    case DS__ACTIVATION_SIGMOID: y = 1 / (1 + exp(-x)); return y * (1 - y);
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return 1;
}

#endif
