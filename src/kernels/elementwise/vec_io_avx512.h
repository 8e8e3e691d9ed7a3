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

#endif
#endif
