/* Finding segments, and placing their own values in the memory of a block. */
#include "runtime/segments.h"

#include "base/context_internal.h"
#include "base/error.h"

static const ds__split splits[] = {
    {0, 0, "operator by operator; threads share the columns of each product",
     "so few rows leave a product waiting for its weight, which is read once this way"},
    {8, 1, "one block of rows for each thread, through all operators between two attentions",
     "threads meet once and keep the values between the operators in their own caches"},
    {32, 2, "at least two blocks of at most 64 rows for each thread, through all operators between two attentions",
     "a thread that is late can be helped, and a block's widest values fit the second cache"},
};

size_t ds__split_count(void) { return sizeof splits / sizeof *splits; }
const ds__split *ds__split_at(size_t index) { return &splits[index]; }

const ds__split *ds__split_for(int64_t rows, int threads) {
    size_t found = 0;
    for (size_t i = 0; i < ds__split_count(); i++)
        if (rows >= (int64_t)splits[i].rows_from * threads) found = i;
    return &splits[found];
}

int64_t ds__blocks_from(int threads) {
    size_t first = 0;
    while (splits[first].blocks == 0) first++;
    return (int64_t)splits[first].rows_from * threads;
}

/* Whether a value can be cut into rows: [rows, ...] with everything behind fixed, or ids [rows]. */
static bool has_rows(const ds__value *value, ds_dim rows) {
    const ds__shape *shape = &value->shape;
    if (shape->rank < 1 || (shape->rank < 2 && value->dtype != DS_I32)) return false;
    for (int i = 1; i < shape->rank; i++)
        if (shape->dims[i].factor != 0) return false;
    return ds__dim_equal(shape->dims[0], rows);
}

/* The number of rows that the node could be cut by; factor 0: it cannot. */
static ds_dim rows_of(const ds_graph *graph, const ds__node *node, const ds__backend *backend) {
    const ds_dim none = ds__dim_of(0);
    const ds__value *output = &graph->values[node->outputs[0]];
    if (!node->op->by_rows || !backend->runs_rows || node->output_count != 1 || output->shape.rank < 2) return none;
    ds_dim rows = output->shape.dims[0];
    if (rows.factor == 0 || !has_rows(output, rows)) return none;
    for (int32_t k = 0; k < node->input_count; k++) {
        if (node->inputs[k] < 0) continue;
        const ds__value *input = &graph->values[node->inputs[k]];
        if (input->kind != DS__VALUE_WEIGHT && !has_rows(input, rows)) return none;
    }
    return rows;
}

static void append(ds__storage *storage, int32_t first, int32_t last, ds_dim rows, int32_t working) {
    if (working >= 2) /* a single node gains nothing */
        storage->segments[storage->segment_count++] = (ds__segment){first, last, rows};
}

static void find(const ds_graph *graph, const ds__backend *const *backends, ds__storage *storage) {
    int32_t first = 0, working = 0, count = (int32_t)graph->node_count;
    ds_dim rows = ds__dim_of(0);
    for (int32_t i = 0; i < count; i++) {
        ds_dim here = rows_of(graph, &graph->nodes[i], backends[i]);
        if (working && !ds__dim_equal(here, rows)) {
            append(storage, first, i, rows, working);
            working = 0;
        }
        if (here.factor == 0) continue;
        if (!working) {
            first = i;
            rows = here;
        }
        working += !graph->nodes[i].op->view; /* a segment does not begin with a view */
    }
    append(storage, first, count, rows, working);
}

/* Values made and last read within one segment live in a block's memory; every other one that a segment touches keeps
 * its memory to itself from the segment's first node to its last, because blocks are at different nodes at once. */
static void settle(const ds_graph *graph, ds__storage *storage) {
    for (int32_t s = 0; s < storage->segment_count; s++) {
        const ds__segment *segment = &storage->segments[s];
        for (size_t v = 0; v < graph->value_count; v++) {
            int32_t *first = &storage->first[v], *last = &storage->last[v];
            bool is_root =
                graph->values[v].kind == DS__VALUE_TEMPORARY && storage->root[v] == (int32_t)v && *first >= 0;
            if (!is_root || *last < segment->first || *first >= segment->last) continue;
            storage->is_local[v] = !storage->is_bound[v] && *first >= segment->first && *last < segment->last;
            if (storage->is_local[v]) continue;
            if (*first > segment->first) *first = segment->first;
            if (*last < segment->last - 1) *last = segment->last - 1;
        }
    }
}

/* Bytes of a block of the value. */
static bool block_bytes(const ds__value *value, size_t *bytes) {
    *bytes = DS__BLOCK_ROWS * ds_dtype_size(value->dtype);
    for (int i = 1; i < value->shape.rank; i++)
        if (!ds__size_mul(*bytes, (size_t)value->shape.dims[i].base, bytes)) return false;
    return ds__size_add(*bytes, 63, bytes) && (*bytes = *bytes / 64 * 64, true);
}

/* First-fit in the order of the nodes: the lowest place that no value living at the same time touches. */
static bool place(const ds_graph *graph, ds__storage *storage) {
    for (size_t v = 0; v < graph->value_count; v++) {
        size_t bytes, end, at = 0;
        if (!storage->is_local[v]) continue;
        if (!block_bytes(&graph->values[v], &bytes)) return false;
        for (size_t u = 0; u < v; u++) {
            size_t other = 0;
            bool meet =
                storage->is_local[u] && storage->first[u] <= storage->last[v] && storage->first[v] <= storage->last[u];
            if (!meet || !block_bytes(&graph->values[u], &other)) continue;
            size_t start = (size_t)storage->local_offset[u];
            if (at < start + other && start < at + bytes) {
                at = start + other;
                u = (size_t)-1; /* looks at all of them again */
            }
        }
        if (!ds__size_add(at, bytes, &end) || end > INT64_MAX) return false;
        storage->local_offset[v] = (int64_t)at;
        if (end > storage->local_bytes) storage->local_bytes = end;
    }
    return true;
}

ds_status ds__segments_find(const ds_graph *graph, const ds__backend *const *backends, ds__arena *arena,
                            ds__storage *storage, ds_error *error) {
    storage->blocks_from = ds__blocks_from(ds__pool_threads(graph->context->pool));
    storage->segments = ds__arena_zeroed(arena, (graph->node_count + 1) * sizeof *storage->segments);
    storage->is_local = ds__arena_zeroed(arena, graph->value_count + 1);
    storage->local_offset = ds__arena_zeroed(arena, (graph->value_count + 1) * sizeof *storage->local_offset);
    if (!storage->segments || !storage->is_local || !storage->local_offset)
        return ds__alloc_failed(arena->heap, graph->value_count * sizeof(int64_t), "a memory plan", error);
    find(graph, backends, storage);
    settle(graph, storage);
    if (place(graph, storage)) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "a block of %d rows of the graph's values exceeds the address space",
                    DS__BLOCK_ROWS);
}
