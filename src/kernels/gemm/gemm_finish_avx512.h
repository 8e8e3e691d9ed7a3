/* The epilogue of the products of floats with 512-bit registers, for tiles as wide as ds__tile_avx512's; empty without
 * AVX-512. */
#ifndef DS_KERNELS_GEMM_FINISH_AVX512_H
#define DS_KERNELS_GEMM_FINISH_AVX512_H

#include "kernels/gemm/gemm_micro_avx512.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)

/* The tile waits in the first cache, so an epilogue costs a load and a store per register and no code in the tiles. */
DS__VEC_INLINE void ds__gemm_finish_as_avx512(ds__activation activation, const ds__gemm_args *args, const float *tile,
                                              size_t row, size_t rows, size_t column) {
    enum { nr = 16 * DS__TILE_VECTORS_AVX512 };
    for (size_t from = column; from < column + nr && from < args->n1; from += 16) {
        const __mmask16 mask = ds__tail_avx512(args->n1 - from < 16 ? args->n1 - from : 16);
        const __m512 bias = args->bias ? _mm512_maskz_loadu_ps(mask, args->bias + from) : _mm512_setzero_ps();
        for (size_t i = 0; i < rows; i++) {
            __m512 x = _mm512_add_ps(_mm512_load_ps(tile + i * nr + (from - column)), bias);
            x = ds__activate_avx512(activation, x);
            if (args->residual)
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, args->residual + (row + i) * args->ldr + from));
            _mm512_mask_storeu_ps(args->c + (row + i) * args->ldc + from, mask, x);
        }
    }
}

/* One loop for each activation, chosen once for a tile. */
static inline void ds__gemm_finish_avx512(const ds__gemm_args *args, const void *tile, size_t row, size_t rows,
                                          size_t column) {
    switch (args->activation) {
#define FINISH(name, text)                                                                                             \
    case DS__ACTIVATION_##name: ds__gemm_finish_as_avx512(DS__ACTIVATION_##name, args, tile, row, rows, column); break;
        DS__ACTIVATION_LIST(FINISH)
#undef FINISH
    case DS__ACTIVATION_COUNT: break;
    }
}

#endif
#endif
