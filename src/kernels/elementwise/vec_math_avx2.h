/* exp, tanh and the activations on eight floats, for files that are built with AVX2 and FMA; empty without.
 *
 * No tables, no divisions where a polynomial does, no branches.  NaN stays NaN throughout: where an operand order looks
 * odd, it is because min and max return their second operand when one is NaN. */
#ifndef DS_KERNELS_VEC_MATH_AVX2_H
#define DS_KERNELS_VEC_MATH_AVX2_H

#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/vec_math_poly.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

/* Adding it rounds |x| < 2^22 to an integer, which then stands in the low bits. */
#define DS__ROUNDER_AVX2 12582912.0f

/* p * 2^n by adding n to the exponent; `shifted` has n in bits 23 and up.  p * 2^n must be normal (or just below). */
DS__VEC_INLINE __m256 ds__scale_avx2(__m256 p, __m256i shifted) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), shifted));
}

/* 2^q times `half` (1 or 0.5, folded into the coefficients), -125 <= q <= 127: error about 2^-23 relative. */
DS__VEC_INLINE __m256 ds__exp2_scaled_avx2(__m256 q, float half) {
    __m256 n = _mm256_floor_ps(q);
    __m256 f = _mm256_sub_ps(q, n);
    __m256 p = _mm256_set1_ps(half * DS__EXP2_C5);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(half * DS__EXP2_C4));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(half * DS__EXP2_C3));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(half * DS__EXP2_C2));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(half * DS__EXP2_C1));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(half * DS__EXP2_C0));
    return ds__scale_avx2(p, _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23));
}

/* At most 1 ulp where the result is normal; 0 where it would be denormal, infinity where it overflows. */
DS__VEC_INLINE __m256 ds__exp_avx2(__m256 x) {
    const __m256 rounder = _mm256_set1_ps(DS__ROUNDER_AVX2);
    __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(DS__LOG2_E), rounder);
    __m256 n = _mm256_sub_ps(t, rounder);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(DS__LN2_HIGH), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(DS__LN2_LOW), r);
    __m256 p = _mm256_set1_ps(DS__EXP_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXP_C2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    /* Converting n costs one step more than shifting t, but for NaN it gives a zero exponent and leaves p as it is. */
    __m256 y = ds__scale_avx2(p, _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23));
    __m256 too_low = _mm256_cmp_ps(x, _mm256_set1_ps(DS__EXP_LOWEST), _CMP_LT_OQ);
    __m256 too_high = _mm256_cmp_ps(x, _mm256_set1_ps(DS__EXP_HIGHEST), _CMP_GT_OQ);
    y = _mm256_andnot_ps(too_low, y);
    return _mm256_blendv_ps(y, _mm256_set1_ps(__builtin_inff()), too_high);
}

/* E / (E + 2) with E = exp(2x) - 1: relative accuracy near zero too. */
DS__VEC_INLINE __m256 ds__tanh_avx2(__m256 x) {
    const __m256 rounder = _mm256_set1_ps(DS__ROUNDER_AVX2), one = _mm256_set1_ps(1.0f);
    __m256 c = _mm256_min_ps(_mm256_set1_ps(DS__TANH_LIMIT), _mm256_max_ps(_mm256_set1_ps(-DS__TANH_LIMIT), x));
    __m256 x2 = _mm256_add_ps(c, c);
    __m256 t = _mm256_fmadd_ps(x2, _mm256_set1_ps(DS__LOG2_E), rounder);
    /* |n| <= 27: the low part of ln2 would add 1e-7 relative at most where exp is large and tanh next to 1. */
    __m256 r = _mm256_fnmadd_ps(_mm256_sub_ps(t, rounder), _mm256_set1_ps(DS__LN2_HIGH), x2);
    __m256 p = _mm256_set1_ps(DS__EXPM1_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXPM1_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXPM1_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXPM1_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DS__EXPM1_C2));
    p = _mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r); /* exp(r) - 1 */
    __m256 s = ds__scale_avx2(one, _mm256_slli_epi32(_mm256_castps_si256(t), 23));
    __m256 e = _mm256_fmadd_ps(s, p, _mm256_sub_ps(s, one));
    return _mm256_div_ps(e, _mm256_add_ps(e, _mm256_set1_ps(2.0f)));
}

DS__VEC_INLINE __m256 ds__sigmoid_avx2(__m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 e = ds__exp_avx2(_mm256_sub_ps(_mm256_setzero_ps(), x));
    return _mm256_div_ps(one, _mm256_add_ps(one, e));
}

/* Phi(-a) of DS__GELU_C1, 0 <= a <= 10. */
DS__VEC_INLINE __m256 ds__normal_tail_avx2(__m256 a) {
    __m256 q = _mm256_set1_ps(DS__GELU_C8);
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(DS__GELU_C7));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(DS__GELU_C6));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(DS__GELU_C5));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(DS__GELU_C4));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(DS__GELU_C3));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(DS__GELU_C2));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(DS__GELU_C1));
    return ds__exp2_scaled_avx2(_mm256_mul_ps(q, a), 0.5f);
}

/* See DS__GELU_C1.  The limit keeps 2^q normal; from there to -infinity the result is -3e-31. */
DS__VEC_INLINE __m256 ds__gelu_avx2(__m256 x) {
    __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    a = _mm256_min_ps(_mm256_set1_ps(10.0f), a);
    return _mm256_fnmadd_ps(a, ds__normal_tail_avx2(a), _mm256_max_ps(_mm256_setzero_ps(), x));
}

/* See DS__GELU_TANH_C1.  The numerator stops where 2^q still is a float, so that -infinity gives -2e-36 and not NaN. */
DS__VEC_INLINE __m256 ds__gelu_tanh_avx2(__m256 x) {
    __m256 low = _mm256_max_ps(_mm256_set1_ps(-9.9f), x);
    __m256 c = _mm256_min_ps(_mm256_set1_ps(9.9f), low);
    __m256 slope =
        _mm256_fmadd_ps(_mm256_mul_ps(c, c), _mm256_set1_ps(DS__GELU_TANH_C3), _mm256_set1_ps(DS__GELU_TANH_C1));
    __m256 e = ds__exp2_scaled_avx2(_mm256_mul_ps(c, slope), 1.0f);
    return _mm256_div_ps(low, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

/* Folds to the one activation when `activation` is a constant; at most 4 ulp or 1e-6 off, whichever is larger. */
DS__VEC_INLINE __m256 ds__activate_avx2(ds__activation activation, __m256 x) {
    switch (activation) {
    case DS__ACTIVATION_RELU: return _mm256_max_ps(_mm256_setzero_ps(), x);
    case DS__ACTIVATION_GELU: return ds__gelu_avx2(x);
    case DS__ACTIVATION_GELU_TANH: return ds__gelu_tanh_avx2(x);
    case DS__ACTIVATION_TANH: return ds__tanh_avx2(x);
    case DS__ACTIVATION_SIGMOID: return ds__sigmoid_avx2(x);
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return x;
}

#endif
#endif
