/* f32 products in portable C: tiles of 4 rows and 8 columns, in the compilers' own vector type, since gcc leaves an
 * array of sums in memory; four floats are a register on every machine that has any. */
#include <string.h>

#include "kernels/gemm/gemm_finish_ref.h"
#include "kernels/gemm/gemm_micro.h"

enum { MR = 4, NR = 8, LANES = 4, VECTORS = NR / LANES };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* See gemm_micro.h; `rows` is a constant where this is inlined.  A product is rounded before it is added. */
static inline __attribute__((always_inline)) void tile_of(const int rows, const ds__tile *tile) {
    lanes sums[MR][VECTORS] = {{{0}}}, right[VECTORS];
    const float *a = tile->a, *b = tile->b;
    for (size_t p = 0; p < tile->k; p++) {
        memcpy(right, b + p * NR, sizeof right);
        DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] +=
            a[(size_t)i * tile->a_row + p] * right[v];
    }
    memcpy(tile->c, sums, (size_t)rows * NR * sizeof(float));
}

static void tile_1(const ds__tile *tile) { tile_of(1, tile); }
static void tile_2(const ds__tile *tile) { tile_of(2, tile); }
static void tile_3(const ds__tile *tile) { tile_of(3, tile); }
static void tile_4(const ds__tile *tile) { tile_of(4, tile); }

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4};

static void finish(const ds__gemm_args *args, const void *tile, size_t row, size_t rows, size_t column) {
    ds__gemm_finish_floats_ref(NR, args, tile, row, rows, column);
}

static bool panel_bytes(size_t k, size_t *bytes) { return ds__gemm_panel(NR, k, 0, bytes); }

static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    const size_t panel = ds__gemm_panel_words(NR, k, 0);
    for (size_t r = 0; r < rows; r++) {
        size_t lane = (first + r) % NR;
        float *to = (float *)packed + (first + r) / NR * panel + lane;
        for (size_t p = 0; p < k; p++) to[p * NR] = w[r * ldw + p];
    }
}

static void run(const ds__gemm_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, finish};
    const ds__gemm_words words = {args->a, args->lda, args->w, args->k, ds__gemm_panel_words(NR, args->k, 0)};
    float tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_f32_ref = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_f32, ref, "tiles of 4x8 in portable C"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .run = run,
};
