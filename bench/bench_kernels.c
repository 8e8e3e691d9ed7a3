/* Speed of every kernel variant that this CPU can run, on one thread, shape by shape.
 *
 *   bench_kernels [--family NAME] [--seconds S] [--json]
 *
 * A row is one variant on one case of the table below: the best and the median of its calls, in GFLOP/s against the
 * machine's own multiply-add peak (measured right before and right after the row, the higher of the two) or in GB/s of
 * what is read and written.  Use `taskset -c 0` and a quiet machine.  A new variant is measured without a change here;
 * a new family needs a layout, a call and rows in the table. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/attention/attention.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embed/embed.h"
#include "kernels/gemm/gemm.h"
#include "kernels/norm/norm.h"
#include "kernels/peak/peak.h"
#include "kernels/reduce/reduce.h"

enum { INPUTS = 3, SIZES = 4, VOCABULARY = 30522, MAX_CALLS = 20000 };

typedef struct bench_run {
    const ds__kernel *kernel; /* the head of the family's structure */
    const size_t *size;       /* the case's */
    float *in[INPUTS], *out;  /* filled with numbers in [-1, 1) */
    size_t turn;              /* counts the calls */
} bench_run;

/* How many floats a call needs: counts[0..INPUTS) for the inputs, counts[INPUTS] for the output. Returns the work of a
 * call: operations or bytes. */
typedef double bench_layout(const ds__kernel *kernel, const size_t *size, size_t *counts);
typedef void bench_call(bench_run *run);

typedef struct bench_case {
    const char *family, *text;
    const char *unit;
    size_t size[SIZES]; /* what they mean is the layout's business */
    bench_layout *layout;
    bench_call *call;
} bench_case;

/* gemm: size = {m, k, n, weights in turn}; one weight stays in the caches, many come from memory. */

static double gemm_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    counts[0] = size[0] * size[1];
    if (!ds__gemm_packed_bytes((const ds__gemm *)kernel, size[2], size[1], &counts[1])) abort();
    counts[1] /= sizeof(float);
    counts[1] *= size[3];
    counts[2] = size[2];
    counts[INPUTS] = size[0] * size[2];
    return 2.0 * (double)size[0] * (double)size[1] * (double)size[2];
}

static void gemm_with(bench_run *run, ds__activation activation) {
    const ds__gemm *gemm = (const ds__gemm *)run->kernel;
    const size_t m = run->size[0], k = run->size[1], n = run->size[2];
    size_t packed = 0;
    if (!ds__gemm_packed_bytes(gemm, n, k, &packed)) abort();
    packed /= sizeof(float);
    gemm->run(&(ds__gemm_args){.a = run->in[0],
                               .lda = k,
                               .w = run->in[1] + run->turn % run->size[3] * packed,
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

static double pack_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    gemm_layout(kernel, size, counts);
    counts[INPUTS] = counts[1];
    counts[1] = size[2] * size[1];
    return 8.0 * (double)counts[1];
}

static void pack_call(bench_run *run) {
    const size_t k = run->size[1], n = run->size[2];
    ((const ds__gemm *)run->kernel)->pack(run->in[1], k, n, k, 0, run->out);
}

/* attention: size = {head_dim, tokens, heads}; q, k and v side by side in a row, as a fused product leaves them. */

static double attention_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    const size_t d = size[0], tokens = size[1], heads = size[2];
    counts[0] = tokens * 3 * heads * d;
    if (!((const ds__attention_f32 *)kernel)->scratch_floats(d, &counts[1])) abort();
    counts[2] = 0;
    counts[INPUTS] = tokens * heads * d;
    return 4.0 * (double)tokens * (double)tokens * (double)d * (double)heads;
}

static void attention_call(bench_run *run) {
    const ds__attention_f32 *attention = (const ds__attention_f32 *)run->kernel;
    const size_t d = run->size[0], tokens = run->size[1], heads = run->size[2], ld = 3 * heads * d;
    for (size_t head = 0; head < heads; head++) {
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

/* peak: size = {rounds}. */

static double peak_layout(const ds__kernel *kernel, const size_t *size, size_t *counts) {
    memset(counts, 0, (INPUTS + 1) * sizeof *counts);
    return (double)((const ds__peak *)kernel)->run(size[0]);
}

static void peak_call(bench_run *run) { ((const ds__peak *)run->kernel)->run(run->size[0]); }

static const bench_case cases[] = {
    {"gemm", "128x768x3072", "GFLOP/s", {128, 768, 3072, 1}, gemm_layout, gemm_call},
    {"gemm", "128x3072x768", "GFLOP/s", {128, 3072, 768, 1}, gemm_layout, gemm_call},
    {"gemm", "128x768x3072, from memory", "GFLOP/s", {128, 768, 3072, 13}, gemm_layout, gemm_call},
    {"gemm", "128x1024x4096", "GFLOP/s", {128, 1024, 4096, 1}, gemm_layout, gemm_call},
    {"gemm", "128x384x1536", "GFLOP/s", {128, 384, 1536, 1}, gemm_layout, gemm_call},
    {"gemm", "128x384x1536, gelu", "GFLOP/s", {128, 384, 1536, 1}, gemm_layout, gemm_gelu_call},
    {"gemm", "512x384x1536", "GFLOP/s", {512, 384, 1536, 1}, gemm_layout, gemm_call},
    {"gemm", "2048x768x768", "GFLOP/s", {2048, 768, 768, 1}, gemm_layout, gemm_call},
    {"gemm", "20x384x1536", "GFLOP/s", {20, 384, 1536, 1}, gemm_layout, gemm_call},
    {"gemm", "20x384x1536, from memory", "GFLOP/s", {20, 384, 1536, 40}, gemm_layout, gemm_call},
    {"gemm", "16x384x384", "GFLOP/s", {16, 384, 384, 1}, gemm_layout, gemm_call},
    {"gemm", "1x384x1536", "GFLOP/s", {1, 384, 1536, 1}, gemm_layout, gemm_call},
    {"gemm", "1x384x1536, from memory", "GFLOP/s", {1, 384, 1536, 40}, gemm_layout, gemm_call},
    {"gemm", "pack 3072x768", "GB/s", {1, 768, 3072, 1}, pack_layout, pack_call},
    {"attention", "12 heads of 32, 10 tokens", "GFLOP/s", {32, 10, 12}, attention_layout, attention_call},
    {"attention", "12 heads of 32, 20 tokens", "GFLOP/s", {32, 20, 12}, attention_layout, attention_call},
    {"attention", "12 heads of 32, 32 tokens", "GFLOP/s", {32, 32, 12}, attention_layout, attention_call},
    {"attention", "12 heads of 32, 128 tokens", "GFLOP/s", {32, 128, 12}, attention_layout, attention_call},
    {"attention", "12 heads of 32, 512 tokens", "GFLOP/s", {32, 512, 12}, attention_layout, attention_call},
    {"attention", "12 heads of 64, 20 tokens", "GFLOP/s", {64, 20, 12}, attention_layout, attention_call},
    {"attention", "12 heads of 64, 128 tokens", "GFLOP/s", {64, 128, 12}, attention_layout, attention_call},
    {"attention", "16 heads of 64, 512 tokens", "GFLOP/s", {64, 512, 16}, attention_layout, attention_call},
    {"elementwise", "add 128x384", "GB/s", {128, 384, 12}, rows_layout, add_call},
    {"elementwise", "mul 128x384", "GB/s", {128, 384, 12}, rows_layout, mul_call},
    {"elementwise", "gelu 128x1536", "GB/s", {128, 1536, 8}, rows_layout, gelu_call},
    {"elementwise", "gelu_tanh 128x1536", "GB/s", {128, 1536, 8}, rows_layout, gelu_tanh_call},
    {"elementwise", "tanh 128x1536", "GB/s", {128, 1536, 8}, rows_layout, tanh_call},
    {"elementwise", "widen f16 1536x384", "GB/s", {1536, 384, 6}, rows_layout, widen_f16_call},
    {"elementwise", "widen bf16 1536x384", "GB/s", {1536, 384, 6}, rows_layout, widen_bf16_call},
    {"norm", "layer_norm 128x384", "GB/s", {128, 384, 8}, rows_layout, layer_norm_call},
    {"norm", "layer_norm 128x768", "GB/s", {128, 768, 8}, rows_layout, layer_norm_call},
    {"norm", "l2_normalize 128x384", "GB/s", {128, 384, 8}, rows_layout, l2_normalize_call},
    {"reduce", "softmax 128x128", "GB/s", {128, 128, 8}, rows_layout, softmax_call},
    {"reduce", "mean_rows 128x384", "GB/s", {128, 384, 4}, rows_layout, mean_rows_call},
    {"reduce", "max_rows 128x384", "GB/s", {128, 384, 4}, rows_layout, max_rows_call},
    {"embed", "gather f32 128x384", "GB/s", {128, 384, 8}, embed_layout, gather_f32_call},
    {"embed", "gather f16 128x384", "GB/s", {128, 384, 6}, embed_layout, gather_f16_call},
    {"embed", "gather bf16 128x384", "GB/s", {128, 384, 6}, embed_layout, gather_bf16_call},
    {"peak", "4096 rounds", "GFLOP/s", {4096}, peak_layout, peak_call},
};

typedef struct bench_options {
    const char *family;
    double seconds; /* per row */
    bool json;
} bench_options;

/* GFLOP/s of the multiply-add loop: the best of a few milliseconds. */
static double measure_peak(void) {
    const ds__peak *peak = ds__peak_f32_choose();
    double best = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t start = ds__clock_ns(), flops = peak->run(4096), ns = ds__clock_ns() - start;
        if ((double)flops > best * (double)ns) best = (double)flops / (double)ns;
    }
    return best;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const bench_options *options, const bench_run *run, const bench_case *row, const double best[2],
                      double peak) {
    bool flops = strcmp(row->unit, "GFLOP/s") == 0;
    if (options->json) {
        printf("{\"family\":\"%s\",\"kernel\":\"%s\",\"case\":\"%s\",\"unit\":\"%s\",\"best\":%.2f,\"median\":%.2f,"
               "\"peak_gflops\":%.2f",
               row->family, run->kernel->name, row->text, row->unit, best[0], best[1], peak);
        if (flops) printf(",\"peak_share\":%.4f", best[0] / peak);
        printf("}\n");
    } else {
        printf("%-24s %-28s %8.1f %8.1f %-8s", run->kernel->name, row->text, best[0], best[1], row->unit);
        if (flops) printf(" %4.0f %% of %.0f", 100 * best[0] / peak, peak);
        printf("\n");
    }
    fflush(stdout);
}

/* One variant on one case; false when memory runs out. */
static bool measure(ds__heap *heap, const bench_options *options, const ds__kernel *kernel, const bench_case *row) {
    static double times[MAX_CALLS];
    bench_run run = {.kernel = kernel, .size = row->size};
    size_t counts[INPUTS + 1] = {0}, total = 0, calls = 0;
    double work = row->layout(kernel, row->size, counts);
    for (int i = 0; i <= INPUTS; i++) total += (counts[i] + 15) / 16 * 16;
    float *memory = ds__alloc(heap, total * sizeof *memory), *next = memory;
    if (!memory) return false;
    ds__random random = {1};
    for (size_t i = 0; i < total; i++) memory[i] = ds__random_f32(&random);
    for (int i = 0; i <= INPUTS; next += (counts[i] + 15) / 16 * 16, i++) *(i < INPUTS ? &run.in[i] : &run.out) = next;

    double peak = measure_peak();
    row->call(&run); /* warms the caches and the page tables */
    uint64_t begin = ds__clock_ns(), limit = (uint64_t)(options->seconds * 1e9);
    while (calls < MAX_CALLS && (calls < 3 || ds__clock_ns() - begin < limit)) {
        run.turn++;
        uint64_t start = ds__clock_ns();
        row->call(&run);
        times[calls++] = (double)(ds__clock_ns() - start);
    }
    double after = measure_peak();
    qsort(times, calls, sizeof *times, by_size);
    print_row(options, &run, row, (double[]){work / times[0], work / times[calls / 2]}, after > peak ? after : peak);
    ds__free(heap, memory, total * sizeof *memory);
    return true;
}

static bool parse(int argc, char **argv, bench_options *options) {
    static const struct option known[] = {{"family", required_argument, NULL, 'f'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'f': options->family = optarg; break;
        case 's': options->seconds = strtod(optarg, NULL); break;
        case 'j': options->json = true; break;
        default: return false;
        }
    }
    return optind == argc;
}

int main(int argc, char **argv) {
    bench_options options = {.seconds = 0.2};
    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: bench_kernels [--family NAME] [--seconds S] [--json]\n");
        return 2;
    }
    ds__heap heap;
    ds__heap_init(&heap, NULL, 0);
    size_t rows = 0;
    if (!options.json) printf("%s\n%-24s %-28s %8s %8s\n", ds__cpu_get()->name, "kernel", "case", "best", "median");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        if (options.family && strcmp(options.family, cases[c].family) != 0) continue;
        for (size_t i = 0; i < ds__kernel_count(); i++) {
            const ds__kernel *kernel = ds__kernel_at(i);
            if (strcmp(kernel->family, cases[c].family) != 0 || !ds__cpu_allows(kernel->isa)) continue;
            if (strcmp(kernel->family, "gemm") == 0 && strcmp(kernel->op, "gemm_f32") != 0) continue;
            rows++;
            if (!measure(&heap, &options, kernel, &cases[c])) {
                fprintf(stderr, "bench_kernels: no memory for %s, %s\n", kernel->name, cases[c].text);
                return 1;
            }
        }
    }
    if (rows == 0) fprintf(stderr, "bench_kernels: there is no family %s\n", options.family);
    return rows == 0;
}
