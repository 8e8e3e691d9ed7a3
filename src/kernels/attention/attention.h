/* Attention of one head over one sequence's keys, for a block of its queries, in tiles with an online softmax (Milakov
 * and Gimelshein 2018; Dao et al. 2022): memory does not grow with the length.
 *
 *   out[i] = sum_j softmax_j(scale * q[i].k[j]) * v[j],   i in [0, queries), j over the keys the mask allows
 *   q: [queries, head_dim], ldq elements from row to row (the same for k, v, out); rows need no alignment.
 * Fewer key heads than query heads, packed sequences and threads are the caller's business: it passes the pointers of
 * one head and one sequence.  The result of a query does not depend on how queries are split into blocks. */
#ifndef DS_KERNELS_ATTENTION_H
#define DS_KERNELS_ATTENTION_H

#include "kernels/kernels.h"

typedef enum ds__mask {
    DS__MASK_NONE,
    DS__MASK_CAUSAL, /* query i sees keys j with j <= i + first_query */
} ds__mask;

typedef struct ds__attention_f32_args {
    const float *q, *k, *v;
    size_t ldq, ldk, ldv;
    float *out;
    size_t ldo;
    size_t queries, keys, head_dim;
    size_t first_query; /* position of q's first row among the keys; for the causal mask */
    ds__mask mask;
    float scale;
    float *scratch; /* 64-byte aligned, at least scratch_floats(head_dim) */
} ds__attention_f32_args;

typedef struct ds__attention_f32 {
    ds__kernel kernel;
    size_t query_block; /* queries are best split in multiples of this */
    size_t query_group; /* so many, a multiple of it, share one reading of the keys */
    /* How much scratch a call needs, whatever the lengths; false on overflow. */
    bool (*scratch_floats)(size_t head_dim, size_t *floats);
    void (*run)(const ds__attention_f32_args *args);
} ds__attention_f32;

const ds__attention_f32 *ds__attention_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__attention_f32 ds__##op##_##isa;
#include "kernels/attention/attention_variants.def"
#undef DS_KERNEL

#endif
