/* fuse_residual: add(op(...), r) or add(r, op(...)) of one shape -> op(..., residual r), for operators that have such
 * an input (products, scatter_add).
 *
 * The node moves to the place of the add, where r is certainly there. */
#include "passes/pass.h"

/* The node that side `side` of the add could be merged into, -1 if it cannot. */
static int32_t candidate(const ds_graph *graph, const ds__node *add, int side) {
    const int32_t producer = ds__pass_sole_producer(graph, add->inputs[side]), other = add->inputs[1 - side];
    if (producer < 0) return -1;
    const ds__node *node = &graph->nodes[producer];
    const int residual = node->op->residual;
    if (residual == 0 || (residual < node->input_count && node->inputs[residual] >= 0)) return -1;
    const bool same = ds__shape_equal(&graph->values[add->inputs[side]].shape, &graph->values[other].shape);
    return same && graph->values[other].kind != DS__VALUE_WEIGHT ? producer : -1;
}

ds_status ds__pass_fuse_residual(ds_graph *graph, ds_error *error) {
    (void)error;
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node *add = &graph->nodes[i];
        if (add->op != &ds__op_add) continue;
        int side = 0;
        int32_t producer = candidate(graph, add, side);
        if (producer < 0) producer = candidate(graph, add, side = 1);
        if (producer < 0) continue;
        ds__node *node = &graph->nodes[producer];
        const int residual = node->op->residual;
        while (node->input_count <= residual) node->inputs[node->input_count++] = -1;
        node->inputs[residual] = add->inputs[1 - side];
        ds__pass_absorb(graph, (size_t)producer, i);
        i--;
    }
    return DS_OK;
}
