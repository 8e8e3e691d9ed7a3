/* The 8-bit scheme of tensor/quantize.h on 256-bit registers, for the families that quantise; empty without AVX2. */
#ifndef DS_KERNELS_VEC_QUANTIZE_AVX2_H
#define DS_KERNELS_VEC_QUANTIZE_AVX2_H

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/elementwise/vec_math_poly.h"
#include "tensor/quantize.h"

#if defined(__AVX2__) && defined(__F16C__)

/* 1..8 floats, zeros beyond. */
DS__VEC_INLINE __m256 ds__some_floats_avx2(const float *x, size_t count) {
    return count >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, ds__tail_avx2(count));
}

/* As ds__weight_range_of. */
static inline ds__weight_range ds__weight_range_avx2(const float *w, size_t k) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 most = _mm256_setzero_ps(), pair = most;
    for (size_t p = 0; p < k; p += 8) {
        const __m256 x = _mm256_andnot_ps(sign, ds__some_floats_avx2(w + p, k - p));
        most = _mm256_max_ps(most, x);
        pair = _mm256_max_ps(pair, _mm256_add_ps(x, _mm256_permute_ps(x, 0xb1)));
    }
    return (ds__weight_range){ds__lanes_max_avx2(most), ds__lanes_max_avx2(pair)};
}

/* The codes of 1..32 weights, zeros beyond. */
DS__VEC_INLINE __m256i ds__weight_codes_avx2(const float *w, size_t count, __m256 factor) {
    __m256i x[4];
    for (int i = 0; i < 4; i++) {
        const size_t from = 8 * (size_t)i;
        x[i] = count > from ? _mm256_cvtps_epi32(_mm256_mul_ps(ds__some_floats_avx2(w + from, count - from), factor))
                            : _mm256_setzero_si256();
    }
    /* Packing works half by half of the registers, so groups of four come out in the order 0 2 4 6 1 3 5 7. */
    const __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(x[0], x[1]), _mm256_packs_epi32(x[2], x[3]));
    return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Stores the first `count` (1..32) bytes. */
DS__VEC_INLINE void ds__store_bytes_avx2(void *to, __m256i bytes, size_t count) {
    if (count >= 32) {
        _mm256_storeu_si256(to, bytes);
    } else {
        uint8_t all[32];
        _mm256_storeu_si256((__m256i *)(void *)all, bytes);
        memcpy(to, all, count);
    }
}

/* A row of weights: its codes; returns its scale. */
static inline float ds__quantize_weights_avx2(const float *w, size_t k, int8_t *codes) {
    const float scale = ds__weight_scale(ds__weight_range_avx2(w, k));
    const __m256 factor = _mm256_set1_ps(ds__weight_factor(scale));
    for (size_t p = 0; p < k; p += 32)
        ds__store_bytes_avx2(codes + p, ds__weight_codes_avx2(w + p, k - p, factor), k - p);
    return scale;
}

/* A row of activations: its codes; returns what they mean. */
static inline ds__row_codes ds__quantize_row_avx2(const float *x, size_t k, uint8_t *codes) {
    const __m256 none = _mm256_setzero_ps();
    __m256 low[2] = {none, none}, high[2] = {none, none}, check[2] = {none, none}; /* check: NaN if a value is */
    for (size_t p = 0; p < k; p += 8) {
        const __m256 a = ds__some_floats_avx2(x + p, k - p);
        const int v = p / 8 % 2;
        low[v] = _mm256_min_ps(low[v], a);
        high[v] = _mm256_max_ps(high[v], a);
        check[v] = _mm256_fmadd_ps(a, none, check[v]);
    }
    const __m256 checks = _mm256_add_ps(check[0], check[1]), sign = _mm256_set1_ps(-0.0f);
    const bool finite = _mm256_movemask_ps(_mm256_cmp_ps(checks, none, _CMP_EQ_OQ)) == 0xff;
    const float least = -ds__lanes_max_avx2(_mm256_xor_ps(_mm256_min_ps(low[0], low[1]), sign));
    const ds__row_codes row = ds__row_codes_for(least, ds__lanes_max_avx2(_mm256_max_ps(high[0], high[1])), finite);
    const __m256 factor = _mm256_set1_ps(row.factor);
    const __m256i zero = _mm256_set1_epi32(row.zero);
    for (size_t p = 0; p < k; p += 32) {
        __m256i part[4];
        for (int i = 0; i < 4; i++) {
            const size_t from = p + 8 * (size_t)i;
            part[i] = _mm256_setzero_si256();
            if (k > from && row.factor > 0)
                part[i] = _mm256_add_epi32(
                    _mm256_cvtps_epi32(_mm256_mul_ps(ds__some_floats_avx2(x + from, k - from), factor)), zero);
        }
        const __m256i mixed =
            _mm256_packus_epi16(_mm256_packs_epi32(part[0], part[1]), _mm256_packs_epi32(part[2], part[3]));
        ds__store_bytes_avx2(codes + p, _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)),
                             k - p);
    }
    return row;
}

#endif
#endif
