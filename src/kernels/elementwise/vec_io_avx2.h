/* Loads, stores and sums around eight floats that the AVX2 kernels of several families share; empty without AVX2. */
#ifndef DS_KERNELS_VEC_IO_AVX2_H
#define DS_KERNELS_VEC_IO_AVX2_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/convert.h"

#if defined(__AVX2__) && defined(__F16C__)

#include <immintrin.h>

/* The first `n` of eight lanes, 0 <= n < 8; masked loads and stores touch no byte of the other lanes. */
static inline __m256i ds__tail_avx2(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Sum and largest of the lanes, always in the same order. */
static inline float ds__lanes_sum_avx2(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float ds__lanes_max_avx2(__m256 v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* Sum of four doubles. */
static inline double ds__lanes_sum_f64_avx2(__m256d v) {
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

/* y[i] = x[i], x of IEEE half or bfloat16, n of any size. */
static inline void ds__widen_f16_avx2(const uint16_t *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    for (; i < n; i++) y[i] = ds__f16_to_f32(x[i]);
}

static inline void ds__widen_bf16_avx2(const uint16_t *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(x + i)));
        _mm256_storeu_ps(y + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    for (; i < n; i++) y[i] = ds__bf16_to_f32(x[i]);
}

/* As ds__f32_to_bf16, in the lower half of each lane: to the nearest even, and a NaN never becomes infinity. */
static inline __m256i ds__to_bf16_lanes_avx2(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x), upper = _mm256_srli_epi32(bits, 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i payload = _mm256_and_si256(upper, _mm256_set1_epi32(0x7f));
    const __m256i lost = _mm256_cmpeq_epi32(payload, _mm256_setzero_si256());
    const __m256i kept = _mm256_or_si256(upper, _mm256_and_si256(lost, _mm256_set1_epi32(0x40))); /* of a NaN */
    __m256i half = _mm256_add_epi32(bits, _mm256_and_si256(upper, _mm256_set1_epi32(1)));
    half = _mm256_srli_epi32(_mm256_add_epi32(half, _mm256_set1_epi32(0x7fff)), 16);
    return _mm256_blendv_epi8(half, kept, nan);
}

/* Sixteen floats, the first eight in `low`. */
static inline __m256i ds__to_bf16_avx2(__m256 low, __m256 high) {
    __m256i mixed = _mm256_packus_epi32(ds__to_bf16_lanes_avx2(low), ds__to_bf16_lanes_avx2(high));
    return _mm256_permute4x64_epi64(mixed, 0xd8);
}

/* y[i] = x[i] to the nearest bfloat16. */
static inline void ds__narrow_bf16_avx2(const float *x, uint16_t *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(y + i), ds__to_bf16_avx2(_mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i + 8)));
    for (; i < n; i++) y[i] = ds__f32_to_bf16(x[i]);
}

/* y[i] = scale * x[i]. */
static inline void ds__widen_i8_avx2(const int8_t *x, float scale, float *y, size_t n) {
    const __m256 factor = _mm256_set1_ps(scale);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i codes = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(x + i)));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_cvtepi32_ps(codes), factor));
    }
    for (; i < n; i++) y[i] = (float)x[i] * scale;
}

#endif
#endif
