/* Compiling a graph: passes, a backend for each node, weights brought into form, storage analysed. */
#include "runtime/program_internal.h"

#include "base/context_internal.h"
#include "base/error.h"

size_t ds__program_scratch(const ds__program *program) {
    size_t of_one = program->scratch_floats * sizeof(float) + program->storage.local_bytes;
    return of_one * (size_t)ds__pool_threads(program->graph->context->pool);
}

const ds_graph *ds__program_graph(const ds__program *program) { return program->graph; }

void ds__program_destroy(ds__program *program) {
    if (!program) return;
    ds__heap *heap = &program->graph->context->heap;
    ds__arena_deinit(&program->arena);
    ds__graph_destroy(program->graph);
    ds__free(heap, program, sizeof *program);
}

static ds_status choose_backends(ds__program *program, const ds__program_options *options, ds_error *error) {
    const ds_graph *graph = program->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        size_t b = 0;
        while (b < options->backend_count && !options->backends[b]->supports(graph, &graph->nodes[i])) b++;
        if (b == options->backend_count)
            return ds__fail(error, DS_UNSUPPORTED, "node %zu (%s): none of the %zu backends runs it", i,
                            graph->nodes[i].op->name, options->backend_count);
        program->backends[i] = options->backends[b];
    }
    return DS_OK;
}

static ds_status prepare_weights(ds__program *program, ds__weight_store *store, ds_error *error) {
    const ds_graph *graph = program->graph;
    for (size_t i = 0; i < graph->node_count; i++)
        for (int32_t k = 0; k < graph->nodes[i].input_count; k++) {
            int32_t value = graph->nodes[i].inputs[k];
            if (value < 0 || graph->values[value].kind != DS__VALUE_WEIGHT) continue;
            const ds__weight_form *form = program->backends[i]->weight_form(graph, &graph->nodes[i], k);
            ds_tensor *tensor = &program->weight_tensors[i * DS__MAX_INPUTS + (size_t)k];
            DS_TRY(ds__weight_store_get(store, graph, value, form, tensor, error));
        }
    return DS_OK;
}

static ds_status measure_scratch(ds__program *program, ds_error *error) {
    const ds_graph *graph = program->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        size_t floats = 0;
        if (!program->backends[i]->scratch) continue;
        if (!program->backends[i]->scratch(graph, &graph->nodes[i], &floats) || floats > SIZE_MAX / 1024)
            return ds__fail(error, DS_SHAPE_MISMATCH, "node %zu (%s): its scratch memory exceeds the address space", i,
                            graph->nodes[i].op->name);
        floats = (floats + 15) / 16 * 16;
        if (floats > program->scratch_floats) program->scratch_floats = floats;
    }
    return DS_OK;
}

static ds_status compile(ds__program *program, ds__weight_store *store, const ds__program_options *options,
                         ds_error *error) {
    ds_graph *graph = program->graph;
    DS_TRY(ds__passes_run(graph, &options->passes, error));
    program->backends = ds__arena_zeroed(&program->arena, (graph->node_count + 1) * sizeof *program->backends);
    program->weight_tensors =
        ds__arena_zeroed(&program->arena, (graph->node_count + 1) * DS__MAX_INPUTS * sizeof *program->weight_tensors);
    if (!program->backends || !program->weight_tensors)
        return ds__alloc_failed(&graph->context->heap, graph->node_count * DS__MAX_INPUTS * sizeof(ds_tensor),
                                "a program", error);
    DS_TRY(choose_backends(program, options, error));
    DS_TRY(prepare_weights(program, store, error));
    DS_TRY(measure_scratch(program, error));
    DS_TRY(ds__storage_analyse(graph, &program->arena, &program->storage, error));
    return ds__segments_find(graph, program->backends, &program->arena, &program->storage, error);
}

ds_status ds__program_create(ds_graph *graph_take, ds__weight_store *store, const ds__program_options *options,
                             ds__program **out, ds_error *error) {
    ds__heap *heap = &graph_take->context->heap;
    ds__program *program = ds__alloc_zeroed(heap, sizeof *program);
    if (!program) {
        ds__graph_destroy(graph_take);
        return ds__alloc_failed(heap, sizeof *program, "a program", error);
    }
    program->graph = graph_take;
    ds__arena_init(&program->arena, heap, 0);
    ds_status status = compile(program, store, options, error);
    if (status != DS_OK) {
        ds__program_destroy(program);
        return status;
    }
    *out = program;
    return DS_OK;
}

ds_status ds__program_memory_for(const ds__program *program, const int64_t *symbols, ds__program_memory *memory,
                                 ds_error *error) {
    const ds_graph *graph = program->graph;
    ds__heap *heap = &graph->context->heap;
    size_t offset_bytes = graph->value_count * sizeof(int64_t), order_bytes = graph->value_count * sizeof(int32_t);
    int64_t *offset = ds__alloc(heap, offset_bytes);
    int32_t *order = ds__alloc(heap, order_bytes);
    ds_status status = DS_OK;
    if (!offset || !order)
        status = ds__alloc_failed(heap, offset_bytes, "a memory plan", error);
    else
        status = ds__plan_offsets(graph, &program->storage, symbols, offset, order, &memory->activations,
                                  &memory->side_by_side, error);
    ds__free(heap, offset, offset_bytes);
    ds__free(heap, order, order_bytes);
    memory->scratch = ds__program_scratch(program);
    return status;
}
