/* fuse_activation: activation(linear(...)) -> linear(..., activation), applied to the tile while it is in registers. */
#include "passes/pass.h"

ds_status ds__pass_fuse_activation(ds_graph *graph, ds_error *error) {
    (void)error;
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node *node = &graph->nodes[i];
        if (node->op != &ds__op_activation) continue;
        int32_t producer = ds__pass_sole_linear(graph, node->inputs[0]);
        if (producer < 0) continue;
        ds__node *linear = &graph->nodes[producer];
        if (linear->inputs[DS__LINEAR_RESIDUAL] >= 0 || linear->attributes.activation != DS__ACTIVATION_NONE) continue;
        linear->attributes.activation = node->attributes.activation;
        ds__pass_absorb(graph, (size_t)producer, i);
        i--;
    }
    return DS_OK;
}
