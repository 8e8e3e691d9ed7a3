/* Dropout's random words (tensor/philox.h) for 16 columns of a row at once, with AVX2; empty without. */
#ifndef DS_KERNELS_VEC_DROPOUT_AVX2_H
#define DS_KERNELS_VEC_DROPOUT_AVX2_H

#include "kernels/elementwise/vec_math_poly.h"
#include "tensor/philox.h"

#if defined(__AVX2__)

#include <immintrin.h>

/* words[i]: those of columns 4 * block + 8 i and the 7 behind it, in `row`.  Each lane of 64 bits draws a block; its
 * numbers stand in the lower halves, the only part that a product reads, so nothing clears the upper ones.  Lane 2 j +
 * i has block 2 i + j: then interleaving the four words of all lanes within 128 bits gives the columns' order. */
DS__VEC_INLINE void ds__dropout_words_avx2(const ds__dropout *dropout, uint32_t row, uint32_t block, __m256i words[2]) {
    const __m256i left = _mm256_set1_epi64x(0xD2511F53), right = _mm256_set1_epi64x(0xCD9E8D57);
    __m256i c0 = _mm256_add_epi32(_mm256_set1_epi32((int)block), _mm256_setr_epi64x(0, 2, 1, 3));
    __m256i c1 = _mm256_set1_epi32((int)row);
    __m256i c2 = _mm256_set1_epi32((int)dropout->site), c3 = _mm256_set1_epi32((int)dropout->draw);
    uint32_t k0 = dropout->seed[0], k1 = dropout->seed[1];
    for (int round = 0; round < 10; round++) {
        const __m256i l = _mm256_mul_epu32(left, c0), r = _mm256_mul_epu32(right, c2);
        c0 = _mm256_xor_si256(_mm256_srli_epi64(r, 32), _mm256_xor_si256(c1, _mm256_set1_epi32((int)k0)));
        c2 = _mm256_xor_si256(_mm256_srli_epi64(l, 32), _mm256_xor_si256(c3, _mm256_set1_epi32((int)k1)));
        c1 = r;
        c3 = l;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    /* The second number's lower half goes to the first one's upper. */
    const __m256i w01 = _mm256_blend_epi32(c0, _mm256_shuffle_epi32(c1, 0xa0), 0xaa);
    const __m256i w23 = _mm256_blend_epi32(c2, _mm256_shuffle_epi32(c3, 0xa0), 0xaa);
    words[0] = _mm256_unpacklo_epi64(w01, w23);
    words[1] = _mm256_unpackhi_epi64(w01, w23);
}

#endif
#endif
