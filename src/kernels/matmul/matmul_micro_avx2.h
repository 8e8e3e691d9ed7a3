/* Packing and the end of a tile with 256-bit registers, for the AVX2 variants of both ops; empty without AVX2. */
#ifndef DS_KERNELS_MATMUL_MICRO_AVX2_H
#define DS_KERNELS_MATMUL_MICRO_AVX2_H

#include "kernels/gemm/gemm_micro_avx2.h"
#include "kernels/matmul/matmul_loops.h"

#if defined(__AVX2__) && defined(__FMA__)

/* 256 rows of 256 words are half a second cache of 512 kB, and a panel half a first cache of 32 kB; measured beside 128
 * to 256 rows and chunks of 256 to 512. */
enum {
    DS__MATMUL_MR_AVX2 = DS__TILE_ROWS_AVX2,
    DS__MATMUL_NR_AVX2 = 8 * DS__TILE_VECTORS_AVX2,
    DS__MATMUL_ROWS_AVX2 = 256,
    DS__MATMUL_DEPTH_AVX2 = 256
};

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

DS__VEC_INLINE __m256 ds__matmul_round_avx2(const bool rounds, __m256 x) {
    return rounds ? _mm256_castsi256_ps(_mm256_slli_epi32(ds__to_bf16_lanes_avx2(x), 16)) : x;
}

/* The first `count` (0..8) floats, zeros behind: a masked load is slow on some machines. */
DS__VEC_INLINE __m256 ds__matmul_load_avx2(const bool rounds, const float *from, size_t count) {
    return ds__matmul_round_avx2(rounds,
                                 count == 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, ds__tail_avx2(count)));
}

/* The same of bfloat16. */
DS__VEC_INLINE __m256 ds__matmul_load_bf16_avx2(const uint16_t *from, size_t count) {
    uint16_t part[8] = {0};
    if (count < 8) {
        for (size_t i = 0; i < count; i++) part[i] = from[i];
        from = part;
    }
    const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}

/* to[c * ld_to + r] = from[r * ld_from + c] for c in [0, columns) and all 8 r, zero where r >= rows. */
DS__VEC_INLINE void ds__matmul_turn_avx2(const bool rounds, const float *from, size_t ld_from, size_t rows,
                                         size_t columns, float *to, size_t ld_to) {
    __m256 x[8];
    DS__UNROLL for (int i = 0; i < 8; i++) x[i] =
        (size_t)i < rows ? ds__matmul_load_avx2(rounds, from + (size_t)i * ld_from, columns) : _mm256_setzero_ps();
    ds__transpose_words_avx2(x);
    DS__UNROLL for (int c = 0; c < 8; c++) if ((size_t)c < columns) _mm256_storeu_ps(to + (size_t)c * ld_to, x[c]);
}

/* clang-format on */

/* The same for any number of columns; 8 rows at most. */
DS__VEC_INLINE void ds__matmul_turn_rows_avx2(const bool rounds, const float *from, size_t ld_from, size_t rows,
                                              size_t columns, float *to, size_t ld_to) {
    size_t c = 0;
    if (rows == 8)
        for (; c + 8 <= columns; c += 8) ds__matmul_turn_avx2(rounds, from + c, ld_from, 8, 8, to + c * ld_to, ld_to);
    for (; c < columns; c += 8)
        ds__matmul_turn_avx2(rounds, from + c, ld_from, rows, columns - c < 8 ? columns - c : 8, to + c * ld_to, ld_to);
}

DS__VEC_INLINE void ds__matmul_pack_a_avx2(const bool rounds, const ds__matmul_part *part, float *to, size_t ld) {
    if (part->across) {
        for (size_t p = 0; p < part->depth; p += 8)
            ds__matmul_turn_rows_avx2(rounds, part->from + p * part->ld, part->ld,
                                      part->depth - p < 8 ? part->depth - p : 8, part->count, to + p, ld);
        return;
    }
    for (size_t i = 0; i < part->count; i++)
        for (size_t p = 0; p < part->depth; p += 8)
            _mm256_store_ps(to + i * ld + p, ds__matmul_load_avx2(rounds, part->from + i * part->ld + p,
                                                                  part->depth - p < 8 ? part->depth - p : 8));
}

DS__VEC_INLINE void ds__matmul_pack_b_avx2(const bool rounds, const ds__matmul_part *part, float *to) {
    enum { NR = DS__MATMUL_NR_AVX2 };
    for (size_t j = 0; j < NR; j += 8) {
        const size_t columns = part->count <= j ? 0 : part->count - j < 8 ? part->count - j : 8;
        if (!part->across) {
            ds__matmul_turn_rows_avx2(rounds, part->from + j * part->ld, part->ld, columns, part->depth, to + j, NR);
            continue;
        }
        for (size_t p = 0; part->from_bf16 && p < part->depth; p++)
            _mm256_store_ps(to + p * NR + j, ds__matmul_load_bf16_avx2(part->from_bf16 + p * part->ld + j, columns));
        for (size_t p = 0; part->from && p < part->depth; p++)
            _mm256_store_ps(to + p * NR + j, ds__matmul_load_avx2(rounds, part->from + p * part->ld + j, columns));
    }
}

static inline void ds__matmul_finish_avx2(const ds__matmul_args *args, const float *tile, size_t row, size_t rows,
                                          size_t column, bool first) {
    enum { NR = DS__MATMUL_NR_AVX2 };
    for (size_t from = column; from < column + NR && from < args->n1; from += 8) {
        const size_t count = args->n1 - from < 8 ? args->n1 - from : 8;
        const bool has_bias = first && args->bias;
        const __m256 bias = has_bias ? ds__matmul_load_avx2(false, args->bias + from, count) : _mm256_setzero_ps();
        const float *add = first ? args->residual : args->c;
        const size_t ld = first ? args->ldr : args->ldc;
        for (size_t i = row; i < row + rows; i++) {
            __m256 x = _mm256_load_ps(tile + (i - row) * NR + (from - column));
            if (first) x = _mm256_add_ps(x, bias);
            if (add) x = _mm256_add_ps(x, ds__matmul_load_avx2(false, add + i * ld + from, count));
            float *c = args->c + i * args->ldc + from;
            if (count < 8) {
                _mm256_maskstore_ps(c, ds__tail_avx2(count), x);
            } else {
                _mm256_storeu_ps(c, x);
            }
        }
    }
}

#endif
#endif
