/* Each pass on the pattern it is for, and random graphs that must give the same results with every pass on and off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "passes/pass.h"
#include "support/graph_case.h"

static ds_error error;

static ds_value rows(ds_graph *g, const char *name, int64_t columns) {
    return ds__graph_input(g, name, DS_F32, 2, (ds_dim[]){ds__graph_symbol(g, "T"), ds__dim_of(columns)});
}

static ds_value matrix(test_bench *b, ds_graph *g, int64_t n, int64_t k) {
    char name[24];
    snprintf(name, sizeof name, "w%zu", g->value_count);
    return test_weight(b, g, name, 2, (int64_t[]){n, k}, 0.4f);
}

static ds_value vector(test_bench *b, ds_graph *g, int64_t n) {
    char name[24];
    snprintf(name, sizeof name, "b%zu", g->value_count);
    return test_weight(b, g, name, 1, &n, 0.4f);
}

static size_t count_ops(const ds_graph *g, const ds__op *op) {
    size_t count = 0;
    for (size_t i = 0; i < g->node_count; i++) count += g->nodes[i].op == op;
    return count;
}

/* One encoder layer as models build it. */
static void build_layer(test_bench *b, ds_graph *g) {
    ds_value x = rows(g, "x", 16), qkv[3];
    ds_dim starts = ds__graph_symbol(g, "B");
    starts.base = 1;
    ds_value start = ds__graph_input(g, "seq_start", DS_I32, 1, &starts);
    for (int i = 0; i < 3; i++) qkv[i] = ds__linear(g, x, matrix(b, g, 16, 16), vector(b, g, 16));
    ds_value a = ds__attention(g, qkv, start, (ds_attention_config){.heads = 4});
    ds_value h = ds__add(g, ds__linear(g, a, matrix(b, g, 16, 16), vector(b, g, 16)), x);
    h = ds__layer_norm(g, h, vector(b, g, 16), vector(b, g, 16), 1e-5f);
    ds_value up = ds__activate(g, ds__linear(g, h, matrix(b, g, 40, 16), vector(b, g, 40)), DS__ACTIVATION_GELU);
    ds_value y = ds__add(g, h, ds__linear(g, up, matrix(b, g, 16, 40), vector(b, g, 16)));
    ds__graph_output(g, "y", ds__layer_norm(g, y, vector(b, g, 16), vector(b, g, 16), 1e-5f));
}

static void an_encoder_layer_becomes_ten_nodes(void **state) {
    (void)state;
    test_bench bench;
    ds_graph *g;
    test_bench_open(&bench, 1, 3);
    assert_int_equal(ds__graph_create(bench.context, &g, &error), DS_OK);
    build_layer(&bench, g);
    ds__softmax(g, (ds_value){0}); /* nobody reads it */
    assert_int_equal(ds__passes_run(g, &(ds__pass_options){NULL, NULL}, &error), DS_OK);
    assert_int_equal(count_ops(g, &ds__op_linear), 4);
    assert_int_equal(count_ops(g, &ds__op_slice), 3);
    assert_int_equal(count_ops(g, &ds__op_attention), 1);
    assert_int_equal(count_ops(g, &ds__op_layer_norm), 2);
    assert_int_equal(g->node_count, 10);
    ds__graph_destroy(g);
    test_bench_close(&bench);
}

/* Every pass alone leaves its mark; "all" leaves the graph as it was. */
static void passes_can_be_switched_off(void **state) {
    (void)state;
    static const struct {
        const char *off;
        size_t nodes;
    } cases[] = {
        {"all", 18},
        {"fuse_bias,fuse_activation,fuse_residual,merge_linears,remove_dead", 18},
        {"fuse_activation,fuse_residual,merge_linears", 12},
        {"fuse_residual,merge_linears", 11},
        {"merge_linears", 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bench bench;
        ds_graph *g;
        test_bench_open(&bench, 1, 3);
        assert_int_equal(ds__graph_create(bench.context, &g, &error), DS_OK);
        build_layer(&bench, g);
        assert_int_equal(ds__passes_run(g, &(ds__pass_options){cases[i].off, NULL}, &error), DS_OK);
        if (g->node_count != cases[i].nodes) fail_msg("off: %s: %zu nodes", cases[i].off, g->node_count);
        ds__graph_destroy(g);
        test_bench_close(&bench);
    }
}

/* w is read twice in what stands for a backward part, and its gradient is made before the second time: the update comes
 * behind both, and that of the second weight, read early, in front of what it does not need. */
static void updates_come_behind_the_last_reader(void **state) {
    (void)state;
    static float data[2][64];
    test_bench bench;
    ds_graph *g;
    test_bench_open(&bench, 1, 3);
    assert_int_equal(ds__graph_create(bench.context, &g, &error), DS_OK);
    ds_value x = rows(g, "x", 8), dy = rows(g, "dy", 8), weights[2], gradients[2];
    const ds_value settings = ds__graph_input(g, "settings", DS_F32, 2, (ds_dim[]){ds__dim_of(2), ds__dim_of(8)});
    const ds_dim many = ds__graph_symbol(g, "T");
    const ds_value loss = ds__graph_input(g, "loss", DS_F32, 1, &many);
    for (int i = 0; i < 2; i++) weights[i] = ds__graph_state(g, i ? "late" : "early", 2, (int64_t[]){8, 8}, data[i]);
    for (int i = 0; i < 2; i++) gradients[i] = ds__multiply(g, dy, true, x, false);                     /* 0 1 */
    ds_value back = ds__multiply(g, dy, false, weights[0], false);                                      /* 2 */
    for (int i = 0; i < 2; i++) back = ds__softmax(g, ds__multiply(g, back, false, weights[1], false)); /* 3 4 5 6 */
    ds__graph_output(g, "dx", back);
    for (int i = 0; i < 2; i++)
        ds__graph_output(
            g, "length",
            ds__update(g, (ds_value[]){gradients[i], settings, loss, weights[i], DS_NO_VALUE, DS_NO_VALUE}, i));
    assert_int_equal(ds__passes_run(g, &(ds__pass_options){"fuse_residual", NULL}, &error), DS_OK);
    assert_int_equal(g->node_count, 9);
    assert_ptr_equal(g->nodes[3].op, &ds__op_update); /* behind node 2, which reads "early" */
    assert_int_equal(g->nodes[3].inputs[DS__UPDATE_WEIGHT], weights[0].index);
    assert_ptr_equal(g->nodes[7].op, &ds__op_update); /* behind what was node 5 */
    assert_int_equal(g->nodes[7].inputs[DS__UPDATE_WEIGHT], weights[1].index);
    assert_ptr_equal(g->nodes[8].op, &ds__op_softmax);
    /* One place earlier is too early, and the verifier sees it. */
    const ds__node reader = g->nodes[6];
    g->nodes[6] = g->nodes[7];
    g->nodes[7] = reader;
    assert_int_equal(ds__graph_verify(g, &error), DS_INTERNAL);
    assert_non_null(strstr(error.message, "node 7 (matmul): input 1 (%late) is a state that was updated before"));
    ds__graph_destroy(g);
    test_bench_close(&bench);
}

static void count_lines(void *user, ds_log_level level, const char *message) {
    (void)level;
    if (strstr(message, "residual") || strstr(message, "after fuse_residual:")) ++*(int *)user;
}

static void a_dump_goes_to_the_log(void **state) {
    (void)state;
    test_bench bench;
    ds_graph *g;
    int lines = 0;
    test_bench_open(&bench, 1, 3);
    bench.context->log = count_lines;
    bench.context->log_user = &lines;
    assert_int_equal(ds__graph_create(bench.context, &g, &error), DS_OK);
    build_layer(&bench, g);
    assert_int_equal(ds__passes_run(g, &(ds__pass_options){NULL, "after:fuse_residual"}, &error), DS_OK);
    assert_int_equal(lines, 1);
    ds__graph_destroy(g);
    test_bench_close(&bench);
}

/* A random graph over rows of 8 to 24 columns: each step applies a random operator to random earlier values. */
static void build_random(test_bench *b, ds_graph *g) {
    enum { VALUES = 24 };
    ds_value values[VALUES + 3];
    int count = 0;
    int64_t columns = 8 * (1 + (int64_t)ds__random_below(&b->random, 3));
    ds_dim starts = ds__graph_symbol(g, "B");
    starts.base = 1;
    values[count++] = rows(g, "x", columns);
    values[count++] = rows(g, "z", columns);
    ds_value start = ds__graph_input(g, "seq_start", DS_I32, 1, &starts);
    while (count < VALUES) {
        ds_value x = values[ds__random_below(&b->random, (uint32_t)count)];
        ds_value y = values[ds__random_below(&b->random, (uint32_t)count)];
        switch (ds__random_below(&b->random, 10)) {
        case 0:
        case 1:
        case 2:
            values[count++] = ds__linear(g, x, matrix(b, g, columns, columns),
                                         ds__random_below(&b->random, 3) ? vector(b, g, columns) : DS_NO_VALUE);
            break;
        case 3:
        case 4: values[count++] = ds__add(g, x, y); break;
        case 5: values[count++] = ds__activate(g, x, (ds__activation)(1 + ds__random_below(&b->random, 5))); break;
        case 6: values[count++] = ds__layer_norm(g, x, vector(b, g, columns), vector(b, g, columns), 1e-3f); break;
        case 7: values[count++] = ds__softmax(g, x); break;
        case 8: {
            ds_value wide = ds__linear(g, x, matrix(b, g, 2 * columns, columns), DS_NO_VALUE);
            values[count++] = ds__slice(g, wide, columns / 2, columns);
            break;
        }
        default:
            values[count++] = ds__attention(g, (ds_value[]){x, y, x}, start, (ds_attention_config){.heads = 2});
            break;
        }
    }
    int outputs = 1 + (int)ds__random_below(&b->random, 4);
    for (int i = 0; i < outputs; i++) {
        ds_value y = values[2 + ds__random_below(&b->random, VALUES - 2)];
        ds__graph_output(g, "y", y);
    }
}

static void random_graphs_do_not_change(void **state) {
    (void)state;
    enum { GRAPHS = 60 };
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        test_bench bench;
        ds_graph *g;
        size_t count, same;
        int64_t symbols[DS__MAX_SYMBOLS] = {0}, tokens = seed % 2 ? 21 : 150; /* node by node; in blocks */
        test_bench_open(&bench, 2, seed);
        assert_int_equal(ds__graph_create(bench.context, &g, &error), DS_OK);
        build_random(&bench, g);
        if (g->error.status != DS_OK) fail_msg("%s", g->error.message);
        for (int32_t i = 0; i < g->symbol_count; i++) symbols[i] = strcmp(g->symbols[i], "T") == 0 ? tokens : 4;
        const void **inputs = test_inputs(&bench, g, symbols, 1);
        float *expected = test_run(&bench, g, DS__BACKEND_COUNT - 1, "all", symbols, inputs, &count);
        char off[128] = "";
        for (size_t p = 0; p <= ds__pass_count(); p++) { /* all on, then each one off; both backends */
            if (p < ds__pass_count()) snprintf(off, sizeof off, "%s", ds__pass_at(p).name);
            for (size_t first = 0; first < DS__BACKEND_COUNT; first++) {
                float *got = test_run(&bench, g, first, p < ds__pass_count() ? off : NULL, symbols, inputs, &same);
                assert_int_equal(count, same);
                char name[160];
                snprintf(name, sizeof name, "graph %d, off: %s, from backend %zu", (int)seed, off, first);
                test_close(name, got, expected, count, 2e-4);
            }
        }
        ds__graph_destroy(g);
        test_bench_close(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoder_layer_becomes_ten_nodes),  cmocka_unit_test(passes_can_be_switched_off),
        cmocka_unit_test(updates_come_behind_the_last_reader), cmocka_unit_test(a_dump_goes_to_the_log),
        cmocka_unit_test(random_graphs_do_not_change),
    };
    return cmocka_run_group_tests_name("passes", tests, NULL, NULL);
}
