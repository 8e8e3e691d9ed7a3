/* Products with a weight matrix:  C = act(A * W^T + bias) + residual.
 *
 *   A: [m, k] floats, row-major, lda elements from row to row.   W: [n, k] as Hugging Face stores a Linear's weight.
 *   C: [m, n], ldc.   bias: [n] or NULL.   residual: [m, n], ldr, or NULL; may be C itself (same ldr), else no overlap.
 * W is packed once, when the model is loaded, into the variant's own order: panels of `nr` output columns, one behind
 * the other, the last one filled up with zeros.  A call computes the block of rows [m0, m1) and columns [n0, n1), so
 * that threads can share one product; n0 is a multiple of nr, n1 is one too or equals n.  Only that block of C is
 * written.  A row's result depends on the row alone: not on m, on the block, or on the other rows.
 *
 * Three ops, which differ in what W is brought to and what the products are made of:
 *   gemm_f32   floats.  Sums in f32, over k in an order that depends on the variant alone.
 *   gemm_bf16  W in bfloat16 (to the nearest even), A as it is or rounded alike, as the variant has instructions for
 *              it; products are exact, sums in f32.
 *   gemm_s8    W in 8-bit codes with a scale for each output, A in 8-bit codes with a scale and a zero point for each
 *              row; tensor/quantize.h is the scheme.  Sums are exact, so every variant gives the same bits for
 *              everything up to the activation:  C = act(fma(sum - zero * code_sum, a_scale * w_scale, bias)) +
 * residual, the integer turned into a float to the nearest, bias 0 where there is none.  k <= DS__QUANTIZE_MAX_K. */
#ifndef DS_KERNELS_GEMM_H
#define DS_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "tensor/activation.h"

typedef struct ds__gemm_args {
    /* Where the variant has `row_bytes`, it reads what `prepare` made of the rows instead of `a`: row i at prepared + i
     * * row_bytes(k), for all i in [m0, m1). */
    const float *a;
    size_t lda;
    const void *prepared; /* 64-byte aligned */
    const void *w;        /* packed, 64-byte aligned */
    const float *bias;
    const float *residual;
    size_t ldr;
    float *c;
    size_t ldc;
    size_t m, n, k;
    size_t m0, m1, n0, n1;
    ds__activation activation;
} ds__gemm_args;

typedef struct ds__gemm {
    ds__kernel kernel;
    size_t mr, nr; /* the register tile: work is best split in multiples of these */
    /* Bytes of a packed panel of nr outputs, a multiple of 64; false on overflow. */
    bool (*panel_bytes)(size_t k, size_t *bytes);
    /* Packs rows [0, rows) of `w` ([rows, k], ldw) as outputs first..first+rows of a matrix that has k inputs.  Several
     * calls with different `first` build one packed matrix from several sources (Q, K and V), at once from different
     * threads if they like.  `packed` was zeroed, or given to ds__gemm_start. */
    void (*pack)(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed);
    /* gemm_s8: the same from codes (dense, [rows, k]) and their scales ([rows]) as a file holds them; they keep to the
     * scheme's bounds.  NULL in the others. */
    void (*pack_codes)(const int8_t *codes, const float *scales, size_t rows, size_t k, size_t first, void *packed);
    /* How A's rows are prepared: bytes of one, a multiple of 64 (false on overflow), and the conversion of `rows` of
     * them, row i to prepared + i * row_bytes(k).  Both NULL: A is read as it is. */
    bool (*row_bytes)(size_t k, size_t *bytes);
    void (*prepare)(const float *a, size_t lda, size_t rows, size_t k, void *prepared);
    void (*run)(const ds__gemm_args *args);
} ds__gemm;

/* Bytes of the packed form of an [n, k] weight; false on overflow. */
bool ds__gemm_packed_bytes(const ds__gemm *gemm, size_t n, size_t k, size_t *bytes);
/* Zeroes what packing an [n, k] weight counts on to be zero: much less than all of it for the sizes that models have.
 */
void ds__gemm_start(const ds__gemm *gemm, size_t n, size_t k, void *packed);

const ds__gemm *ds__gemm_f32_choose(void);
const ds__gemm *ds__gemm_bf16_choose(void);
const ds__gemm *ds__gemm_s8_choose(void);

#define DS_KERNEL(op, isa) extern const ds__gemm ds__##op##_##isa;
#include "kernels/gemm/gemm_variants.def"
#undef DS_KERNEL

#endif
