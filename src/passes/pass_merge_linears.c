/* merge_linears: linears that read the same x become one linear over their weights' rows stacked, and slices of its
 * result.
 *
 * In an encoder these are Q, K and V.  One larger product reads x once and fills the registers' tiles better.  The
 * stacked weight is only a list of parts here; the backend packs it straight from them. */
#include <stdio.h>

#include "base/error.h"
#include "passes/pass.h"

enum { MAX_GROUP = 8 };

typedef struct group {
    size_t nodes[MAX_GROUP];
    int32_t count;
} group;

static bool is_plain_weight(const ds_graph *graph, int32_t value) {
    return graph->values[value].kind == DS__VALUE_WEIGHT && graph->values[value].part_count == 0;
}

static bool can_join(const ds_graph *graph, const ds__node *node) {
    int32_t bias = node->inputs[DS__LINEAR_BIAS];
    return node->op == &ds__op_linear && node->inputs[DS__LINEAR_RESIDUAL] < 0 &&
           node->attributes.activation == DS__ACTIVATION_NONE &&
           is_plain_weight(graph, node->inputs[DS__LINEAR_WEIGHT]) && (bias < 0 || is_plain_weight(graph, bias));
}

/* Input `input` of both is absent, or of one dtype and precision. */
static bool alike(const ds_graph *graph, const ds__node *a, const ds__node *b, int input) {
    int32_t left = a->inputs[input], right = b->inputs[input];
    if (left < 0 || right < 0) return left < 0 && right < 0;
    return graph->values[left].dtype == graph->values[right].dtype &&
           graph->values[left].precision == graph->values[right].precision;
}

static group find_group(const ds_graph *graph, size_t first) {
    group found = {.nodes = {first}, .count = 1};
    const ds__node *leader = &graph->nodes[first];
    if (!can_join(graph, leader)) return found;
    for (size_t i = first + 1; i < graph->node_count && found.count < MAX_GROUP; i++) {
        const ds__node *node = &graph->nodes[i];
        if (can_join(graph, node) && node->inputs[DS__LINEAR_X] == leader->inputs[DS__LINEAR_X] &&
            alike(graph, leader, node, DS__LINEAR_WEIGHT) && alike(graph, leader, node, DS__LINEAR_BIAS))
            found.nodes[found.count++] = i;
    }
    return found;
}

/* Stacks input `input` of the group's nodes; -1 when they have none. */
static int32_t stack(ds_graph *graph, const group *members, int input) {
    int32_t parts[MAX_GROUP];
    char name[64];
    if (graph->nodes[members->nodes[0]].inputs[input] < 0) return -1;
    for (int32_t i = 0; i < members->count; i++) parts[i] = graph->nodes[members->nodes[i]].inputs[input];
    snprintf(name, sizeof name, "merged.%zu.%s", graph->value_count, input == DS__LINEAR_BIAS ? "bias" : "weight");
    return ds__graph_stack_weights(graph, name, parts, members->count).index;
}

static ds_status merge(ds_graph *graph, const group *members, ds_error *error) {
    ds__node merged = graph->nodes[members->nodes[0]];
    int32_t outputs[MAX_GROUP];
    for (int32_t i = 0; i < members->count; i++) outputs[i] = graph->nodes[members->nodes[i]].outputs[0];
    merged.inputs[DS__LINEAR_WEIGHT] = stack(graph, members, DS__LINEAR_WEIGHT);
    merged.inputs[DS__LINEAR_BIAS] = stack(graph, members, DS__LINEAR_BIAS);
    if (!ds__graph_ok(graph)) return ds__fail(error, graph->error.status, "%s", graph->error.message);
    ds__shape shape = graph->values[outputs[0]].shape;
    shape.dims[shape.rank - 1] = graph->values[merged.inputs[DS__LINEAR_WEIGHT]].shape.dims[0];
    merged.outputs[0] = ds__graph_new_value(graph, DS_F32, &shape);
    if (merged.outputs[0] < 0) return ds__pass_out_of_memory(graph, error);
    size_t place = members->nodes[0];
    for (int32_t i = members->count; i-- > 0;) ds__graph_remove(graph, members->nodes[i]);
    if (!ds__graph_insert(graph, place, merged)) return ds__pass_out_of_memory(graph, error);
    int64_t column = 0;
    for (int32_t i = 0; i < members->count; i++) {
        const ds__shape *part = &graph->values[outputs[i]].shape;
        int64_t columns = part->dims[part->rank - 1].base;
        ds__node slice = {.op = &ds__op_slice, .input_count = 1, .output_count = 1};
        slice.inputs[0] = merged.outputs[0];
        slice.outputs[0] = outputs[i];
        slice.attributes.first = column;
        slice.attributes.count = columns;
        if (!ds__graph_insert(graph, place + 1 + (size_t)i, slice)) return ds__pass_out_of_memory(graph, error);
        column += columns;
    }
    return DS_OK;
}

ds_status ds__pass_merge_linears(ds_graph *graph, ds_error *error) {
    for (size_t i = 0; i < graph->node_count; i++) {
        group members = find_group(graph, i);
        if (members.count > 1) DS_TRY(merge(graph, &members, error));
    }
    return DS_OK;
}
