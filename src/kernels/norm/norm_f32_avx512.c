/* norm_f32 on 512-bit registers.
 *
 * layer_norm reads a row three times, the last two from the L1 cache; its statistics: vec_moments.h.  A row of equal
 * values gives exactly beta.  Each row goes the same way, whatever stands beside it; n % 16 elements go through masks.
 */
#include <math.h>

#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/norm/norm.h"
#include "kernels/norm/vec_moments_avx512.h"

static void layer_norm(const float *x, size_t ldx, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy, size_t rows, size_t n) {
    if (n == 0) return;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const ds__moments row = ds__moments_avx512(x, n, eps);
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
