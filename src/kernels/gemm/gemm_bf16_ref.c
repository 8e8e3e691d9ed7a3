/* gemm_bf16 in portable C: tiles of 4 rows and 8 columns; weights widen where they are used, A stays in floats. */
#include <string.h>

#include "kernels/gemm/gemm_bf16.h"
#include "kernels/gemm/gemm_finish_ref.h"
#include "tensor/convert.h"

enum { MR = 4, NR = 8 };

/* See gemm_bf16.h for the order of W; tile->k counts floats of A. `rows` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void tile_of(const int rows, const ds__tile *tile) {
    float sums[MR][NR] = {{0}};
    const float *a = tile->a;
    for (size_t p = 0; p < tile->k; p++) {
        const uint16_t *right = (const uint16_t *)tile->b + p / 2 * 2 * NR + p % 2;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < NR; j++) sums[i][j] += a[(size_t)i * tile->a_row + p] * ds__bf16_to_f32(right[2 * j]);
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

static bool panel_bytes(size_t k, size_t *bytes) { return ds__bf16_panel_bytes(NR, k, bytes); }

static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    for (size_t r = 0; r < rows; r++) ds__bf16_put_row(NR, w + r * ldw, k, first + r, packed);
}

static void run(const ds__gemm_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, finish};
    const ds__gemm_words words = ds__bf16_words_of_floats(NR, args);
    float tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_bf16_ref = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_bf16, ref, "tiles of 4x8 in portable C, weights widened"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .run = run,
};
