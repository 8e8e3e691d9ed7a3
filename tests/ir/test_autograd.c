/* What is done to a differentiated graph: values kept for the backward part in bfloat16. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "autograd/autograd.h"
#include "backends/backends.h"
#include "support/graph_case.h"

static ds_error error;

static ds_value matrix(test_bench *b, ds_graph *g, int64_t n, int64_t k) {
    char name[24];
    snprintf(name, sizeof name, "w%zu", g->value_count);
    return test_weight(b, g, name, 2, (int64_t[]){n, k}, 0.4f);
}

static ds_value normed(test_bench *b, ds_graph *g, ds_value x) {
    int64_t n = 16;
    return ds__layer_norm(g, x, test_weight(b, g, "gamma", 1, &n, 1), test_weight(b, g, "beta", 1, &n, 1), 1e-5f);
}

/* An encoder layer behind a norm, and the gradients of its matrices; without `activates` what stands for its activation
 * has a gradient that reads nothing. `forward` as autograd tells it. */
static ds_graph *layer_with_gradients(test_bench *b, bool activates, size_t *forward) {
    ds_graph *g;
    assert_int_equal(ds__graph_create(b->context, &g, &error), DS_OK);
    ds_dim starts = ds__graph_symbol(g, "B"), tokens = ds__graph_symbol(g, "T");
    starts.base = 1;
    ds_value x = ds__graph_input(g, "x", DS_F32, 2, (ds_dim[]){tokens, ds__dim_of(16)}), qkv[3];
    ds_value start = ds__graph_input(g, "seq_start", DS_I32, 1, &starts);
    ds_value h = normed(b, g, x);
    for (int i = 0; i < 3; i++) qkv[i] = ds__linear(g, h, matrix(b, g, 16, 16), DS_NO_VALUE);
    ds_value a = ds__attention(g, qkv, start, (ds_attention_config){.heads = 4});
    h = normed(b, g, ds__add(g, ds__linear(g, a, matrix(b, g, 16, 16), DS_NO_VALUE), h));
    ds_value up = ds__linear(g, h, matrix(b, g, 40, 16), DS_NO_VALUE);
    up = activates ? ds__activate(g, up, DS__ACTIVATION_GELU) : ds__add(g, up, up);
    ds_value y = ds__linear(g, up, matrix(b, g, 16, 40), DS_NO_VALUE);
    int32_t parameters[16], gradients[16];
    ds__differentiation job = {.loss = y.index, .parameters = parameters, .gradients = gradients};
    for (size_t v = 0; v < g->value_count; v++)
        if (g->values[v].kind == DS__VALUE_WEIGHT && g->values[v].shape.rank == 2) parameters[job.count++] = (int32_t)v;
    job.seed = ds__graph_input(g, "seed", DS_F32, 2, g->values[y.index].shape.dims).index;
    assert_int_equal(ds__autograd(g, &job, &error), DS_OK);
    for (size_t i = 0; i < job.count; i++) ds__graph_output(g, "gradient", (ds_value){gradients[i]});
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].op == &ds__op_matmul) g->nodes[i].attributes.precision = DS__PRECISION_BF16;
    *forward = job.forward;
    return g;
}

static size_t count_ops(const ds_graph *g, const ds__op *op) {
    size_t count = 0;
    for (size_t i = 0; i < g->node_count; i++) count += g->nodes[i].op == op;
    return count;
}

/* Gradients with values kept narrow against those without, node by node and in blocks. bound 0: the same bits. */
static void compare_narrow(bool activates, size_t narrow_nodes, size_t widen_nodes, double bound) {
    static const int64_t tokens[] = {1, 7, 40, 150};
    for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
        test_bench bench;
        size_t forward, count, same;
        int64_t symbols[DS__MAX_SYMBOLS] = {0};
        test_bench_open(&bench, 2, 5);
        ds_graph *g = layer_with_gradients(&bench, activates, &forward), *narrow;
        for (int32_t i = 0; i < g->symbol_count; i++) symbols[i] = strcmp(g->symbols[i], "T") == 0 ? tokens[t] : 1;
        const void **inputs = test_inputs(&bench, g, symbols, 1);
        assert_int_equal(ds__graph_copy(g, &narrow, &error), DS_OK);
        assert_int_equal(ds__keep_narrow(narrow, forward, &error), DS_OK);
        assert_int_equal(count_ops(narrow, &ds__op_narrow), narrow_nodes);
        assert_int_equal(count_ops(narrow, &ds__op_widen), widen_nodes);
        float *expected = test_run(&bench, g, 0, NULL, symbols, inputs, &count);
        float *got = test_run(&bench, narrow, 0, NULL, symbols, inputs, &same);
        assert_int_equal(count, same);
        if (bound == 0) assert_memory_equal(got, expected, count * sizeof *got);
        if (bound != 0) assert_memory_not_equal(got, expected, count * sizeof *got);
        test_close("narrow", got, expected, count, bound);
        got = test_run(&bench, narrow, DS__BACKEND_COUNT - 1, NULL, symbols, inputs, &same);
        test_close("narrow, by the reference", got, expected, count, 0.1);
        ds__graph_destroy(narrow);
        ds__graph_destroy(g);
        test_bench_close(&bench);
    }
}

/* Both norms' results and what goes into the last product are read by products alone; what attention gives, its
 * gradient reads too. */
static void values_that_products_read_keep_every_bit(void **state) {
    (void)state;
    compare_narrow(false, 3, 0, 0);
}

static void what_is_activated_is_rounded(void **state) {
    (void)state;
    compare_narrow(true, 4, 1, 0.05);
}

/* Products of floats would not round, so nothing is. */
static void products_of_floats_keep_floats(void **state) {
    (void)state;
    test_bench bench;
    size_t forward;
    test_bench_open(&bench, 1, 5);
    ds_graph *g = layer_with_gradients(&bench, false, &forward);
    for (size_t i = 0; i < g->node_count; i++) g->nodes[i].attributes.precision = DS__PRECISION_F32;
    assert_int_equal(ds__keep_narrow(g, forward, &error), DS_OK);
    assert_int_equal(count_ops(g, &ds__op_narrow), 0);
    ds__graph_destroy(g);
    test_bench_close(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_products_read_keep_every_bit),
        cmocka_unit_test(what_is_activated_is_rounded),
        cmocka_unit_test(products_of_floats_keep_floats),
    };
    return cmocka_run_group_tests_name("autograd", tests, NULL, NULL);
}
