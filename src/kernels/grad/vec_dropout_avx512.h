/* Dropout's random words (tensor/philox.h) for 32 columns of a row at once, with AVX-512; empty without. */
#ifndef DS_KERNELS_VEC_DROPOUT_AVX512_H
#define DS_KERNELS_VEC_DROPOUT_AVX512_H

#include "kernels/elementwise/vec_math_poly.h"
#include "tensor/philox.h"

#if defined(__AVX512F__)

#include <immintrin.h>

/* words[i]: those of columns 4 * block + 16 i and the 15 behind it, in `row`.  Each lane of 64 bits draws a block; its
 * numbers stand in the lower halves, the only part that a product reads, so nothing clears the upper ones.  Lane 2 j +
 * i has block 4 i + j: then interleaving the four words of all lanes within 128 bits gives the columns' order. */
DS__VEC_INLINE void ds__dropout_words_avx512(const ds__dropout *dropout, uint32_t row, uint32_t block,
                                             __m512i words[2]) {
    const __m512i left = _mm512_set1_epi64(0xD2511F53), right = _mm512_set1_epi64(0xCD9E8D57);
    __m512i c0 = _mm512_add_epi32(_mm512_set1_epi32((int)block), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
    __m512i c1 = _mm512_set1_epi32((int)row);
    __m512i c2 = _mm512_set1_epi32((int)dropout->site), c3 = _mm512_set1_epi32((int)dropout->draw);
    uint32_t k0 = dropout->seed[0], k1 = dropout->seed[1];
    for (int round = 0; round < 10; round++) {
        const __m512i l = _mm512_mul_epu32(left, c0), r = _mm512_mul_epu32(right, c2);
        /* 0x96: exclusive or of all three */
        c0 = _mm512_ternarylogic_epi32(_mm512_srli_epi64(r, 32), c1, _mm512_set1_epi32((int)k0), 0x96);
        c2 = _mm512_ternarylogic_epi32(_mm512_srli_epi64(l, 32), c3, _mm512_set1_epi32((int)k1), 0x96);
        c1 = r;
        c3 = l;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    /* The second number's lower half goes to the first one's upper. */
    const __m512i w01 = _mm512_mask_shuffle_epi32(c0, 0xaaaa, c1, (_MM_PERM_ENUM)0xa0);
    const __m512i w23 = _mm512_mask_shuffle_epi32(c2, 0xaaaa, c3, (_MM_PERM_ENUM)0xa0);
    words[0] = _mm512_unpacklo_epi64(w01, w23);
    words[1] = _mm512_unpackhi_epi64(w01, w23);
}

#endif
#endif
