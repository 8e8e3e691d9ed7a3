/* elementwise_f32 on 512-bit registers; the last n % 16 elements go through masked loads and stores. */
#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/elementwise/vec_math_avx512.h"

static void add(const float *a, const float *b, float *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(y + i, _mm512_add_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i)));
    __mmask16 tail = ds__tail_avx512(n - i);
    if (!tail) return;
    __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(tail, a + i), _mm512_maskz_loadu_ps(tail, b + i));
    _mm512_mask_storeu_ps(y + i, tail, sum);
}

static void mul(const float *a, const float *b, float *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(y + i, _mm512_mul_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i)));
    __mmask16 tail = ds__tail_avx512(n - i);
    if (!tail) return;
    __m512 product = _mm512_mul_ps(_mm512_maskz_loadu_ps(tail, a + i), _mm512_maskz_loadu_ps(tail, b + i));
    _mm512_mask_storeu_ps(y + i, tail, product);
}

/* Inlined once an activation, so that the switch inside folds away. */
DS__VEC_INLINE void activate_all(ds__activation activation, const float *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(y + i, ds__activate_avx512(activation, _mm512_loadu_ps(x + i)));
    __mmask16 tail = ds__tail_avx512(n - i);
    if (tail) _mm512_mask_storeu_ps(y + i, tail, ds__activate_avx512(activation, _mm512_maskz_loadu_ps(tail, x + i)));
}

static void activate(ds__activation activation, const float *x, float *y, size_t n) {
    switch (activation) {
#define ACTIVATE(name, text)                                                                                           \
    case DS__ACTIVATION_##name: activate_all(DS__ACTIVATION_##name, x, y, n); break;
        DS__ACTIVATION_LIST(ACTIVATE)
#undef ACTIVATE
    case DS__ACTIVATION_COUNT: break;
    }
}

static void widen_f16(const uint16_t *x, float *y, size_t n) { ds__widen_f16_avx512(x, y, n); }
static void widen_bf16(const uint16_t *x, float *y, size_t n) { ds__widen_bf16_avx512(x, y, n); }
static void narrow_bf16(const float *x, uint16_t *y, size_t n) { ds__narrow_bf16_avx512(x, y, n); }

const ds__elementwise_f32 ds__elementwise_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(elementwise, elementwise_f32, avx512, "16 floats at once, own exp, tanh and gelu"),
    .add = add,
    .mul = mul,
    .activate = activate,
    .widen_f16 = widen_f16,
    .widen_bf16 = widen_bf16,
    .narrow_bf16 = narrow_bf16,
};
