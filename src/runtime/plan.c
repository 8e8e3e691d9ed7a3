/* The memory plan: storage sharing is told from the graph alone; offsets are placed first-fit, largest first, which is
 * known to come close to the lower bound for such graphs (Pisarchyk and Lee 2020, greedy by size). */
#include "runtime/plan.h"

#include "base/error.h"

enum { PLAN_ALIGNMENT = 64 };

bool ds__value_elements(const ds__value *value, const int64_t *symbols, size_t *elements) {
    *elements = 1;
    for (int i = 0; i < value->shape.rank; i++) {
        int64_t size = ds__dim_size(value->shape.dims[i], symbols);
        if (size < 0 || !ds__size_mul(*elements, (size_t)size, elements)) return false;
    }
    return true;
}

static bool value_bytes(const ds__value *value, const int64_t *symbols, size_t *bytes) {
    return ds__value_elements(value, symbols, bytes) && ds__size_mul(*bytes, ds_dtype_size(value->dtype), bytes) &&
           ds__size_add(*bytes, PLAN_ALIGNMENT - 1, bytes) && (*bytes = *bytes / PLAN_ALIGNMENT * PLAN_ALIGNMENT, true);
}

/* Values that live in blocks need memory for all their rows only where there are too few for blocks. */
static bool root_bytes(const ds_graph *graph, const ds__storage *storage, int32_t root, const int64_t *symbols,
                       size_t *bytes) {
    ds__value value = graph->values[root];
    if (storage->is_local[root]) {
        int64_t rows = ds__dim_size(value.shape.dims[0], symbols);
        value.shape.dims[0] = ds__dim_of(rows < storage->blocks_from ? rows : storage->blocks_from);
    }
    return value_bytes(&value, symbols, bytes);
}

static bool is_output(const ds_graph *graph, int32_t value) {
    for (size_t i = 0; i < graph->output_count; i++)
        if (graph->outputs[i].value == value) return true;
    return false;
}

/* Finds an input whose memory the node's output may take over: a dense temporary of the same shape that dies here. */
static int32_t overwritten(const ds_graph *graph, const ds__storage *storage, size_t index) {
    const ds__node *node = &graph->nodes[index];
    int32_t output = node->outputs[0];
    if (node->output_count != 1 || storage->is_bound[output]) return -1;
    for (const int *input = node->op->in_place; *input != DS__IN_PLACE_NONE; input++) {
        int32_t value = *input < node->input_count ? node->inputs[*input] : -1;
        if (value < 0 || graph->values[value].kind != DS__VALUE_TEMPORARY || storage->is_view[value]) continue;
        int32_t root = storage->root[value];
        int uses_here = 0;
        for (int32_t k = 0; k < node->input_count; k++)
            uses_here += node->inputs[k] >= 0 && storage->root[node->inputs[k]] == root;
        bool fits = ds__shape_equal(&graph->values[value].shape, &graph->values[output].shape) &&
                    graph->values[value].dtype == graph->values[output].dtype;
        if (fits && uses_here == 1 && !storage->is_bound[root] && storage->last[root] == (int32_t)index) return root;
    }
    return -1;
}

static int32_t *filled(ds__arena *arena, size_t count, int32_t value) {
    int32_t *items = ds__arena_alloc(arena, (count + 1) * sizeof *items);
    for (size_t i = 0; items && i < count; i++) items[i] = value;
    return items;
}

/* Marks which outputs lie in the caller's memory: those that are not views; a value named by two outputs is copied to
 * the second, which the execution does. */
static void mark_bound(const ds_graph *graph, ds__storage *storage) {
    for (size_t i = 0; i < graph->output_count; i++) {
        int32_t value = graph->outputs[i].value;
        if (!storage->is_view[value]) storage->is_bound[value] = true;
    }
}

ds_status ds__storage_analyse(const ds_graph *graph, ds__arena *arena, ds__storage *storage, ds_error *error) {
    size_t values = graph->value_count;
    storage->root = filled(arena, values, -1);
    storage->first = filled(arena, values, -1);
    storage->last = filled(arena, values, -1);
    storage->is_view = ds__arena_zeroed(arena, values + 1);
    storage->is_bound = ds__arena_zeroed(arena, values + 1);
    if (!storage->root || !storage->first || !storage->last || !storage->is_view || !storage->is_bound)
        return ds__alloc_failed(arena->heap, values * 16, "a memory plan", error);
    /* Views first: they only lengthen the life of what they look into. */
    for (size_t i = 0; i < values; i++) storage->root[i] = (int32_t)i;
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node *node = &graph->nodes[i];
        if (!node->op->view) continue;
        storage->root[node->outputs[0]] = storage->root[node->inputs[0]];
        storage->is_view[node->outputs[0]] = true;
    }
    mark_bound(graph, storage);
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node *node = &graph->nodes[i];
        for (int32_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] >= 0) storage->last[storage->root[node->inputs[k]]] = (int32_t)i;
        for (int32_t k = 0; k < node->output_count; k++)
            if (!storage->is_view[node->outputs[k]]) {
                storage->first[node->outputs[k]] = (int32_t)i;
                storage->last[node->outputs[k]] = (int32_t)i;
            }
    }
    for (size_t i = 0; i < values; i++) /* outputs that are views are copied at the very end */
        if (is_output(graph, (int32_t)i)) storage->last[storage->root[i]] = (int32_t)graph->node_count;
    /* Then overwriting, in the order of the nodes, so that chains share one piece of memory. */
    for (size_t i = 0; i < graph->node_count; i++) {
        int32_t root = overwritten(graph, storage, i), output = graph->nodes[i].outputs[0];
        if (root < 0 || storage->is_view[output]) continue;
        storage->last[root] = storage->last[output];
        storage->first[output] = storage->last[output] = -1;
        for (size_t v = 0; v < values; v++)
            if (storage->root[v] == output) storage->root[v] = root;
    }
    return DS_OK;
}

static bool is_planned(const ds_graph *graph, const ds__storage *storage, int32_t value) {
    return graph->values[value].kind == DS__VALUE_TEMPORARY && storage->root[value] == value &&
           !storage->is_bound[value] && storage->first[value] >= 0;
}

/* What placing looks at: the values placed so far and where. */
typedef struct placement {
    const ds_graph *graph;
    const ds__storage *storage;
    const int64_t *symbols, *offset;
    const int32_t *placed;
    size_t count;
} placement;

/* The lowest offset where `bytes` fit beside the values already placed that live at the same time. */
static size_t find_place(const placement *p, int32_t value, size_t bytes) {
    const ds__storage *storage = p->storage;
    size_t place = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < p->count; i++) {
            int32_t other = p->placed[i];
            size_t other_bytes = 0;
            bool meet = storage->first[other] <= storage->last[value] && storage->first[value] <= storage->last[other];
            if (!meet || !root_bytes(p->graph, storage, other, p->symbols, &other_bytes)) continue;
            size_t start = (size_t)p->offset[other];
            if (place < start + other_bytes && start < place + bytes) {
                place = start + other_bytes;
                moved = true;
            }
        }
    }
    return place;
}

/* The planned values, largest first (ties in the order of the graph); how many. */
static size_t order_by_size(const ds_graph *graph, const ds__storage *storage, const int64_t *symbols, int32_t *order) {
    size_t count = 0;
    for (size_t v = 0; v < graph->value_count; v++) {
        size_t bytes = 0, other = 0;
        if (!is_planned(graph, storage, (int32_t)v)) continue;
        root_bytes(graph, storage, (int32_t)v, symbols, &bytes);
        size_t at = count++;
        while (at > 0 && root_bytes(graph, storage, order[at - 1], symbols, &other) && other < bytes) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = (int32_t)v;
    }
    return count;
}

ds_status ds__plan_offsets(const ds_graph *graph, const ds__storage *storage, const int64_t *symbols, int64_t *offset,
                           int32_t *order, size_t *total, size_t *side_by_side, ds_error *error) {
    *total = *side_by_side = 0;
    for (size_t v = 0; v < graph->value_count; v++) {
        size_t bytes;
        offset[v] = DS__NO_OFFSET;
        if (graph->values[v].kind != DS__VALUE_TEMPORARY) continue;
        if (!value_bytes(&graph->values[v], symbols, &bytes))
            return ds__fail(error, DS_INVALID_ARGUMENT, "value %%%s would have more elements than can be addressed",
                            graph->values[v].name);
        bool made = storage->first[v] >= 0 || (storage->root[v] != (int32_t)v && !storage->is_view[v]);
        if (made && !storage->is_bound[v] && !ds__size_add(*side_by_side, bytes, side_by_side))
            return ds__fail(error, DS_INVALID_ARGUMENT, "the graph's values together exceed the address space");
    }
    size_t count = order_by_size(graph, storage, symbols, order);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = 0, end;
        root_bytes(graph, storage, order[i], symbols, &bytes);
        placement so_far = {graph, storage, symbols, offset, order, i};
        size_t place = find_place(&so_far, order[i], bytes);
        if (!ds__size_add(place, bytes, &end) || end > INT64_MAX)
            return ds__fail(error, DS_INVALID_ARGUMENT, "the graph's values together exceed the address space");
        offset[order[i]] = (int64_t)place;
        if (end > *total) *total = end;
    }
    return DS_OK;
}
