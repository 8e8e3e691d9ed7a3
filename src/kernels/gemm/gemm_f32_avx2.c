/* f32 products with 256-bit registers: tiles of 6 rows and 16 columns. */
#include "kernels/gemm/gemm_micro_avx2.h"

enum { MR = DS__TILE_ROWS_AVX2, NR = 8 * DS__TILE_VECTORS_AVX2 };

#define TILE(rows_)                                                                                                    \
    static void tile_##rows_(const ds__tile *tile) {                                                                   \
        ds__tile_avx2((ds__tile_kind){.rows = rows_, .vectors = 2, .fetches = true}, tile);                            \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

/* The tile waits in the first cache, so an epilogue costs a load and a store per register and no code in the tiles. */
DS__VEC_INLINE void finish_as(ds__activation activation, const ds__gemm_f32_args *args, const float *tile, size_t row,
                              size_t rows, size_t column) {
    for (size_t from = column; from < column + NR && from < args->n1; from += 8) {
        const __m256i mask = ds__tail_avx2(args->n1 - from < 8 ? args->n1 - from : 8);
        const __m256 bias = args->bias ? _mm256_maskload_ps(args->bias + from, mask) : _mm256_setzero_ps();
        for (size_t i = 0; i < rows; i++) {
            __m256 x = _mm256_add_ps(_mm256_load_ps(tile + i * NR + (from - column)), bias);
            x = ds__activate_avx2(activation, x);
            if (args->residual)
                x = _mm256_add_ps(x, _mm256_maskload_ps(args->residual + (row + i) * args->ldr + from, mask));
            float *c = args->c + (row + i) * args->ldc + from;
            if (args->n1 - from < 8) {
                _mm256_maskstore_ps(c, mask, x);
            } else {
                _mm256_storeu_ps(c, x); /* a masked store is slow on some machines */
            }
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

/* 8 output columns at a time; those at the edge of another source's, which share registers with it, one by one. */
static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, float *packed) {
    for (size_t r = 0; r < rows;) {
        size_t column = first + r, lane = column % NR;
        float *to = packed + (column - lane) * k + lane;
        const float *from = w + r * ldw;
        if (lane % 8 == 0 && rows - r >= 8) { /* a store of whole vectors harms no other source's columns */
            for (size_t p = 0; p < k; p += 8)
                ds__transpose_avx2(from + p, ldw, 8, k - p < 8 ? k - p : 8, 1.0f, to + p * NR, NR);
            r += 8;
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

const ds__gemm_f32 ds__gemm_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_f32, avx2, "tiles of 6x16, 256-bit registers"),
    .mr = MR,
    .nr = NR,
    .pack = pack,
    .run = run,
};
