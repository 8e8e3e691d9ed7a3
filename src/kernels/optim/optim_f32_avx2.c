/* optim_f32 on 256-bit registers; the last n % 8 elements go through masked loads and stores.  The operations and their
 * order are the portable variant's, so no multiply-add is fused. */
#include <stdbool.h>

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/optim/optim.h"

typedef struct adamw_lanes {
    __m256 grad_scale, decay, step_size, v_correction, epsilon, one_minus_beta1, beta2, one_minus_beta2;
} adamw_lanes;

DS__VEC_INLINE void adamw_step(const adamw_lanes *k, __m256 g, __m256 *w, __m256 *m, __m256 *v) {
    const __m256 scaled = _mm256_mul_ps(k->grad_scale, g);
    *m = _mm256_add_ps(*m, _mm256_mul_ps(k->one_minus_beta1, _mm256_sub_ps(scaled, *m)));
    *v = _mm256_add_ps(_mm256_mul_ps(k->beta2, *v), _mm256_mul_ps(_mm256_mul_ps(k->one_minus_beta2, scaled), scaled));
    const __m256 divisor = _mm256_add_ps(_mm256_mul_ps(_mm256_sqrt_ps(*v), k->v_correction), k->epsilon);
    *w = _mm256_sub_ps(_mm256_mul_ps(*w, k->decay), _mm256_div_ps(_mm256_mul_ps(k->step_size, *m), divisor));
}

static void adamw(const ds__adamw *with, const float *g, float *w, float *m, float *v, size_t n) {
    const adamw_lanes k = {
        .grad_scale = _mm256_set1_ps(with->grad_scale),
        .decay = _mm256_set1_ps(with->decay),
        .step_size = _mm256_set1_ps(with->step_size),
        .v_correction = _mm256_set1_ps(with->v_correction),
        .epsilon = _mm256_set1_ps(with->epsilon),
        .one_minus_beta1 = _mm256_set1_ps(with->one_minus_beta1),
        .beta2 = _mm256_set1_ps(with->beta2),
        .one_minus_beta2 = _mm256_set1_ps(with->one_minus_beta2),
    };
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 wi = _mm256_loadu_ps(w + i), mi = _mm256_loadu_ps(m + i), vi = _mm256_loadu_ps(v + i);
        adamw_step(&k, _mm256_loadu_ps(g + i), &wi, &mi, &vi);
        _mm256_storeu_ps(w + i, wi);
        _mm256_storeu_ps(m + i, mi);
        _mm256_storeu_ps(v + i, vi);
    }
    if (i == n) return;
    const __m256i tail = ds__tail_avx2(n - i);
    __m256 wi = _mm256_maskload_ps(w + i, tail), mi = _mm256_maskload_ps(m + i, tail);
    __m256 vi = _mm256_maskload_ps(v + i, tail);
    adamw_step(&k, _mm256_maskload_ps(g + i, tail), &wi, &mi, &vi);
    _mm256_maskstore_ps(w + i, tail, wi);
    _mm256_maskstore_ps(m + i, tail, mi);
    _mm256_maskstore_ps(v + i, tail, vi);
}

/* The gradient with what decays the weights. */
DS__VEC_INLINE __m256 sgd_gradient(const ds__sgd *with, __m256 g, __m256 w) {
    const __m256 scaled = _mm256_mul_ps(_mm256_set1_ps(with->grad_scale), g);
    return _mm256_add_ps(scaled, _mm256_mul_ps(_mm256_set1_ps(with->weight_decay), w));
}

/* Without momentum m is not looked at. */
static void sgd(const ds__sgd *with, const float *g, float *w, float *m, size_t n) {
    const bool has_momentum = with->momentum != 0;
    const ds__sgd k = *with; /* no store can change it */
    const __m256 momentum = _mm256_set1_ps(k.momentum), rate = _mm256_set1_ps(k.rate);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 wi = _mm256_loadu_ps(w + i);
        __m256 step = sgd_gradient(&k, _mm256_loadu_ps(g + i), wi);
        if (has_momentum) {
            step = _mm256_add_ps(_mm256_mul_ps(momentum, _mm256_loadu_ps(m + i)), step);
            _mm256_storeu_ps(m + i, step);
        }
        _mm256_storeu_ps(w + i, _mm256_sub_ps(wi, _mm256_mul_ps(rate, step)));
    }
    if (i == n) return;
    const __m256i tail = ds__tail_avx2(n - i);
    const __m256 wi = _mm256_maskload_ps(w + i, tail);
    __m256 step = sgd_gradient(&k, _mm256_maskload_ps(g + i, tail), wi);
    if (has_momentum) {
        step = _mm256_add_ps(_mm256_mul_ps(momentum, _mm256_maskload_ps(m + i, tail)), step);
        _mm256_maskstore_ps(m + i, tail, step);
    }
    _mm256_maskstore_ps(w + i, tail, _mm256_sub_ps(wi, _mm256_mul_ps(rate, step)));
}

/* The contract's eight partial sums are the lanes of two registers; the square of a float is exact in double. */
static double sum_of_squares(const float *x, size_t n) {
    __m256d low = _mm256_setzero_pd(), high = low;
    for (size_t i = 0; i < n; i += 8) {
        const __m256 v = n - i < 8 ? _mm256_maskload_ps(x + i, ds__tail_avx2(n - i)) : _mm256_loadu_ps(x + i);
        const __m256d v0 = _mm256_cvtps_pd(_mm256_castps256_ps128(v)),
                      v1 = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        low = _mm256_add_pd(low, _mm256_mul_pd(v0, v0));
        high = _mm256_add_pd(high, _mm256_mul_pd(v1, v1));
    }
    double s[8];
    _mm256_storeu_pd(s, low);
    _mm256_storeu_pd(s + 4, high);
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

const ds__optim_f32 ds__optim_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(optim, optim_f32, avx2, "8 floats at once"),
    .adamw = adamw,
    .sgd = sgd,
    .sum_of_squares = sum_of_squares,
};
