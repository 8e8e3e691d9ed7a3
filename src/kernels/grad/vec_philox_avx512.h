/* Philox (tensor/philox.h) in 512-bit registers, and dropout's words in the two orders that kernels want; empty without
 * AVX-512.
 *
 * A product of two 32-bit numbers takes 64 bits, so a lane of 64 bits draws one block: its numbers stand in the lower
 * halves, the only part that a product reads, and nothing clears the upper ones. */
#ifndef DS_KERNELS_VEC_PHILOX_AVX512_H
#define DS_KERNELS_VEC_PHILOX_AVX512_H

#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/gemm/gemm_micro.h"
#include "tensor/philox.h"

#if defined(__AVX512F__)

#include <immintrin.h>

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

DS__VEC_INLINE void ds__philox_round_avx512(__m512i c[4], uint32_t key0, uint32_t key1) {
    const __m512i left = _mm512_mul_epu32(_mm512_set1_epi64(0xD2511F53), c[0]);
    const __m512i right = _mm512_mul_epu32(_mm512_set1_epi64(0xCD9E8D57), c[2]);
    /* 0x96: exclusive or of all three */
    c[0] = _mm512_ternarylogic_epi32(_mm512_srli_epi64(right, 32), c[1], _mm512_set1_epi32((int)key0), 0x96);
    c[2] = _mm512_ternarylogic_epi32(_mm512_srli_epi64(left, 32), c[3], _mm512_set1_epi32((int)key1), 0x96);
    c[1] = right;
    c[3] = left;
}

/* The lower halves of `even` and, above them, those of `odd`. */
DS__VEC_INLINE __m512i ds__philox_join_avx512(__m512i even, __m512i odd) {
    return _mm512_mask_shuffle_epi32(even, 0xaaaa, odd, (_MM_PERM_ENUM)0xa0);
}

/* words[i]: those of column 4 * block + i in `rows`, a lane of 32 bits a row: even and odd ones are drawn apart. */
DS__VEC_INLINE void ds__philox_rows_avx512(const ds__dropout *dropout, __m512i rows, uint32_t block, __m512i words[4]) {
    __m512i c[2][4];
    uint32_t key0 = dropout->seed[0], key1 = dropout->seed[1];
    DS__UNROLL for (int odd = 0; odd < 2; odd++) {
        c[odd][0] = _mm512_set1_epi32((int)block);
        c[odd][1] = odd ? _mm512_srli_epi64(rows, 32) : rows;
        c[odd][2] = _mm512_set1_epi32((int)dropout->site);
        c[odd][3] = _mm512_set1_epi32((int)dropout->draw);
    }
    DS__UNROLL for (int round = 0; round < 10; round++) {
        DS__UNROLL for (int odd = 0; odd < 2; odd++) ds__philox_round_avx512(c[odd], key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    DS__UNROLL for (int i = 0; i < 4; i++) words[i] = ds__philox_join_avx512(c[0][i], c[1][i]);
}

/* words[i]: those of 16 columns from 4 * block + 16 i on, in `row`.  Lane 2 j + i has block 4 i + j: then interleaving
 * the four words of all lanes within 128 bits gives the columns' order. */
DS__VEC_INLINE void ds__philox_columns_avx512(const ds__dropout *dropout, uint32_t row, uint32_t block,
                                              __m512i words[2]) {
    __m512i c[4] = {_mm512_add_epi32(_mm512_set1_epi32((int)block), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7)),
                    _mm512_set1_epi32((int)row), _mm512_set1_epi32((int)dropout->site),
                    _mm512_set1_epi32((int)dropout->draw)};
    uint32_t key0 = dropout->seed[0], key1 = dropout->seed[1];
    for (int round = 0; round < 10; round++) {
        ds__philox_round_avx512(c, key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    const __m512i first = ds__philox_join_avx512(c[0], c[1]), second = ds__philox_join_avx512(c[2], c[3]);
    words[0] = _mm512_unpacklo_epi64(first, second);
    words[1] = _mm512_unpackhi_epi64(first, second);
}

/* clang-format on */

#endif
#endif
