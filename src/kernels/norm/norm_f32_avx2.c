/* norm_f32 on 256-bit registers.
 *
 * layer_norm reads a row three times, the last two from the L1 cache; its statistics: vec_moments.h.  A row of equal
 * values gives exactly beta.  Each row goes the same way, whatever stands beside it; n % 8 elements go through masked
 * loads and stores. */
#include <math.h>

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/norm/norm.h"
#include "kernels/norm/vec_moments_avx2.h"

static void layer_norm(const float *x, size_t ldx, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy, size_t rows, size_t n) {
    if (n == 0) return;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const ds__moments row = ds__moments_avx2(x, n, eps);
        const __m256 center = _mm256_set1_ps(row.center), scale = _mm256_set1_ps(row.scale);
        const __m256 shift = _mm256_set1_ps(-row.rest * row.scale);
        size_t i = 0;
        for (; i + 8 <= n; i += 8) {
            __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i), center);
            __m256 unit = _mm256_fmadd_ps(d, scale, shift);
            _mm256_storeu_ps(y + i, _mm256_fmadd_ps(unit, _mm256_loadu_ps(gamma + i), _mm256_loadu_ps(beta + i)));
        }
        if (i == n) continue;
        __m256i tail = ds__tail_avx2(n - i);
        __m256 unit = _mm256_fmadd_ps(ds__tail_minus_avx2(x, i, n, center), scale, shift);
        __m256 out = _mm256_fmadd_ps(unit, _mm256_maskload_ps(gamma + i, tail), _mm256_maskload_ps(beta + i, tail));
        _mm256_maskstore_ps(y + i, tail, out);
    }
}

/* In double: no square overflows or underflows there. */
static inline double sum_of_squares(const float *x, size_t n) {
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = n - i < 8 ? _mm256_maskload_ps(x + i, ds__tail_avx2(n - i)) : _mm256_loadu_ps(x + i);
        __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
        __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        s0 = _mm256_fmadd_pd(low, low, s0);
        s1 = _mm256_fmadd_pd(high, high, s1);
    }
    return ds__lanes_sum_f64_avx2(_mm256_add_pd(s0, s1));
}

static void l2_normalize(const float *x, size_t ldx, float eps, float *y, size_t ldy, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        float length = (float)sqrt(sum_of_squares(x, n));
        if (length < eps) length = eps; /* NaN stays */
        const __m256 divisor = _mm256_set1_ps(length);
        size_t i = 0;
        for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_div_ps(_mm256_loadu_ps(x + i), divisor));
        if (i == n) continue;
        __m256i tail = ds__tail_avx2(n - i);
        _mm256_maskstore_ps(y + i, tail, _mm256_div_ps(_mm256_maskload_ps(x + i, tail), divisor));
    }
}

const ds__norm_f32 ds__norm_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(norm, norm_f32, avx2, "8 floats at once, mean and variance corrected for rounding"),
    .layer_norm = layer_norm,
    .l2_normalize = l2_normalize,
};
