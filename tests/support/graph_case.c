/* Graphs for tests; see the header. */
#include "support/graph_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "tensor/convert.h"

void test_bench_open(test_bench *bench, int threads, uint64_t seed) {
    ds_error error;
    ds_context_options options = {.threads = threads};
    assert_int_equal(ds_context_create(&options, &bench->context, &error), DS_OK);
    ds__arena_init(&bench->arena, &bench->context->heap, 1 << 16);
    bench->random.state = seed;
}

void test_bench_close(test_bench *bench) {
    ds__arena_deinit(&bench->arena);
    ds_error error;
    ds_context *fresh;
    ds_context_options options = {.threads = ds_context_threads(bench->context)};
    assert_int_equal(ds_context_create(&options, &fresh, &error), DS_OK);
    assert_int_equal(ds_context_memory(bench->context).bytes, ds_context_memory(fresh).bytes);
    ds_context_destroy(fresh);
    ds_context_destroy(bench->context);
}

static void *take(test_bench *bench, size_t bytes) {
    void *memory = ds__arena_zeroed(&bench->arena, bytes + 1);
    assert_non_null(memory);
    return memory;
}

static float *random_floats(test_bench *bench, size_t count, float scale) {
    float *data = take(bench, count * sizeof *data);
    for (size_t i = 0; i < count; i++) data[i] = scale * ds__random_f32(&bench->random);
    return data;
}

static size_t product(int rank, const int64_t *shape) {
    size_t count = 1;
    for (int i = 0; i < rank; i++) count *= (size_t)shape[i];
    return count;
}

ds_value test_weight(test_bench *bench, ds_graph *graph, const char *name, int rank, const int64_t *shape,
                     float scale) {
    return ds__graph_weight(graph, name, DS_F32, rank, shape, random_floats(bench, product(rank, shape), scale));
}

ds_value test_half_weight(test_bench *bench, ds_graph *graph, const char *name, ds_dtype dtype, int rank,
                          const int64_t *shape) {
    size_t count = product(rank, shape);
    uint16_t *data = take(bench, count * sizeof *data);
    for (size_t i = 0; i < count; i++) /* a random sign and mantissa, an exponent near 1 */
        data[i] = (uint16_t)((ds__random_u64(&bench->random) & (dtype == DS_F16 ? 0x83ff : 0x807f)) |
                             (dtype == DS_F16 ? 0x3000 : 0x3e80));
    return ds__graph_weight(graph, name, dtype, rank, shape, data);
}

/* B + 1 increasing starts from 0 to T, each sequence at least one token. */
static int32_t *random_starts(test_bench *bench, int64_t tokens, int64_t texts) {
    int32_t *start = take(bench, (size_t)(texts + 1) * sizeof *start);
    for (int64_t b = 1; b < texts; b++) {
        int64_t room = tokens - start[b - 1] - (texts - b); /* what may still be used by this one */
        start[b] = start[b - 1] + 1 + (int32_t)ds__random_below(&bench->random, (uint32_t)room);
    }
    start[texts] = (int32_t)tokens;
    return start;
}

static size_t value_count(const ds__value *value, const int64_t *symbols) {
    size_t elements;
    assert_true(ds__value_elements(value, symbols, &elements));
    return elements;
}

const void **test_inputs(test_bench *bench, const ds_graph *graph, const int64_t *symbols, int32_t id_bound) {
    const void **inputs = take(bench, (graph->value_count + 1) * sizeof *inputs);
    size_t place = 0;
    for (size_t v = 0; v < graph->value_count; v++) {
        const ds__value *value = &graph->values[v];
        if (value->kind != DS__VALUE_INPUT) continue;
        size_t count = value_count(value, symbols);
        if (value->dtype == DS_F32) {
            inputs[place++] = random_floats(bench, count, 1);
        } else if (strcmp(value->name, "seq_start") == 0) {
            int64_t tokens = 0;
            for (int32_t i = 0; i < graph->symbol_count; i++)
                if (strcmp(graph->symbols[i], "T") == 0) tokens = symbols[i];
            inputs[place++] = random_starts(bench, tokens, (int64_t)count - 1);
        } else {
            int32_t *ids = take(bench, count * sizeof *ids);
            for (size_t i = 0; i < count; i++) ids[i] = (int32_t)ds__random_below(&bench->random, (uint32_t)id_bound);
            inputs[place++] = ids;
        }
    }
    return inputs;
}

float *test_run(test_bench *bench, const ds_graph *graph, size_t first_backend, const char *passes_off,
                const int64_t *symbols, const void *const *inputs, size_t *count) {
    ds_error error;
    ds_graph *copy = NULL;
    ds__weight_store *store = NULL;
    ds__program *program = NULL;
    ds__execution *execution = NULL;
    ds__workspace workspace;
    ds__program_options options = {ds__backends + first_backend, DS__BACKEND_COUNT - first_backend, {passes_off, NULL}};
    void *outputs[16];
    *count = 0;
    for (size_t i = 0; i < graph->output_count; i++)
        *count += value_count(&graph->values[graph->outputs[i].value], symbols);
    float *result = take(bench, *count * sizeof *result), *at = result;
    for (size_t i = 0; i < graph->output_count; i++) {
        outputs[i] = at;
        at += value_count(&graph->values[graph->outputs[i].value], symbols);
    }
    ds__workspace_init(&workspace, &bench->context->heap);
    if (ds__graph_copy(graph, &copy, &error) != DS_OK ||
        ds__weight_store_create(bench->context, &store, &error) != DS_OK ||
        ds__program_create(copy, store, &options, &program, &error) != DS_OK ||
        ds__execution_create(program, &workspace, &execution, &error) != DS_OK ||
        ds__execution_run(execution, symbols, inputs, outputs, &error) != DS_OK)
        fail_msg("%s", error.message);
    ds__execution_destroy(execution);
    ds__workspace_deinit(&workspace);
    ds__program_destroy(program);
    ds__weight_store_destroy(store);
    return result;
}

void test_close(const char *name, const float *a, const float *b, size_t count, double tolerance) {
    for (size_t i = 0; i < count; i++) {
        double allowed = tolerance * fmax(1, fabs((double)b[i]));
        if (!(fabs((double)a[i] - (double)b[i]) <= allowed))
            fail_msg("%s: element %zu of %zu is %.9g, expected %.9g within %g", name, i, count, (double)a[i],
                     (double)b[i], allowed);
    }
}
