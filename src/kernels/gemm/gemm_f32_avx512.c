/* f32 products with 512-bit registers: tiles of 8 rows and 32 columns. */
#include "kernels/gemm/gemm_micro_avx512.h"

enum { MR = DS__TILE_ROWS_AVX512, NR = 16 * DS__TILE_VECTORS_AVX512 };

#define TILE(rows_)                                                                                                    \
    static void tile_##rows_(const ds__tile *tile) {                                                                   \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 2, .fetches = true}, tile);                          \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8};

/* The tile waits in the first cache, so an epilogue costs a load and a store per register and no code in the tiles. */
DS__VEC_INLINE void finish_as(ds__activation activation, const ds__gemm_f32_args *args, const float *tile, size_t row,
                              size_t rows, size_t column) {
    for (size_t from = column; from < column + NR && from < args->n1; from += 16) {
        const __mmask16 mask = ds__tail_avx512(args->n1 - from < 16 ? args->n1 - from : 16);
        const __m512 bias = args->bias ? _mm512_maskz_loadu_ps(mask, args->bias + from) : _mm512_setzero_ps();
        for (size_t i = 0; i < rows; i++) {
            __m512 x = _mm512_add_ps(_mm512_load_ps(tile + i * NR + (from - column)), bias);
            x = ds__activate_avx512(activation, x);
            if (args->residual)
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, args->residual + (row + i) * args->ldr + from));
            _mm512_mask_storeu_ps(args->c + (row + i) * args->ldc + from, mask, x);
        }
    }
}

/* One loop for each activation, chosen once for a tile. */
static void finish(const ds__gemm_f32_args *args, const float *tile, size_t row, size_t rows, size_t column) {
    switch (args->activation) {
#define FINISH(name, text)                                                                                             \
    case DS__ACTIVATION_##name: finish_as(DS__ACTIVATION_##name, args, tile, row, rows, column); break;
        DS__ACTIVATION_LIST(FINISH)
#undef FINISH
    case DS__ACTIVATION_COUNT: break;
    }
}

/* 16 output columns at a time; those at the edge of another source's, which share registers with it, one by one. */
static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, float *packed) {
    for (size_t r = 0; r < rows;) {
        size_t column = first + r, lane = column % NR;
        float *to = packed + (column - lane) * k + lane;
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

static void run(const ds__gemm_f32_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, finish};
    _Alignas(64) float tile[MR * NR];
    ds__gemm_run(&loops, args, tile);
}

const ds__gemm_f32 ds__gemm_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_f32, avx512, "tiles of 8x32, 512-bit registers"),
    .mr = MR,
    .nr = NR,
    .pack = pack,
    .run = run,
};
