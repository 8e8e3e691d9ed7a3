/* elementwise_f32 in portable C. */
#include "kernels/elementwise/vec_math_ref.h"
#include "tensor/convert.h"

static void add(const float *a, const float *b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void mul(const float *a, const float *b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

/* One loop an activation: the switch inside ds__activate_ref folds away. */
static void activate(ds__activation activation, const float *x, float *y, size_t n) {
    switch (activation) {
#define ACTIVATE(name, text)                                                                                           \
    case DS__ACTIVATION_##name:                                                                                        \
        for (size_t i = 0; i < n; i++) y[i] = ds__activate_ref(DS__ACTIVATION_##name, x[i]);                           \
        break;
        DS__ACTIVATION_LIST(ACTIVATE)
#undef ACTIVATE
    case DS__ACTIVATION_COUNT: break;
    }
}

static void widen_f16(const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = ds__f16_to_f32(x[i]);
}

static void widen_bf16(const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = ds__bf16_to_f32(x[i]);
}

static void narrow_bf16(const float *x, uint16_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = ds__f32_to_bf16(x[i]);
}

const ds__elementwise_f32 ds__elementwise_f32_ref = {
    .kernel = DS_KERNEL_HEAD(elementwise, elementwise_f32, ref, "plain loops and the C library's exp, tanh and erf"),
    .add = add,
    .mul = mul,
    .activate = activate,
    .widen_f16 = widen_f16,
    .widen_bf16 = widen_bf16,
    .narrow_bf16 = narrow_bf16,
};
