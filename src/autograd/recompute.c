/* Gradient checkpointing; see autograd.h.
 *
 * A seam is a place between two forward nodes that a single temporary crosses.  Between two seams lies a part: of it
 * only the value at its beginning is kept.  When the backward part first reads something made inside, the nodes that
 * this needs are put in front of that reader once more, and all backward readers look at the copies.  The last part is
 * left alone: its values are read right away. */
#include "autograd/autograd.h"
#include "base/context_internal.h"
#include "base/error.h"

typedef struct job {
    ds_graph *graph;
    size_t forward;
    int32_t *made, *last; /* [values]: forward nodes that make it and last read it in the forward part; -1: none */
    int32_t *copy;        /* [values]: what stands for it in the backward part; -1: itself */
    int32_t *seams;       /* [seam_count]: a part begins at this node */
    size_t seam_count, values;
} job;

static bool is_view(const ds__node *node) { return node->op->view != NULL; }

static void find_lives(job *j) {
    for (size_t v = 0; v < j->values; v++) j->made[v] = j->last[v] = j->copy[v] = -1;
    for (size_t i = 0; i < j->forward; i++) {
        const ds__node *node = &j->graph->nodes[i];
        for (int32_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] >= 0) j->last[node->inputs[k]] = (int32_t)i;
        j->made[node->outputs[0]] = (int32_t)i;
    }
}

/* In front of node i only one temporary is both made before and read from there on. */
static bool is_seam(const job *j, size_t i) {
    size_t crossing = 0;
    for (size_t v = 0; v < j->values; v++)
        crossing += j->made[v] >= 0 && j->made[v] < (int32_t)i && j->last[v] >= (int32_t)i;
    return crossing == 1;
}

/* Every second seam of a chain of them: an encoder has one behind each norm, so a part is a layer. Seams one node apart
 * (a chain of element-wise nodes) count once. */
static void find_seams(job *j) {
    enum { EVERY = 2, LEAST_NODES = 4 };
    size_t found = 0, before = 0;
    for (size_t i = 1; i < j->forward; i++) {
        if (is_view(&j->graph->nodes[i]) || !is_seam(j, i) || i - before < LEAST_NODES) continue;
        before = i;
        if (found++ % EVERY == 0) j->seams[j->seam_count++] = (int32_t)i;
    }
}

/* Whether the value is made inside the part [from, to). What crosses into the next part is kept, so it is not. */
static bool is_inside(const job *j, int32_t value, int32_t from, int32_t to) {
    return value >= 0 && (size_t)value < j->values && j->made[value] >= from && j->made[value] < to &&
           j->last[value] < to;
}

static ds_status copy_node(job *j, int32_t index, size_t *at, ds_error *error) {
    ds_graph *graph = j->graph;
    ds__node node = graph->nodes[index];
    const ds__value value = graph->values[node.outputs[0]];
    const int32_t fresh = ds__graph_new_value(graph, value.dtype, &value.shape);
    for (int32_t k = 0; k < node.input_count; k++)
        if (node.inputs[k] >= 0 && (size_t)node.inputs[k] < j->values && j->copy[node.inputs[k]] >= 0)
            node.inputs[k] = j->copy[node.inputs[k]];
    j->copy[node.outputs[0]] = fresh;
    node.outputs[0] = fresh;
    if (fresh < 0 || !ds__graph_insert(graph, *at, node))
        return ds__alloc_failed(&graph->context->heap, sizeof node, "recomputing values", error);
    ++*at;
    return DS_OK;
}

/* Marks in `copy` (with -2) which values of the part are read behind it, and what those are made of. Returns the first
 * reader among the backward nodes, or the number of nodes. */
static size_t find_needed(job *j, int32_t from, int32_t to) {
    const ds_graph *graph = j->graph;
    size_t first = graph->node_count;
    for (size_t i = graph->node_count; i-- > j->forward;)
        for (int32_t k = 0; k < graph->nodes[i].input_count; k++)
            if (is_inside(j, graph->nodes[i].inputs[k], from, to)) {
                j->copy[graph->nodes[i].inputs[k]] = -2;
                first = i;
            }
    for (int32_t i = to; i-- > from;)
        if (j->copy[graph->nodes[i].outputs[0]] == -2)
            for (int32_t k = 0; k < graph->nodes[i].input_count; k++)
                if (is_inside(j, graph->nodes[i].inputs[k], from, to)) j->copy[graph->nodes[i].inputs[k]] = -2;
    return first;
}

static ds_status recompute_part(job *j, int32_t from, int32_t to, ds_error *error) {
    ds_graph *graph = j->graph;
    size_t at = find_needed(j, from, to);
    if (at == graph->node_count) return DS_OK;
    for (int32_t i = from; i < to; i++)
        if (j->copy[graph->nodes[i].outputs[0]] == -2) DS_TRY(copy_node(j, i, &at, error));
    for (size_t i = at; i < graph->node_count; i++)
        for (int32_t k = 0; k < graph->nodes[i].input_count; k++)
            if (is_inside(j, graph->nodes[i].inputs[k], from, to))
                graph->nodes[i].inputs[k] = j->copy[graph->nodes[i].inputs[k]];
    return DS_OK;
}

ds_status ds__recompute(ds_graph *graph, size_t forward, ds_error *error) {
    ds__arena memory;
    ds__arena_init(&memory, &graph->context->heap, 0);
    job j = {.graph = graph, .forward = forward, .values = graph->value_count};
    size_t bytes = (j.values + 1) * sizeof(int32_t);
    j.made = ds__arena_alloc(&memory, bytes);
    j.last = ds__arena_alloc(&memory, bytes);
    j.copy = ds__arena_alloc(&memory, bytes);
    j.seams = ds__arena_alloc(&memory, (forward + 1) * sizeof(int32_t));
    ds_status status = DS_OK;
    if (!j.made || !j.last || !j.copy || !j.seams) {
        status = ds__alloc_failed(&graph->context->heap, 4 * bytes, "recomputing values", error);
    } else {
        find_lives(&j);
        find_seams(&j);
        for (size_t s = 0; s < j.seam_count && status == DS_OK; s++)
            status = recompute_part(&j, s ? j.seams[s - 1] : 0, j.seams[s], error);
    }
    ds__arena_deinit(&memory);
    return status;
}
