/* The activation functions: named here, below graphs and kernels, because both speak of them.
 *
 * gelu: x * 0.5 * (1 + erf(x / sqrt 2));  gelu_tanh: its tanh form (Hendrycks and Gimpel 2016), "gelu_new". */
#ifndef DS_TENSOR_ACTIVATION_H
#define DS_TENSOR_ACTIVATION_H

/* X(NAME, text) */
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

#endif
