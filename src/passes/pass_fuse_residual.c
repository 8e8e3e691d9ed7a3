/* fuse_residual: add(product(...), r) or add(r, product(...)) of one shape -> product(..., residual r), for linear and
 * matmul.
 *
 * The product moves to the place of the add, where r is certainly there. */
#include "passes/pass.h"

/* The linear that side `side` of the add could be merged into, -1 if it cannot. */
static int32_t candidate(const ds_graph *graph, const ds__node *add, int side) {
    int32_t producer = ds__pass_sole_product(graph, add->inputs[side]);
    if (producer < 0 || graph->nodes[producer].inputs[DS__LINEAR_RESIDUAL] >= 0) return -1;
    int32_t other = add->inputs[1 - side];
    bool same = ds__shape_equal(&graph->values[add->inputs[side]].shape, &graph->values[other].shape);
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
        graph->nodes[producer].inputs[DS__LINEAR_RESIDUAL] = add->inputs[1 - side];
        ds__pass_absorb(graph, (size_t)producer, i);
        i--;
    }
    return DS_OK;
}
