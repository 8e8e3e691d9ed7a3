/* The executor: binds sizes and pointers, then runs the nodes one by one. */
#include "base/clock.h"
#include "base/context_internal.h"
#include "base/error.h"
#include "runtime/blocks.h"
#include "runtime/program_internal.h"

struct ds__execution {
    const ds__program *program;
    ds__arena arena;                  /* the arrays below */
    ds_tensor *tensors;               /* [values]: inputs and temporaries; weights have views of their own */
    ds__call *calls;                  /* [nodes] */
    int64_t *offset;                  /* [values] in the activation buffer */
    int32_t *order;                   /* [values] workspace of the planner */
    int64_t symbols[DS__MAX_SYMBOLS]; /* what the tensors' shapes are bound to; -1: nothing yet */
    int64_t bound[DS__MAX_SYMBOLS];   /* what the plan is made for; -1: nothing yet */
    size_t plan_bytes;                /* what the plan needs of the workspace's buffer */
    ds__workspace *workspace;
    size_t watched;      /* nodes up to the watched output's, that one included; SIZE_MAX: none is watched */
    uint64_t reached_ns; /* 0: not yet in this run */
};

void ds__workspace_init(ds__workspace *workspace, ds__heap *heap) { *workspace = (ds__workspace){.heap = heap}; }

void ds__workspace_deinit(ds__workspace *workspace) {
    ds__free(workspace->heap, workspace->buffer, workspace->buffer_bytes);
    ds__free(workspace->heap, workspace->scratch, workspace->scratch_bytes);
    ds__workspace_init(workspace, workspace->heap);
}

/* Makes both parts at least so large. The old part goes first, so that both need not fit under the limit at once. */
static ds_status workspace_grow(ds__workspace *workspace, size_t buffer_bytes, size_t scratch_bytes, ds_error *error) {
    if (buffer_bytes > workspace->buffer_bytes || !workspace->buffer) {
        ds__free(workspace->heap, workspace->buffer, workspace->buffer_bytes);
        workspace->buffer_bytes = 0;
        workspace->buffer = ds__alloc(workspace->heap, buffer_bytes);
        if (!workspace->buffer) return ds__alloc_failed(workspace->heap, buffer_bytes, "activations", error);
        workspace->buffer_bytes = buffer_bytes;
        ds__hint_large_pages(workspace->buffer, buffer_bytes);
    }
    if (scratch_bytes > workspace->scratch_bytes) {
        ds__free(workspace->heap, workspace->scratch, workspace->scratch_bytes);
        workspace->scratch_bytes = 0;
        workspace->scratch = ds__alloc(workspace->heap, scratch_bytes);
        if (!workspace->scratch) return ds__alloc_failed(workspace->heap, scratch_bytes, "scratch memory", error);
        workspace->scratch_bytes = scratch_bytes;
    }
    return DS_OK;
}

/* Points the calls at their tensors; done once, since tensors are re-bound in place. */
static void connect(ds__execution *execution) {
    const ds_graph *graph = execution->program->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node *node = &graph->nodes[i];
        ds__call *call = &execution->calls[i];
        call->node = node;
        for (int32_t k = 0; k < node->input_count; k++) {
            int32_t value = node->inputs[k];
            if (value < 0) continue;
            call->inputs[k] = graph->values[value].kind == DS__VALUE_WEIGHT
                                  ? &execution->program->weight_tensors[i * DS__MAX_INPUTS + (size_t)k]
                                  : &execution->tensors[value];
        }
        for (int32_t k = 0; k < node->output_count; k++) call->outputs[k] = &execution->tensors[node->outputs[k]];
    }
}

ds_status ds__execution_create(const ds__program *program, ds__workspace *workspace, ds__execution **out,
                               ds_error *error) {
    const ds_graph *graph = program->graph;
    ds__heap *heap = &graph->context->heap;
    ds__execution *execution = ds__alloc_zeroed(heap, sizeof *execution);
    if (!execution) return ds__alloc_failed(heap, sizeof *execution, "an execution", error);
    execution->program = program;
    execution->workspace = workspace;
    execution->watched = SIZE_MAX;
    ds__arena *arena = &execution->arena;
    ds__arena_init(arena, heap, 0);
    execution->tensors = ds__arena_zeroed(arena, (graph->value_count + 1) * sizeof *execution->tensors);
    execution->calls = ds__arena_zeroed(arena, (graph->node_count + 1) * sizeof *execution->calls);
    execution->offset = ds__arena_zeroed(arena, (graph->value_count + 1) * sizeof *execution->offset);
    execution->order = ds__arena_zeroed(arena, (graph->value_count + 1) * sizeof *execution->order);
    if (!execution->tensors || !execution->calls || !execution->offset || !execution->order) {
        ds__execution_destroy(execution);
        return ds__alloc_failed(heap, graph->value_count * sizeof(ds_tensor), "an execution", error);
    }
    for (int i = 0; i < DS__MAX_SYMBOLS; i++) execution->symbols[i] = execution->bound[i] = -1;
    connect(execution);
    *out = execution;
    return DS_OK;
}

void ds__execution_destroy(ds__execution *execution) {
    if (!execution) return;
    ds__heap *heap = &execution->program->graph->context->heap;
    ds__arena_deinit(&execution->arena);
    ds__free(heap, execution, sizeof *execution);
}

ds_status ds__execution_reserve(ds__execution *execution, const int64_t *symbols, ds_error *error) {
    const ds_graph *graph = execution->program->graph;
    int64_t bound[DS__MAX_SYMBOLS];
    bool fits = execution->plan_bytes > 0;
    for (int32_t i = 0; i < graph->symbol_count; i++) {
        if (symbols[i] < 0 || symbols[i] > DS__MAX_DIM)
            return ds__fail(error, DS_INVALID_ARGUMENT, "size %s is %lld, expected 0 to %d", graph->symbols[i],
                            (long long)symbols[i], DS__MAX_DIM);
        fits = fits && symbols[i] <= execution->bound[i];
        bound[i] = symbols[i] > execution->bound[i] ? symbols[i] : execution->bound[i];
    }
    if (!fits) {
        size_t side_by_side;
        execution->plan_bytes = 0; /* no plan until this one is made */
        DS_TRY(ds__plan_offsets(graph, &execution->program->storage, bound, execution->offset, execution->order,
                                &execution->plan_bytes, &side_by_side, error));
        execution->plan_bytes += 1; /* a graph without temporaries has a plan too */
        for (int32_t i = 0; i < graph->symbol_count; i++) execution->bound[i] = bound[i];
    }
    /* Looked at every time: another execution's failed growth may have taken the shared memory away. */
    size_t scratch_bytes = ds__program_scratch(execution->program);
    ds_status status = workspace_grow(execution->workspace, execution->plan_bytes, scratch_bytes, error);
    if (status != DS_OK) { /* a smaller batch must not fail for a bound that could not be had */
        execution->plan_bytes = 0;
        for (int32_t i = 0; i < graph->symbol_count; i++) execution->bound[i] = -1;
    }
    return status;
}

static ds_status bind_shapes(ds__execution *execution, const int64_t *symbols, ds_error *error) {
    const ds_graph *graph = execution->program->graph;
    bool same = true;
    for (int32_t i = 0; i < graph->symbol_count; i++) same = same && symbols[i] == execution->symbols[i];
    if (same && graph->symbol_count) return DS_OK;
    execution->symbols[0] = -1; /* half bound until the end */
    for (size_t v = 0; v < graph->value_count; v++) {
        const ds__value *value = &graph->values[v];
        int64_t shape[DS_MAX_RANK];
        for (int i = 0; i < value->shape.rank; i++) {
            shape[i] = ds__dim_size(value->shape.dims[i], symbols);
            if (shape[i] < 0)
                return ds__fail(error, DS_INVALID_ARGUMENT, "dimension %d of %%%s would exceed %d", i, value->name,
                                DS__MAX_DIM);
        }
        execution->tensors[v] = ds_tensor_dense(value->dtype, value->shape.rank, shape, NULL);
    }
    for (int32_t i = 0; i < graph->symbol_count; i++) execution->symbols[i] = symbols[i];
    return DS_OK;
}

static void bind_pointers(ds__execution *execution, const void *const *inputs, void *const *outputs) {
    const ds_graph *graph = execution->program->graph;
    const ds__storage *storage = &execution->program->storage;
    size_t input = 0;
    for (size_t v = 0; v < graph->value_count; v++) {
        if (graph->values[v].kind == DS__VALUE_INPUT)
            execution->tensors[v].data = (void *)inputs[input++];
        else if (graph->values[v].kind == DS__VALUE_STATE)
            execution->tensors[v].data = (void *)graph->values[v].data;
        else if (graph->values[v].kind == DS__VALUE_TEMPORARY && execution->offset[storage->root[v]] >= 0)
            execution->tensors[v].data = execution->workspace->buffer + execution->offset[storage->root[v]];
    }
    for (size_t i = 0; i < graph->output_count; i++) {
        int32_t value = graph->outputs[i].value;
        if (storage->is_bound[value]) execution->tensors[value].data = outputs[i];
    }
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op->view) graph->nodes[i].op->view(&execution->calls[i]);
}

/* Copies a (strided) tensor to dense memory, row by row of the last dimension. */
static void copy_dense(const ds_tensor *tensor, char *out) {
    size_t element = ds_dtype_size(tensor->dtype), columns = tensor->rank ? (size_t)tensor->shape[tensor->rank - 1] : 1;
    int64_t rows = 1, ld = tensor->rank >= 2 ? tensor->stride[tensor->rank - 2] : (int64_t)columns;
    for (int i = 0; i + 1 < tensor->rank; i++) rows *= tensor->shape[i];
    for (int64_t row = 0; row < rows; row++)
        memcpy(out + (size_t)row * columns * element, (const char *)tensor->data + (size_t)(row * ld) * element,
               columns * element);
}

void ds__execution_watch(ds__execution *execution, size_t output) {
    const ds_graph *graph = execution->program->graph;
    size_t node = graph->node_count;
    for (size_t i = 0; i < graph->node_count; i++)
        for (int32_t k = 0; k < graph->nodes[i].output_count; k++)
            if (graph->nodes[i].outputs[k] == graph->outputs[output].value) node = i + 1;
    execution->watched = node;
}

uint64_t ds__execution_reached_ns(const ds__execution *execution) { return execution->reached_ns; }

/* The node is next. */
static void look_at_clock(ds__execution *execution, size_t node) {
    if (node >= execution->watched && execution->reached_ns == 0) execution->reached_ns = ds__clock_ns();
}

static ds_status run_nodes(ds__execution *execution, size_t first, size_t last, ds_error *error) {
    const ds__program *program = execution->program;
    const ds_graph *graph = program->graph;
    ds__pool *pool = graph->context->pool;
    ds__run run = {.pool = pool,
                   .threads = ds__pool_threads(pool),
                   .scratch = execution->workspace->scratch,
                   .scratch_floats = program->scratch_floats};
    for (size_t i = first; i < last; i++) {
        if (graph->nodes[i].op->view) continue;
        look_at_clock(execution, i);
        ds_status status = program->backends[i]->run(&execution->calls[i], &run, error);
        if (status != DS_OK) return ds__fail_in(error, status, "node %zu (%s)", i, graph->nodes[i].op->name);
    }
    return DS_OK;
}

/* Segments in blocks where they have the rows for it, everything else node by node. */
static ds_status run_all(ds__execution *execution, ds_error *error) {
    const ds__program *program = execution->program;
    const ds__storage *storage = &program->storage;
    const ds__blocks blocks = {.graph = program->graph,
                               .storage = storage,
                               .backends = program->backends,
                               .calls = execution->calls,
                               .tensors = execution->tensors,
                               .pool = program->graph->context->pool,
                               .scratch = execution->workspace->scratch,
                               .scratch_floats = program->scratch_floats};
    size_t next = 0;
    for (int32_t s = 0; s < storage->segment_count; s++) {
        const ds__segment *segment = &storage->segments[s];
        int64_t rows = ds__dim_size(segment->rows, execution->symbols);
        if (rows < storage->blocks_from) continue;
        DS_TRY(run_nodes(execution, next, (size_t)segment->first, error));
        look_at_clock(execution, (size_t)segment->first);
        DS_TRY(ds__blocks_run(&blocks, segment, rows, error));
        next = (size_t)segment->last;
    }
    return run_nodes(execution, next, program->graph->node_count, error);
}

ds_status ds__execution_run(ds__execution *execution, const int64_t *symbols, const void *const *inputs,
                            void *const *outputs, ds_error *error) {
    const ds__program *program = execution->program;
    const ds_graph *graph = program->graph;
    DS_TRY(ds__execution_reserve(execution, symbols, error));
    DS_TRY(bind_shapes(execution, symbols, error));
    bind_pointers(execution, inputs, outputs);
    execution->reached_ns = 0;
    DS_TRY(run_all(execution, error));
    look_at_clock(execution, graph->node_count);
    for (size_t i = 0; i < graph->output_count; i++) { /* views, and a value that is named twice */
        const ds_tensor *tensor = &execution->tensors[graph->outputs[i].value];
        if (tensor->data != outputs[i]) copy_dense(tensor, outputs[i]);
    }
    return DS_OK;
}

double ds__execution_flops(const ds__execution *execution) {
    const ds_graph *graph = execution->program->graph;
    double flops = 0;
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op->flops) flops += graph->nodes[i].op->flops(&execution->calls[i]);
    return flops;
}
