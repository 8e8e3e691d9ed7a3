/* elementwise_f32 on 256-bit registers; the last n % 8 elements go through masked loads and stores. */
#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/elementwise/vec_math_avx2.h"

static void add(const float *a, const float *b, float *y, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    if (i == n) return;
    __m256i tail = ds__tail_avx2(n - i);
    __m256 sum = _mm256_add_ps(_mm256_maskload_ps(a + i, tail), _mm256_maskload_ps(b + i, tail));
    _mm256_maskstore_ps(y + i, tail, sum);
}

static void mul(const float *a, const float *b, float *y, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    if (i == n) return;
    __m256i tail = ds__tail_avx2(n - i);
    __m256 product = _mm256_mul_ps(_mm256_maskload_ps(a + i, tail), _mm256_maskload_ps(b + i, tail));
    _mm256_maskstore_ps(y + i, tail, product);
}

/* Inlined once an activation, so that the switch inside folds away. */
DS__VEC_INLINE void activate_all(ds__activation activation, const float *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, ds__activate_avx2(activation, _mm256_loadu_ps(x + i)));
    if (i == n) return;
    __m256i tail = ds__tail_avx2(n - i);
    _mm256_maskstore_ps(y + i, tail, ds__activate_avx2(activation, _mm256_maskload_ps(x + i, tail)));
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

static void widen_f16(const uint16_t *x, float *y, size_t n) { ds__widen_f16_avx2(x, y, n); }
static void widen_bf16(const uint16_t *x, float *y, size_t n) { ds__widen_bf16_avx2(x, y, n); }
static void narrow_bf16(const float *x, uint16_t *y, size_t n) { ds__narrow_bf16_avx2(x, y, n); }

const ds__elementwise_f32 ds__elementwise_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(elementwise, elementwise_f32, avx2, "8 floats at once, own exp, tanh and gelu"),
    .add = add,
    .mul = mul,
    .activate = activate,
    .widen_f16 = widen_f16,
    .widen_bf16 = widen_bf16,
    .narrow_bf16 = narrow_bf16,
};
