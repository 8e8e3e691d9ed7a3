/* What the two AVX-512 variants of gemm_bf16 share: the order of W and how it is packed; empty without AVX-512. */
#ifndef DS_KERNELS_GEMM_BF16_AVX512_H
#define DS_KERNELS_GEMM_BF16_AVX512_H

#include "kernels/gemm/gemm_bf16.h"
#include "kernels/gemm/gemm_micro_avx512.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)

enum { DS__BF16_MR_AVX512 = DS__TILE_ROWS_AVX512, DS__BF16_NR_AVX512 = 16 * DS__TILE_VECTORS_AVX512 };

static inline bool ds__bf16_panel_bytes_avx512(size_t k, size_t *bytes) {
    return ds__bf16_panel_bytes(DS__BF16_NR_AVX512, k, bytes);
}

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* `count` (1..32) inputs of 16 outputs to ceil(count / 2) rows of words, 16 of each row; zeros behind an odd last one.
 */
DS__VEC_INLINE void ds__bf16_pack_block_avx512(const float *w, size_t ldw, size_t count, float *to) {
    const __mmask16 low = ds__tail_avx512(count < 16 ? count : 16), high = ds__tail_avx512(count < 16 ? 0 : count - 16);
    __m512 x[16];
    DS__UNROLL for (int i = 0; i < 16; i++) {
        const float *row = w + (size_t)i * ldw;
        __m256i left = ds__to_bf16_avx512(_mm512_maskz_loadu_ps(low, row));
        __m256i right = ds__to_bf16_avx512(_mm512_maskz_loadu_ps(high, count < 16 ? row : row + 16));
        x[i] = _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(left), right, 1));
    }
    ds__transpose_words_avx512(x);
    DS__UNROLL for (int q = 0; q < 16; q++) if (2 * (size_t)q < count)
        _mm512_storeu_ps(to + (size_t)q * DS__BF16_NR_AVX512, x[q]);
}

/* clang-format on */

/* 16 outputs at a time; those at the edge of another source's, which share registers with it, one by one. */
static inline void ds__bf16_pack_avx512(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    enum { nr = DS__BF16_NR_AVX512 };
    const size_t panel = ds__gemm_panel_words(nr, ds__bf16_steps(k), 0);
    for (size_t r = 0; r < rows;) {
        const size_t column = first + r, lane = column % nr;
        if (lane % 16 == 0 && rows - r >= 16) { /* a store of whole vectors harms no other source's columns */
            float *to = (float *)packed + column / nr * panel + lane;
            for (size_t p = 0; p < k; p += 32)
                ds__bf16_pack_block_avx512(w + r * ldw + p, ldw, k - p < 32 ? k - p : 32, to + p / 2 * nr);
            r += 16;
        } else {
            ds__bf16_put_row(nr, w + r * ldw, k, column, packed);
            r++;
        }
    }
}

#endif
#endif
