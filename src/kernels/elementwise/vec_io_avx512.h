/* Masks and conversions around sixteen floats that the AVX-512 kernels of several families share; empty without. */
#ifndef DS_KERNELS_VEC_IO_AVX512_H
#define DS_KERNELS_VEC_IO_AVX512_H

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>

/* The first `n` of sixteen lanes, 0 <= n <= 16; masked loads and stores touch no byte of the other lanes. */
static inline __mmask16 ds__tail_avx512(size_t n) { return (__mmask16)((1u << n) - 1); }

/* y[i] = x[i], x of IEEE half or bfloat16, n of any size. */
static inline void ds__widen_f16_avx512(const uint16_t *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(y + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + i))));
    __mmask16 tail = ds__tail_avx512(n - i);
    if (tail) _mm512_mask_storeu_ps(y + i, tail, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(tail, x + i)));
}

static inline __m512 ds__bf16_bits_avx512(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline void ds__widen_bf16_avx512(const uint16_t *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, ds__bf16_bits_avx512(_mm256_loadu_si256((const __m256i *)(x + i))));
    __mmask16 tail = ds__tail_avx512(n - i);
    if (tail) _mm512_mask_storeu_ps(y + i, tail, ds__bf16_bits_avx512(_mm256_maskz_loadu_epi16(tail, x + i)));
}

/* As ds__f32_to_bf16, lane by lane: to the nearest even, and a NaN never becomes infinity. */
static inline __m256i ds__to_bf16_avx512(__m512 x) {
    const __m512i bits = _mm512_castps_si512(x), upper = _mm512_srli_epi32(bits, 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __mmask16 lost = _mm512_mask_testn_epi32_mask(nan, upper, _mm512_set1_epi32(0x7f)); /* its payload */
    __m512i half = _mm512_add_epi32(bits, _mm512_and_si512(upper, _mm512_set1_epi32(1)));
    half = _mm512_srli_epi32(_mm512_add_epi32(half, _mm512_set1_epi32(0x7fff)), 16);
    half = _mm512_mask_mov_epi32(half, nan, upper);
    half = _mm512_mask_or_epi32(half, lost, half, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(half);
}

/* y[i] = x[i] to the nearest bfloat16. */
static inline void ds__narrow_bf16_avx512(const float *x, uint16_t *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm256_storeu_si256((__m256i *)(y + i), ds__to_bf16_avx512(_mm512_loadu_ps(x + i)));
    __mmask16 tail = ds__tail_avx512(n - i);
    if (tail) _mm256_mask_storeu_epi16(y + i, tail, ds__to_bf16_avx512(_mm512_maskz_loadu_ps(tail, x + i)));
}

/* y[i] = scale * x[i]. */
static inline void ds__widen_i8_avx512(const int8_t *x, float scale, float *y, size_t n) {
    const __m512 factor = _mm512_set1_ps(scale);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 some = ds__tail_avx512(n - i < 16 ? n - i : 16);
        __m512i codes = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, x + i));
        _mm512_mask_storeu_ps(y + i, some, _mm512_mul_ps(_mm512_cvtepi32_ps(codes), factor));
    }
}

#endif
#endif
