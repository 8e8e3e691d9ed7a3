/* Segments: what of a graph is taken through in blocks of rows, that it changes no bit, and that mistakes in a block
 * are told as without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "ops/ops.h"
#include "runtime/program_internal.h"
#include "support/graph_case.h"

enum { WIDTH = 48, INNER = 80, VOCABULARY = 90 };

static ds_value matrix(test_bench *b, ds_graph *g, const char *name, int64_t n, int64_t k) {
    return test_weight(b, g, name, 2, (int64_t[]){n, k}, 0.2f);
}

static ds_value vector(test_bench *b, ds_graph *g, const char *name, int64_t n) {
    return test_weight(b, g, name, 1, &n, 1);
}

static ds_value norm(test_bench *b, ds_graph *g, ds_value x, const char *name) {
    char text[2][32];
    snprintf(text[0], sizeof text[0], "%s.weight", name);
    snprintf(text[1], sizeof text[1], "%s.bias", name);
    return ds__layer_norm(g, x, vector(b, g, text[0], WIDTH), vector(b, g, text[1], WIDTH), 1e-5f);
}

/* Look-ups, an attention and a feed-forward part, the last hidden state and its mean: two segments around an attention,
 * a value that crosses (the residual), values that do not, a view, and an output in the caller's memory. */
static ds_graph *encoder(test_bench *b) {
    ds_graph *g;
    ds_error error;
    assert_int_equal(ds__graph_create(b->context, &g, &error), DS_OK);
    ds_dim tokens = ds__graph_symbol(g, "T"), bounds = ds__graph_symbol(g, "B");
    bounds.base = 1;
    ds_value ids = ds__graph_input(g, "ids", DS_I32, 1, &tokens);
    ds_value others = ds__graph_input(g, "others", DS_I32, 1, &tokens);
    ds_value starts = ds__graph_input(g, "seq_start", DS_I32, 1, &bounds);
    ds_value x = ds__add(g, ds__gather(g, matrix(b, g, "table", VOCABULARY, WIDTH), ids),
                         ds__gather(g, matrix(b, g, "second", VOCABULARY, WIDTH), others));
    x = norm(b, g, x, "first");
    ds_value qkv[3];
    for (int i = 0; i < 3; i++) {
        char name[2][16];
        snprintf(name[0], sizeof name[0], "w%d", i);
        snprintf(name[1], sizeof name[1], "b%d", i);
        qkv[i] = ds__linear(g, x, matrix(b, g, name[0], WIDTH, WIDTH), vector(b, g, name[1], WIDTH));
    }
    ds_value y = ds__attention(g, qkv, starts, (ds_attention_config){.heads = 4});
    x = norm(b, g, ds__add(g, ds__linear(g, y, matrix(b, g, "out", WIDTH, WIDTH), DS_NO_VALUE), x), "second_norm");
    y = ds__linear(g, x, matrix(b, g, "up", INNER, WIDTH), vector(b, g, "up.bias", INNER));
    y = ds__linear(g, ds__activate(g, y, DS__ACTIVATION_GELU), matrix(b, g, "down", WIDTH, INNER), DS_NO_VALUE);
    x = norm(b, g, ds__add(g, y, x), "third");
    ds__graph_output(g, "hidden", x);
    ds__graph_output(g, "mean", ds__pool_rows(g, x, starts, DS__POOL_MEAN));
    return g;
}

typedef struct compiled {
    ds__weight_store *store;
    ds__program *program;
    ds__execution *execution;
    ds__workspace workspace;
} compiled;

static void compile(test_bench *b, const ds_graph *g, compiled *c) {
    ds_error error;
    ds_graph *copy;
    ds__program_options options = {ds__backends, DS__BACKEND_COUNT, {NULL, NULL}};
    ds__workspace_init(&c->workspace, &b->context->heap);
    if (ds__graph_copy(g, &copy, &error) != DS_OK || ds__weight_store_create(b->context, &c->store, &error) != DS_OK ||
        ds__program_create(copy, c->store, &options, &c->program, &error) != DS_OK ||
        ds__execution_create(c->program, &c->workspace, &c->execution, &error) != DS_OK)
        fail_msg("%s", error.message);
}

static void release(compiled *c) {
    ds__execution_destroy(c->execution);
    ds__workspace_deinit(&c->workspace);
    ds__program_destroy(c->program);
    ds__weight_store_destroy(c->store);
}

static void what_lies_between_attentions_is_a_segment(void **state) {
    (void)state;
    test_bench b;
    compiled c;
    test_bench_open(&b, 2, 1);
    ds_graph *g = encoder(&b);
    compile(&b, g, &c);
    const ds_graph *rewritten = ds__program_graph(c.program);
    const ds__storage *storage = &c.program->storage;
    assert_int_equal(storage->segment_count, 2);
    size_t local = 0;
    for (int32_t s = 0; s < 2; s++)
        for (int32_t i = storage->segments[s].first; i < storage->segments[s].last; i++) {
            const ds__node *node = &rewritten->nodes[i];
            assert_true(node->op != &ds__op_attention && node->op != &ds__op_pool);
            int32_t output = node->outputs[0];
            local += storage->is_local[storage->root[output]];
            if (storage->is_bound[storage->root[output]]) assert_false(storage->is_local[storage->root[output]]);
        }
    assert_true(local >= 2);
    assert_true(storage->local_bytes >= (size_t)DS__BLOCK_ROWS * INNER * sizeof(float));
    release(&c);
    ds__graph_destroy(g);
    test_bench_close(&b);
}

/* The first `rows` rows of a batch alone (few: node by node) and in the batch (many: in blocks) must be the same bits;
 * and all of them what the reference computes. */
static void blocks_change_no_bit(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        test_bench b;
        test_bench_open(&b, threads, (uint64_t)threads);
        ds_graph *g = encoder(&b);
        const int64_t few = ds__blocks_from(threads) - 1, sizes[] = {few + 1, few + 2, 64, 129, 200, 513};
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            int64_t symbols[DS__MAX_SYMBOLS] = {sizes[s], 2};
            size_t count, alone_count;
            const void **inputs = test_inputs(&b, g, symbols, VOCABULARY);
            int32_t *starts = (int32_t *)inputs[2];
            starts[1] = (int32_t)few; /* the first sequence */
            float *whole = test_run(&b, g, 0, NULL, symbols, inputs, &count);
            test_close("blocks", whole, test_run(&b, g, 1, NULL, symbols, inputs, &count), count, 2e-5);
            int64_t alone[DS__MAX_SYMBOLS] = {few, 1};
            float *first = test_run(&b, g, 0, NULL, alone, inputs, &alone_count);
            assert_memory_equal(whole, first, (size_t)few * WIDTH * sizeof *first);
        }
        ds__graph_destroy(g);
        test_bench_close(&b);
    }
}

static void a_mistake_in_a_block_names_its_place_in_the_batch(void **state) {
    (void)state;
    test_bench b;
    compiled c;
    ds_error error;
    test_bench_open(&b, 2, 5);
    ds_graph *g = encoder(&b);
    compile(&b, g, &c);
    int64_t symbols[DS__MAX_SYMBOLS] = {400, 3};
    const void **inputs = test_inputs(&b, g, symbols, VOCABULARY);
    float *hidden = ds__arena_zeroed(&b.arena, 400 * WIDTH * sizeof *hidden);
    float *mean = ds__arena_zeroed(&b.arena, 3 * WIDTH * sizeof *mean);
    ((int32_t *)inputs[0])[399] = VOCABULARY;
    ((int32_t *)inputs[0])[257] = -1;
    for (int turn = 0; turn < 20; turn++) {
        assert_int_equal(ds__execution_run(c.execution, symbols, inputs, (void *[]){hidden, mean}, &error),
                         DS_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "id -1 at position 257 is outside the table of 90 rows"));
    }
    ((int32_t *)inputs[0])[257] = ((int32_t *)inputs[0])[399] = 0;
    assert_int_equal(ds__execution_run(c.execution, symbols, inputs, (void *[]){hidden, mean}, &error), DS_OK);
    release(&c);
    ds__graph_destroy(g);
    test_bench_close(&b);
}

/* Values that live in blocks stop growing with the batch. */
static void activations_of_blocks_do_not_grow(void **state) {
    (void)state;
    test_bench b;
    compiled c;
    ds_error error;
    ds__program_memory small, large;
    test_bench_open(&b, 2, 6);
    ds_graph *g = encoder(&b);
    compile(&b, g, &c);
    assert_int_equal(ds__program_memory_for(c.program, (int64_t[DS__MAX_SYMBOLS]){1000, 1}, &small, &error), DS_OK);
    assert_int_equal(ds__program_memory_for(c.program, (int64_t[DS__MAX_SYMBOLS]){2000, 1}, &large, &error), DS_OK);
    /* x, the three of the attention's, and its result. */
    assert_true(large.activations - small.activations <= 1000 * (5 * WIDTH) * sizeof(float));
    assert_int_equal(large.scratch, small.scratch);
    release(&c);
    ds__graph_destroy(g);
    test_bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_between_attentions_is_a_segment),
        cmocka_unit_test(blocks_change_no_bit),
        cmocka_unit_test(a_mistake_in_a_block_names_its_place_in_the_batch),
        cmocka_unit_test(activations_of_blocks_do_not_grow),
    };
    return cmocka_run_group_tests_name("segments", tests, NULL, NULL);
}
