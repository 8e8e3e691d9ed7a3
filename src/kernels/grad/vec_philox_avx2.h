/* Philox (tensor/philox.h) in 256-bit registers, and dropout's words in the two orders that kernels want; empty without
 * AVX2.
 *
 * A product of two 32-bit numbers takes 64 bits, so a lane of 64 bits draws one block: its numbers stand in the lower
 * halves, the only part that a product reads, and nothing clears the upper ones. */
#ifndef DS_KERNELS_VEC_PHILOX_AVX2_H
#define DS_KERNELS_VEC_PHILOX_AVX2_H

#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/gemm/gemm_micro.h"
#include "tensor/philox.h"

#if defined(__AVX2__)

#include <immintrin.h>

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

DS__VEC_INLINE void ds__philox_round_avx2(__m256i c[4], uint32_t key0, uint32_t key1) {
    const __m256i left = _mm256_mul_epu32(_mm256_set1_epi64x(0xD2511F53), c[0]);
    const __m256i right = _mm256_mul_epu32(_mm256_set1_epi64x(0xCD9E8D57), c[2]);
    c[0] = _mm256_xor_si256(_mm256_srli_epi64(right, 32), _mm256_xor_si256(c[1], _mm256_set1_epi32((int)key0)));
    c[2] = _mm256_xor_si256(_mm256_srli_epi64(left, 32), _mm256_xor_si256(c[3], _mm256_set1_epi32((int)key1)));
    c[1] = right;
    c[3] = left;
}

/* The lower halves of `even` and, above them, those of `odd`. */
DS__VEC_INLINE __m256i ds__philox_join_avx2(__m256i even, __m256i odd) {
    return _mm256_blend_epi32(even, _mm256_shuffle_epi32(odd, 0xa0), 0xaa);
}

/* words[i]: those of column 4 * block + i in `rows`, a lane of 32 bits a row: even and odd ones are drawn apart. */
DS__VEC_INLINE void ds__philox_rows_avx2(const ds__dropout *dropout, __m256i rows, uint32_t block, __m256i words[4]) {
    __m256i c[2][4];
    uint32_t key0 = dropout->seed[0], key1 = dropout->seed[1];
    DS__UNROLL for (int odd = 0; odd < 2; odd++) {
        c[odd][0] = _mm256_set1_epi32((int)block);
        c[odd][1] = odd ? _mm256_srli_epi64(rows, 32) : rows;
        c[odd][2] = _mm256_set1_epi32((int)dropout->site);
        c[odd][3] = _mm256_set1_epi32((int)dropout->draw);
    }
    DS__UNROLL for (int round = 0; round < 10; round++) {
        DS__UNROLL for (int odd = 0; odd < 2; odd++) ds__philox_round_avx2(c[odd], key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    DS__UNROLL for (int i = 0; i < 4; i++) words[i] = ds__philox_join_avx2(c[0][i], c[1][i]);
}

/* words[i]: those of 8 columns from 4 * block + 8 i on, in `row`.  Lane 2 j + i has block 2 i + j: then interleaving
 * the four words of all lanes within 128 bits gives the columns' order. */
DS__VEC_INLINE void ds__philox_columns_avx2(const ds__dropout *dropout, uint32_t row, uint32_t block,
                                            __m256i words[2]) {
    __m256i c[4] = {_mm256_add_epi32(_mm256_set1_epi32((int)block), _mm256_setr_epi64x(0, 2, 1, 3)),
                    _mm256_set1_epi32((int)row), _mm256_set1_epi32((int)dropout->site),
                    _mm256_set1_epi32((int)dropout->draw)};
    uint32_t key0 = dropout->seed[0], key1 = dropout->seed[1];
    for (int round = 0; round < 10; round++) {
        ds__philox_round_avx2(c, key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    const __m256i first = ds__philox_join_avx2(c[0], c[1]), second = ds__philox_join_avx2(c[2], c[3]);
    words[0] = _mm256_unpacklo_epi64(first, second);
    words[1] = _mm256_unpackhi_epi64(first, second);
}

/* clang-format on */

#endif
#endif
