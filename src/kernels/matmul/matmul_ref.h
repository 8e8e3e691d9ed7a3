/* Both products in portable C: tiles of 4 rows and 8 columns in the compilers' own vector type, as gemm_f32_ref has
 * them.  matmul_bf16 rounds the operands while they are packed; its products are exact then. */
#ifndef DS_KERNELS_MATMUL_REF_H
#define DS_KERNELS_MATMUL_REF_H

#include <string.h>

#include "kernels/matmul/matmul_loops.h"
#include "tensor/convert.h"

enum {
    DS__MATMUL_MR_REF = 4,
    DS__MATMUL_NR_REF = 8,
    DS__MATMUL_ROWS_REF = 128,
    DS__MATMUL_DEPTH_REF = 256,
    DS__MATMUL_LANES_REF = 4,
    DS__MATMUL_VECTORS_REF = DS__MATMUL_NR_REF / DS__MATMUL_LANES_REF
};

typedef float ds__matmul_lanes_ref __attribute__((vector_size(DS__MATMUL_LANES_REF * sizeof(float))));

/* `rows` is a constant where this is inlined.  A product is rounded before it is added. */
static inline __attribute__((always_inline)) void ds__matmul_tile_ref(const int rows, const ds__tile *tile) {
    ds__matmul_lanes_ref sums[DS__MATMUL_MR_REF][DS__MATMUL_VECTORS_REF] = {{{0}}}, right[DS__MATMUL_VECTORS_REF];
    const float *a = tile->a, *b = tile->b;
    for (size_t p = 0; p < tile->k; p++) {
        memcpy(right, b + p * DS__MATMUL_NR_REF, sizeof right);
        DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < DS__MATMUL_VECTORS_REF; v++)
            sums[i][v] += a[(size_t)i * tile->a_row + p] * right[v];
    }
    memcpy(tile->c, sums, (size_t)rows * DS__MATMUL_NR_REF * sizeof(float));
}

static inline float ds__matmul_input_ref(bool rounds, const ds__matmul_part *part, size_t i, size_t p) {
    if (part->from_bf16) return ds__bf16_to_f32(part->from_bf16[p * part->ld + i]);
    const float x = part->across ? part->from[p * part->ld + i] : part->from[i * part->ld + p];
    return rounds ? ds__bf16_to_f32(ds__f32_to_bf16(x)) : x;
}

static inline void ds__matmul_pack_a_ref(bool rounds, const ds__matmul_part *part, float *to, size_t ld) {
    for (size_t i = 0; i < part->count; i++)
        for (size_t p = 0; p < part->depth; p++) to[i * ld + p] = ds__matmul_input_ref(rounds, part, i, p);
}

static inline void ds__matmul_pack_b_ref(bool rounds, const ds__matmul_part *part, float *to) {
    for (size_t p = 0; p < part->depth; p++)
        for (size_t j = 0; j < DS__MATMUL_NR_REF; j++)
            to[p * DS__MATMUL_NR_REF + j] = j < part->count ? ds__matmul_input_ref(rounds, part, j, p) : 0.0f;
}

static inline void ds__matmul_finish_ref(const ds__matmul_args *args, const float *tile, size_t row, size_t rows,
                                         size_t column, bool first) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < DS__MATMUL_NR_REF && column + j < args->n1; j++) {
            float x = tile[i * DS__MATMUL_NR_REF + j], *c = args->c + (row + i) * args->ldc + column + j;
            if (!first) x += *c;
            if (first && args->bias) x += args->bias[column + j];
            if (first && args->residual) x += args->residual[(row + i) * args->ldr + column + j];
            *c = x;
        }
}

#endif
