/* gemm_bf16 with 512-bit registers and no bfloat16 products: A stays in floats, weights widen in registers; tiles of 8
 * rows and 32 columns. */
#include "kernels/gemm/gemm_bf16_avx512.h"
#include "kernels/gemm/gemm_finish_avx512.h"

enum { MR = DS__BF16_MR_AVX512, NR = DS__BF16_NR_AVX512, VECTORS = DS__TILE_VECTORS_AVX512 };

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* sums += a * right, one input of `rows` rows of A. */
DS__VEC_INLINE void add_input(const int rows, const float *a, size_t a_row, const __m512i right[VECTORS],
                              __m512 sums[MR][VECTORS]) {
    DS__UNROLL for (int i = 0; i < rows; i++) {
        __m512 left = _mm512_set1_ps(a[(size_t)i * a_row]);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
            _mm512_fmadd_ps(left, _mm512_castsi512_ps(right[v]), sums[i][v]);
    }
}

/* tile->k counts pairs of inputs, of which the last one is alone if `odd`. */
DS__VEC_INLINE void tile_of(const int rows, const bool odd, const ds__tile *tile) {
    const float *a = tile->a, *b = tile->b, *soon = tile->soon;
    const size_t a_row = tile->a_row, pairs = tile->k - odd, soon_step = tile->soon_step;
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    float *c = tile->c;
    __m512 sums[MR][VECTORS];
    __m512i words[VECTORS], right[VECTORS];
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
        _mm512_setzero_ps();
    for (size_t p = 0; p < pairs; p++) {
        _mm_prefetch((const char *)(soon + p * soon_step), _MM_HINT_T1);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) {
            words[v] = _mm512_load_si512(b + p * NR + 16 * v);
            right[v] = _mm512_slli_epi32(words[v], 16);
        }
        add_input(rows, a + 2 * p, a_row, right, sums);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] = _mm512_and_si512(words[v], upper);
        add_input(rows, a + 2 * p + 1, a_row, right, sums);
    }
    if (odd) {
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] =
            _mm512_slli_epi32(_mm512_load_si512(b + pairs * NR + 16 * v), 16);
        add_input(rows, a + 2 * pairs, a_row, right, sums);
    }
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++)
        _mm512_store_ps(c + i * NR + 16 * v, sums[i][v]);
}

/* clang-format on */

#define TILE(rows)                                                                                                     \
    static void even_##rows(const ds__tile *tile) { tile_of(rows, false, tile); }                                      \
    static void odd_##rows(const ds__tile *tile) { tile_of(rows, true, tile); }
DS__TILES_8(TILE)

static ds__tile_run *const even[] = DS__TILE_TABLE_8(even_);
static ds__tile_run *const odd[] = DS__TILE_TABLE_8(odd_);

static void run(const ds__gemm_args *args) {
    const ds__gemm_loops loops = {MR, NR, args->k % 2 ? odd : even, ds__gemm_finish_avx512};
    const ds__gemm_words words = ds__bf16_pairs_of_floats(NR, args);
    _Alignas(64) float tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_bf16_avx512 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_bf16, avx512, "tiles of 8x32, 512-bit registers, weights widened"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = ds__bf16_panel_bytes_avx512,
    .pack = ds__bf16_pack_avx512,
    .run = run,
};
