/* The activations' derivatives on sixteen floats, for files that are built with AVX-512 F and DQ; empty without.
 *
 * The functions' own approximations (vec_math_avx512.h) and limits; at most 3e-7 off.  NaN stays NaN, but relu'(NaN)
 * = 1. */
#ifndef DS_KERNELS_VEC_GRADIENT_AVX512_H
#define DS_KERNELS_VEC_GRADIENT_AVX512_H

#include "kernels/elementwise/vec_math_avx512.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)

/* Phi(x) + x * density(x), of which x = -a has the small form: Phi(-a) - a * density(a); a's is 1 minus that. */
DS__VEC_INLINE __m512 ds__gelu_gradient_avx512(__m512 x) {
    const __m512 a = _mm512_min_ps(_mm512_set1_ps(13.0f), _mm512_abs_ps(x)); /* see ds__gelu_avx512 */
    const __m512 tail = ds__normal_tail_avx512(a);
    const __m512 power = _mm512_mul_ps(_mm512_mul_ps(a, a), _mm512_set1_ps(DS__NORMAL_C2));
    const __m512 density = ds__exp2_scaled_avx512(power, DS__NORMAL_C0);
    const __m512 low = _mm512_fnmadd_ps(a, density, tail);
    return _mm512_mask_sub_ps(low, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), _mm512_set1_ps(1.0f), low);
}

/* y' = sigma + x * sigma (1 - sigma) * 2 s' with sigma = 1 / (1 + e), e = exp(-2 s).  1 - sigma would cancel where e is
 * small, e * sigma does not.  The limit keeps e a float and sigma above 0. */
DS__VEC_INLINE __m512 ds__gelu_tanh_gradient_avx512(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 c = _mm512_min_ps(_mm512_set1_ps(9.9f), _mm512_max_ps(_mm512_set1_ps(-9.9f), x));
    const __m512 c2 = _mm512_mul_ps(c, c);
    const __m512 slope = _mm512_fmadd_ps(c2, _mm512_set1_ps(DS__GELU_TANH_C3), _mm512_set1_ps(DS__GELU_TANH_C1));
    const __m512 e = ds__exp2_scaled_avx512(_mm512_mul_ps(c, slope), 1.0f);
    const __m512 sigma = _mm512_div_ps(one, _mm512_add_ps(one, e));
    const __m512 inner = _mm512_fmadd_ps(c2, _mm512_set1_ps(DS__GELU_TANH_D2), _mm512_set1_ps(DS__GELU_TANH_D0));
    const __m512 rest = _mm512_mul_ps(_mm512_mul_ps(e, sigma), _mm512_mul_ps(c, inner));
    return _mm512_fmadd_ps(rest, sigma, sigma);
}

/* f'(x); folds to the one activation when `activation` is a constant. */
DS__VEC_INLINE __m512 ds__activation_gradient_avx512(ds__activation activation, __m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 y;
    switch (activation) {
    case DS__ACTIVATION_RELU:
        return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLE_UQ), _mm512_setzero_ps(), one);
    case DS__ACTIVATION_GELU: return ds__gelu_gradient_avx512(x);
    case DS__ACTIVATION_GELU_TANH: return ds__gelu_tanh_gradient_avx512(x);
    case DS__ACTIVATION_TANH: y = ds__tanh_avx512(x); return _mm512_fnmadd_ps(y, y, one);
    case DS__ACTIVATION_SIGMOID: y = ds__sigmoid_avx512(x); return _mm512_fnmadd_ps(y, y, y);
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return one;
}

#endif
#endif
