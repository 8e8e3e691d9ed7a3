/* matmul_bf16 with the CPU's own products of bfloat16 pairs: tiles of 8 rows and 32 columns.
 *
 * vdpbf16ps adds the two products of a pair to a float, rounds to the nearest after each, and takes denormals for zero,
 * the operands' as well as sums; so does the conversion.  A word is two inputs that follow each other, the earlier one
 * in its lower half, and a zero beside an odd last one. */
#include "kernels/matmul/matmul_micro_avx512.h"

enum {
    MR = DS__MATMUL_MR_AVX512,
    NR = DS__MATMUL_NR_AVX512,
    ROWS = DS__MATMUL_ROWS_AVX512,
    WORDS = 512,
    DEPTH = 2 * WORDS
};

DS__VEC_INLINE __m512i add(__m512i sums, __m512i left, __m512i right) {
    return _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(sums), (__m512bh)left, (__m512bh)right));
}

#define TILE(rows)                                                                                                     \
    static void tile_##rows(const ds__tile *tile) { ds__word_tile_avx512(rows, add, tile); }
DS__TILES_8(TILE)

static ds__tile_run *const tiles[] = DS__TILE_TABLE_8(tile_);

/* 16 words of inputs that lie side by side: `count` (0..32) of them, zeros behind. */
DS__VEC_INLINE __m512 words_along(const float *from, size_t count) {
    const __m512 low = _mm512_maskz_loadu_ps(ds__tail_avx512(count < 16 ? count : 16), from);
    const __m512 high =
        _mm512_maskz_loadu_ps(ds__tail_avx512(count < 16 ? 0 : count - 16), count < 16 ? from : from + 16);
    return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* A word of each of 16 rows or columns, whose inputs lie `ld` apart; `count` of the word's inputs exist, 0 to 2. */
DS__VEC_INLINE __m512 words_across(__mmask16 mask, const float *from, size_t ld, size_t count) {
    static const uint16_t pairs[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512 low = count > 0 ? _mm512_maskz_loadu_ps(mask, from) : _mm512_setzero_ps();
    const __m512 high = count > 1 ? _mm512_maskz_loadu_ps(mask, from + ld) : _mm512_setzero_ps();
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_loadu_si512(pairs), halves));
}

/* The same of numbers that are bfloat16 already. */
DS__VEC_INLINE __m512 bf16_words_across(__mmask16 mask, const uint16_t *from, size_t ld, size_t count) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from));
    if (count < 2) return _mm512_castsi512_ps(low);
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + ld));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* `columns` (0..16) columns of B, `depth` (1..32) inputs that lie side by side. */
DS__VEC_INLINE void turn_along(const float *from, size_t ld, size_t columns, size_t depth, float *to) {
    __m512 x[16];
    DS__UNROLL for (int i = 0; i < 16; i++) x[i] =
        (size_t)i < columns ? words_along(from + (size_t)i * ld, depth) : _mm512_setzero_ps();
    ds__transpose_words_avx512(x);
    DS__UNROLL for (int q = 0; q < 16; q++) if (2 * (size_t)q < depth) _mm512_store_ps(to + (size_t)q * NR, x[q]);
}

/* `rows` (1..16) rows of A, `depth` (1..32) inputs that lie `ld` apart. */
DS__VEC_INLINE void turn_across(const float *from, size_t ld, size_t rows, size_t depth, float *to, size_t ld_to) {
    const __mmask16 mask = ds__tail_avx512(rows);
    __m512 x[16];
    DS__UNROLL for (int q = 0; q < 16; q++) {
        const size_t p = 2 * (size_t)q;
        x[q] = p < depth ? words_across(mask, from + p * ld, ld, depth - p) : _mm512_setzero_ps();
    }
    ds__transpose_words_avx512(x);
    DS__UNROLL for (int i = 0; i < 16; i++) if ((size_t)i < rows) _mm512_store_ps(to + (size_t)i * ld_to, x[i]);
}

/* clang-format on */

/* Whole blocks by themselves, since the compiler knows their sizes. */
static void pack_a(const ds__matmul_part *part, float *to, size_t ld) {
    if (!part->across) {
        for (size_t i = 0; i < part->count; i++)
            for (size_t p = 0; p < part->depth; p += 32)
                _mm512_store_ps(to + i * ld + p / 2, words_along(part->from + i * part->ld + p,
                                                                 part->depth - p < 32 ? part->depth - p : 32));
        return;
    }
    for (size_t p = 0; p < part->depth; p += 32) {
        const size_t depth = part->depth - p < 32 ? part->depth - p : 32;
        const float *from = part->from + p * part->ld;
        size_t i = 0;
        if (depth == 32)
            for (; i + 16 <= part->count; i += 16) turn_across(from + i, part->ld, 16, 32, to + i * ld + p / 2, ld);
        for (; i < part->count; i += 16)
            turn_across(from + i, part->ld, part->count - i < 16 ? part->count - i : 16, depth, to + i * ld + p / 2,
                        ld);
    }
}

static void pack_b(const ds__matmul_part *part, float *to) {
    for (size_t j = 0; j < NR; j += 16) {
        const size_t columns = part->count <= j ? 0 : part->count - j < 16 ? part->count - j : 16;
        size_t p = 0;
        const __mmask16 mask = ds__tail_avx512(columns);
        if (part->from_bf16) {
            for (; p < part->depth; p += 2)
                _mm512_store_ps(to + p / 2 * NR + j,
                                bf16_words_across(mask, part->from_bf16 + p * part->ld + j, part->ld, part->depth - p));
            continue;
        }
        if (part->across) {
            for (; p < part->depth; p += 2)
                _mm512_store_ps(to + p / 2 * NR + j,
                                words_across(mask, part->from + p * part->ld + j, part->ld, part->depth - p));
            continue;
        }
        const float *from = part->from + j * part->ld;
        if (columns == 16)
            for (; p + 32 <= part->depth; p += 32) turn_along(from + p, part->ld, 16, 32, to + p / 2 * NR + j);
        for (; p < part->depth; p += 32)
            turn_along(from + p, part->ld, columns, part->depth - p < 32 ? part->depth - p : 32, to + p / 2 * NR + j);
    }
}

static void run(const ds__matmul_args *args) {
    static const ds__matmul_loops loops = {.mr = MR,
                                           .nr = NR,
                                           .rows = ROWS,
                                           .depth = DEPTH,
                                           .inputs = 2,
                                           .in_place = false,
                                           .tiles = tiles,
                                           .pack_a = pack_a,
                                           .pack_b = pack_b,
                                           .finish = ds__matmul_finish_avx512};
    ds__matmul_run(&loops, args);
}

const ds__matmul ds__matmul_bf16_avx512bf16 = {
    .kernel = DS_KERNEL_HEAD(matmul, matmul_bf16, avx512bf16, "tiles of 8x32, bfloat16 products in pairs"),
    .mr = MR,
    .nr = NR,
    .scratch_floats = DS__MATMUL_SCRATCH(MR, NR, ROWS, WORDS),
    .run = run,
};
