/* fuse_bias: add(linear(x, w), b) with a weight or a state b: [n] -> linear(x, w, b).  The product's epilogue adds it
 * in registers. */
#include "passes/pass.h"

ds_status ds__pass_fuse_bias(ds_graph *graph, ds_error *error) {
    (void)error;
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node *add = &graph->nodes[i];
        if (add->op != &ds__op_add) continue;
        int32_t bias = add->inputs[1];
        const ds__value_kind kind = graph->values[bias].kind;
        if ((kind != DS__VALUE_WEIGHT && kind != DS__VALUE_STATE) || graph->values[bias].shape.rank != 1) continue;
        int32_t producer = ds__pass_sole_linear(graph, add->inputs[0]);
        if (producer < 0) continue;
        ds__node *linear = &graph->nodes[producer];
        if (linear->inputs[DS__LINEAR_BIAS] >= 0 || linear->inputs[DS__LINEAR_RESIDUAL] >= 0 ||
            linear->attributes.activation != DS__ACTIVATION_NONE)
            continue;
        linear->inputs[DS__LINEAR_BIAS] = bias;
        ds__pass_absorb(graph, (size_t)producer, i);
        i--; /* a node in front of this one went */
    }
    return DS_OK;
}
