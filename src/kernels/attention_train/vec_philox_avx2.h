/* Dropout's random words (tensor/philox.h) for eight rows at once, with AVX2; empty without. */
#ifndef DS_KERNELS_VEC_PHILOX_AVX2_H
#define DS_KERNELS_VEC_PHILOX_AVX2_H

#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/gemm/gemm_micro.h"
#include "tensor/philox.h"

#if defined(__AVX2__)

#include <immintrin.h>

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* words[i]: those of column 4 * block + i in `rows`.  A product of two 32-bit numbers takes 64 bits, so even and odd
 * lanes are drawn apart, each number in the lower half of 64 bits; no product reads what is left in the upper half. */
DS__VEC_INLINE void ds__philox_avx2(const ds__dropout *dropout, __m256i rows, uint32_t block, __m256i words[4]) {
    const __m256i left = _mm256_set1_epi64x(0xD2511F53), right = _mm256_set1_epi64x(0xCD9E8D57);
    __m256i c[2][4];
    uint32_t k0 = dropout->seed[0], k1 = dropout->seed[1];
    DS__UNROLL for (int odd = 0; odd < 2; odd++) {
        c[odd][0] = _mm256_set1_epi32((int)block);
        c[odd][1] = odd ? _mm256_srli_epi64(rows, 32) : rows;
        c[odd][2] = _mm256_set1_epi32((int)dropout->site);
        c[odd][3] = _mm256_set1_epi32((int)dropout->draw);
    }
    DS__UNROLL for (int round = 0; round < 10; round++) {
        const __m256i key0 = _mm256_set1_epi32((int)k0), key1 = _mm256_set1_epi32((int)k1);
        DS__UNROLL for (int odd = 0; odd < 2; odd++) {
            const __m256i l = _mm256_mul_epu32(left, c[odd][0]), r = _mm256_mul_epu32(right, c[odd][2]);
            c[odd][0] = _mm256_xor_si256(_mm256_srli_epi64(r, 32), _mm256_xor_si256(c[odd][1], key0));
            c[odd][2] = _mm256_xor_si256(_mm256_srli_epi64(l, 32), _mm256_xor_si256(c[odd][3], key1));
            c[odd][1] = r;
            c[odd][3] = l;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    DS__UNROLL for (int i = 0; i < 4; i++) words[i] =
        _mm256_blend_epi32(c[0][i], _mm256_shuffle_epi32(c[1][i], 0xa0), 0xaa); /* lower halves to the upper */
}

/* clang-format on */

#endif
#endif
