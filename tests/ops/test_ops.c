/* One table of cases for all operators: each is run on every backend at several sizes and compared with `ref`; every
 * row of ops.def must have a case. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "autograd/autograd.h"
#include "backends/backends.h"
#include "ops/ops.h"
#include "support/graph_case.h"

typedef struct op_case {
    const char *name;
    const ds__op *op;
    void (*build)(test_bench *bench, ds_graph *g);
} op_case;

static ds_value rows(ds_graph *g, const char *name, int64_t columns) {
    return ds__graph_input(g, name, DS_F32, 2, (ds_dim[]){ds__graph_symbol(g, "T"), ds__dim_of(columns)});
}

static ds_value starts(ds_graph *g) {
    ds_dim count = ds__graph_symbol(g, "B");
    count.base = 1;
    return ds__graph_input(g, "seq_start", DS_I32, 1, &count);
}

static ds_value matrix(test_bench *b, ds_graph *g, const char *name, int64_t n, int64_t k) {
    return test_weight(b, g, name, 2, (int64_t[]){n, k}, 0.3f);
}

static ds_value vector(test_bench *b, ds_graph *g, const char *name, int64_t n) {
    return test_weight(b, g, name, 1, &n, 1);
}

static void linear_plain(test_bench *b, ds_graph *g) {
    ds__graph_output(g, "y", ds__linear(g, rows(g, "x", 37), matrix(b, g, "w", 53, 37), DS_NO_VALUE));
}

static void linear_full(test_bench *b, ds_graph *g) {
    ds_value inputs[] = {rows(g, "x", 64), matrix(b, g, "w", 48, 64), vector(b, g, "bias", 48),
                         rows(g, "residual", 48)};
    ds__graph_output(g, "y",
                     ds__graph_add(g, &ds__op_linear, inputs, 4, (ds__attributes){.activation = DS__ACTIVATION_GELU}));
}

static void linear_half(test_bench *b, ds_graph *g) {
    ds_value w = test_half_weight(b, g, "w", DS_F16, 2, (int64_t[]){70, 24});
    ds_value v = test_half_weight(b, g, "v", DS_BF16, 2, (int64_t[]){9, 70});
    ds__graph_output(g, "y",
                     ds__linear(g, ds__linear(g, rows(g, "x", 24), w, DS_NO_VALUE), v, vector(b, g, "bias", 9)));
}

static void linear_of_vector(test_bench *b, ds_graph *g) {
    ds_value x = ds__graph_input(g, "x", DS_F32, 1, (ds_dim[]){ds__dim_of(20)});
    ds__graph_output(g, "y", ds__linear(g, x, matrix(b, g, "w", 7, 20), vector(b, g, "bias", 7)));
}

static void linear_of_cube(test_bench *b, ds_graph *g) {
    ds_dim shape[] = {ds__dim_of(3), ds__graph_symbol(g, "T"), ds__dim_of(10)};
    ds__graph_output(g, "y",
                     ds__linear(g, ds__graph_input(g, "x", DS_F32, 3, shape), matrix(b, g, "w", 12, 10), DS_NO_VALUE));
}

/* The weight is computed, so the cpu backend must decline. */
static void linear_of_input(test_bench *b, ds_graph *g) {
    (void)b;
    ds_value w = ds__graph_input(g, "w", DS_F32, 2, (ds_dim[]){ds__dim_of(6), ds__dim_of(5)});
    ds__graph_output(g, "y", ds__linear(g, rows(g, "x", 5), w, DS_NO_VALUE));
}

static void gather_f32(test_bench *b, ds_graph *g) {
    ds_dim count = ds__graph_symbol(g, "T");
    ds__graph_output(g, "y",
                     ds__gather(g, matrix(b, g, "table", 50, 33), ds__graph_input(g, "ids", DS_I32, 1, &count)));
}

static void gather_half(test_bench *b, ds_graph *g) {
    ds_dim count = ds__graph_symbol(g, "T");
    ds_value ids = ds__graph_input(g, "ids", DS_I32, 1, &count);
    ds_value f16 = ds__gather(g, test_half_weight(b, g, "t16", DS_F16, 2, (int64_t[]){50, 21}), ids);
    ds_value bf16 = ds__gather(g, test_half_weight(b, g, "tb16", DS_BF16, 2, (int64_t[]){50, 21}), ids);
    ds__graph_output(g, "y", ds__add(g, f16, bf16));
}

static void attention_of(ds_graph *g, int32_t heads, int32_t key_heads, int64_t d, bool causal, float scale) {
    int32_t keys = key_heads ? key_heads : heads;
    ds_value qkv[] = {rows(g, "q", heads * d), rows(g, "k", keys * d), rows(g, "v", keys * d)};
    ds_attention_config config = {heads, key_heads, scale, causal};
    ds__graph_output(g, "y", ds__attention(g, qkv, starts(g), config));
}

static void attention_plain(test_bench *b, ds_graph *g) {
    (void)b;
    attention_of(g, 3, 0, 32, false, 0);
}
static void attention_odd(test_bench *b, ds_graph *g) {
    (void)b;
    attention_of(g, 5, 0, 7, false, 0.2f);
}
static void attention_causal(test_bench *b, ds_graph *g) {
    (void)b;
    attention_of(g, 2, 0, 16, true, 0);
}
static void attention_grouped(test_bench *b, ds_graph *g) {
    (void)b;
    attention_of(g, 6, 2, 12, false, 0);
}

static void attention_of_slices(test_bench *b, ds_graph *g) {
    ds_value all = ds__linear(g, rows(g, "x", 20), matrix(b, g, "w", 96, 20), DS_NO_VALUE);
    ds_value qkv[] = {ds__slice(g, all, 0, 32), ds__slice(g, all, 32, 32), ds__slice(g, all, 64, 32)};
    ds__graph_output(g, "y", ds__attention(g, qkv, starts(g), (ds_attention_config){.heads = 2}));
}

static void layer_norm(test_bench *b, ds_graph *g) {
    ds__graph_output(g, "y",
                     ds__layer_norm(g, rows(g, "x", 45), vector(b, g, "gamma", 45), vector(b, g, "beta", 45), 1e-5f));
}

static void l2_normalize(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__l2_normalize(g, rows(g, "x", 19), 1e-12f));
}

static void softmax(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__softmax(g, rows(g, "x", 23)));
}

static void activations(test_bench *b, ds_graph *g) {
    (void)b;
    ds_value x = rows(g, "x", 41), three = ds__add(g, ds__add(g, x, x), x);
    for (int a = DS__ACTIVATION_RELU; a < DS__ACTIVATION_COUNT; a++)
        ds__graph_output(g, "y", ds__activate(g, three, (ds__activation)a));
}

static void add(test_bench *b, ds_graph *g) {
    ds_value sum = ds__add(g, rows(g, "a", 17), rows(g, "b", 17));
    ds__graph_output(g, "y", ds__add(g, sum, vector(b, g, "row", 17)));
}

static void mul(test_bench *b, ds_graph *g) {
    ds_value product = ds__mul(g, rows(g, "a", 17), rows(g, "b", 17));
    ds__graph_output(g, "y", ds__mul(g, product, vector(b, g, "row", 17)));
}

static void pool(test_bench *b, ds_graph *g) {
    (void)b;
    ds_value x = rows(g, "x", 29), start = starts(g);
    ds__graph_output(g, "mean", ds__pool_rows(g, x, start, DS__POOL_MEAN));
    ds__graph_output(g, "max", ds__pool_rows(g, x, start, DS__POOL_MAX));
    ds__graph_output(g, "first", ds__pool_rows(g, x, start, DS__POOL_FIRST));
}

static void slice(test_bench *b, ds_graph *g) {
    (void)b;
    ds_value x = ds__activate(g, rows(g, "x", 30), DS__ACTIVATION_TANH);
    ds_value inner = ds__slice(g, ds__slice(g, x, 4, 20), 3, 10); /* a view of a view */
    ds__graph_output(g, "view", inner);
    ds__graph_output(g, "used", ds__activate(g, inner, DS__ACTIVATION_SIGMOID));
    ds__graph_output(g, "all", x);
    ds__graph_output(g, "again", x);
}

static void matmul(test_bench *b, ds_graph *g) {
    (void)b;
    ds_value x = rows(g, "x", 40), y = rows(g, "y", 24);
    ds_value tall = ds__scale(g, ds__multiply(g, y, true, x, false), 0.05f); /* [24, 40] */
    ds__graph_output(g, "tall", tall);
    ds_value wide = ds__multiply(g, x, false, tall, true); /* [T, 24] */
    ds_value inputs[] = {wide, tall, vector(b, g, "bias", 40), x};
    ds__graph_output(g, "all", ds__graph_add(g, &ds__op_matmul, inputs, 4, (ds__attributes){0}));
}

static ds_value rng(ds_graph *g) { return ds__graph_input(g, "rng", DS_I32, 1, (ds_dim[]){ds__dim_of(3)}); }

static void dropout(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__dropout_of(g, rows(g, "x", 27), rng(g), 0.3f, 5));
}

static void attention_dropout(test_bench *b, ds_graph *g) {
    (void)b;
    ds_value inputs[] = {rows(g, "q", 48), rows(g, "k", 48), rows(g, "v", 48), starts(g), rng(g)};
    ds__graph_output(
        g, "y",
        ds__graph_add(g, &ds__op_attention, inputs, 5, (ds__attributes){.heads = 3, .dropout = 0.25f, .site = 2}));
}

static void fake_quantize(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "w", ds__fake_quantize(g, rows(g, "w", 31), true));
    ds__graph_output(g, "x", ds__fake_quantize(g, rows(g, "x", 31), false));
}

static ds_value logits(ds_graph *g) { return rows(g, "logits", 53); }
static ds_value labels(ds_graph *g) {
    ds_dim count = ds__graph_symbol(g, "T");
    return ds__graph_input(g, "labels", DS_I32, 1, &count);
}

static void cross_entropy(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__cross_entropy(g, logits(g), labels(g), 0));
}
static void cross_entropy_smooth(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__cross_entropy(g, logits(g), labels(g), 0.1f));
}
static void soft_cross_entropy(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__soft_cross_entropy(g, logits(g), ds__softmax(g, rows(g, "teacher", 53))));
}
static void binary_cross_entropy(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__binary_cross_entropy(g, logits(g), rows(g, "targets", 53)));
}
static void squared_error(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__squared_error(g, rows(g, "x", 9), rows(g, "targets", 9)));
}

static ds_value pairs(ds_graph *g) {
    ds_dim count = ds__graph_symbol(g, "P");
    count.factor = 2;
    return ds__graph_input(g, "x", DS_F32, 2, (ds_dim[]){count, ds__dim_of(11)});
}
static void pair_cosine(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__pair_cosine(g, pairs(g)));
}
static void in_batch_negatives(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__in_batch_negatives(g, ds__l2_normalize(g, pairs(g), 1e-12f), 20));
}
static void scale(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__scale(g, rows(g, "x", 45), 1.5f));
}
static void scatter_residual(test_bench *b, ds_graph *g) {
    (void)b;
    ds_dim count = ds__graph_symbol(g, "T");
    ds_value inputs[] = {rows(g, "dy", 33), ds__graph_input(g, "ids", DS_I32, 1, &count),
                         ds__graph_input(g, "base", DS_F32, 2, (ds_dim[]){ds__dim_of(50), ds__dim_of(33)})};
    ds__graph_output(g, "y", ds__graph_add(g, &ds__op_scatter_add, inputs, 3, (ds__attributes){.count = 50}));
}
static void scatter_but_one_row(test_bench *b, ds_graph *g) {
    (void)b;
    ds_dim count = ds__graph_symbol(g, "T");
    ds_value inputs[] = {rows(g, "dy", 33), ds__graph_input(g, "ids", DS_I32, 1, &count)};
    ds__graph_output(g, "y",
                     ds__graph_add(g, &ds__op_scatter_add, inputs, 2, (ds__attributes){.count = 50, .skipped = 1 + 3}));
}
static void sum_rows(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__sum_rows(g, rows(g, "x", 45)));
}

/* Puts the gradients of a case's first output in the place of its outputs. */
static void gradients_of(test_bench *b, ds_graph *g, void (*build)(test_bench *, ds_graph *)) {
    int32_t parameters[16], gradients[16];
    ds__differentiation job = {.parameters = parameters, .gradients = gradients};
    ds_error error;
    build(b, g);
    for (size_t v = 0; v < g->value_count; v++)
        if (g->values[v].dtype == DS_F32 && g->values[v].kind != DS__VALUE_TEMPORARY)
            parameters[job.count++] = (int32_t)v;
    job.loss = g->outputs[0].value;
    const ds__shape shape = g->values[job.loss].shape;
    job.seed = ds__graph_input(g, "seed", DS_F32, shape.rank, shape.dims).index;
    g->output_count = 0;
    assert_int_equal(ds__autograd(g, &job, &error), DS_OK);
    for (size_t i = 0; i < job.count; i++)
        if (gradients[i] >= 0) ds__graph_output(g, g->values[parameters[i]].name, (ds_value){gradients[i]});
}

#define GRADIENT(name)                                                                                                 \
    static void name##_grad(test_bench *b, ds_graph *g) { gradients_of(b, g, name); }
GRADIENT(linear_plain)
GRADIENT(gather_f32)
GRADIENT(attention_plain)
GRADIENT(attention_odd)
GRADIENT(attention_causal)
GRADIENT(attention_grouped)
GRADIENT(attention_dropout)
GRADIENT(layer_norm)
GRADIENT(l2_normalize)
GRADIENT(softmax)
GRADIENT(activations)
GRADIENT(pool)
GRADIENT(cross_entropy)
GRADIENT(cross_entropy_smooth)
GRADIENT(soft_cross_entropy)
GRADIENT(binary_cross_entropy)
GRADIENT(squared_error)
GRADIENT(pair_cosine)
GRADIENT(in_batch_negatives)
static void pool_max(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__pool_rows(g, rows(g, "x", 29), starts(g), DS__POOL_MAX));
}
GRADIENT(pool_max)
static void slice_of(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__activate(g, ds__slice(g, rows(g, "x", 30), 4, 20), DS__ACTIVATION_TANH));
}
GRADIENT(slice_of)

static void narrow(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__multiply(g, rows(g, "dy", 17), true, ds__narrow(g, rows(g, "x", 35)), false));
}

static void widen(test_bench *b, ds_graph *g) {
    (void)b;
    ds__graph_output(g, "y", ds__widen(g, ds__narrow(g, rows(g, "x", 35))));
}

/* A state with values in [0, 1). */
static ds_value state_of(test_bench *b, ds_graph *g, const char *name, int64_t n, int64_t k) {
    const size_t elements = (size_t)(n * k);
    float *data = ds__arena_alloc(&b->arena, elements * sizeof *data);
    for (size_t i = 0; i < elements; i++) data[i] = fabsf(ds__random_f32(&b->random));
    return ds__graph_state(g, name, 2, (int64_t[]){n, k}, data);
}

static void update_of(test_bench *b, ds_graph *g, int moments, int64_t n) {
    const ds_value x = rows(g, "x", 65), dy = rows(g, "dy", n);
    const ds_dim many = ds__graph_symbol(g, "T");
    const ds_value inputs[DS__UPDATE_SECOND + 1] = {
        [DS__UPDATE_GRADIENT] = ds__multiply(g, dy, true, x, false),
        [DS__UPDATE_SETTINGS] =
            ds__graph_input(g, "settings", DS_F32, 2, (ds_dim[]){ds__dim_of(3), ds__dim_of(DS__UPDATE_COLUMNS)}),
        [DS__UPDATE_LOSS] = ds__graph_input(g, "loss", DS_F32, 1, &many),
        [DS__UPDATE_WEIGHT] = state_of(b, g, "w", n, 65),
        [DS__UPDATE_FIRST] = moments > 0 ? state_of(b, g, "m", n, 65) : DS_NO_VALUE,
        [DS__UPDATE_SECOND] = moments > 1 ? state_of(b, g, "v", n, 65) : DS_NO_VALUE,
    };
    ds__graph_output(g, "length", ds__update(g, inputs, 1));
}

static void update_adamw(test_bench *b, ds_graph *g) { update_of(b, g, 2, 9); }
static void update_momentum(test_bench *b, ds_graph *g) { update_of(b, g, 1, 9); }
static void update_sgd(test_bench *b, ds_graph *g) { update_of(b, g, 0, 2500); /* three chunks */ }

static const op_case cases[] = {
    {"linear", &ds__op_linear, linear_plain},
    {"linear with everything", &ds__op_linear, linear_full},
    {"linear of half weights", &ds__op_linear, linear_half},
    {"linear of a vector", &ds__op_linear, linear_of_vector},
    {"linear of rank 3", &ds__op_linear, linear_of_cube},
    {"linear with a computed weight", &ds__op_linear, linear_of_input},
    {"gather", &ds__op_gather, gather_f32},
    {"gather from half tables", &ds__op_gather, gather_half},
    {"attention", &ds__op_attention, attention_plain},
    {"attention of odd sizes", &ds__op_attention, attention_odd},
    {"attention, causal", &ds__op_attention, attention_causal},
    {"attention with fewer heads of keys", &ds__op_attention, attention_grouped},
    {"attention of slices", &ds__op_attention, attention_of_slices},
    {"layer_norm", &ds__op_layer_norm, layer_norm},
    {"l2_normalize", &ds__op_l2_normalize, l2_normalize},
    {"softmax", &ds__op_softmax, softmax},
    {"activation", &ds__op_activation, activations},
    {"add", &ds__op_add, add},
    {"mul", &ds__op_mul, mul},
    {"pool", &ds__op_pool, pool},
    {"slice", &ds__op_slice, slice},
    {"matmul", &ds__op_matmul, matmul},
    {"dropout", &ds__op_dropout, dropout},
    {"attention with dropout", &ds__op_attention, attention_dropout},
    {"fake_quantize", &ds__op_fake_quantize, fake_quantize},
    {"cross_entropy", &ds__op_cross_entropy, cross_entropy},
    {"cross_entropy, smoothed", &ds__op_cross_entropy, cross_entropy_smooth},
    {"soft_cross_entropy", &ds__op_soft_cross_entropy, soft_cross_entropy},
    {"binary_cross_entropy", &ds__op_binary_cross_entropy, binary_cross_entropy},
    {"squared_error", &ds__op_squared_error, squared_error},
    {"pair_cosine", &ds__op_pair_cosine, pair_cosine},
    {"in_batch_negatives", &ds__op_in_batch_negatives, in_batch_negatives},
    {"scale", &ds__op_scale, scale},
    {"scatter_add but one row", &ds__op_scatter_add, scatter_but_one_row},
    {"scatter_add to a residual", &ds__op_scatter_add, scatter_residual},
    {"sum_rows", &ds__op_sum_rows, sum_rows},
    {"linear's gradient", &ds__op_matmul, linear_plain_grad},
    {"gather's gradient", &ds__op_scatter_add, gather_f32_grad},
    {"attention's gradient", &ds__op_attention_grad, attention_plain_grad},
    {"attention's gradient, odd sizes", &ds__op_attention_grad, attention_odd_grad},
    {"attention's gradient, causal", &ds__op_attention_grad, attention_causal_grad},
    {"attention's gradient, fewer heads of keys", &ds__op_attention_grad, attention_grouped_grad},
    {"attention's gradient with dropout", &ds__op_attention_grad, attention_dropout_grad},
    {"layer_norm's gradient", &ds__op_layer_norm_grad, layer_norm_grad},
    {"layer_norm's gradient for gamma", &ds__op_layer_norm_grad_gamma, layer_norm_grad},
    {"l2_normalize's gradient", &ds__op_l2_normalize_grad, l2_normalize_grad},
    {"softmax's gradient", &ds__op_softmax_grad, softmax_grad},
    {"activation's gradient", &ds__op_activation_grad, activations_grad},
    {"pool's gradient", &ds__op_pool_grad, pool_grad},
    {"pool's gradient, maximum", &ds__op_pool_grad, pool_max_grad},
    {"slice's gradient", &ds__op_pad_columns, slice_of_grad},
    {"cross_entropy's gradient", &ds__op_cross_entropy_grad, cross_entropy_grad},
    {"cross_entropy's gradient, smoothed", &ds__op_cross_entropy_grad, cross_entropy_smooth_grad},
    {"soft_cross_entropy's gradient", &ds__op_soft_cross_entropy_grad, soft_cross_entropy_grad},
    {"binary_cross_entropy's gradient", &ds__op_binary_cross_entropy_grad, binary_cross_entropy_grad},
    {"squared_error's gradient", &ds__op_squared_error_grad, squared_error_grad},
    {"pair_cosine's gradient", &ds__op_pair_cosine_grad, pair_cosine_grad},
    {"in_batch_negatives' gradient", &ds__op_in_batch_negatives_grad, in_batch_negatives_grad},
    {"narrow", &ds__op_narrow, narrow},
    {"widen", &ds__op_widen, widen},
    {"update by AdamW", &ds__op_update, update_adamw},
    {"update by SGD with momentum", &ds__op_update, update_momentum},
    {"update by SGD", &ds__op_update, update_sgd},
};

enum { CASES = sizeof cases / sizeof *cases };

static void every_operator_has_a_case(void **state) {
    (void)state;
    for (size_t i = 0; i < ds__op_count(); i++) {
        size_t found = 0;
        for (size_t c = 0; c < CASES; c++) found += cases[c].op == ds__op_at(i).op;
        if (!found) fail_msg("%s has no case in this table", ds__op_at(i).op->name);
    }
}

static void backends_agree_with_ref(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {5, 2}, {16, 16}, {33, 3}, {130, 7}}; /* T, B */
    for (int threads = 1; threads <= 3; threads++)
        for (size_t c = 0; c < CASES; c++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                test_bench bench;
                ds_graph *graph;
                ds_error error;
                size_t count, same;
                int64_t symbols[DS__MAX_SYMBOLS] = {0};
                test_bench_open(&bench, threads, c * 100 + s);
                assert_int_equal(ds__graph_create(bench.context, &graph, &error), DS_OK);
                cases[c].build(&bench, graph);
                for (int32_t i = 0; i < graph->symbol_count; i++)
                    symbols[i] = sizes[s][strcmp(graph->symbols[i], "T") != 0];
                const void **inputs = test_inputs(&bench, graph, symbols, 50);
                float *expected = test_run(&bench, graph, DS__BACKEND_COUNT - 1, "all", symbols, inputs, &count);
                float *got = test_run(&bench, graph, 0, "all", symbols, inputs, &same);
                assert_int_equal(count, same);
                test_close(cases[c].name, got, expected, count, 2e-5);
                ds__graph_destroy(graph);
                test_bench_close(&bench);
            }
}

/* The gradient against finite differences: along a random direction d of all parameters together,
 * (f(x + e d) - f(x - e d)) / 2e = gradient . d,  f = seed . y. */
typedef struct direction {
    test_bench bench;
    ds_graph *forward, *backward;
    int64_t symbols[DS__MAX_SYMBOLS];
    int32_t parameters[16];
    size_t count;
} direction;

static double along(direction *d, float *data, const float *step, size_t elements, const void **inputs,
                    const float *seed) {
    double sums[2] = {0, 0};
    size_t count, first = 0;
    const float epsilon = 4e-3f;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < elements; i++) data[i] += (side ? -2 : 1) * epsilon * step[i];
        float *y = test_run(&d->bench, d->forward, DS__BACKEND_COUNT - 1, "all", d->symbols, inputs, &count);
        assert_true(ds__value_elements(&d->forward->values[d->forward->outputs[0].value], d->symbols, &first));
        for (size_t i = 0; i < first; i++) sums[side] += (double)seed[i] * y[i];
    }
    for (size_t i = 0; i < elements; i++) data[i] += epsilon * step[i];
    return (sums[0] - sums[1]) / (2 * (double)epsilon);
}

static int64_t last_dim(const ds_graph *g, int32_t value) {
    const ds__shape *shape = &g->values[value].shape;
    return shape->dims[shape->rank - 1].base;
}

static void check_gradient(const op_case *c, uint64_t number) {
    direction d = {.count = 0};
    ds_error error;
    size_t count, at = 0;
    test_bench_open(&d.bench, 1, number);
    assert_int_equal(ds__graph_create(d.bench.context, &d.forward, &error), DS_OK);
    c->build(&d.bench, d.forward);
    assert_int_equal(ds__graph_copy(d.forward, &d.backward, &error), DS_OK);
    ds_graph *g = d.backward;
    int32_t gradients[16];
    ds__differentiation job = {.parameters = d.parameters, .gradients = gradients, .loss = g->outputs[0].value};
    for (size_t v = 0; v < g->value_count; v++)
        if (g->values[v].dtype == DS_F32 && g->values[v].kind != DS__VALUE_TEMPORARY)
            d.parameters[job.count++] = (int32_t)v;
    const ds__shape shape = g->values[job.loss].shape;
    job.seed = ds__graph_input(g, "seed", DS_F32, shape.rank, shape.dims).index;
    g->output_count = 0;
    assert_int_equal(ds__autograd(g, &job, &error), DS_OK);
    for (size_t i = 0; i < job.count; i++)
        if (gradients[i] >= 0) /* a view, since add hands on the seed, which is an input */
            ds__graph_output(g, g->values[d.parameters[i]].name,
                             ds__slice(g, (ds_value){gradients[i]}, 0, last_dim(g, gradients[i])));
    for (int32_t i = 0; i < g->symbol_count; i++) d.symbols[i] = strcmp(g->symbols[i], "T") == 0 ? 7 : 3;
    const void **inputs = test_inputs(&d.bench, g, d.symbols, 50);
    size_t places = 0;
    for (size_t v = 0; v < g->value_count; v++) places += g->values[v].kind == DS__VALUE_INPUT;
    float *got = test_run(&d.bench, g, DS__BACKEND_COUNT - 1, "all", d.symbols, inputs, &count);
    for (size_t i = 0; i < job.count; i++) {
        if (gradients[i] < 0) continue;
        const ds__value *value = &d.forward->values[d.parameters[i]];
        size_t elements = 0, place = 0;
        for (int32_t v = 0; v < d.parameters[i]; v++) place += d.forward->values[v].kind == DS__VALUE_INPUT;
        float *data = value->kind == DS__VALUE_INPUT ? (float *)inputs[place] : (float *)value->data;
        assert_true(ds__value_elements(value, d.symbols, &elements));
        float *step = ds__arena_alloc(&d.bench.arena, elements * sizeof *step);
        double expected = 0;
        for (size_t e = 0; e < elements; e++) {
            step[e] = ds__random_f32(&d.bench.random);
            expected += (double)step[e] * got[at + e];
        }
        at += elements;
        double found = along(&d, data, step, elements, inputs, inputs[places - 1]);
        if (!(fabs(found - expected) <= 4e-3 * (1 + fabs(expected))))
            fail_msg("%s: along a direction of %s f changes by %g, the gradient says %g", c->name, value->name, found,
                     expected);
    }
    ds__graph_destroy(d.forward);
    ds__graph_destroy(d.backward);
    test_bench_close(&d.bench);
}

static void gradients_agree_with_differences(void **state) {
    (void)state;
    static const char *const without[] = {"linear with everything",
                                          "linear of half weights",
                                          "linear of rank 3",
                                          "linear of a vector",
                                          "gather from half tables",
                                          "fake_quantize",
                                          NULL};
    size_t checked = 0;
    for (size_t c = 0; c < CASES; c++) {
        bool skip = !cases[c].op->gradient || strstr(cases[c].name, "gradient");
        for (size_t i = 0; without[i]; i++) skip = skip || strcmp(cases[c].name, without[i]) == 0;
        if (skip) continue;
        check_gradient(&cases[c], 7 + c);
        checked++;
    }
    assert_true(checked > 20);
}

/* What a run leaves in the states of a graph, all of them one behind the other; they are put back as they were. */
static size_t states_after(test_bench *bench, const ds_graph *g, size_t first_backend, const int64_t *symbols,
                           const void *const *inputs, float *out) {
    float *before[3] = {NULL};
    size_t elements, count, at = 0, states = 0;
    for (size_t v = 0; v < g->value_count; v++) {
        if (g->values[v].kind != DS__VALUE_STATE) continue;
        assert_true(ds__value_elements(&g->values[v], symbols, &elements));
        before[states] = ds__arena_alloc(&bench->arena, elements * sizeof(float));
        memcpy(before[states++], g->values[v].data, elements * sizeof(float));
    }
    test_run(bench, g, first_backend, NULL, symbols, inputs, &count);
    states = 0;
    for (size_t v = 0; v < g->value_count; v++) {
        if (g->values[v].kind != DS__VALUE_STATE) continue;
        assert_true(ds__value_elements(&g->values[v], symbols, &elements));
        memcpy(out + at, g->values[v].data, elements * sizeof(float));
        memcpy((float *)g->values[v].data, before[states++], elements * sizeof(float));
        at += elements;
    }
    return at;
}

/* Settings as a step has them; a row's loss that is not finite leaves all states as they were. */
static void updates_agree_with_ref(void **state) {
    (void)state;
    enum { MOST = 3 * 2500 * 65 };
    for (int moments = 0; moments <= 2; moments++) {
        test_bench bench;
        ds_graph *g;
        ds_error error;
        static float expected[MOST], got[MOST], kept[MOST];
        int64_t symbols[DS__MAX_SYMBOLS] = {5};
        test_bench_open(&bench, 2, (uint64_t)moments);
        assert_int_equal(ds__graph_create(bench.context, &g, &error), DS_OK);
        update_of(&bench, g, moments, 2500);
        const void **inputs = test_inputs(&bench, g, symbols, 1);
        float *settings = (float *)inputs[2], *loss = (float *)inputs[3];
        for (int i = 0; i < 3 * DS__UPDATE_COLUMNS; i++) settings[i] = 0.5f + fabsf(settings[i]) / 4;
        const size_t count = states_after(&bench, g, DS__BACKEND_COUNT - 1, symbols, inputs, expected);
        assert_int_equal(count, (size_t)(moments + 1) * 2500 * 65);
        states_after(&bench, g, 0, symbols, inputs, got);
        test_close("update", got, expected, count, 2e-5);
        for (size_t first = 0; first < DS__BACKEND_COUNT; first++) {
            loss[4] = NAN;
            states_after(&bench, g, first, symbols, inputs, kept);
            loss[4] = 1;
            size_t at = 0, same = 0;
            for (size_t v = 0; v < g->value_count; v++)
                for (size_t i = 0; g->values[v].kind == DS__VALUE_STATE && i < 2500 * 65; i++, at++)
                    same += kept[at] == ((const float *)g->values[v].data)[i];
            assert_int_equal(same, count);
            assert_true(memcmp(kept, expected, count * sizeof *kept) != 0);
        }
        ds__graph_destroy(g);
        test_bench_close(&bench);
    }
}

/* Ids and starts come from outside at each run: wrong ones are refused on every backend, with both values. */
static void wrong_data_is_refused(void **state) {
    (void)state;
    for (size_t first = 0; first < DS__BACKEND_COUNT; first++) {
        test_bench bench;
        ds_graph *graph;
        ds_error error;
        ds__weight_store *store;
        ds__program *program;
        ds__execution *execution;
        ds__workspace workspace;
        float y[8];
        test_bench_open(&bench, 2, 1);
        ds__workspace_init(&workspace, &bench.context->heap);
        assert_int_equal(ds__graph_create(bench.context, &graph, &error), DS_OK);
        ds_value ids = ds__graph_input(graph, "ids", DS_I32, 1, (ds_dim[]){ds__dim_of(2)});
        ds_value start = ds__graph_input(graph, "seq_start", DS_I32, 1, (ds_dim[]){ds__dim_of(3)});
        ds_value x = ds__gather(graph, matrix(&bench, graph, "table", 10, 4), ids);
        ds__graph_output(graph, "y", ds__pool_rows(graph, x, start, DS__POOL_MEAN));
        ds__program_options options = {ds__backends + first, DS__BACKEND_COUNT - first, {NULL, NULL}};
        assert_int_equal(ds__weight_store_create(bench.context, &store, &error), DS_OK);
        assert_int_equal(ds__program_create(graph, store, &options, &program, &error), DS_OK);
        assert_int_equal(ds__execution_create(program, &workspace, &execution, &error), DS_OK);
        static const struct {
            int32_t ids[2], start[3];
            const char *sentence;
        } wrong[] = {
            {{3, 10}, {0, 1, 2}, "id 10 at position 1 is outside the table of 10 rows"},
            {{-1, 0}, {0, 1, 2}, "id -1 at position 0 is outside the table of 10 rows"},
            {{0, 1}, {0, 1, 3}, "seq_start runs from 0 to 3, expected 0 to 2"},
            {{0, 1}, {1, 1, 2}, "seq_start runs from 1 to 2, expected 0 to 2"},
            {{0, 1}, {0, 0, 2}, "sequence 0 runs from token 0 to 0, expected at least one token"},
            {{0, 1}, {0, 5, 2}, "sequence 1 runs from token 5 to 2, expected at least one token"},
        };
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            const void *inputs[] = {wrong[i].ids, wrong[i].start};
            assert_int_equal(ds__execution_run(execution, NULL, inputs, (void *[]){y}, &error), DS_INVALID_ARGUMENT);
            assert_non_null(strstr(error.message, wrong[i].sentence));
        }
        ds__execution_destroy(execution);
        ds__workspace_deinit(&workspace);
        ds__program_destroy(program);
        ds__weight_store_destroy(store);
        test_bench_close(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_has_a_case),
        cmocka_unit_test(backends_agree_with_ref),
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(updates_agree_with_ref),
        cmocka_unit_test(wrong_data_is_refused),
    };
    return cmocka_run_group_tests_name("operators", tests, NULL, NULL);
}
