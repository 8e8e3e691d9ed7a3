/* gemm_bf16 with 256-bit registers: A stays in floats, weights widen in registers; tiles of 5 rows and 16 columns.
 * Six rows, as gemm_f32_avx2 has, leave no register for widening: sums spill, and a third of the speed goes. */
#include "kernels/gemm/gemm_bf16.h"
#include "kernels/gemm/gemm_finish_avx2.h"

enum { MR = 5, VECTORS = DS__TILE_VECTORS_AVX2, NR = 8 * VECTORS };

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* sums += a * right, one input of `rows` rows of A. */
DS__VEC_INLINE void add_input(const int rows, const float *a, size_t a_row, const __m256 right[VECTORS],
                              __m256 sums[MR][VECTORS]) {
    DS__UNROLL for (int i = 0; i < rows; i++) {
        __m256 left = _mm256_broadcast_ss(a + (size_t)i * a_row);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] = _mm256_fmadd_ps(left, right[v], sums[i][v]);
    }
}

DS__VEC_INLINE __m256 lower_of(const float *words) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_load_si256((const __m256i *)(const void *)words), 16));
}

/* tile->k counts pairs of inputs, of which the last one is alone if `odd`.  A pair's words are loaded twice: beside the
 * sums there are registers for one input only. */
DS__VEC_INLINE void tile_of(const int rows, const bool odd, const ds__tile *tile) {
    const float *a = tile->a, *b = tile->b, *soon = tile->soon;
    const size_t a_row = tile->a_row, pairs = tile->k - odd, soon_step = tile->soon_step;
    const __m256 upper = _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000u));
    float *c = tile->c;
    __m256 sums[MR][VECTORS], right[VECTORS];
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
        _mm256_setzero_ps();
    for (size_t p = 0; p < pairs; p++) {
        _mm_prefetch((const char *)(soon + p * soon_step), _MM_HINT_T1);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] = lower_of(b + p * NR + 8 * v);
        add_input(rows, a + 2 * p, a_row, right, sums);
        DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++) __asm__ volatile(
            "" : "+x"(sums[i][v])); /* else gcc starts the second input early, and sums spill */
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] =
            _mm256_and_ps(upper, _mm256_load_ps(b + p * NR + 8 * v));
        add_input(rows, a + 2 * p + 1, a_row, right, sums);
    }
    if (odd) {
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] = lower_of(b + pairs * NR + 8 * v);
        add_input(rows, a + 2 * pairs, a_row, right, sums);
    }
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++)
        _mm256_store_ps(c + i * NR + 8 * v, sums[i][v]);
}

/* `count` (1..16) inputs of 8 outputs to ceil(count / 2) rows of words, 8 of each row; zeros behind an odd last one. */
DS__VEC_INLINE void pack_block(const float *w, size_t ldw, size_t count, float *to) {
    const __m256i low = ds__tail_avx2(count < 8 ? count : 8), high = ds__tail_avx2(count < 8 ? 0 : count - 8);
    __m256 x[8];
    DS__UNROLL for (int i = 0; i < 8; i++) {
        const float *row = w + (size_t)i * ldw;
        __m256 left = _mm256_maskload_ps(row, low), right = _mm256_maskload_ps(count < 8 ? row : row + 8, high);
        x[i] = _mm256_castsi256_ps(ds__to_bf16_avx2(left, right));
    }
    ds__transpose_words_avx2(x);
    DS__UNROLL for (int q = 0; q < 8; q++) if (2 * (size_t)q < count) _mm256_storeu_ps(to + (size_t)q * NR, x[q]);
}

/* clang-format on */

#define TILE(rows)                                                                                                     \
    static void even_##rows(const ds__tile *tile) { tile_of(rows, false, tile); }                                      \
    static void odd_##rows(const ds__tile *tile) { tile_of(rows, true, tile); }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)

static ds__tile_run *const even[MR + 1] = {NULL, even_1, even_2, even_3, even_4, even_5};
static ds__tile_run *const odd[MR + 1] = {NULL, odd_1, odd_2, odd_3, odd_4, odd_5};

static bool panel_bytes(size_t k, size_t *bytes) { return ds__bf16_panel_bytes(NR, k, bytes); }

/* 8 outputs at a time; those at the edge of another source's, which share registers with it, one by one. */
static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    const size_t panel = ds__gemm_panel_words(NR, ds__bf16_steps(k), 0);
    for (size_t r = 0; r < rows;) {
        const size_t column = first + r, lane = column % NR;
        if (lane % 8 == 0 && rows - r >= 8) { /* a store of whole vectors harms no other source's columns */
            float *to = (float *)packed + column / NR * panel + lane;
            for (size_t p = 0; p < k; p += 16)
                pack_block(w + r * ldw + p, ldw, k - p < 16 ? k - p : 16, to + p / 2 * NR);
            r += 8;
        } else {
            ds__bf16_put_row(NR, w + r * ldw, k, column, packed);
            r++;
        }
    }
}

static void run(const ds__gemm_args *args) {
    const ds__gemm_loops loops = {MR, NR, args->k % 2 ? odd : even, ds__gemm_finish_avx2};
    const ds__gemm_words words = ds__bf16_pairs_of_floats(NR, args);
    _Alignas(64) float tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_bf16_avx2 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_bf16, avx2, "tiles of 5x16, 256-bit registers, weights widened"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .run = run,
};
