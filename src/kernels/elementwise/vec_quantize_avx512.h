/* The 8-bit scheme of tensor/quantize.h on 512-bit registers, for the families that quantise; empty without AVX-512. */
#ifndef DS_KERNELS_VEC_QUANTIZE_AVX512_H
#define DS_KERNELS_VEC_QUANTIZE_AVX512_H

#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/elementwise/vec_math_poly.h"
#include "tensor/quantize.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)

/* As ds__weight_range_of. */
static inline ds__weight_range ds__weight_range_avx512(const float *w, size_t k) {
    __m512 most = _mm512_setzero_ps(), pair = most;
    for (size_t p = 0; p < k; p += 16) {
        const __mmask16 mask = ds__tail_avx512(k - p < 16 ? k - p : 16);
        const __m512 x = _mm512_abs_ps(_mm512_maskz_loadu_ps(mask, w + p));
        most = _mm512_max_ps(most, x);
        pair = _mm512_max_ps(pair, _mm512_add_ps(x, _mm512_permute_ps(x, 0xb1)));
    }
    return (ds__weight_range){_mm512_reduce_max_ps(most), _mm512_reduce_max_ps(pair)};
}

/* The codes of 1..16 weights. */
DS__VEC_INLINE __m128i ds__weight_codes_avx512(const float *w, size_t count, __m512 factor) {
    const __m512 x = _mm512_maskz_loadu_ps(ds__tail_avx512(count), w);
    return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x, factor)));
}

/* A row of weights: its codes; returns its scale. */
static inline float ds__quantize_weights_avx512(const float *w, size_t k, int8_t *codes) {
    const float scale = ds__weight_scale(ds__weight_range_avx512(w, k));
    const __m512 factor = _mm512_set1_ps(ds__weight_factor(scale));
    for (size_t p = 0; p < k; p += 16) {
        const size_t count = k - p < 16 ? k - p : 16;
        _mm_mask_storeu_epi8(codes + p, ds__tail_avx512(count), ds__weight_codes_avx512(w + p, count, factor));
    }
    return scale;
}

/* A row of activations: its codes; returns what they mean. */
static inline ds__row_codes ds__quantize_row_avx512(const float *x, size_t k, uint8_t *codes) {
    const __m512 zero = _mm512_setzero_ps();
    __m512 low[2] = {zero, zero}, high[2] = {zero, zero}, check[2] = {zero, zero}; /* check: NaN if a value is */
    for (size_t p = 0; p < k; p += 32)
        for (int v = 0; v < 2; v++) {
            const size_t from = p + 16 * (size_t)v, left = k > from ? k - from : 0;
            const __m512 a = _mm512_maskz_loadu_ps(ds__tail_avx512(left < 16 ? left : 16), left ? x + from : x);
            low[v] = _mm512_min_ps(low[v], a);
            high[v] = _mm512_max_ps(high[v], a);
            check[v] = _mm512_fmadd_ps(a, zero, check[v]);
        }
    const bool finite = _mm512_cmp_ps_mask(_mm512_add_ps(check[0], check[1]), zero, _CMP_EQ_OQ) == 0xffff;
    const ds__row_codes row = ds__row_codes_for(_mm512_reduce_min_ps(_mm512_min_ps(low[0], low[1])),
                                                _mm512_reduce_max_ps(_mm512_max_ps(high[0], high[1])), finite);
    const __m512 factor = _mm512_set1_ps(row.factor);
    const __m512i offset = _mm512_set1_epi32(row.zero);
    for (size_t p = 0; p < k; p += 16) {
        const __mmask16 mask = ds__tail_avx512(k - p < 16 ? k - p : 16);
        const __m512 a = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + p), factor);
        __m512i code = _mm512_add_epi32(_mm512_cvtps_epi32(a), offset);
        code = row.factor > 0 ? _mm512_max_epi32(code, _mm512_setzero_si512()) : _mm512_setzero_si512();
        _mm_mask_storeu_epi8(codes + p, mask, _mm512_cvtusepi32_epi8(code));
    }
    return row;
}

#endif
#endif
