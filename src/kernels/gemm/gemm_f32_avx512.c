/* f32 products with 512-bit registers: tiles of 8 rows and 32 columns. */
#include "kernels/gemm/gemm_finish_avx512.h"
#include "kernels/gemm/gemm_micro_avx512.h"

enum { MR = DS__TILE_ROWS_AVX512, NR = 16 * DS__TILE_VECTORS_AVX512 };

#define TILE(rows_)                                                                                                    \
    static void tile_##rows_(const ds__tile *tile) {                                                                   \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 2, .fetches = true}, tile);                          \
    }
DS__TILES_8(TILE)

static ds__tile_run *const tiles[] = DS__TILE_TABLE_8(tile_);

static bool panel_bytes(size_t k, size_t *bytes) { return ds__gemm_panel(NR, k, 0, bytes); }

/* 16 output columns at a time; those at the edge of another source's, which share registers with it, one by one. */
static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    const size_t panel = ds__gemm_panel_words(NR, k, 0);
    for (size_t r = 0; r < rows;) {
        size_t column = first + r, lane = column % NR;
        float *to = (float *)packed + column / NR * panel + lane;
        const float *from = w + r * ldw;
        if (lane % 16 == 0 && rows - r >= 16) { /* a store of whole vectors harms no other source's columns */
            for (size_t p = 0; p < k; p += 16)
                ds__transpose_avx512(from + p, ldw, 16, k - p < 16 ? k - p : 16, 1.0f, to + p * NR, NR);
            r += 16;
        } else {
            for (size_t p = 0; p < k; p++) to[p * NR] = from[p];
            r++;
        }
    }
}

static void run(const ds__gemm_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, ds__gemm_finish_avx512};
    const ds__gemm_words words = {args->a, args->lda, args->w, args->k, ds__gemm_panel_words(NR, args->k, 0)};
    _Alignas(64) float tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_f32, avx512, "tiles of 8x32, 512-bit registers"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .run = run,
};
