/* Attention as training has it: one head over one whole sequence, with dropout on the probabilities, and its gradient.
 *
 *   s[i, j] = scale * q[i].k[j],  p[i] = softmax(s[i]) over the keys the mask allows (j <= i when causal)
 *   d[i, j] = p[i, j] / (1 - rate) where element (dropout_row + i * dropout_step, j) stays (tensor/philox.h), else 0
 *   out[i]  = sum_j d[i, j] * v[j]
 * q, k, v, out: [length, head_dim] with their distances from row to row; rows need no alignment.
 *
 * backward: given dout and what forward read, adds nothing and writes dq, dk, dv ([length, head_dim]):
 *   dd = dout v^T,  dp = dd / (1 - rate) where d stays,  ds = p * (dp - rowsum(p * dp)),  dq = scale ds k,
 *   dk = scale ds^T q,  dv = d^T dout.
 * With `accumulate` dk and dv are added to (query heads that share a key head, one after the other).
 * Sums run in an order that depends on the variant alone.  Memory does not grow with the length: keys go by in tiles
 * (Dao et al. 2022); the softmax's maximum and sum are made again instead of kept, and rowsum(p * dp) is dout.out. */
#ifndef DS_KERNELS_ATTENTION_TRAIN_H
#define DS_KERNELS_ATTENTION_TRAIN_H

#include <stdbool.h>

#include "kernels/kernels.h"
#include "tensor/philox.h"

typedef struct ds__attention_train_args {
    const float *q, *k, *v;
    size_t ldq, ldk, ldv;
    float *out; /* written by forward, read by backward */
    size_t ldo;
    const float *dout; /* backward only, as the rest */
    size_t lddo;
    float *dq, *dk, *dv;
    size_t lddq, lddk, lddv;
    bool accumulate;
    size_t length, head_dim;
    bool causal;
    float scale;
    ds__dropout dropout; /* rate 0: none */
    uint32_t dropout_row, dropout_step;
    float *scratch; /* 64-byte aligned, at least scratch_floats(head_dim) */
} ds__attention_train_args;

typedef struct ds__attention_train_f32 {
    ds__kernel kernel;
    /* How much scratch a call needs, whatever the length; false on overflow. */
    bool (*scratch_floats)(size_t head_dim, size_t *floats);
    void (*forward)(const ds__attention_train_args *args);
    void (*backward)(const ds__attention_train_args *args);
} ds__attention_train_f32;

const ds__attention_train_f32 *ds__attention_train_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__attention_train_f32 ds__##op##_##isa;
#include "kernels/attention_train/attention_train_variants.def"
#undef DS_KERNEL

#endif
