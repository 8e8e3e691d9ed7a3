/* Register tiles and transposition with 512-bit registers, for gemm and attention; empty without AVX-512. */
#ifndef DS_KERNELS_GEMM_MICRO_AVX512_H
#define DS_KERNELS_GEMM_MICRO_AVX512_H

#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/elementwise/vec_math_avx512.h"
#include "kernels/gemm/gemm_micro.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)

enum { DS__TILE_ROWS_AVX512 = 8, DS__TILE_VECTORS_AVX512 = 2 };

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* rows * vectors accumulators, a row of b in `vectors` registers, a broadcast element of a: 8 * 2 + 2 + 1 at most. More
 * rows would need less bandwidth for b, but see ds__gemm_run_rows on A. */
DS__VEC_INLINE void ds__tile_avx512(const ds__tile_kind kind, const ds__tile *tile) {
    const size_t row = kind.transposed ? 1 : tile->a_row, step = kind.transposed ? tile->a_row : 1;
    const size_t b_row = tile->b_row, c_row = tile->c_row, k = tile->k, soon_step = tile->soon_step;
    const float *a = tile->a, *b = tile->b, *soon = tile->soon;
    const __mmask16 last = kind.masked ? ds__tail_avx512(tile->columns - 16 * (size_t)(kind.vectors - 1)) : 0xffff;
    float *c = tile->c;
    __m512 sums[DS__TILE_ROWS_AVX512][DS__TILE_VECTORS_AVX512];
    DS__UNROLL for (int i = 0; i < kind.rows; i++) DS__UNROLL for (int v = 0; v < kind.vectors; v++) sums[i][v] =
        _mm512_setzero_ps();
    if (tile->add)
        DS__UNROLL for (int i = 0; i < kind.rows; i++) DS__UNROLL for (int v = 0; v < kind.vectors; v++) sums[i][v] =
            _mm512_loadu_ps(c + (size_t)i * c_row + 16 * v);
    for (size_t p = 0; p < k; p++) {
        __m512 right[DS__TILE_VECTORS_AVX512];
        if (kind.fetches) _mm_prefetch((const char *)(soon + p * soon_step), _MM_HINT_T1);
        DS__UNROLL for (int v = 0; v < kind.vectors; v++) right[v] =
            kind.masked && v == kind.vectors - 1 ? _mm512_maskz_loadu_ps(last, b + p * b_row + 16 * v)
                                                 : _mm512_loadu_ps(b + p * b_row + 16 * v);
        DS__UNROLL for (int i = 0; i < kind.rows; i++) {
            __m512 left = _mm512_set1_ps(a[(size_t)i * row + p * step]);
            DS__UNROLL for (int v = 0; v < kind.vectors; v++) sums[i][v] = _mm512_fmadd_ps(left, right[v], sums[i][v]);
        }
    }
    DS__UNROLL for (int i = 0; i < kind.rows; i++) DS__UNROLL for (int v = 0; v < kind.vectors; v++)
        _mm512_storeu_ps(c + (size_t)i * c_row + 16 * v, sums[i][v]);
}

/* The products of one word of A with words of W, added to `sums`: integers or floats, in the lanes' bits. */
typedef __m512i ds__add_words_avx512(__m512i sums, __m512i left, __m512i right);

/* As above for words that hold several narrow numbers; `add` is a constant for the compiler. */
DS__VEC_INLINE void ds__word_tile_avx512(const int rows, ds__add_words_avx512 *add, const ds__tile *tile) {
    enum { VECTORS = DS__TILE_VECTORS_AVX512, NR = 16 * VECTORS };
    const int32_t *a = tile->a, *b = tile->b;
    const float *soon = tile->soon;
    const size_t a_row = tile->a_row, k = tile->k, soon_step = tile->soon_step;
    int32_t *c = tile->c;
    __m512i sums[DS__TILE_ROWS_AVX512][VECTORS];
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
        _mm512_setzero_si512();
    for (size_t p = 0; p < k; p++) {
        __m512i right[VECTORS];
        _mm_prefetch((const char *)(soon + p * soon_step), _MM_HINT_T1);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] = _mm512_load_si512(b + p * NR + 16 * v);
        DS__UNROLL for (int i = 0; i < rows; i++) {
            const __m512i left = _mm512_set1_epi32(a[(size_t)i * a_row + p]);
            DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] = add(sums[i][v], left, right[v]);
        }
    }
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++)
        _mm512_store_si512(c + i * NR + 16 * v, sums[i][v]);
}

/* x[c] gets lane c of all x[r], in the order of r, bit by bit: words of any kind. Four rounds of exchanging ever larger
 * blocks between pairs of registers. */
DS__VEC_INLINE void ds__transpose_words_avx512(__m512 x[16]) {
    __m512 y[16];
    DS__UNROLL for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    DS__UNROLL for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_shuffle_ps(y[i], y[i + 2], 0x44);
        x[i + 1] = _mm512_shuffle_ps(y[i], y[i + 2], 0xee);
        x[i + 2] = _mm512_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm512_shuffle_ps(y[i + 1], y[i + 3], 0xee);
    }
    /* x[4 g + j] holds column j of rows 4 g .. 4 g + 3 in its first quarter, columns 4 + j, 8 + j and 12 + j behind. */
    DS__UNROLL for (int j = 0; j < 4; j++) {
        y[j] = _mm512_shuffle_f32x4(x[j], x[4 + j], 0x88);
        y[4 + j] = _mm512_shuffle_f32x4(x[j], x[4 + j], 0xdd);
        y[8 + j] = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0x88);
        y[12 + j] = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0xdd);
    }
    DS__UNROLL for (int j = 0; j < 4; j++) {
        x[j] = _mm512_shuffle_f32x4(y[j], y[8 + j], 0x88);
        x[8 + j] = _mm512_shuffle_f32x4(y[j], y[8 + j], 0xdd);
        x[4 + j] = _mm512_shuffle_f32x4(y[4 + j], y[12 + j], 0x88);
        x[12 + j] = _mm512_shuffle_f32x4(y[4 + j], y[12 + j], 0xdd);
    }
}

/* to[c * ld_to + r] = scale * from[r * ld_from + c] for c in [0, columns) and all 16 r, zero where r >= rows; rows and
 * columns are 1..16. */
DS__VEC_INLINE void ds__transpose_avx512(const float *from, size_t ld_from, size_t rows, size_t columns, float scale,
                                         float *to, size_t ld_to) {
    const __mmask16 mask = ds__tail_avx512(columns);
    __m512 x[16];
    DS__UNROLL for (int i = 0; i < 16; i++) x[i] =
        (size_t)i < rows ? _mm512_maskz_loadu_ps(mask, from + (size_t)i * ld_from) : _mm512_setzero_ps();
    ds__transpose_words_avx512(x);
    const __m512 factor = _mm512_set1_ps(scale);
    DS__UNROLL for (int c = 0; c < 16; c++) if ((size_t)c < columns)
        _mm512_storeu_ps(to + (size_t)c * ld_to, _mm512_mul_ps(x[c], factor));
}

/* clang-format on */

#endif
#endif
