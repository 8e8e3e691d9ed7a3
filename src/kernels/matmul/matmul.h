/* Products of two matrices that both change from call to call, as training has them: nothing is packed beforehand.
 *
 *   C = op(A) * op(B) + bias + residual,   op(A): [m, k], op(B): [k, n], C: [m, n]
 *   A[i, p] is a[i * lda + p], or a[p * lda + i] when a_transposed;  B[p, j] is b[p * ldb + j], or b[j * ldb + p] when
 *   b_transposed.  bias: [n] or NULL.  residual: [m, n], ldr, or NULL; may be C itself (same ldr), else no overlap.
 * The three products of a linear layer y = x W^T + b with W: [out, in]:
 *   y  = x  * W^T   (b_transposed)        dx = dy * W                dW = dy^T * x   (a_transposed)
 *
 * A call computes the block of rows [m0, m1) and columns [n0, n1), so that threads can share a product; only that block
 * of C is written.  The sum over k runs in chunks of a constant length in their order, and an element's bits depend on
 * its row of A and column of B alone: not on the block, on m, n, or on the alignment.  Rows need no alignment.
 *
 * Two ops: matmul_f32, and matmul_bf16, which rounds A and B to bfloat16 (to the nearest even) on the way and sums
 * exact products in f32; a variant may take denormals for zero, as the CPU's products do. */
#ifndef DS_KERNELS_MATMUL_H
#define DS_KERNELS_MATMUL_H

#include <stdbool.h>

#include "kernels/kernels.h"

typedef struct ds__matmul_args {
    const float *a, *b;
    const uint16_t *b_bf16; /* matmul_bf16, not b_transposed: B as bfloat16, b is NULL then; the same bits as floats */
    size_t lda, ldb;
    bool a_transposed, b_transposed;
    const float *bias, *residual;
    size_t ldr;
    float *c;
    size_t ldc;
    size_t m, n, k;
    size_t m0, m1, n0, n1;
    float *scratch; /* of the calling thread, 64-byte aligned, scratch_floats of the variant; contents don't matter */
} ds__matmul_args;

typedef struct ds__matmul {
    ds__kernel kernel;
    size_t mr, nr;         /* the register tile: blocks are best cut in multiples of these */
    size_t scratch_floats; /* a constant: operands are packed block by block, a multiple of 16 */
    void (*run)(const ds__matmul_args *args);
} ds__matmul;

const ds__matmul *ds__matmul_f32_choose(void);
const ds__matmul *ds__matmul_bf16_choose(void);

#define DS_KERNEL(op, isa) extern const ds__matmul ds__##op##_##isa;
#include "kernels/matmul/matmul_variants.def"
#undef DS_KERNEL

#endif
