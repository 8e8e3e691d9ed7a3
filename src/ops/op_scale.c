/* scale: y = factor * x. */
#include "ops/op_shared.h"
#include "ops/ops.h"

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return (double)x.rows * (double)x.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < x.rows; i++)
        for (int64_t j = 0; j < x.cols; j++) y.data[i * y.ld + j] = call->node->attributes.scale * x.data[i * x.ld + j];
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0]) gives[0] = ds__scale(graph, dy, node->attributes.scale);
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " factor=%g", (double)node->attributes.scale);
}

const ds__op ds__op_scale = {
    .name = "scale",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = ds__infer_same,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
    .print = print,
};

ds_value ds__scale(ds_graph *graph, ds_value x, float factor) {
    return factor == 1 ? x : ds__graph_add(graph, &ds__op_scale, &x, 1, (ds__attributes){.scale = factor});
}
