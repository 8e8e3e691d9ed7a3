/* Attention in one go against the same in three steps, for one head of one long text on one thread.
 *
 *   attention_steps [HEAD_DIM [TOKENS...]]      default: 64, and 512 2048 4096 8192 tokens
 *
 * The three steps are what a graph without an attention operator does: all scores by a product, softmax over their
 * rows, the values by another product, on our own kernels and with all scores in memory.  Rows of q, k and v lie
 * between those of eleven other heads, as in BERT-base.  GFLOP/s count 4 * tokens^2 * head_dim; share: of the
 * multiply-add peak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/attention/attention.h"
#include "kernels/gemm/gemm.h"
#include "kernels/peak/peak.h"
#include "kernels/reduce/reduce.h"

enum { HEADS = 12, TURNS = 3 };

typedef struct sizes {
    size_t d, tokens, ld; /* ld: floats from a token's row to the next one's */
} sizes;

typedef struct memory {
    float *qkv, *out, *scratch, *scores, *transposed;
    char *keys, *values; /* packed */
} memory;

static ds__heap heap;

static void *take(size_t bytes) {
    void *block = ds__alloc(&heap, bytes);
    if (!block) {
        fprintf(stderr, "attention_steps: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return block;
}

static void fused(const sizes *s, const memory *m) {
    ds__attention_f32_choose()->run(&(ds__attention_f32_args){.q = m->qkv,
                                                              .k = m->qkv + HEADS * s->d,
                                                              .v = m->qkv + 2 * HEADS * s->d,
                                                              .ldq = s->ld,
                                                              .ldk = s->ld,
                                                              .ldv = s->ld,
                                                              .out = m->out,
                                                              .ldo = s->d,
                                                              .queries = s->tokens,
                                                              .keys = s->tokens,
                                                              .head_dim = s->d,
                                                              .scale = 0.125f,
                                                              .scratch = m->scratch});
}

static void three_steps(const sizes *s, const memory *m) {
    const ds__gemm *gemm = ds__gemm_f32_choose();
    const float *k = m->qkv + HEADS * s->d, *v = k + HEADS * s->d;
    const size_t t = s->tokens, d = s->d;
    gemm->pack(k, s->ld, t, d, 0, m->keys);
    gemm->run(&(ds__gemm_args){
        .a = m->qkv, .lda = s->ld, .w = m->keys, .c = m->scores, .ldc = t, .m = t, .n = t, .k = d, .m1 = t, .n1 = t});
    for (size_t i = 0; i < t * t; i++) m->scores[i] *= 0.125f;
    ds__reduce_f32_choose()->softmax(m->scores, t, m->scores, t, t, t);
    for (size_t j = 0; j < t; j++)
        for (size_t c = 0; c < d; c++) m->transposed[c * t + j] = v[j * s->ld + c];
    gemm->pack(m->transposed, t, d, t, 0, m->values);
    gemm->run(&(ds__gemm_args){
        .a = m->scores, .lda = t, .w = m->values, .c = m->out, .ldc = d, .m = t, .n = d, .k = t, .m1 = t, .n1 = d});
}

/* The best of a few runs, in GFLOP/s. */
static double measure(const sizes *s, const memory *m, void (*run)(const sizes *, const memory *)) {
    double best = 0, work = 4.0 * (double)s->tokens * (double)s->tokens * (double)s->d;
    for (int i = 0; i <= TURNS; i++) { /* the first one warms the pages */
        uint64_t start = ds__clock_ns();
        run(s, m);
        double rate = work / (double)(ds__clock_ns() - start);
        if (i && rate > best) best = rate;
    }
    return best;
}

static double measure_peak(void) {
    double best = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t start = ds__clock_ns(), operations = ds__peak_f32_choose()->run(4096);
        double rate = (double)operations / (double)(ds__clock_ns() - start);
        if (rate > best) best = rate;
    }
    return best;
}

static void compare(size_t d, size_t tokens) {
    const ds__gemm *gemm = ds__gemm_f32_choose();
    const sizes s = {d, tokens, 3 * HEADS * d};
    size_t scratch, keys, values;
    if (!ds__attention_f32_choose()->scratch_floats(d, &scratch) || !ds__gemm_packed_bytes(gemm, tokens, d, &keys) ||
        !ds__gemm_packed_bytes(gemm, d, tokens, &values))
        exit(1);
    const size_t bytes[] = {tokens * s.ld * 4, tokens * d * 4, scratch * 4, tokens * tokens * 4,
                            tokens * d * 4,    keys,           values};
    const memory m = {take(bytes[0]), take(bytes[1]), take(bytes[2]), take(bytes[3]),
                      take(bytes[4]), take(bytes[5]), take(bytes[6])};
    ds__random random = {1};
    for (size_t i = 0; i < tokens * s.ld; i++) m.qkv[i] = ds__random_f32(&random);
    memset(m.keys, 0, keys);
    memset(m.values, 0, values);
    double peak = measure_peak(), one = measure(&s, &m, fused), three = measure(&s, &m, three_steps);
    double after = measure_peak();
    if (after > peak) peak = after;
    printf("%6zu %8.1f %4.0f %% %8.1f %4.0f %% %7.2f %9.1f %9.1f\n", tokens, one, 100 * one / peak, three,
           100 * three / peak, one / three, (double)bytes[2] / 1e6,
           (double)(bytes[3] + bytes[4] + keys + values) / 1e6);
    void *const blocks[] = {m.qkv, m.out, m.scratch, m.scores, m.transposed, m.keys, m.values};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) ds__free(&heap, blocks[i], bytes[i]);
}

int main(int argc, char **argv) {
    static const size_t usual[] = {512, 2048, 4096, 8192};
    size_t d = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
    ds__heap_init(&heap, NULL, 0);
    if (d == 0 || d > 1024) {
        fprintf(stderr, "usage: attention_steps [HEAD_DIM [TOKENS...]]\n");
        return 2;
    }
    printf("%s, heads of %zu\ntokens    fused  peak    steps  peak   ratio  MB fused  MB steps\n", ds__cpu_get()->name,
           d);
    for (int i = 2; i < argc; i++) compare(d, strtoul(argv[i], NULL, 10));
    for (size_t i = 0; argc <= 2 && i < sizeof usual / sizeof *usual; i++) compare(d, usual[i]);
    return 0;
}
