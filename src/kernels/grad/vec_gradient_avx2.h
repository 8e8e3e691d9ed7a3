/* The activations' derivatives on eight floats, for files that are built with AVX2 and FMA; empty without.
 *
 * The functions' own approximations (vec_math_avx2.h) and limits; at most 3e-7 off.  NaN stays NaN, but relu'(NaN) = 1.
 */
#ifndef DS_KERNELS_VEC_GRADIENT_AVX2_H
#define DS_KERNELS_VEC_GRADIENT_AVX2_H

#include "kernels/elementwise/vec_math_avx2.h"

#if defined(__AVX2__) && defined(__FMA__)

/* Phi(x) + x * density(x), of which x = -a has the small form: Phi(-a) - a * density(a); a's is 1 minus that. */
DS__VEC_INLINE __m256 ds__gelu_gradient_avx2(__m256 x) {
    const __m256 a =
        _mm256_min_ps(_mm256_set1_ps(10.0f), _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)); /* see ds__gelu_avx2 */
    const __m256 tail = ds__normal_tail_avx2(a);
    const __m256 power = _mm256_mul_ps(_mm256_mul_ps(a, a), _mm256_set1_ps(DS__NORMAL_C2));
    const __m256 density = ds__exp2_scaled_avx2(power, DS__NORMAL_C0);
    const __m256 low = _mm256_fnmadd_ps(a, density, tail);
    return _mm256_blendv_ps(_mm256_sub_ps(_mm256_set1_ps(1.0f), low), low, x); /* by the sign of x */
}

/* y' = sigma + x * sigma (1 - sigma) * 2 s' with sigma = 1 / (1 + e), e = exp(-2 s).  1 - sigma would cancel where e is
 * small, e * sigma does not.  The limit keeps e a float and sigma above 0. */
DS__VEC_INLINE __m256 ds__gelu_tanh_gradient_avx2(__m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 c = _mm256_min_ps(_mm256_set1_ps(9.9f), _mm256_max_ps(_mm256_set1_ps(-9.9f), x));
    const __m256 c2 = _mm256_mul_ps(c, c);
    const __m256 slope = _mm256_fmadd_ps(c2, _mm256_set1_ps(DS__GELU_TANH_C3), _mm256_set1_ps(DS__GELU_TANH_C1));
    const __m256 e = ds__exp2_scaled_avx2(_mm256_mul_ps(c, slope), 1.0f);
    const __m256 sigma = _mm256_div_ps(one, _mm256_add_ps(one, e));
    const __m256 inner = _mm256_fmadd_ps(c2, _mm256_set1_ps(DS__GELU_TANH_D2), _mm256_set1_ps(DS__GELU_TANH_D0));
    const __m256 rest = _mm256_mul_ps(_mm256_mul_ps(e, sigma), _mm256_mul_ps(c, inner));
    return _mm256_fmadd_ps(rest, sigma, sigma);
}

/* f'(x); folds to the one activation when `activation` is a constant. */
DS__VEC_INLINE __m256 ds__activation_gradient_avx2(ds__activation activation, __m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 y;
    switch (activation) {
    case DS__ACTIVATION_RELU: return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NLE_UQ), one);
    case DS__ACTIVATION_GELU: return ds__gelu_gradient_avx2(x);
    case DS__ACTIVATION_GELU_TANH: return ds__gelu_tanh_gradient_avx2(x);
    case DS__ACTIVATION_TANH: y = ds__tanh_avx2(x); return _mm256_fnmadd_ps(y, y, one);
    case DS__ACTIVATION_SIGMOID: y = ds__sigmoid_avx2(x); return _mm256_fnmadd_ps(y, y, y);
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return one;
}

#endif
#endif
