/* A row's mean and scale (vec_moments.h) on 512-bit registers; empty without AVX-512. */
#ifndef DS_KERNELS_VEC_MOMENTS_AVX512_H
#define DS_KERNELS_VEC_MOMENTS_AVX512_H

#include <math.h>

#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/norm/vec_moments.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)

/* x: [n], n >= 1.  Four sums side by side hide the adder's latency. */
static inline float ds__sum_above_first_avx512(const float *x, size_t n) {
    const __m512 first = _mm512_set1_ps(x[0]);
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        s0 = _mm512_add_ps(s0, _mm512_sub_ps(_mm512_loadu_ps(x + i), first));
        s1 = _mm512_add_ps(s1, _mm512_sub_ps(_mm512_loadu_ps(x + i + 16), first));
        s2 = _mm512_add_ps(s2, _mm512_sub_ps(_mm512_loadu_ps(x + i + 32), first));
        s3 = _mm512_add_ps(s3, _mm512_sub_ps(_mm512_loadu_ps(x + i + 48), first));
    }
    for (; i + 16 <= n; i += 16) s0 = _mm512_add_ps(s0, _mm512_sub_ps(_mm512_loadu_ps(x + i), first));
    __mmask16 tail = ds__tail_avx512(n - i);
    s1 = _mm512_add_ps(s1, _mm512_maskz_sub_ps(tail, _mm512_maskz_loadu_ps(tail, x + i), first));
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

/* x: [n], n >= 1. */
static inline ds__moments ds__moments_avx512(const float *x, size_t n, float eps) {
    ds__moments row;
    float count = (float)n;
    row.center = x[0] + ds__sum_above_first_avx512(x, n) / count;
    const __m512 center = _mm512_set1_ps(row.center);
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(x + i), center);
        __m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(x + i + 16), center);
        __m512 d2 = _mm512_sub_ps(_mm512_loadu_ps(x + i + 32), center);
        __m512 d3 = _mm512_sub_ps(_mm512_loadu_ps(x + i + 48), center);
        s0 = _mm512_add_ps(s0, _mm512_add_ps(d0, d1));
        s1 = _mm512_add_ps(s1, _mm512_add_ps(d2, d3));
        q0 = _mm512_fmadd_ps(d0, d0, q0);
        q1 = _mm512_fmadd_ps(d1, d1, q1);
        q2 = _mm512_fmadd_ps(d2, d2, q2);
        q3 = _mm512_fmadd_ps(d3, d3, q3);
    }
    for (; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? ds__tail_avx512(n - i) : (__mmask16)0xffff;
        __m512 d = _mm512_maskz_sub_ps(mask, _mm512_maskz_loadu_ps(mask, x + i), center);
        s0 = _mm512_add_ps(s0, d);
        q0 = _mm512_fmadd_ps(d, d, q0);
    }
    row.rest = _mm512_reduce_add_ps(_mm512_add_ps(s0, s1)) / count;
    float squares = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(q0, q1), _mm512_add_ps(q2, q3))) / count;
    float variance = squares - row.rest * row.rest;
    if (variance < 0) variance = 0; /* by rounding; NaN stays */
    row.scale = 1.0f / sqrtf(variance + eps);
    return row;
}

#endif
#endif
