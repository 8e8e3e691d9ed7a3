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

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (!wanted[0]) return;
    gives[0] = ds__graph_add(graph, &ds__op_activation_grad, (ds_value[]){{node->inputs[0]}, dy}, 2,
                             (ds__attributes){.activation = node->attributes.activation});
}

static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    return ds__expect_same(graph, node, 0, 1, error);
}

static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[1]), dx = ds__rows_of(call->outputs[0]);
    const ds__activation kind = call->node->attributes.activation;
    for (int64_t i = 0; i < x.rows; i++)
        for (int64_t j = 0; j < x.cols; j++)
            dx.data[i * dx.ld + j] =
                (float)(ds__scalar_activate_gradient(kind, x.data[i * x.ld + j]) * dy.data[i * dy.ld + j]);
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
    .gradient = gradient,
    .print = print,
};

const ds__op ds__op_activation_grad = {
    .name = "activation_grad",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grad,
    .flops = flops,
    .reference = reference_grad,
    .in_place = {1, 0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .print = print,
};

ds_value ds__activate(ds_graph *graph, ds_value x, ds__activation activation) {
    return ds__graph_add(graph, &ds__op_activation, &x, 1, (ds__attributes){.activation = activation});
}
