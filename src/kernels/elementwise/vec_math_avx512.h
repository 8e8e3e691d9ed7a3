/* exp, tanh and the activations on sixteen floats, for files that are built with AVX-512 F and DQ; empty without.
 *
 * No tables, no divisions where a polynomial does, no branches.  NaN stays NaN throughout: where an operand order looks
 * odd, it is because min and max return their second operand when one is NaN. */
#ifndef DS_KERNELS_VEC_MATH_AVX512_H
#define DS_KERNELS_VEC_MATH_AVX512_H

#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/vec_math_poly.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)

#include <immintrin.h>

/* 2^q times `half` (1 or 0.5, folded into the coefficients): error about 2^-23 relative; q finite or NaN. */
DS__VEC_INLINE __m512 ds__exp2_scaled_avx512(__m512 q, float half) {
    __m512 f = _mm512_reduce_ps(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); /* q - floor(q) */
    __m512 p = _mm512_set1_ps(half * DS__EXP2_C5);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(half * DS__EXP2_C4));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(half * DS__EXP2_C3));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(half * DS__EXP2_C2));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(half * DS__EXP2_C1));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(half * DS__EXP2_C0));
    return _mm512_scalef_ps(p, q); /* takes floor(q) itself */
}

/* At most 1 ulp where the result is normal, 1 denormal step below that; 0 and infinity where a float ends. */
DS__VEC_INLINE __m512 ds__exp_avx512(__m512 x) {
    /* Past the ends of the float range, so that scalef still underflows or overflows, but never infinite. */
    x = _mm512_min_ps(_mm512_set1_ps(89.0f), _mm512_max_ps(_mm512_set1_ps(-104.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(DS__LOG2_E)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(DS__LN2_HIGH), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(DS__LN2_LOW), r);
    __m512 p = _mm512_set1_ps(DS__EXP_C6);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXP_C2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* E / (E + 2) with E = exp(2x) - 1: relative accuracy near zero too. */
DS__VEC_INLINE __m512 ds__tanh_avx512(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 c = _mm512_min_ps(_mm512_set1_ps(DS__TANH_LIMIT), _mm512_max_ps(_mm512_set1_ps(-DS__TANH_LIMIT), x));
    __m512 x2 = _mm512_add_ps(c, c);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x2, _mm512_set1_ps(DS__LOG2_E)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    /* |n| <= 27: the low part of ln2 would add 1e-7 relative at most where exp is large and tanh next to 1. */
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(DS__LN2_HIGH), x2);
    __m512 p = _mm512_set1_ps(DS__EXPM1_C6);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXPM1_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXPM1_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXPM1_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DS__EXPM1_C2));
    p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r); /* exp(r) - 1 */
    __m512 s = _mm512_scalef_ps(one, n);
    __m512 e = _mm512_fmadd_ps(s, p, _mm512_sub_ps(s, one));
    return _mm512_div_ps(e, _mm512_add_ps(e, _mm512_set1_ps(2.0f)));
}

DS__VEC_INLINE __m512 ds__sigmoid_avx512(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 e = ds__exp_avx512(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(one, _mm512_add_ps(one, e));
}

/* Phi(-a) of DS__GELU_C1, 0 <= a <= 13. */
DS__VEC_INLINE __m512 ds__normal_tail_avx512(__m512 a) {
    __m512 q = _mm512_set1_ps(DS__GELU_C8);
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(DS__GELU_C7));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(DS__GELU_C6));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(DS__GELU_C5));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(DS__GELU_C4));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(DS__GELU_C3));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(DS__GELU_C2));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(DS__GELU_C1));
    return ds__exp2_scaled_avx512(_mm512_mul_ps(q, a), 0.5f);
}

/* See DS__GELU_C1.  The limit lies where 2^q underflows to zero and only keeps infinity out of the products. */
DS__VEC_INLINE __m512 ds__gelu_avx512(__m512 x) {
    __m512 a = _mm512_min_ps(_mm512_set1_ps(13.0f), _mm512_abs_ps(x));
    return _mm512_fnmadd_ps(a, ds__normal_tail_avx512(a), _mm512_max_ps(_mm512_setzero_ps(), x));
}

/* See DS__GELU_TANH_C1.  The numerator stops where 2^q is infinite, so that -infinity gives -0 and not NaN. */
DS__VEC_INLINE __m512 ds__gelu_tanh_avx512(__m512 x) {
    __m512 low = _mm512_max_ps(_mm512_set1_ps(-12.0f), x);
    __m512 c = _mm512_min_ps(_mm512_set1_ps(12.0f), low);
    __m512 slope =
        _mm512_fmadd_ps(_mm512_mul_ps(c, c), _mm512_set1_ps(DS__GELU_TANH_C3), _mm512_set1_ps(DS__GELU_TANH_C1));
    __m512 e = ds__exp2_scaled_avx512(_mm512_mul_ps(c, slope), 1.0f);
    return _mm512_div_ps(low, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

/* Folds to the one activation when `activation` is a constant; at most 4 ulp or 1e-6 off, whichever is larger. */
DS__VEC_INLINE __m512 ds__activate_avx512(ds__activation activation, __m512 x) {
    switch (activation) {
    case DS__ACTIVATION_RELU: return _mm512_max_ps(_mm512_setzero_ps(), x);
    case DS__ACTIVATION_GELU: return ds__gelu_avx512(x);
    case DS__ACTIVATION_GELU_TANH: return ds__gelu_tanh_avx512(x);
    case DS__ACTIVATION_TANH: return ds__tanh_avx512(x);
    case DS__ACTIVATION_SIGMOID: return ds__sigmoid_avx512(x);
    case DS__ACTIVATION_NONE:
    case DS__ACTIVATION_COUNT: break;
    }
    return x;
}

#endif
#endif
