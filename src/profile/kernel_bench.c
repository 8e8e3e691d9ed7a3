/* Speed of every kernel variant that this CPU can run, on one thread, case by case of the table below. A new variant is
 * measured without a change here; a new family needs a layout, a call and rows in the table. */
#include "profile/kernel_bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/context_internal.h"
#include "base/error.h"
#include "base/random.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_train/attention_train.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embed/embed.h"
#include "kernels/gemm/gemm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/grad/grad.h"
#include "kernels/norm/norm.h"
#include "kernels/optim/optim.h"
#include "kernels/peak/peak.h"
#include "kernels/reduce/reduce.h"

enum { INPUTS = 5, SIZES = 4, VOCABULARY = 30522, MAX_CALLS = 20000 };

typedef struct bench_run {
    const ds__kernel *kernel; /* the head of the family's structure */
    const size_t *size;       /* the case's */
    float *in[INPUTS], *out;  /* filled with numbers in [-1, 1) */
    size_t turn;              /* counts the calls */
} bench_run;

/* How many floats a call needs: counts[0..INPUTS) for the inputs, counts[INPUTS] for the output. Returns the work of a
 * call: operations or bytes; 0 where the variant has nothing of the kind. */
typedef double bench_layout(const ds__kernel *kernel, const size_t *size, size_t *counts);
typedef void bench_call(bench_run *run);

typedef struct bench_case {
    const char *family, *text;
    const char *shape; /* products: "single", "short" or "tall" by the rows of A; NULL elsewhere */
    const char *unit;
    size_t size[SIZES]; /* what they mean is the layout's business */
    bench_layout *layout;
    bench_call *call;
    bench_call *start; /* once, before the calls: operands that random floats are not. NULL: nothing */
} bench_case;

/* gemm: size = {m, k, n, weights in turn}; one weight stays in the caches, many come from memory.  in: A, packed
 * weights, bias, a weight as floats, prepared rows. */

static const ds__gemm *gemm_of(const bench_run *run) { return (const ds__gemm *)run->kernel; }

static double gemm_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    const ds__gemm *gemm = (const ds__gemm *)kernel;
    size_t packed, row = 0;
    if (!ds__gemm_packed_bytes(gemm, size[2], size[1], &packed) || (gemm->row_bytes && !gemm->row_bytes(size[1], &row)))
        return 0;
    counts[0] = size[0] * size[1];
    counts[1] = packed / sizeof(float) * size[3];
    counts[2] = size[2];
    counts[3] = size[2] * size[1];
    counts[4] = size[0] * row / sizeof(float);
    counts[INPUTS] = size[0] * size[2];
    return 2.0 * (double)size[0] * (double)size[1] * (double)size[2];
}

static char *packed_weight(const bench_run *run, size_t number) {
    size_t bytes = 0;
    return ds__gemm_packed_bytes(gemm_of(run), run->size[2], run->size[1], &bytes) ? (char *)run->in[1] + number * bytes
                                                                                   : NULL;
}

static void prepare_call(bench_run *run) {
    const size_t m = run->size[0], k = run->size[1];
    gemm_of(run)->prepare(run->in[0], k, m, k, run->in[4]);
}

static void gemm_start(bench_run *run) {
    const size_t k = run->size[1], n = run->size[2];
    for (size_t i = 0; i < run->size[3]; i++) {
        ds__gemm_start(gemm_of(run), n, k, packed_weight(run, i));
        gemm_of(run)->pack(run->in[3], k, n, k, 0, packed_weight(run, i));
    }
    if (gemm_of(run)->prepare) prepare_call(run);
}

static void gemm_with(bench_run *run, ds__activation activation) {
    const size_t m = run->size[0], k = run->size[1], n = run->size[2];
    gemm_of(run)->run(&(ds__gemm_args){.a = run->in[0],
                                       .lda = k,
                                       .prepared = run->in[4],
                                       .w = packed_weight(run, run->turn % run->size[3]),
                                       .bias = run->in[2],
                                       .c = run->out,
                                       .ldc = n,
                                       .m = m,
                                       .n = n,
                                       .k = k,
                                       .m1 = m,
                                       .n1 = n,
                                       .activation = activation});
}

static void gemm_call(bench_run *run) { gemm_with(run, DS__ACTIVATION_NONE); }
static void gemm_gelu_call(bench_run *run) { gemm_with(run, DS__ACTIVATION_GELU); }

/* Bytes of the floats that are read. */
static double pack_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    return gemm_layout(kernel, size, counts) > 0 ? 4.0 * (double)size[2] * (double)size[1] : 0;
}

static void pack_call(bench_run *run) {
    const size_t k = run->size[1], n = run->size[2];
    ds__gemm_start(gemm_of(run), n, k, packed_weight(run, 0));
    gemm_of(run)->pack(run->in[3], k, n, k, 0, packed_weight(run, 0));
}

static double prepare_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    bool prepares = ((const ds__gemm *)kernel)->prepare != NULL;
    return prepares && gemm_layout(kernel, size, counts) > 0 ? 4.0 * (double)size[0] * (double)size[1] : 0;
}

/* matmul: size = {m, k, n, which of A and B is transposed}; what a linear layer needs: its result, the gradient of its
 * input (both rows of tokens by inputs of a layer), and that of its weight.  in: A, B, scratch. */

enum { PLAIN = 0, A_TRANSPOSED = 1, B_TRANSPOSED = 2 };

static double matmul_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    counts[0] = size[0] * size[1];
    counts[1] = size[1] * size[2];
    counts[2] = ((const ds__matmul *)kernel)->scratch_floats;
    counts[INPUTS] = size[0] * size[2];
    return 2.0 * (double)size[0] * (double)size[1] * (double)size[2];
}

static void matmul_call(bench_run *run) {
    const size_t m = run->size[0], k = run->size[1], n = run->size[2];
    const bool a_transposed = run->size[3] & A_TRANSPOSED, b_transposed = run->size[3] & B_TRANSPOSED;
    ((const ds__matmul *)run->kernel)
        ->run(&(ds__matmul_args){.a = run->in[0],
                                 .b = run->in[1],
                                 .lda = a_transposed ? m : k,
                                 .ldb = b_transposed ? k : n,
                                 .a_transposed = a_transposed,
                                 .b_transposed = b_transposed,
                                 .c = run->out,
                                 .ldc = n,
                                 .m = m,
                                 .n = n,
                                 .k = k,
                                 .m1 = m,
                                 .n1 = n,
                                 .scratch = run->in[2]});
}

/* attention: size = {head_dim, tokens, heads, heads that are timed}; q, k and v side by side in a row, as a fused
 * product leaves them. */

static double attention_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    const size_t d = size[0], tokens = size[1], heads = size[2];
    counts[0] = tokens * 3 * heads * d;
    if (!((const ds__attention_f32 *)kernel)->scratch_floats(d, &counts[1])) return 0;
    counts[INPUTS] = tokens * heads * d;
    return 4.0 * (double)tokens * (double)tokens * (double)d * (double)size[3];
}

static void attention_call(bench_run *run) {
    const ds__attention_f32 *attention = (const ds__attention_f32 *)run->kernel;
    const size_t d = run->size[0], tokens = run->size[1], heads = run->size[2], ld = 3 * heads * d;
    for (size_t head = 0; head < run->size[3]; head++) {
        const float *q = run->in[0] + head * d;
        attention->run(&(ds__attention_f32_args){.q = q,
                                                 .k = q + heads * d,
                                                 .v = q + 2 * heads * d,
                                                 .ldq = ld,
                                                 .ldk = ld,
                                                 .ldv = ld,
                                                 .out = run->out + head * d,
                                                 .ldo = heads * d,
                                                 .queries = tokens,
                                                 .keys = tokens,
                                                 .head_dim = d,
                                                 .scale = 0.125f,
                                                 .scratch = run->in[1]});
    }
}

/* attention_train: size as above, with a tenth of the probabilities dropped; in: q, k and v, scratch, dout, and room
 * for the gradients, which lie as q, k and v do. */

static double train_layout(const ds__kernel *kernel, const size_t *size, size_t *counts, double products) {
    const size_t d = size[0], tokens = size[1], heads = size[2];
    counts[0] = counts[3] = tokens * 3 * heads * d;
    counts[2] = counts[INPUTS] = tokens * heads * d;
    if (!((const ds__attention_train_f32 *)kernel)->scratch_floats(d, &counts[1])) return 0;
    return products * 2.0 * (double)tokens * (double)tokens * (double)d * (double)size[3];
}

static double train_forward_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    return train_layout(kernel, size, counts, 2);
}

static double train_backward_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    return train_layout(kernel, size, counts, 5);
}

static void train_call(const bench_run *run, void (*each)(const ds__attention_train_args *args)) {
    const size_t d = run->size[0], heads = run->size[2], width = heads * d;
    for (size_t head = 0; head < run->size[3]; head++) {
        const float *q = run->in[0] + head * d;
        float *dq = run->in[3] + head * d;
        each(&(ds__attention_train_args){.q = q,
                                         .k = q + width,
                                         .v = q + 2 * width,
                                         .ldq = 3 * width,
                                         .ldk = 3 * width,
                                         .ldv = 3 * width,
                                         .out = run->out + head * d,
                                         .ldo = width,
                                         .dout = run->in[2] + head * d,
                                         .lddo = width,
                                         .dq = dq,
                                         .dk = dq + width,
                                         .dv = dq + 2 * width,
                                         .lddq = 3 * width,
                                         .lddk = 3 * width,
                                         .lddv = 3 * width,
                                         .length = run->size[1],
                                         .head_dim = d,
                                         .scale = 0.125f,
                                         .dropout = {.seed = {1, 2}, .rate = 0.1f},
                                         .dropout_row = (uint32_t)head,
                                         .dropout_step = (uint32_t)heads,
                                         .scratch = run->in[1]});
    }
}

static void train_forward_call(bench_run *run) {
    train_call(run, ((const ds__attention_train_f32 *)run->kernel)->forward);
}
static void train_backward_call(bench_run *run) {
    train_call(run, ((const ds__attention_train_f32 *)run->kernel)->backward);
}

/* rows of [rows, n]: size = {rows, n, bytes moved per element}. */

static double rows_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    (void)kernel;
    counts[0] = counts[1] = counts[INPUTS] = size[0] * size[1];
    counts[2] = 2 * size[1];
    return (double)(size[0] * size[1] * size[2]);
}

#define ELEMENTWISE ((const ds__elementwise_f32 *)run->kernel)
#define COUNT (run->size[0] * run->size[1])
static void add_call(bench_run *run) { ELEMENTWISE->add(run->in[0], run->in[1], run->out, COUNT); }
static void mul_call(bench_run *run) { ELEMENTWISE->mul(run->in[0], run->in[1], run->out, COUNT); }
static void gelu_call(bench_run *run) { ELEMENTWISE->activate(DS__ACTIVATION_GELU, run->in[0], run->out, COUNT); }
static void gelu_tanh_call(bench_run *run) {
    ELEMENTWISE->activate(DS__ACTIVATION_GELU_TANH, run->in[0], run->out, COUNT);
}
static void tanh_call(bench_run *run) { ELEMENTWISE->activate(DS__ACTIVATION_TANH, run->in[0], run->out, COUNT); }
static void widen_f16_call(bench_run *run) {
    ELEMENTWISE->widen_f16((const uint16_t *)(const void *)run->in[0], run->out, COUNT);
}
static void widen_bf16_call(bench_run *run) {
    ELEMENTWISE->widen_bf16((const uint16_t *)(const void *)run->in[0], run->out, COUNT);
}

static void narrow_bf16_call(bench_run *run) {
    ELEMENTWISE->narrow_bf16(run->in[0], (uint16_t *)(void *)run->out, COUNT);
}

static void layer_norm_call(bench_run *run) {
    const size_t n = run->size[1];
    ((const ds__norm_f32 *)run->kernel)
        ->layer_norm(run->in[0], n, run->in[2], run->in[2] + n, 1e-12f, run->out, n, run->size[0], n);
}
static void l2_normalize_call(bench_run *run) {
    const size_t n = run->size[1];
    ((const ds__norm_f32 *)run->kernel)->l2_normalize(run->in[0], n, 1e-12f, run->out, n, run->size[0], n);
}

#define REDUCE ((const ds__reduce_f32 *)run->kernel)
static void softmax_call(bench_run *run) {
    const size_t n = run->size[1];
    REDUCE->softmax(run->in[0], n, run->out, n, run->size[0], n);
}
static void mean_rows_call(bench_run *run) {
    REDUCE->mean_rows(run->in[0], run->size[1], run->out, run->size[0], run->size[1]);
}
static void max_rows_call(bench_run *run) {
    REDUCE->max_rows(run->in[0], run->size[1], run->out, run->size[0], run->size[1]);
}

/* grad: rows of [rows, n] as above. */

#define GRAD ((const ds__grad_f32 *)run->kernel)
static void gradient_call(bench_run *run, ds__activation activation) {
    GRAD->activate(activation, run->in[0], run->in[1], run->out, COUNT);
}
static void relu_gradient_call(bench_run *run) { gradient_call(run, DS__ACTIVATION_RELU); }
static void gelu_gradient_call(bench_run *run) { gradient_call(run, DS__ACTIVATION_GELU); }
static void gelu_tanh_gradient_call(bench_run *run) { gradient_call(run, DS__ACTIVATION_GELU_TANH); }
static void tanh_gradient_call(bench_run *run) { gradient_call(run, DS__ACTIVATION_TANH); }
static void layer_norm_gradient_call(bench_run *run) {
    const size_t n = run->size[1];
    GRAD->layer_norm(run->in[0], n, run->in[2], 1e-12f, run->in[1], n, run->out, n, run->size[0], n);
}
static void layer_norm_gamma_call(bench_run *run) {
    const size_t n = run->size[1];
    GRAD->layer_norm_gamma(run->in[0], n, 1e-12f, run->in[1], n, run->out, run->size[0], n);
}
static void sum_rows_call(bench_run *run) {
    GRAD->sum_rows(run->in[0], run->size[1], run->out, run->size[0], run->size[1]);
}
static void dropout_call(bench_run *run) {
    const ds__dropout with = {.seed = {1, 2}, .site = 3, .draw = (uint32_t)run->turn, .rate = 0.1f};
    GRAD->dropout(&with, 0, run->in[0], run->size[1], run->out, run->size[1], run->size[0], run->size[1]);
}

/* optim: size = {rows, n, bytes moved per element} of a weight; in: gradient, weight, first and second moments. */

static double optim_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    (void)kernel;
    for (int i = 0; i < 4; i++) counts[i] = size[0] * size[1];
    return (double)(size[0] * size[1] * size[2]);
}

/* Second moments are never negative. */
static void optim_start(bench_run *run) {
    for (size_t i = 0; i < COUNT; i++) run->in[3][i] *= run->in[3][i];
}

#define OPTIM ((const ds__optim_f32 *)run->kernel)
static void adamw_call(bench_run *run) {
    const ds__adamw with = {1, 0.99999f, 1e-5f, 1, 1e-8f, 0.1f, 0.999f, 0.001f};
    OPTIM->adamw(&with, run->in[0], run->in[1], run->in[2], run->in[3], COUNT);
}
static void sgd_call(bench_run *run) {
    OPTIM->sgd(&(ds__sgd){1, 0.01f, 0.9f, 1e-5f}, run->in[0], run->in[1], run->in[2], COUNT);
}
static void sum_of_squares_call(bench_run *run) {
    run->in[1][0] = (float)OPTIM->sum_of_squares(run->in[0], COUNT); /* or the call would be left out */
}

/* embed: size = {rows, n, bytes moved per element}; a table of BERT's size, ids all over it. */

static double embed_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    double bytes = rows_layout(kernel, size, counts);
    counts[0] = VOCABULARY * size[1];
    return bytes;
}

static void gather_call(bench_run *run, ds_dtype dtype) {
    const size_t n = run->size[1];
    int32_t ids[512];
    for (size_t i = 0; i < run->size[0]; i++) ids[i] = (int32_t)((i + 1 + run->turn % 7) * 104729 % VOCABULARY);
    ((const ds__embed_f32 *)run->kernel)->gather(run->in[0], dtype, ids, run->out, n, run->size[0], n);
}
static void gather_f32_call(bench_run *run) { gather_call(run, DS_F32); }
static void gather_f16_call(bench_run *run) { gather_call(run, DS_F16); }
static void gather_bf16_call(bench_run *run) { gather_call(run, DS_BF16); }
static void gather_i8_call(bench_run *run) { gather_call(run, DS_I8); }

/* peak: size = {rounds}. */

static double peak_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    (void)counts;
    return (double)((const ds__peak *)kernel)->run(size[0]);
}

static void peak_call(bench_run *run) { ((const ds__peak *)run->kernel)->run(run->size[0]); }

static const bench_case cases[] = {
    {"gemm", "1x384x1536", "single", "GFLOP/s", {1, 384, 1536, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "1x384x1536, from memory", "single", "GFLOP/s", {1, 384, 1536, 40}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "16x384x384", "single", "GFLOP/s", {16, 384, 384, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "16x768x3072, from memory", "single", "GFLOP/s", {16, 768, 3072, 13}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "20x384x1536", "short", "GFLOP/s", {20, 384, 1536, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "20x384x1536, from memory", "short", "GFLOP/s", {20, 384, 1536, 40}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "64x384x1536", "short", "GFLOP/s", {64, 384, 1536, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "64x768x3072", "short", "GFLOP/s", {64, 768, 3072, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "128x384x1536", "tall", "GFLOP/s", {128, 384, 1536, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "128x384x1536, gelu", "tall", "GFLOP/s", {128, 384, 1536, 1}, gemm_layout, gemm_gelu_call, gemm_start},
    {"gemm", "128x1536x384", "tall", "GFLOP/s", {128, 1536, 384, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "128x768x3072", "tall", "GFLOP/s", {128, 768, 3072, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "128x3072x768", "tall", "GFLOP/s", {128, 3072, 768, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "128x768x3072, from memory", "tall", "GFLOP/s", {128, 768, 3072, 13}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "512x384x1536", "tall", "GFLOP/s", {512, 384, 1536, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "1024x768x768", "tall", "GFLOP/s", {1024, 768, 768, 1}, gemm_layout, gemm_call, gemm_start},
    {"gemm", "pack 3072x768", NULL, "GB/s", {1, 768, 3072, 1}, pack_layout, pack_call, NULL},
    {"gemm", "prepare 128x384", NULL, "GB/s", {128, 384, 32, 1}, prepare_layout, prepare_call, NULL},
    {"matmul", "y 16x384x384", "single", "GFLOP/s", {16, 384, 384, B_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "y 64x384x1536", "short", "GFLOP/s", {64, 384, 1536, B_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "y 400x384x384", "tall", "GFLOP/s", {400, 384, 384, B_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "y 400x384x1536", "tall", "GFLOP/s", {400, 384, 1536, B_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "y 400x1536x384", "tall", "GFLOP/s", {400, 1536, 384, B_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "dx 64x1536x384", "short", "GFLOP/s", {64, 1536, 384, PLAIN}, matmul_layout, matmul_call, NULL},
    {"matmul", "dx 400x384x384", "tall", "GFLOP/s", {400, 384, 384, PLAIN}, matmul_layout, matmul_call, NULL},
    {"matmul", "dx 400x384x1536", "tall", "GFLOP/s", {400, 384, 1536, PLAIN}, matmul_layout, matmul_call, NULL},
    {"matmul", "dx 400x1536x384", "tall", "GFLOP/s", {400, 1536, 384, PLAIN}, matmul_layout, matmul_call, NULL},
    {"matmul", "dW 384x400x384", "tall", "GFLOP/s", {384, 400, 384, A_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "dW 1536x400x384", "tall", "GFLOP/s", {1536, 400, 384, A_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "dW 384x400x1536", "tall", "GFLOP/s", {384, 400, 1536, A_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "y 1024x768x3072", "tall", "GFLOP/s", {1024, 768, 3072, B_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "y 1024x3072x768", "tall", "GFLOP/s", {1024, 3072, 768, B_TRANSPOSED}, matmul_layout, matmul_call, NULL},
    {"matmul", "dx 1024x3072x768", "tall", "GFLOP/s", {1024, 3072, 768, PLAIN}, matmul_layout, matmul_call, NULL},
    {"matmul",
     "dW 3072x1024x768",
     "tall",
     "GFLOP/s",
     {3072, 1024, 768, A_TRANSPOSED},
     matmul_layout,
     matmul_call,
     NULL},
    {"attention",
     "10 tokens, 12 heads of 32",
     NULL,
     "GFLOP/s",
     {32, 10, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "20 tokens, 12 heads of 32",
     NULL,
     "GFLOP/s",
     {32, 20, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "32 tokens, 12 heads of 32",
     NULL,
     "GFLOP/s",
     {32, 32, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "128 tokens, 12 heads of 32",
     NULL,
     "GFLOP/s",
     {32, 128, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "512 tokens, 12 heads of 32",
     NULL,
     "GFLOP/s",
     {32, 512, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "20 tokens, 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 20, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "128 tokens, 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 128, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "512 tokens, 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 512, 12, 12},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "2048 tokens, one of 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 2048, 12, 1},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "4096 tokens, one of 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 4096, 12, 1},
     attention_layout,
     attention_call,
     NULL},
    {"attention",
     "8192 tokens, one of 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 8192, 12, 1},
     attention_layout,
     attention_call,
     NULL},
    {"attention_train",
     "forward, 16 tokens, 12 heads of 32",
     NULL,
     "GFLOP/s",
     {32, 16, 12, 12},
     train_forward_layout,
     train_forward_call,
     NULL},
    {"attention_train",
     "backward, 16 tokens, 12 heads of 32",
     NULL,
     "GFLOP/s",
     {32, 16, 12, 12},
     train_backward_layout,
     train_backward_call,
     NULL},
    {"attention_train",
     "forward, 128 tokens, 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 128, 12, 12},
     train_forward_layout,
     train_forward_call,
     NULL},
    {"attention_train",
     "backward, 128 tokens, 12 heads of 64",
     NULL,
     "GFLOP/s",
     {64, 128, 12, 12},
     train_backward_layout,
     train_backward_call,
     NULL},
    {"elementwise", "add 128x384", NULL, "GB/s", {128, 384, 12}, rows_layout, add_call, NULL},
    {"elementwise", "mul 128x384", NULL, "GB/s", {128, 384, 12}, rows_layout, mul_call, NULL},
    {"elementwise", "gelu 128x1536", NULL, "GB/s", {128, 1536, 8}, rows_layout, gelu_call, NULL},
    {"elementwise", "gelu_tanh 128x1536", NULL, "GB/s", {128, 1536, 8}, rows_layout, gelu_tanh_call, NULL},
    {"elementwise", "tanh 128x1536", NULL, "GB/s", {128, 1536, 8}, rows_layout, tanh_call, NULL},
    {"elementwise", "widen f16 1536x384", NULL, "GB/s", {1536, 384, 6}, rows_layout, widen_f16_call, NULL},
    {"elementwise", "widen bf16 1536x384", NULL, "GB/s", {1536, 384, 6}, rows_layout, widen_bf16_call, NULL},
    {"elementwise", "narrow bf16 1536x384", NULL, "GB/s", {1536, 384, 6}, rows_layout, narrow_bf16_call, NULL},
    {"grad", "relu' 128x1536", NULL, "GB/s", {128, 1536, 12}, rows_layout, relu_gradient_call, NULL},
    {"grad", "gelu' 128x1536", NULL, "GB/s", {128, 1536, 12}, rows_layout, gelu_gradient_call, NULL},
    {"grad", "gelu_tanh' 128x1536", NULL, "GB/s", {128, 1536, 12}, rows_layout, gelu_tanh_gradient_call, NULL},
    {"grad", "tanh' 128x1536", NULL, "GB/s", {128, 1536, 12}, rows_layout, tanh_gradient_call, NULL},
    {"grad", "layer_norm' 128x384", NULL, "GB/s", {128, 384, 12}, rows_layout, layer_norm_gradient_call, NULL},
    {"grad", "layer_norm' 1024x768", NULL, "GB/s", {1024, 768, 12}, rows_layout, layer_norm_gradient_call, NULL},
    {"grad", "layer_norm_gamma 128x384", NULL, "GB/s", {128, 384, 8}, rows_layout, layer_norm_gamma_call, NULL},
    {"grad", "layer_norm_gamma 1024x768", NULL, "GB/s", {1024, 768, 8}, rows_layout, layer_norm_gamma_call, NULL},
    {"grad", "sum_rows 128x384", NULL, "GB/s", {128, 384, 4}, rows_layout, sum_rows_call, NULL},
    {"grad", "sum_rows 1024x1536", NULL, "GB/s", {1024, 1536, 4}, rows_layout, sum_rows_call, NULL},
    {"grad", "dropout 128x384", NULL, "GB/s", {128, 384, 8}, rows_layout, dropout_call, NULL},
    {"norm", "layer_norm 128x384", NULL, "GB/s", {128, 384, 8}, rows_layout, layer_norm_call, NULL},
    {"norm", "layer_norm 128x768", NULL, "GB/s", {128, 768, 8}, rows_layout, layer_norm_call, NULL},
    {"norm", "l2_normalize 128x384", NULL, "GB/s", {128, 384, 8}, rows_layout, l2_normalize_call, NULL},
    {"reduce", "softmax 128x128", NULL, "GB/s", {128, 128, 8}, rows_layout, softmax_call, NULL},
    {"reduce", "mean_rows 128x384", NULL, "GB/s", {128, 384, 4}, rows_layout, mean_rows_call, NULL},
    {"reduce", "max_rows 128x384", NULL, "GB/s", {128, 384, 4}, rows_layout, max_rows_call, NULL},
    {"embed", "gather f32 128x384", NULL, "GB/s", {128, 384, 8}, embed_layout, gather_f32_call, NULL},
    {"embed", "gather f16 128x384", NULL, "GB/s", {128, 384, 6}, embed_layout, gather_f16_call, NULL},
    {"embed", "gather bf16 128x384", NULL, "GB/s", {128, 384, 6}, embed_layout, gather_bf16_call, NULL},
    {"embed", "gather int8 128x384", NULL, "GB/s", {128, 384, 5}, embed_layout, gather_i8_call, NULL},
    {"optim", "adamw 64x384", NULL, "GB/s", {64, 384, 28}, optim_layout, adamw_call, optim_start},
    {"optim", "adamw 4096x1024, from memory", NULL, "GB/s", {4096, 1024, 28}, optim_layout, adamw_call, optim_start},
    {"optim", "sgd 64x384", NULL, "GB/s", {64, 384, 20}, optim_layout, sgd_call, NULL},
    {"optim", "sgd 4096x1024, from memory", NULL, "GB/s", {4096, 1024, 20}, optim_layout, sgd_call, NULL},
    {"optim", "sum_of_squares 4096x1024", NULL, "GB/s", {4096, 1024, 4}, optim_layout, sum_of_squares_call, NULL},
    {"peak", "4096 rounds", NULL, "GFLOP/s", {4096}, peak_layout, peak_call, NULL},
};

enum { CASES = sizeof cases / sizeof *cases };

static const ds__peak *const peaks[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/peak/peak_variants.def"
#undef DS_KERNEL
};

/* The limit that a variant can be held against: of what it multiplies, in its own instruction set. */
static const ds__peak *peak_of(const ds__kernel *kernel) {
    const char *op = "peak_f32";
    const ds__peak *found = NULL;
    if (strcmp(kernel->op, "gemm_s8") == 0) op = "peak_s8";
    if (strcmp(kernel->op, "gemm_bf16") == 0 && ((const ds__gemm *)kernel)->prepare) op = "peak_bf16";
    if (strcmp(kernel->op, "matmul_bf16") == 0 && kernel->isa == DS__ISA_avx512bf16) op = "peak_bf16";
    if (strcmp(kernel->family, "peak") == 0) op = kernel->op;
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++)
        if (strcmp(peaks[i]->kernel.op, op) == 0 && peaks[i]->kernel.isa <= kernel->isa &&
            (!found || peaks[i]->kernel.isa > found->kernel.isa))
            found = peaks[i];
    return found;
}

/* Operations a nanosecond: the best of a few milliseconds. */
static double measure_peak(const ds__peak *peak) {
    double best = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t start = ds__clock_ns(), operations = peak->run(4096), ns = ds__clock_ns() - start;
        if ((double)operations > best * (double)ns) best = (double)operations / (double)ns;
    }
    return best;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Calls for `seconds`, at least three times; returns how many, their nanoseconds sorted. */
static size_t measure(bench_run *run, const bench_case *row, double seconds, double *times) {
    size_t calls = 0;
    if (row->start) row->start(run);
    row->call(run); /* warms the caches and the page tables */
    uint64_t begin = ds__clock_ns(), limit = (uint64_t)(seconds * 1e9);
    while (calls < MAX_CALLS && (calls < 3 || ds__clock_ns() - begin < limit)) {
        run->turn++;
        uint64_t start = ds__clock_ns();
        row->call(run);
        times[calls++] = (double)(ds__clock_ns() - start);
    }
    qsort(times, calls, sizeof *times, by_size);
    return calls;
}

/* One variant on one case. */
static ds_status measure_case(const ds__kernel_bench *bench, const ds__kernel *kernel, const bench_case *row,
                              double *times, ds_error *error) {
    bench_run run = {.kernel = kernel, .size = row->size};
    size_t counts[INPUTS + 1] = {0}, total = 16;
    double work = row->layout(kernel, row->size, counts);
    if (work <= 0) return DS_OK;
    for (int i = 0; i <= INPUTS; i++) total += (counts[i] + 15) / 16 * 16;
    float *memory = ds__alloc(bench->heap, total * sizeof *memory), *next = memory;
    if (!memory) return ds__alloc_failed(bench->heap, total * sizeof *memory, row->text, error);
    ds__hint_large_pages(memory, total * sizeof *memory);
    ds__random random = {1};
    for (size_t i = 0; i < total; i++) memory[i] = ds__random_f32(&random);
    for (int i = 0; i <= INPUTS; next += (counts[i] + 15) / 16 * 16, i++) *(i < INPUTS ? &run.in[i] : &run.out) = next;
    const bool arithmetic = strcmp(row->unit, "GFLOP/s") == 0;
    const ds__peak *peak = arithmetic ? peak_of(kernel) : NULL;
    double before = peak ? measure_peak(peak) : 0;
    size_t calls = measure(&run, row, bench->seconds, times);
    double after = peak ? measure_peak(peak) : 0;
    ds_kernel_figure figure = {
        .family = row->family,
        .op = kernel->op,
        .kernel = kernel->name,
        .measured = row->text,
        .shape = row->shape,
        .unit = row->unit,
        .best = work / times[0],
        .median = work / times[calls / 2],
        .peak = after > before ? after : before,
    };
    bench->each(bench->user, &figure);
    ds__free(bench->heap, memory, total * sizeof *memory);
    return DS_OK;
}

ds_status ds__kernel_bench_run(const ds__kernel_bench *bench, ds_error *error) {
    bool known = !bench->family;
    for (size_t c = 0; c < CASES; c++) known = known || strcmp(bench->family, cases[c].family) == 0;
    if (!known)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "there is no family \"%s\" of kernels; 'deepseek kernels' lists them", bench->family);
    double *times = ds__alloc(bench->heap, MAX_CALLS * sizeof *times);
    if (!times) return ds__alloc_failed(bench->heap, MAX_CALLS * sizeof *times, "measured times", error);
    ds_status status = DS_OK;
    for (size_t c = 0; c < CASES && status == DS_OK; c++) {
        if (bench->family && strcmp(bench->family, cases[c].family) != 0) continue;
        for (size_t i = 0; i < ds__kernel_count() && status == DS_OK; i++) {
            const ds__kernel *kernel = ds__kernel_at(i);
            if (strcmp(kernel->family, cases[c].family) == 0 && ds__cpu_allows(kernel->isa))
                status = measure_case(bench, kernel, &cases[c], times, error);
        }
    }
    ds__free(bench->heap, times, MAX_CALLS * sizeof *times);
    return status;
}
