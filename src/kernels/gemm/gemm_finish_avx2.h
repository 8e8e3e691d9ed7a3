/* The epilogue of the products of floats with 256-bit registers, for tiles as wide as ds__tile_avx2's; empty without
 * AVX2. */
#ifndef DS_KERNELS_GEMM_FINISH_AVX2_H
#define DS_KERNELS_GEMM_FINISH_AVX2_H

#include "kernels/gemm/gemm_micro_avx2.h"

#if defined(__AVX2__) && defined(__FMA__)

/* The tile waits in the first cache, so an epilogue costs a load and a store per register and no code in the tiles. */
DS__VEC_INLINE void ds__gemm_finish_as_avx2(ds__activation activation, const ds__gemm_args *args, const float *tile,
                                            size_t row, size_t rows, size_t column) {
    enum { nr = 8 * DS__TILE_VECTORS_AVX2 };
    for (size_t from = column; from < column + nr && from < args->n1; from += 8) {
        const __m256i mask = ds__tail_avx2(args->n1 - from < 8 ? args->n1 - from : 8);
        const __m256 bias = args->bias ? _mm256_maskload_ps(args->bias + from, mask) : _mm256_setzero_ps();
        for (size_t i = 0; i < rows; i++) {
            __m256 x = _mm256_add_ps(_mm256_load_ps(tile + i * nr + (from - column)), bias);
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
static inline void ds__gemm_finish_avx2(const ds__gemm_args *args, const void *tile, size_t row, size_t rows,
                                        size_t column) {
    switch (args->activation) {
#define FINISH(name, text)                                                                                             \
    case DS__ACTIVATION_##name: ds__gemm_finish_as_avx2(DS__ACTIVATION_##name, args, tile, row, rows, column); break;
        DS__ACTIVATION_LIST(FINISH)
#undef FINISH
    case DS__ACTIVATION_COUNT: break;
    }
}

#endif
#endif
