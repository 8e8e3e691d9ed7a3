/* Packing and the end of a tile with 512-bit registers, for the AVX-512 variants of both ops; empty without AVX-512. */
#ifndef DS_KERNELS_MATMUL_MICRO_AVX512_H
#define DS_KERNELS_MATMUL_MICRO_AVX512_H

#include "kernels/gemm/gemm_micro_avx512.h"
#include "kernels/matmul/matmul_loops.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)

/* 256 rows of 512 words are half a second cache of 1 MB; measured beside 192 to 512 rows and chunks of 192 to 512. */
enum {
    DS__MATMUL_MR_AVX512 = DS__TILE_ROWS_AVX512,
    DS__MATMUL_NR_AVX512 = 16 * DS__TILE_VECTORS_AVX512,
    DS__MATMUL_ROWS_AVX512 = 256
};

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

DS__VEC_INLINE __m512 ds__matmul_load_avx512(const bool rounds, __mmask16 mask, const float *from) {
    __m512 x = _mm512_maskz_loadu_ps(mask, from);
    return rounds ? ds__bf16_bits_avx512(ds__to_bf16_avx512(x)) : x;
}

/* to[c * ld_to + r] = from[r * ld_from + c] for c in [0, columns) and all 16 r, zero where r >= rows. */
DS__VEC_INLINE void ds__matmul_turn_avx512(const bool rounds, const float *from, size_t ld_from, size_t rows,
                                           size_t columns, float *to, size_t ld_to) {
    const __mmask16 mask = ds__tail_avx512(columns);
    __m512 x[16];
    DS__UNROLL for (int i = 0; i < 16; i++) x[i] =
        (size_t)i < rows ? ds__matmul_load_avx512(rounds, mask, from + (size_t)i * ld_from) : _mm512_setzero_ps();
    ds__transpose_words_avx512(x);
    DS__UNROLL for (int c = 0; c < 16; c++) if ((size_t)c < columns) _mm512_storeu_ps(to + (size_t)c * ld_to, x[c]);
}

/* clang-format on */

/* The same for any number of columns; 16 rows at most. */
DS__VEC_INLINE void ds__matmul_turn_rows_avx512(const bool rounds, const float *from, size_t ld_from, size_t rows,
                                                size_t columns, float *to, size_t ld_to) {
    size_t c = 0;
    if (rows == 16)
        for (; c + 16 <= columns; c += 16)
            ds__matmul_turn_avx512(rounds, from + c, ld_from, 16, 16, to + c * ld_to, ld_to);
    for (; c < columns; c += 16)
        ds__matmul_turn_avx512(rounds, from + c, ld_from, rows, columns - c < 16 ? columns - c : 16, to + c * ld_to,
                               ld_to);
}

DS__VEC_INLINE void ds__matmul_pack_a_avx512(const bool rounds, const ds__matmul_part *part, float *to, size_t ld) {
    if (part->across) {
        for (size_t p = 0; p < part->depth; p += 16)
            ds__matmul_turn_rows_avx512(rounds, part->from + p * part->ld, part->ld,
                                        part->depth - p < 16 ? part->depth - p : 16, part->count, to + p, ld);
        return;
    }
    for (size_t i = 0; i < part->count; i++)
        for (size_t p = 0; p < part->depth; p += 16) {
            const __mmask16 mask = ds__tail_avx512(part->depth - p < 16 ? part->depth - p : 16);
            _mm512_store_ps(to + i * ld + p, ds__matmul_load_avx512(rounds, mask, part->from + i * part->ld + p));
        }
}

DS__VEC_INLINE void ds__matmul_pack_b_avx512(const bool rounds, const ds__matmul_part *part, float *to) {
    enum { NR = DS__MATMUL_NR_AVX512 };
    for (size_t j = 0; j < NR; j += 16) {
        const size_t columns = part->count <= j ? 0 : part->count - j < 16 ? part->count - j : 16;
        if (!part->across) {
            ds__matmul_turn_rows_avx512(rounds, part->from + j * part->ld, part->ld, columns, part->depth, to + j, NR);
            continue;
        }
        const __mmask16 mask = ds__tail_avx512(columns);
        for (size_t p = 0; part->from_bf16 && p < part->depth; p++)
            _mm512_store_ps(to + p * NR + j,
                            ds__bf16_bits_avx512(_mm256_maskz_loadu_epi16(mask, part->from_bf16 + p * part->ld + j)));
        for (size_t p = 0; part->from && p < part->depth; p++)
            _mm512_store_ps(to + p * NR + j, ds__matmul_load_avx512(rounds, mask, part->from + p * part->ld + j));
    }
}

static inline void ds__matmul_finish_avx512(const ds__matmul_args *args, const float *tile, size_t row, size_t rows,
                                            size_t column, bool first) {
    enum { NR = DS__MATMUL_NR_AVX512 };
    for (size_t from = column; from < column + NR && from < args->n1; from += 16) {
        const __mmask16 mask = ds__tail_avx512(args->n1 - from < 16 ? args->n1 - from : 16);
        const bool has_bias = first && args->bias;
        const __m512 bias = has_bias ? _mm512_maskz_loadu_ps(mask, args->bias + from) : _mm512_setzero_ps();
        const float *add = first ? args->residual : args->c;
        const size_t ld = first ? args->ldr : args->ldc;
        for (size_t i = row; i < row + rows; i++) {
            __m512 x = _mm512_load_ps(tile + (i - row) * NR + (from - column));
            if (first) x = _mm512_add_ps(x, bias);
            if (add) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, add + i * ld + from));
            _mm512_mask_storeu_ps(args->c + i * args->ldc + from, mask, x);
        }
    }
}

#endif
#endif
