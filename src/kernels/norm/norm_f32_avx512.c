/* norm_f32 on 512-bit registers.
 *
 * layer_norm reads a row three times, the last two from the L1 cache.  A mean kept in a float is off by up to half an
 * ulp, which is much against the spread of a row like 10000 +- 1.  So the first pass sums x - x[0], which is small and
 * exact there, and the second one measures against the rounded mean m both d = x - m and d^2: mean = m + E[d] and
 * variance = E[d^2] - E[d]^2, where E[d] is tiny, so that nothing cancels.  A row of equal values gives exactly beta.
 * The squares overflow where a spread exceeds 1e17.  Each row goes the same way, whatever stands beside it; n % 16
 * elements go through masks. */
#include <math.h>

#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/norm/norm.h"

typedef struct moments {
    float center; /* the row's mean but for rounding */
    float rest;   /* exact mean - center */
    float scale;  /* 1 / sqrt(variance + eps) */
} moments;

/* x: [n], n >= 1.  Four sums side by side hide the adder's latency. */
static inline float sum_above_first(const float *x, size_t n) {
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

static inline moments measure(const float *x, size_t n, float eps) {
    moments row;
    float count = (float)n;
    row.center = x[0] + sum_above_first(x, n) / count;
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

static void layer_norm(const float *x, size_t ldx, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy, size_t rows, size_t n) {
    if (n == 0) return;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        moments row = measure(x, n, eps);
        const __m512 center = _mm512_set1_ps(row.center), scale = _mm512_set1_ps(row.scale);
        const __m512 shift = _mm512_set1_ps(-row.rest * row.scale);
        size_t i = 0;
        for (; i + 16 <= n; i += 16) {
            __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i), center);
            __m512 unit = _mm512_fmadd_ps(d, scale, shift);
            _mm512_storeu_ps(y + i, _mm512_fmadd_ps(unit, _mm512_loadu_ps(gamma + i), _mm512_loadu_ps(beta + i)));
        }
        __mmask16 tail = ds__tail_avx512(n - i);
        if (!tail) continue;
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(tail, x + i), center);
        __m512 unit = _mm512_fmadd_ps(d, scale, shift);
        __m512 out =
            _mm512_fmadd_ps(unit, _mm512_maskz_loadu_ps(tail, gamma + i), _mm512_maskz_loadu_ps(tail, beta + i));
        _mm512_mask_storeu_ps(y + i, tail, out);
    }
}

/* In double: no square overflows or underflows there. */
static inline double sum_of_squares(const float *x, size_t n) {
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? ds__tail_avx512(n - i) : (__mmask16)0xffff;
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
        __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
        s0 = _mm512_fmadd_pd(low, low, s0);
        s1 = _mm512_fmadd_pd(high, high, s1);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(s0, s1));
}

static void l2_normalize(const float *x, size_t ldx, float eps, float *y, size_t ldy, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        float length = (float)sqrt(sum_of_squares(x, n));
        if (length < eps) length = eps; /* NaN stays */
        const __m512 divisor = _mm512_set1_ps(length);
        for (size_t i = 0; i < n; i += 16) {
            __mmask16 mask = n - i < 16 ? ds__tail_avx512(n - i) : (__mmask16)0xffff;
            __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
            _mm512_mask_storeu_ps(y + i, mask, _mm512_maskz_div_ps(mask, v, divisor));
        }
    }
}

const ds__norm_f32 ds__norm_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(norm, norm_f32, avx512, "16 floats at once, mean and variance corrected for rounding"),
    .layer_norm = layer_norm,
    .l2_normalize = l2_normalize,
};
