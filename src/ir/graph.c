/* Graph construction and the editing that passes do. */
#include "ir/graph.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/context_internal.h"
#include "base/error.h"
#include "ir/op.h"

ds_status ds__graph_create(ds_context *context, ds_graph **out, ds_error *error) {
    ds_graph *graph = ds__alloc_zeroed(&context->heap, sizeof *graph);
    if (!graph) return ds__alloc_failed(&context->heap, sizeof *graph, "a graph", error);
    graph->context = context;
    ds__arena_init(&graph->arena, &context->heap, 4096);
    *out = graph;
    return DS_OK;
}

void ds__graph_destroy(ds_graph *graph) {
    if (!graph) return;
    ds__heap *heap = &graph->context->heap;
    ds__free(heap, graph->values, graph->value_capacity * sizeof *graph->values);
    ds__free(heap, graph->nodes, graph->node_capacity * sizeof *graph->nodes);
    ds__free(heap, graph->outputs, graph->output_capacity * sizeof *graph->outputs);
    ds__arena_deinit(&graph->arena);
    ds__free(heap, graph, sizeof *graph);
}

static const char *copy_name(ds_graph *graph, const char *name) {
    return ds__arena_copy(&graph->arena, ds__str_of(name)).data;
}

/* Copies an array that was grown into one of exactly `count` items; false: out of memory. */
static bool copy_items(ds__heap *heap, const void *items, size_t count, size_t item_bytes, void **out,
                       size_t *capacity) {
    if (!ds__grow(heap, out, capacity, count, item_bytes)) return false;
    if (count) memcpy(*out, items, count * item_bytes);
    return true;
}

/* Names and parts live in the copy's own arena. */
static bool copy_texts(ds_graph *copy) {
    bool ok = true;
    for (int32_t i = 0; i < copy->symbol_count; i++) ok = (copy->symbols[i] = copy_name(copy, copy->symbols[i])) && ok;
    for (size_t i = 0; i < copy->output_count; i++)
        ok = (copy->outputs[i].name = copy_name(copy, copy->outputs[i].name)) && ok;
    for (size_t i = 0; i < copy->value_count; i++) {
        ds__value *value = &copy->values[i];
        ok = (value->name = copy_name(copy, value->name)) && ok;
        if (!value->part_count) continue;
        size_t bytes = (size_t)value->part_count * sizeof *value->parts;
        int32_t *parts = ds__arena_alloc(&copy->arena, bytes);
        if (parts) memcpy(parts, value->parts, bytes);
        value->parts = parts;
        ok = parts && ok;
    }
    return ok;
}

ds_status ds__graph_copy(const ds_graph *graph, ds_graph **out, ds_error *error) {
    ds__heap *heap = &graph->context->heap;
    ds_graph *copy = NULL;
    DS_TRY(ds__graph_create(graph->context, &copy, error));
    copy->symbol_count = graph->symbol_count;
    memcpy(copy->symbols, graph->symbols, sizeof copy->symbols);
    bool ok = copy_items(heap, graph->values, graph->value_count, sizeof *copy->values, (void **)&copy->values,
                         &copy->value_capacity) &&
              copy_items(heap, graph->nodes, graph->node_count, sizeof *copy->nodes, (void **)&copy->nodes,
                         &copy->node_capacity) &&
              copy_items(heap, graph->outputs, graph->output_count, sizeof *copy->outputs, (void **)&copy->outputs,
                         &copy->output_capacity);
    if (ok) {
        copy->value_count = graph->value_count;
        copy->node_count = graph->node_count;
        copy->output_count = graph->output_count;
        ok = copy_texts(copy);
    }
    if (!ok) {
        ds__graph_destroy(copy);
        return ds__alloc_failed(heap, graph->node_count * sizeof(ds__node), "a copy of a graph", error);
    }
    *out = copy;
    return DS_OK;
}

ds_value ds__graph_fail(ds_graph *graph, ds_status status, const char *format, ...) {
    if (!ds__graph_ok(graph)) return DS_NO_VALUE;
    char message[DS_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    ds__fail(&graph->error, status, "%s", message);
    return DS_NO_VALUE;
}

static ds_value out_of_memory(ds_graph *graph) {
    if (ds__graph_ok(graph)) ds__alloc_failed(&graph->context->heap, 4096, "a graph's nodes", &graph->error);
    return DS_NO_VALUE;
}

ds_dim ds__graph_symbol(ds_graph *graph, const char *name) {
    for (int32_t i = 0; i < graph->symbol_count; i++)
        if (strcmp(graph->symbols[i], name) == 0) return (ds_dim){0, 1, i};
    ds_dim none = ds__dim_of(1);
    if (!ds__graph_ok(graph)) return none;
    if (graph->symbol_count == DS__MAX_SYMBOLS) {
        ds__graph_fail(graph, DS_INVALID_ARGUMENT, "\"%s\" would be symbol %d of the graph, at most %d are possible",
                       name, DS__MAX_SYMBOLS + 1, DS__MAX_SYMBOLS);
        return none;
    }
    const char *copy = copy_name(graph, name);
    if (!copy) {
        out_of_memory(graph);
        return none;
    }
    graph->symbols[graph->symbol_count] = copy;
    return (ds_dim){0, 1, graph->symbol_count++};
}

static bool dim_is_valid(const ds_graph *graph, ds_dim dim) {
    return dim.base >= 0 && dim.base <= DS__MAX_DIM && dim.factor >= 0 && dim.factor <= DS__MAX_DIM &&
           (dim.factor == 0 || (dim.symbol >= 0 && dim.symbol < graph->symbol_count));
}

/* Appends a value; -1 when memory runs out. */
static int32_t append_value(ds_graph *graph, ds__value value) {
    if (graph->value_count >= DS__MAX_NODES || !ds__grow(&graph->context->heap, (void **)&graph->values,
                                                         &graph->value_capacity, graph->value_count + 1, sizeof value))
        return -1;
    graph->values[graph->value_count] = value;
    return (int32_t)graph->value_count++;
}

/* A named value (input or weight) after its type has been checked. */
static ds_value named_value(ds_graph *graph, const char *name, ds__value value) {
    if (!ds__graph_ok(graph)) return DS_NO_VALUE;
    if (value.shape.rank < 0 || value.shape.rank > DS_MAX_RANK)
        return ds__graph_fail(graph, DS_INVALID_ARGUMENT, "\"%s\" has rank %d, expected 0 to %d", name,
                              value.shape.rank, DS_MAX_RANK);
    for (int i = 0; i < value.shape.rank; i++)
        if (!dim_is_valid(graph, value.shape.dims[i]))
            return ds__graph_fail(
                graph, DS_INVALID_ARGUMENT,
                "\"%s\": dimension %d is %lld + %lld * symbol %d, expected sizes of 0 to %d and one of the "
                "graph's %d symbols",
                name, i, (long long)value.shape.dims[i].base, (long long)value.shape.dims[i].factor,
                value.shape.dims[i].symbol, DS__MAX_DIM, graph->symbol_count);
    value.name = copy_name(graph, name);
    int32_t index = value.name ? append_value(graph, value) : -1;
    return index < 0 ? out_of_memory(graph) : (ds_value){index};
}

ds_value ds__graph_input(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const ds_dim *shape) {
    ds__value value = {.dtype = dtype, .kind = DS__VALUE_INPUT, .shape.rank = rank};
    for (int i = 0; i < rank && i < DS_MAX_RANK; i++) value.shape.dims[i] = shape[i];
    return named_value(graph, name, value);
}

ds_value ds__graph_weight(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const int64_t *shape,
                          const void *data) {
    if (!data && ds__graph_ok(graph)) {
        return ds__graph_fail(graph, DS_INVALID_ARGUMENT, "weight \"%s\" has no data", name);
    }
    ds__value value = {.dtype = dtype, .kind = DS__VALUE_WEIGHT, .shape.rank = rank, .data = data};
    for (int i = 0; i < rank && i < DS_MAX_RANK; i++) value.shape.dims[i] = ds__dim_of(shape[i]);
    return named_value(graph, name, value);
}

ds_value ds__graph_state(ds_graph *graph, const char *name, int rank, const int64_t *shape, float *data) {
    ds_value state = ds__graph_weight(graph, name, DS_F32, rank, shape, data);
    if (state.index >= 0) graph->values[state.index].kind = DS__VALUE_STATE;
    return state;
}

ds_value ds__graph_weight_codes(ds_graph *graph, const char *name, int rank, const int64_t *shape, const void *codes,
                                const void *scales) {
    ds_value weight = ds__graph_weight(graph, name, DS_I8, rank, shape, codes);
    if (weight.index < 0) return weight;
    if (!scales) return ds__graph_fail(graph, DS_INVALID_ARGUMENT, "weight \"%s\" has codes but no scales", name);
    graph->values[weight.index].scales = scales;
    graph->values[weight.index].precision = DS__PRECISION_INT8;
    return weight;
}

ds_value ds__graph_stack_weights(ds_graph *graph, const char *name, const int32_t *parts, int32_t count) {
    ds__value value = graph->values[parts[0]];
    value.data = value.scales = NULL;
    value.part_count = count;
    value.shape.dims[0] = ds__dim_of(0);
    for (int32_t i = 0; i < count; i++) value.shape.dims[0].base += graph->values[parts[i]].shape.dims[0].base;
    int32_t *copy = ds__arena_alloc(&graph->arena, (size_t)count * sizeof *copy);
    if (!copy) return out_of_memory(graph);
    memcpy(copy, parts, (size_t)count * sizeof *copy);
    value.parts = copy;
    return named_value(graph, name, value);
}

static bool is_value(const ds_graph *graph, ds_value value) {
    return value.index >= 0 && (size_t)value.index < graph->value_count;
}

void ds__graph_output(ds_graph *graph, const char *name, ds_value value) {
    if (!ds__graph_ok(graph)) return;
    if (!is_value(graph, value)) {
        ds__graph_fail(graph, DS_INVALID_ARGUMENT, "output \"%s\" is value %d, the graph has %zu values", name,
                       value.index, graph->value_count);
        return;
    }
    if (graph->values[value.index].kind != DS__VALUE_TEMPORARY) {
        ds__graph_fail(graph, DS_INVALID_ARGUMENT, "output \"%s\" is %s \"%s\", expected the result of an operator",
                       name, ds__value_kind_name(graph->values[value.index].kind), graph->values[value.index].name);
        return;
    }
    const char *copy = copy_name(graph, name);
    if (!copy || !ds__grow(&graph->context->heap, (void **)&graph->outputs, &graph->output_capacity,
                           graph->output_count + 1, sizeof *graph->outputs)) {
        out_of_memory(graph);
        return;
    }
    graph->outputs[graph->output_count++] = (ds__named_output){copy, value.index};
}

int32_t ds__graph_new_value(ds_graph *graph, ds_dtype dtype, const ds__shape *shape) {
    char name[32];
    snprintf(name, sizeof name, "%zu", graph->value_count);
    const char *copy = copy_name(graph, name);
    ds__value value = {.name = copy, .dtype = dtype, .shape = *shape, .kind = DS__VALUE_TEMPORARY};
    return copy ? append_value(graph, value) : -1;
}

bool ds__graph_insert(ds_graph *graph, size_t position, ds__node node) {
    if (graph->node_count >= DS__MAX_NODES || !ds__grow(&graph->context->heap, (void **)&graph->nodes,
                                                        &graph->node_capacity, graph->node_count + 1, sizeof node))
        return false;
    memmove(graph->nodes + position + 1, graph->nodes + position, (graph->node_count - position) * sizeof node);
    graph->nodes[position] = node;
    graph->node_count++;
    return true;
}

void ds__graph_remove(ds_graph *graph, size_t position) {
    graph->node_count--;
    memmove(graph->nodes + position, graph->nodes + position + 1,
            (graph->node_count - position) * sizeof *graph->nodes);
}

void ds__graph_move_up(ds_graph *graph, size_t from, size_t to) {
    const ds__node node = graph->nodes[from];
    memmove(graph->nodes + to + 1, graph->nodes + to, (from - to) * sizeof node);
    graph->nodes[to] = node;
}

ds_value ds__graph_add(ds_graph *graph, const ds__op *op, const ds_value *inputs, int count,
                       ds__attributes attributes) {
    if (!ds__graph_ok(graph)) return DS_NO_VALUE;
    ds__node node = {.op = op, .input_count = count, .output_count = 1, .attributes = attributes};
    for (int i = 0; i < count; i++) {
        node.inputs[i] = inputs[i].index;
        bool absent = inputs[i].index < 0 && i >= op->min_inputs;
        if (!absent && !is_value(graph, inputs[i]))
            return ds__graph_fail(graph, DS_INVALID_ARGUMENT, "%s: input %d is value %d, the graph has %zu values",
                                  op->name, i, inputs[i].index, graph->value_count);
        if (absent) node.inputs[i] = -1;
    }
    ds__op_result result;
    ds_error error;
    ds_status status = op->infer(graph, &node, &result, &error);
    if (status != DS_OK)
        return ds__graph_fail(graph, status, "node %zu (%s): %s", graph->node_count, op->name, error.message);
    node.outputs[0] = ds__graph_new_value(graph, result.dtype, &result.shape);
    if (node.outputs[0] < 0 || !ds__graph_insert(graph, graph->node_count, node)) return out_of_memory(graph);
    return (ds_value){node.outputs[0]};
}

int32_t ds__graph_producer(const ds_graph *graph, int32_t value) {
    for (size_t i = 0; i < graph->node_count; i++)
        for (int32_t k = 0; k < graph->nodes[i].output_count; k++)
            if (graph->nodes[i].outputs[k] == value) return (int32_t)i;
    return -1;
}

size_t ds__graph_uses(const ds_graph *graph, int32_t value) {
    size_t uses = 0;
    for (size_t i = 0; i < graph->node_count; i++)
        for (int32_t k = 0; k < graph->nodes[i].input_count; k++) uses += graph->nodes[i].inputs[k] == value;
    for (size_t i = 0; i < graph->output_count; i++) uses += graph->outputs[i].value == value;
    return uses;
}
