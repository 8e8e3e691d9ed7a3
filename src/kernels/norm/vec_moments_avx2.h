/* A row's mean and scale (vec_moments.h) on 256-bit registers; empty without AVX2. */
#ifndef DS_KERNELS_VEC_MOMENTS_AVX2_H
#define DS_KERNELS_VEC_MOMENTS_AVX2_H

#include <math.h>

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/norm/vec_moments.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

/* x[i..] - minus, at most eight of them; lanes behind n are zero. */
static inline __m256 ds__tail_minus_avx2(const float *x, size_t i, size_t n, __m256 minus) {
    __m256i tail = ds__tail_avx2(n - i);
    return _mm256_and_ps(_mm256_sub_ps(_mm256_maskload_ps(x + i, tail), minus), _mm256_castsi256_ps(tail));
}

/* x: [n], n >= 1.  Four sums side by side hide the adder's latency. */
static inline float ds__sum_above_first_avx2(const float *x, size_t n) {
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
    if (i < n) s1 = _mm256_add_ps(s1, ds__tail_minus_avx2(x, i, n, first));
    return ds__lanes_sum_avx2(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

/* x: [n], n >= 1. */
static inline ds__moments ds__moments_avx2(const float *x, size_t n, float eps) {
    ds__moments row;
    float count = (float)n;
    row.center = x[0] + ds__sum_above_first_avx2(x, n) / count;
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
        __m256 d = n - i < 8 ? ds__tail_minus_avx2(x, i, n, center) : _mm256_sub_ps(_mm256_loadu_ps(x + i), center);
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

#endif
#endif
