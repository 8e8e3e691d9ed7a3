/* activation: y[i] = f(x[i]) for one of the functions in tensor/activation.h. */
#include "ops/op_shared.h"
#include "ops/ops.h"
#include "ops/scalar_math.h"

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return 8.0 * (double)x.rows * (double)x.cols; /* what a polynomial costs, roughly */
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < x.rows; i++)
        for (int64_t j = 0; j < x.cols; j++)
            y.data[i * y.ld + j] = ds__scalar_activate(call->node->attributes.activation, x.data[i * x.ld + j]);
    return DS_OK;
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " %s", ds__activation_name(node->attributes.activation));
}

const ds__op ds__op_activation = {
    .name = "activation",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = ds__infer_same,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .print = print,
};

ds_value ds__activate(ds_graph *graph, ds_value x, ds__activation activation) {
    return ds__graph_add(graph, &ds__op_activation, &x, 1, (ds__attributes){.activation = activation});
}
