/* Register tiles and transposition with 256-bit registers, for gemm and attention; empty without AVX2. */
#ifndef DS_KERNELS_GEMM_MICRO_AVX2_H
#define DS_KERNELS_GEMM_MICRO_AVX2_H

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/elementwise/vec_math_avx2.h"
#include "kernels/gemm/gemm_micro.h"

#if defined(__AVX2__) && defined(__FMA__)

enum { DS__TILE_ROWS_AVX2 = 6, DS__TILE_VECTORS_AVX2 = 2 };

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* rows * vectors accumulators, a row of b in `vectors` registers, a broadcast element of a: 6 * 2 + 2 + 1 of 16. */
DS__VEC_INLINE void ds__tile_avx2(const ds__tile_kind kind, const ds__tile *tile) {
    const size_t row = kind.transposed ? 1 : tile->a_row, step = kind.transposed ? tile->a_row : 1;
    const size_t b_row = tile->b_row, c_row = tile->c_row, k = tile->k, soon_step = tile->soon_step;
    const float *a = tile->a, *b = tile->b, *soon = tile->soon;
    const __m256i last = ds__tail_avx2(kind.masked ? tile->columns - 8 * (size_t)(kind.vectors - 1) : 8);
    float *c = tile->c;
    __m256 sums[DS__TILE_ROWS_AVX2][DS__TILE_VECTORS_AVX2];
    DS__UNROLL for (int i = 0; i < kind.rows; i++) DS__UNROLL for (int v = 0; v < kind.vectors; v++) sums[i][v] =
        _mm256_setzero_ps();
    if (tile->add)
        DS__UNROLL for (int i = 0; i < kind.rows; i++) DS__UNROLL for (int v = 0; v < kind.vectors; v++) sums[i][v] =
            _mm256_loadu_ps(c + (size_t)i * c_row + 8 * v);
    for (size_t p = 0; p < k; p++) {
        __m256 right[DS__TILE_VECTORS_AVX2];
        if (kind.fetches) _mm_prefetch((const char *)(soon + p * soon_step), _MM_HINT_T1);
        DS__UNROLL for (int v = 0; v < kind.vectors; v++) right[v] =
            kind.masked && v == kind.vectors - 1 ? _mm256_maskload_ps(b + p * b_row + 8 * v, last)
                                                 : _mm256_loadu_ps(b + p * b_row + 8 * v);
        DS__UNROLL for (int i = 0; i < kind.rows; i++) {
            __m256 left = _mm256_broadcast_ss(a + (size_t)i * row + p * step);
            DS__UNROLL for (int v = 0; v < kind.vectors; v++) sums[i][v] = _mm256_fmadd_ps(left, right[v], sums[i][v]);
        }
    }
    DS__UNROLL for (int i = 0; i < kind.rows; i++) DS__UNROLL for (int v = 0; v < kind.vectors; v++)
        _mm256_storeu_ps(c + (size_t)i * c_row + 8 * v, sums[i][v]);
}

/* x[c] gets lane c of all x[r], in the order of r, bit by bit: words of any kind.  Three rounds of exchanging ever
 * larger blocks between pairs of registers. */
DS__VEC_INLINE void ds__transpose_words_avx2(__m256 x[8]) {
    __m256 y[8];
    DS__UNROLL for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    DS__UNROLL for (int i = 0; i < 8; i += 4) {
        x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
        x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xee);
        x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xee);
    }
    /* x[4 g + j] holds column j of rows 4 g .. 4 g + 3 in its lower half and column 4 + j in its upper one. */
    DS__UNROLL for (int j = 0; j < 4; j++) {
        y[j] = _mm256_permute2f128_ps(x[j], x[4 + j], 0x20);
        x[4 + j] = _mm256_permute2f128_ps(x[j], x[4 + j], 0x31);
        x[j] = y[j];
    }
}

/* to[c * ld_to + r] = scale * from[r * ld_from + c] for c in [0, columns) and all 8 r, zero where r >= rows; rows and
 * columns are 1..8. */
DS__VEC_INLINE void ds__transpose_avx2(const float *from, size_t ld_from, size_t rows, size_t columns, float scale,
                                       float *to, size_t ld_to) {
    const __m256i mask = ds__tail_avx2(columns);
    __m256 x[8];
    DS__UNROLL for (int i = 0; i < 8; i++) x[i] =
        (size_t)i < rows ? _mm256_maskload_ps(from + (size_t)i * ld_from, mask) : _mm256_setzero_ps();
    ds__transpose_words_avx2(x);
    const __m256 factor = _mm256_set1_ps(scale);
    DS__UNROLL for (int c = 0; c < 8; c++) if ((size_t)c < columns)
        _mm256_storeu_ps(to + (size_t)c * ld_to, _mm256_mul_ps(x[c], factor));
}

/* clang-format on */

#endif
#endif
