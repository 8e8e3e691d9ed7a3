/* norm_f32 on 256-bit registers.
 *
 * layer_norm reads a row three times, the last two from the L1 cache.  A mean kept in a float is off by up to half an
 * ulp, which is much against the spread of a row like 10000 +- 1.  So the first pass sums x - x[0], which is small and
 * exact there, and the second one measures against the rounded mean m both d = x - m and d^2: mean = m + E[d] and
 * variance = E[d^2] - E[d]^2, where E[d] is tiny, so that nothing cancels.  A row of equal values gives exactly beta.
 * The squares overflow where a spread exceeds 1e17.  Each row goes the same way, whatever stands beside it; n % 8
 * elements go through masked loads and stores. */
#include <math.h>

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/norm/norm.h"

typedef struct moments {
    float center; /* the row's mean but for rounding */
    float rest;   /* exact mean - center */
    float scale;  /* 1 / sqrt(variance + eps) */
} moments;

/* x[i..] - minus, at most eight of them; lanes behind n are zero. */
static inline __m256 tail_minus(const float *x, size_t i, size_t n, __m256 minus) {
    __m256i tail = ds__tail_avx2(n - i);
    return _mm256_and_ps(_mm256_sub_ps(_mm256_maskload_ps(x + i, tail), minus), _mm256_castsi256_ps(tail));
}

/* x: [n], n >= 1.  Four sums side by side hide the adder's latency. */
static inline float sum_above_first(const float *x, size_t n) {
    const __m256 first = _mm256_set1_ps(x[0]);
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm256_add_ps(s0, _mm256_sub_ps(_mm256_loadu_ps(x + i), first));
        s1 = _mm256_add_ps(s1, _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), first));
        s2 = _mm256_add_ps(s2, _mm256_sub_ps(_mm256_loadu_ps(x + i + 16), first));
        s3 = _mm256_add_ps(s3, _mm256_sub_ps(_mm256_loadu_ps(x + i + 24), first));
    }
    for (; i + 8 <= n; i += 8) s0 = _mm256_add_ps(s0, _mm256_sub_ps(_mm256_loadu_ps(x + i), first));
    if (i < n) s1 = _mm256_add_ps(s1, tail_minus(x, i, n, first));
    return ds__lanes_sum_avx2(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static inline moments measure(const float *x, size_t n, float eps) {
    moments row;
    float count = (float)n;
    row.center = x[0] + sum_above_first(x, n) / count;
    const __m256 center = _mm256_set1_ps(row.center);
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(x + i), center);
        __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), center);
        __m256 d2 = _mm256_sub_ps(_mm256_loadu_ps(x + i + 16), center);
        __m256 d3 = _mm256_sub_ps(_mm256_loadu_ps(x + i + 24), center);
        s0 = _mm256_add_ps(s0, _mm256_add_ps(d0, d1));
        s1 = _mm256_add_ps(s1, _mm256_add_ps(d2, d3));
        q0 = _mm256_fmadd_ps(d0, d0, q0);
        q1 = _mm256_fmadd_ps(d1, d1, q1);
        q2 = _mm256_fmadd_ps(d2, d2, q2);
        q3 = _mm256_fmadd_ps(d3, d3, q3);
    }
    for (; i < n; i += 8) {
        __m256 d = n - i < 8 ? tail_minus(x, i, n, center) : _mm256_sub_ps(_mm256_loadu_ps(x + i), center);
        s0 = _mm256_add_ps(s0, d);
        q0 = _mm256_fmadd_ps(d, d, q0);
    }
    row.rest = ds__lanes_sum_avx2(_mm256_add_ps(s0, s1)) / count;
    float squares = ds__lanes_sum_avx2(_mm256_add_ps(_mm256_add_ps(q0, q1), _mm256_add_ps(q2, q3))) / count;
    float variance = squares - row.rest * row.rest;
    if (variance < 0) variance = 0; /* by rounding; NaN stays */
    row.scale = 1.0f / sqrtf(variance + eps);
    return row;
}

static void layer_norm(const float *x, size_t ldx, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy, size_t rows, size_t n) {
    if (n == 0) return;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        moments row = measure(x, n, eps);
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
        __m256 unit = _mm256_fmadd_ps(tail_minus(x, i, n, center), scale, shift);
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
