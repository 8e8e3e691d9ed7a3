/* Products with a weight matrix:  C = act(A * W^T + bias) + residual.
 *
 *   A: [m, k] row-major, lda elements from row to row.   W: [n, k] as Hugging Face stores a Linear's weight.
 *   C: [m, n], ldc.   bias: [n] or NULL.   residual: [m, n], ldr, or NULL; may be C itself (same ldr), else no overlap.
 * W is packed once, when the model is loaded, into the variant's own order: panels of `nr` output columns, the last one
 * filled up with zeros.  A call computes the block of rows [m0, m1) and columns [n0, n1), so that threads can share one
 * product; n0 is a multiple of nr, n1 is one too or equals n.  Only that block of C is written.
 * Sums over k are in f32 in an order that depends on the variant alone: not on m, on the block, or on the other rows.
 * So a row's result does not change with what else is in the batch. */
#ifndef DS_KERNELS_GEMM_H
#define DS_KERNELS_GEMM_H

#include <stdbool.h>

#include "kernels/kernels.h"
#include "tensor/activation.h"

typedef struct ds__gemm_f32_args {
    const float *a;
    size_t lda;
    const float *w; /* packed, 64-byte aligned */
    const float *bias;
    const float *residual;
    size_t ldr;
    float *c;
    size_t ldc;
    size_t m, n, k;
    size_t m0, m1, n0, n1;
    ds__activation activation;
} ds__gemm_f32_args;

typedef struct ds__gemm_f32 {
    ds__kernel kernel;
    size_t mr, nr; /* the register tile: work is best split in multiples of these */
    /* Packs rows [0, rows) of `w` ([rows, k], ldw) as output columns first..first+rows of a matrix that has k inputs.
     * Several calls with different `first` build one packed matrix from several sources (Q, K and V). `packed` must
     * have been zeroed where the last panel is not full. */
    void (*pack)(const float *w, size_t ldw, size_t rows, size_t k, size_t first, float *packed);
    void (*run)(const ds__gemm_f32_args *args);
} ds__gemm_f32;

/* Elements (floats) of the packed form of an [n, k] weight; false on overflow. */
bool ds__gemm_f32_packed_size(const ds__gemm_f32 *gemm, size_t n, size_t k, size_t *elements);
const ds__gemm_f32 *ds__gemm_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__gemm_f32 ds__##op##_##isa;
#include "kernels/gemm/gemm_variants.def"
#undef DS_KERNEL

#endif
