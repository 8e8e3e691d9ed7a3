/* Dropout's random words (tensor/philox.h) for sixteen rows at once, with AVX-512; empty without. */
#ifndef DS_KERNELS_VEC_PHILOX_AVX512_H
#define DS_KERNELS_VEC_PHILOX_AVX512_H

#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/gemm/gemm_micro.h"
#include "tensor/philox.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)

#include <immintrin.h>

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* words[i]: those of column 4 * block + i in `rows`.  A product of two 32-bit numbers takes 64 bits, so even and odd
 * lanes are drawn apart, each number in the lower half of 64 bits; no product reads what is left in the upper half. */
DS__VEC_INLINE void ds__philox_avx512(const ds__dropout *dropout, __m512i rows, uint32_t block, __m512i words[4]) {
    const __m512i left = _mm512_set1_epi64(0xD2511F53), right = _mm512_set1_epi64(0xCD9E8D57);
    __m512i c[2][4];
    uint32_t k0 = dropout->seed[0], k1 = dropout->seed[1];
    DS__UNROLL for (int odd = 0; odd < 2; odd++) {
        c[odd][0] = _mm512_set1_epi32((int)block);
        c[odd][1] = odd ? _mm512_srli_epi64(rows, 32) : rows;
        c[odd][2] = _mm512_set1_epi32((int)dropout->site);
        c[odd][3] = _mm512_set1_epi32((int)dropout->draw);
    }
    DS__UNROLL for (int round = 0; round < 10; round++) {
        const __m512i key0 = _mm512_set1_epi32((int)k0), key1 = _mm512_set1_epi32((int)k1);
        DS__UNROLL for (int odd = 0; odd < 2; odd++) {
            const __m512i l = _mm512_mul_epu32(left, c[odd][0]), r = _mm512_mul_epu32(right, c[odd][2]);
            c[odd][0] = _mm512_ternarylogic_epi32(_mm512_srli_epi64(r, 32), c[odd][1], key0, 0x96); /* exclusive or */
            c[odd][2] = _mm512_ternarylogic_epi32(_mm512_srli_epi64(l, 32), c[odd][3], key1, 0x96);
            c[odd][1] = r;
            c[odd][3] = l;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    DS__UNROLL for (int i = 0; i < 4; i++) words[i] =
        _mm512_mask_shuffle_epi32(c[0][i], 0xaaaa, c[1][i], (_MM_PERM_ENUM)0xa0); /* lower halves to the upper */
}

/* clang-format on */

#endif
#endif
