/* How the operands of gemm_bf16 lie in memory, for its variants.  K2 = ceil(k / 2).
 *
 * A panel of W: [K2][nr][2] bfloat16, two inputs of one output side by side, a zero behind an odd last one.
 * A row of A, where a variant prepares them: [2 * K2] bfloat16, a zero behind an odd last one. */
#ifndef DS_KERNELS_GEMM_BF16_H
#define DS_KERNELS_GEMM_BF16_H

#include "kernels/gemm/gemm_micro.h"
#include "tensor/convert.h"

static inline size_t ds__bf16_steps(size_t k) { return k / 2 + k % 2; }

static inline bool ds__bf16_panel_bytes(size_t nr, size_t k, size_t *bytes) {
    return ds__gemm_panel(nr, ds__bf16_steps(k), 0, bytes);
}

/* For variants that read A as floats: their tiles get k itself as the number of steps. */
static inline ds__gemm_words ds__bf16_words_of_floats(size_t nr, const ds__gemm_args *args) {
    return (ds__gemm_words){args->a, args->lda, args->w, args->k, ds__gemm_panel_words(nr, ds__bf16_steps(args->k), 0)};
}

/* The same with pairs of inputs as steps: A is counted in floats still, so the tile must know whether k is odd. */
static inline ds__gemm_words ds__bf16_pairs_of_floats(size_t nr, const ds__gemm_args *args) {
    ds__gemm_words words = ds__bf16_words_of_floats(nr, args);
    words.steps = ds__bf16_steps(args->k);
    return words;
}

/* One output, one input at a time. */
static inline void ds__bf16_put_row(size_t nr, const float *w, size_t k, size_t column, void *packed) {
    uint16_t *panel = (uint16_t *)packed + 2 * (column / nr) * ds__gemm_panel_words(nr, ds__bf16_steps(k), 0);
    for (size_t p = 0; p < k; p++) panel[p / 2 * 2 * nr + 2 * (column % nr) + p % 2] = ds__f32_to_bf16(w[p]);
}

#endif
