/* The epilogue of the portable products: one float of the result at a time. */
#ifndef DS_KERNELS_GEMM_FINISH_REF_H
#define DS_KERNELS_GEMM_FINISH_REF_H

#include "kernels/elementwise/vec_math_ref.h"
#include "kernels/gemm/gemm.h"

/* x: the sum with the bias in it. */
static inline void ds__gemm_finish_ref(const ds__gemm_args *args, float x, size_t row, size_t column) {
    x = ds__activate_ref(args->activation, x);
    if (args->residual) x += args->residual[row * args->ldr + column];
    args->c[row * args->ldc + column] = x;
}

/* Tiles of floats, nr columns wide. */
static inline void ds__gemm_finish_floats_ref(size_t nr, const ds__gemm_args *args, const float *tile, size_t row,
                                              size_t rows, size_t column) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < nr && column + j < args->n1; j++)
            ds__gemm_finish_ref(args, tile[i * nr + j] + (args->bias ? args->bias[column + j] : 0.0f), row + i,
                                column + j);
}

#endif
