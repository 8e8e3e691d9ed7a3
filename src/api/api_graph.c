/* Public functions on one's own graphs: the builder is the IR itself, a program is compiled with a store of its own. */
#include "deepseek/graph.h"

#include "backends/backends.h"
#include "base/context_internal.h"
#include "base/env.h"
#include "base/error.h"
#include "runtime/program.h"

ds_status ds_graph_create(ds_context *context, ds_graph **out, ds_error *error) {
    *out = NULL;
    return ds__graph_create(context, out, error);
}

void ds_graph_destroy(ds_graph *graph) { ds__graph_destroy(graph); }
ds_dim ds_dim_named(ds_graph *graph, const char *name) { return ds__graph_symbol(graph, name); }

ds_value ds_graph_input(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const ds_dim *shape) {
    return ds__graph_input(graph, name, dtype, rank, shape);
}

ds_value ds_graph_weight(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const int64_t *shape,
                         const void *data) {
    return ds__graph_weight(graph, name, dtype, rank, shape, data);
}

void ds_graph_output(ds_graph *graph, const char *name, ds_value value) { ds__graph_output(graph, name, value); }

ds_value ds_graph_linear(ds_graph *graph, ds_value x, ds_value weight, ds_value bias) {
    return ds__linear(graph, x, weight, bias);
}
ds_value ds_graph_add(ds_graph *graph, ds_value a, ds_value b) { return ds__add(graph, a, b); }
ds_value ds_graph_mul(ds_graph *graph, ds_value a, ds_value b) { return ds__mul(graph, a, b); }
ds_value ds_graph_relu(ds_graph *graph, ds_value x) { return ds__activate(graph, x, DS__ACTIVATION_RELU); }
ds_value ds_graph_gelu(ds_graph *graph, ds_value x) { return ds__activate(graph, x, DS__ACTIVATION_GELU); }
ds_value ds_graph_gelu_tanh(ds_graph *graph, ds_value x) { return ds__activate(graph, x, DS__ACTIVATION_GELU_TANH); }
ds_value ds_graph_tanh(ds_graph *graph, ds_value x) { return ds__activate(graph, x, DS__ACTIVATION_TANH); }
ds_value ds_graph_sigmoid(ds_graph *graph, ds_value x) { return ds__activate(graph, x, DS__ACTIVATION_SIGMOID); }
ds_value ds_graph_softmax(ds_graph *graph, ds_value x) { return ds__softmax(graph, x); }
ds_value ds_graph_layer_norm(ds_graph *graph, ds_value x, ds_value gamma, ds_value beta, float eps) {
    return ds__layer_norm(graph, x, gamma, beta, eps);
}
ds_value ds_graph_l2_normalize(ds_graph *graph, ds_value x, float eps) { return ds__l2_normalize(graph, x, eps); }
ds_value ds_graph_gather(ds_graph *graph, ds_value table, ds_value ids) { return ds__gather(graph, table, ids); }
ds_value ds_graph_attention(ds_graph *graph, ds_value q, ds_value k, ds_value v, ds_value seq_start,
                            ds_attention_config config) {
    return ds__attention(graph, (ds_value[]){q, k, v}, seq_start, config);
}
ds_value ds_graph_pool_mean(ds_graph *graph, ds_value x, ds_value seq_start) {
    return ds__pool_rows(graph, x, seq_start, DS__POOL_MEAN);
}
ds_value ds_graph_pool_max(ds_graph *graph, ds_value x, ds_value seq_start) {
    return ds__pool_rows(graph, x, seq_start, DS__POOL_MAX);
}
ds_value ds_graph_pool_first(ds_graph *graph, ds_value x, ds_value seq_start) {
    return ds__pool_rows(graph, x, seq_start, DS__POOL_FIRST);
}
ds_value ds_graph_slice(ds_graph *graph, ds_value x, int64_t first, int64_t count) {
    return ds__slice(graph, x, first, count);
}

struct ds_program {
    ds_context *context;
    ds__weight_store *store;
    ds__program *program;
    ds__workspace workspace;
    ds__execution *execution;
    ds__buffer text;
    const void **inputs; /* [input_count]: in the order of the graph's input values */
    void **outputs;      /* [output_count] */
    size_t input_count, output_count;
};

void ds_program_destroy(ds_program *program) {
    if (!program) return;
    ds__heap *heap = &program->context->heap;
    ds__execution_destroy(program->execution);
    ds__workspace_deinit(&program->workspace);
    ds__program_destroy(program->program);
    ds__weight_store_destroy(program->store);
    ds__buffer_deinit(&program->text);
    ds__free(heap, program->inputs, program->input_count * sizeof *program->inputs);
    ds__free(heap, program->outputs, program->output_count * sizeof *program->outputs);
    ds__free(heap, program, sizeof *program);
}

static size_t count_inputs(const ds_graph *graph) {
    size_t count = 0;
    for (size_t i = 0; i < graph->value_count; i++) count += graph->values[i].kind == DS__VALUE_INPUT;
    return count;
}

/* Everything after the program's own block exists. `graph` is taken. */
static ds_status compile(ds_program *program, ds_graph *graph, ds_error *error) {
    ds__heap *heap = &program->context->heap;
    ds__program_options options = {ds__backends, DS__BACKEND_COUNT, {ds__env_passes_off(), ds__env_dump()}};
    ds_status status = ds__weight_store_create(program->context, &program->store, error);
    if (status != DS_OK) {
        ds__graph_destroy(graph);
        return status;
    }
    DS_TRY(ds__program_create(graph, program->store, &options, &program->program, error));
    const ds_graph *compiled = ds__program_graph(program->program);
    DS_TRY(ds__execution_create(program->program, &program->workspace, &program->execution, error));
    program->input_count = count_inputs(compiled);
    program->output_count = compiled->output_count;
    program->inputs = ds__alloc_zeroed(heap, program->input_count * sizeof *program->inputs);
    program->outputs = ds__alloc_zeroed(heap, program->output_count * sizeof *program->outputs);
    ds__graph_print(compiled, &program->text);
    if (!program->inputs || !program->outputs || !ds__buffer_cstr(&program->text))
        return ds__alloc_failed(heap, program->text.size, "a program", error);
    return DS_OK;
}

ds_status ds_graph_compile(ds_graph *graph, ds_program **out, ds_error *error) {
    ds_context *context = graph->context;
    *out = NULL;
    if (!ds__graph_ok(graph)) return ds__fail(error, graph->error.status, "%s", graph->error.message);
    ds_program *program = ds__alloc_zeroed(&context->heap, sizeof *program);
    if (!program) return ds__alloc_failed(&context->heap, sizeof *program, "a program", error);
    program->context = context;
    ds__workspace_init(&program->workspace, &context->heap);
    ds__buffer_init(&program->text, &context->heap);
    ds_graph *copy;
    ds_status status = ds__graph_copy(graph, &copy, error);
    if (status == DS_OK) status = compile(program, copy, error);
    if (status != DS_OK) {
        ds_program_destroy(program);
        return status;
    }
    *out = program;
    return DS_OK;
}

const char *ds_program_text(const ds_program *program) { return program->text.data; }

static const ds_tensor *find_binding(const ds_binding *bindings, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(bindings[i].name, name) == 0) return &bindings[i].tensor;
    return NULL;
}

/* The bound tensor must have the value's type and shape and be dense. Symbols that are not known yet (-1) are learnt
 * from it when `learn`. */
static ds_status match(const ds_graph *graph, const char *name, const ds__value *value, const ds_tensor *tensor,
                       int64_t *symbols, bool learn, ds_error *error) {
    char shape[160];
    ds__shape_print(graph, &value->shape, shape, sizeof shape);
    if (!tensor) return ds__fail(error, DS_INVALID_ARGUMENT, "\"%s\" (%s) is not bound", name, shape);
    if (tensor->dtype != value->dtype || tensor->rank != value->shape.rank)
        return ds__fail(error, DS_SHAPE_MISMATCH, "\"%s\" is %s of rank %d, the graph has %s%s", name,
                        ds_dtype_name(tensor->dtype), tensor->rank, ds_dtype_name(value->dtype), shape);
    int64_t dense = 1, elements = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        ds_dim dim = value->shape.dims[i];
        int64_t size = tensor->shape[i], rest = size - dim.base;
        if (learn && dim.factor > 0 && symbols[dim.symbol] < 0 && rest >= 0 && rest % dim.factor == 0)
            symbols[dim.symbol] = rest / dim.factor;
        int64_t wanted = dim.factor && symbols[dim.symbol] < 0 ? -1 : ds__dim_size(dim, symbols);
        if (size < 0 || size > DS__MAX_DIM || size != wanted)
            return ds__fail(error, DS_SHAPE_MISMATCH, "\"%s\": dimension %d is %lld, expected %lld (%s)", name, i,
                            (long long)size, (long long)wanted, shape);
        if (size > 1 && tensor->stride[i] != dense)
            return ds__fail(error, DS_INVALID_ARGUMENT, "\"%s\": dimension %d has stride %lld, expected %lld (dense)",
                            name, i, (long long)tensor->stride[i], (long long)dense);
        dense *= size;
        elements *= size;
    }
    if (elements && !tensor->data) return ds__fail(error, DS_INVALID_ARGUMENT, "\"%s\" is bound to NULL", name);
    return DS_OK;
}

ds_status ds_program_run(ds_program *program, const ds_binding *inputs, size_t input_count, const ds_binding *outputs,
                         size_t output_count, ds_error *error) {
    const ds_graph *graph = ds__program_graph(program->program);
    int64_t symbols[DS__MAX_SYMBOLS];
    size_t place = 0;
    for (int i = 0; i < DS__MAX_SYMBOLS; i++) symbols[i] = -1;
    for (size_t v = 0; v < graph->value_count; v++) {
        const ds__value *value = &graph->values[v];
        if (value->kind != DS__VALUE_INPUT) continue;
        const ds_tensor *tensor = find_binding(inputs, input_count, value->name);
        DS_TRY(match(graph, value->name, value, tensor, symbols, true, error));
        program->inputs[place++] = tensor->data;
    }
    for (int32_t i = 0; i < graph->symbol_count; i++)
        if (symbols[i] < 0) return ds__fail(error, DS_SHAPE_MISMATCH, "no input tells the size %s", graph->symbols[i]);
    for (size_t i = 0; i < graph->output_count; i++) {
        const ds_tensor *tensor = find_binding(outputs, output_count, graph->outputs[i].name);
        DS_TRY(match(graph, graph->outputs[i].name, &graph->values[graph->outputs[i].value], tensor, symbols, false,
                     error));
        program->outputs[i] = tensor->data;
    }
    return ds__execution_run(program->execution, symbols, program->inputs, program->outputs, error);
}
