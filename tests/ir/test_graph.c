/* Building, verifying, printing and copying graphs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ops/ops.h"
#include "support/graph_case.h"

static test_bench bench;
static ds_graph *graph;
static ds_error error;

static int open_graph(void **state) {
    (void)state;
    test_bench_open(&bench, 1, 1);
    return ds__graph_create(bench.context, &graph, &error) == DS_OK ? 0 : -1;
}

static int close_graph(void **state) {
    (void)state;
    ds__graph_destroy(graph);
    test_bench_close(&bench);
    return 0;
}

static ds_value rows(const char *name, int64_t columns) {
    return ds__graph_input(graph, name, DS_F32, 2, (ds_dim[]){ds__graph_symbol(graph, "T"), ds__dim_of(columns)});
}

static ds_value matrix(const char *name, int64_t n, int64_t k) {
    return test_weight(&bench, graph, name, 2, (int64_t[]){n, k}, 1);
}

static void a_graph_prints_as_text(void **state) {
    (void)state;
    int64_t four = 4;
    ds_value bias = test_weight(&bench, graph, "b", 1, &four, 1);
    ds_value x = rows("x", 3), w = matrix("w", 4, 3);
    ds_value y = ds__linear(graph, x, w, bias);
    ds__graph_output(graph, "y", ds__activate(graph, y, DS__ACTIVATION_GELU));
    assert_int_equal(ds__graph_verify(graph, &error), DS_OK);
    ds__buffer text;
    ds__buffer_init(&text, &bench.context->heap);
    ds__graph_print(graph, &text);
    assert_string_equal(ds__buffer_cstr(&text), "graph(T)\n"
                                                "  %b: weight float32[4]\n"
                                                "  %x: input float32[T, 3]\n"
                                                "  %w: weight float32[4, 3]\n"
                                                "  %3 = linear(%x, %w, -, -) : float32[T, 4]\n"
                                                "  %4 = add(%3, %b) : float32[T, 4]\n"
                                                "  %5 = activation(%4) gelu : float32[T, 4]\n"
                                                "  output \"y\": %5\n");
    ds_graph *copy;
    assert_int_equal(ds__graph_copy(graph, &copy, &error), DS_OK);
    ds__buffer again;
    ds__buffer_init(&again, &bench.context->heap);
    ds__graph_print(copy, &again);
    assert_string_equal(ds__buffer_cstr(&again), ds__buffer_cstr(&text));
    ds__graph_destroy(copy);
    ds__buffer_deinit(&text);
    ds__buffer_deinit(&again);
}

/* What a mistake reads like; the first one is kept and everything after it does nothing. */
static void the_first_mistake_is_kept(void **state) {
    (void)state;
    ds_value x = rows("x", 3);
    ds_value bad = ds__linear(graph, x, matrix("w", 4, 5), DS_NO_VALUE);
    assert_int_equal(bad.index, -1);
    ds_value worse = ds__softmax(graph, bad);
    assert_int_equal(worse.index, -1);
    ds__graph_output(graph, "y", worse);
    assert_int_equal(graph->error.status, DS_SHAPE_MISMATCH);
    assert_string_equal(graph->error.message, "node 0 (linear): %w is [4, 5], which does not fit %x, which is [T, 3]");
    assert_int_equal(graph->node_count, 0);
}

typedef void (*mistake_fn)(void);
static void no_output(void) { rows("x", 3); }
static void output_of_input(void) { ds__graph_output(graph, "y", rows("x", 3)); }
static void unknown_value(void) { ds__softmax(graph, (ds_value){77}); }
static void int_softmax(void) {
    ds__softmax(graph, ds__graph_input(graph, "ids", DS_I32, 1, (ds_dim[]){ds__dim_of(3)}));
}
static void wrong_bias(void) {
    int64_t five = 5;
    ds__linear(graph, rows("x", 3), matrix("w", 4, 3), test_weight(&bench, graph, "b", 1, &five, 1));
}
static void heads_do_not_divide(void) {
    ds_value x = rows("x", 10);
    ds_value start = ds__graph_input(graph, "s", DS_I32, 1, (ds_dim[]){ds__dim_of(2)});
    ds__attention(graph, (ds_value[]){x, x, x}, start, (ds_attention_config){.heads = 3});
}
static void slice_too_far(void) { ds__slice(graph, rows("x", 10), 8, 3); }
static void too_many_symbols(void) {
    char name[16];
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "S%d", i);
        ds__graph_symbol(graph, name);
    }
}
static void huge_dimension(void) { ds__graph_input(graph, "x", DS_F32, 1, (ds_dim[]){ds__dim_of(INT64_MAX)}); }
static void negative_dimension(void) { ds__graph_input(graph, "x", DS_F32, 1, (ds_dim[]){ds__dim_of(-1)}); }
static void rank_seven(void) { ds__graph_input(graph, "x", DS_F32, 7, (ds_dim[7]){{0}}); }
static void unknown_symbol(void) { ds__graph_input(graph, "x", DS_F32, 1, (ds_dim[]){{0, 1, 3}}); }
static void weight_without_data(void) { ds__graph_weight(graph, "w", DS_F32, 1, (int64_t[]){3}, NULL); }

static void mistakes_are_named(void **state) {
    (void)state;
    static const struct {
        mistake_fn make;
        const char *sentence;
    } mistakes[] = {
        {no_output, "the graph has no output"},
        {output_of_input, "output \"y\" is input \"x\", expected the result of an operator"},
        {unknown_value, "softmax: input 0 is value 77, the graph has 0 values"},
        {int_softmax, "input 0 (%ids) is int32, expected float32"},
        {wrong_bias, "%b is [5], which does not fit %3, which is [T, 4]"},
        {heads_do_not_divide, "3 heads (3 of keys) cannot share 10 columns"},
        {slice_too_far, "columns [8, 8 + 3) are not within the last dimension of 10"},
        {too_many_symbols, "\"S8\" would be symbol 9 of the graph, at most 8 are possible"},
        {huge_dimension, "dimension 0 is 9223372036854775807"},
        {negative_dimension, "dimension 0 is -1"},
        {rank_seven, "\"x\" has rank 7, expected 0 to 6"},
        {unknown_symbol, "symbol 3"},
        {weight_without_data, "weight \"w\" has no data"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        ds__graph_destroy(graph);
        assert_int_equal(ds__graph_create(bench.context, &graph, &error), DS_OK);
        mistakes[i].make();
        assert_int_not_equal(ds__graph_verify(graph, &error), DS_OK);
        if (!strstr(error.message, mistakes[i].sentence))
            fail_msg("\"%s\" lacks \"%s\"", error.message, mistakes[i].sentence);
    }
}

/* The verifier sees what a broken pass would leave. */
static void the_verifier_catches_broken_graphs(void **state) {
    (void)state;
    ds_value x = rows("x", 8);
    ds_value a = ds__activate(graph, x, DS__ACTIVATION_RELU), b = ds__softmax(graph, a);
    ds__graph_output(graph, "y", b);
    assert_int_equal(ds__graph_verify(graph, &error), DS_OK);
    ds__node first = graph->nodes[0];
    graph->nodes[0] = graph->nodes[1];
    graph->nodes[1] = first;
    assert_int_equal(ds__graph_verify(graph, &error), DS_INTERNAL);
    assert_non_null(strstr(error.message, "is used before it is made"));
    graph->nodes[1] = graph->nodes[0];
    graph->nodes[0] = first;
    graph->values[a.index].shape.dims[1].base = 9;
    assert_int_equal(ds__graph_verify(graph, &error), DS_INTERNAL);
    assert_non_null(strstr(error.message, "float32[T, 9], but its inputs give float32[T, 8]"));
    graph->values[a.index].shape.dims[1].base = 8;
    graph->nodes[1].outputs[0] = a.index;
    assert_int_equal(ds__graph_verify(graph, &error), DS_INTERNAL);
    assert_non_null(strstr(error.message, "a second time"));
    graph->nodes[1].outputs[0] = b.index;
    ds__graph_remove(graph, 1);
    assert_int_equal(ds__graph_verify(graph, &error), DS_INTERNAL);
    assert_non_null(strstr(error.message, "which no node makes"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_graph_prints_as_text, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(the_first_mistake_is_kept, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(mistakes_are_named, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(the_verifier_catches_broken_graphs, open_graph, close_graph),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
