/* linear: y = activation(x * weight^T + bias) + residual.
 *
 * x: [..., k], weight: [n, k] (as torch.nn.Linear stores it), bias: [n], residual and y: [..., n].  Models build it
 * bare; the fusing passes give it its bias, activation and residual. */
#include "ops/op_shared.h"
#include "ops/ops.h"
#include "ops/scalar_math.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, DS__LINEAR_X, DS_F32, -1, error));
    DS_TRY(ds__expect_float(graph, node, DS__LINEAR_WEIGHT, 2, error));
    const ds__value *x = ds__input(graph, node, DS__LINEAR_X), *weight = ds__input(graph, node, DS__LINEAR_WEIGHT);
    if (!ds__dim_equal(ds__last_dim(&x->shape), weight->shape.dims[1]))
        return ds__shapes_disagree(graph, node, DS__LINEAR_X, DS__LINEAR_WEIGHT, error);
    *result = (ds__op_result){DS_F32, x->shape};
    result->shape.dims[x->shape.rank - 1] = weight->shape.dims[0];
    const ds__value *bias = ds__input(graph, node, DS__LINEAR_BIAS);
    if (bias) {
        DS_TRY(ds__expect_float(graph, node, DS__LINEAR_BIAS, 1, error));
        if (!ds__dim_equal(bias->shape.dims[0], weight->shape.dims[0]))
            return ds__shapes_disagree(graph, node, DS__LINEAR_WEIGHT, DS__LINEAR_BIAS, error);
    }
    const ds__value *residual = ds__input(graph, node, DS__LINEAR_RESIDUAL);
    if (!residual) return DS_OK;
    DS_TRY(ds__expect(graph, node, DS__LINEAR_RESIDUAL, DS_F32, -1, error));
    if (!ds__shape_equal(&residual->shape, &result->shape))
        return ds__shapes_disagree(graph, node, DS__LINEAR_WEIGHT, DS__LINEAR_RESIDUAL, error);
    return DS_OK;
}

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[DS__LINEAR_X]), y = ds__rows_of(call->outputs[0]);
    return 2.0 * (double)x.rows * (double)x.cols * (double)y.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[DS__LINEAR_X]), w = ds__rows_of(call->inputs[DS__LINEAR_WEIGHT]);
    ds__rows y = ds__rows_of(call->outputs[0]);
    const float *bias = call->inputs[DS__LINEAR_BIAS] ? call->inputs[DS__LINEAR_BIAS]->data : NULL;
    ds__rows residual = {NULL, 0, 0, 0};
    if (call->inputs[DS__LINEAR_RESIDUAL]) residual = ds__rows_of(call->inputs[DS__LINEAR_RESIDUAL]);
    for (int64_t i = 0; i < y.rows; i++)
        for (int64_t j = 0; j < y.cols; j++) {
            double sum = bias ? bias[j] : 0.0;
            for (int64_t k = 0; k < x.cols; k++) sum += (double)x.data[i * x.ld + k] * (double)w.data[j * w.ld + k];
            float value = ds__scalar_activate(call->node->attributes.activation, (float)sum);
            if (residual.data) value += residual.data[i * residual.ld + j];
            y.data[i * y.ld + j] = value;
        }
    return DS_OK;
}

/* Autograd runs before the fusing passes, so products are bare; a residual's gradient is dy itself. */
static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    const ds_value x = {node->inputs[DS__LINEAR_X]}, weight = {node->inputs[DS__LINEAR_WEIGHT]};
    if (node->attributes.activation != DS__ACTIVATION_NONE || graph->values[x.index].shape.rank != 2) {
        ds__graph_fail(graph, DS_UNSUPPORTED,
                       "linear has a gradient for x of rank 2 and without an activation of its own");
        return;
    }
    if (wanted[DS__LINEAR_X]) gives[DS__LINEAR_X] = ds__multiply(graph, dy, false, weight, false);
    if (wanted[DS__LINEAR_WEIGHT]) gives[DS__LINEAR_WEIGHT] = ds__multiply(graph, dy, true, x, false);
    if (wanted[DS__LINEAR_BIAS]) gives[DS__LINEAR_BIAS] = ds__sum_rows(graph, dy);
    if (wanted[DS__LINEAR_RESIDUAL]) gives[DS__LINEAR_RESIDUAL] = dy;
}

static void print(const ds__node *node, ds__buffer *out) {
    if (node->attributes.activation)
        ds__buffer_printf(out, " activation=%s", ds__activation_name(node->attributes.activation));
    if (node->attributes.precision == DS__PRECISION_BF16) ds__buffer_text(out, " bfloat16");
}

const ds__op ds__op_linear = {
    .name = "linear",
    .min_inputs = 2,
    .max_inputs = DS__LINEAR_INPUTS,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__LINEAR_RESIDUAL, DS__IN_PLACE_NONE},
    .residual = DS__LINEAR_RESIDUAL,
    .by_rows = true,
    .gradient = gradient,
    .print = print,
};

ds_value ds__linear(ds_graph *graph, ds_value x, ds_value weight, ds_value bias) {
    ds_value inputs[DS__LINEAR_INPUTS] = {x, weight, DS_NO_VALUE, DS_NO_VALUE};
    ds_value product = ds__graph_add(graph, &ds__op_linear, inputs, DS__LINEAR_INPUTS, (ds__attributes){0});
    return bias.index < 0 ? product : ds__add(graph, product, bias);
}
