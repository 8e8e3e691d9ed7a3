/* l2_normalize: y = x / max(|x|, eps) over the last dimension, |x| the Euclidean length. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return 3.0 * (double)x.rows * (double)x.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < x.rows; i++) {
        const float *row = x.data + i * x.ld;
        double sum = 0;
        for (int64_t j = 0; j < x.cols; j++) sum += (double)row[j] * (double)row[j];
        double length = fmax(sqrt(sum), call->node->attributes.epsilon);
        for (int64_t j = 0; j < x.cols; j++) y.data[i * y.ld + j] = (float)(row[j] / length);
    }
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] = ds__graph_add(graph, &ds__op_l2_normalize_grad, (ds_value[]){{node->inputs[0]}, dy}, 2,
                                 (ds__attributes){.epsilon = node->attributes.epsilon});
}

static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    return ds__expect_same(graph, node, 0, 1, error);
}

/* With r = |x| > eps: dx = dy / r - x * (x.dy) / r^3; else dy / eps. */
static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[1]), dx = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < x.rows; i++) {
        const float *row = x.data + i * x.ld, *g = dy.data + i * dy.ld;
        double squares = 0, dot = 0, epsilon = call->node->attributes.epsilon;
        for (int64_t j = 0; j < x.cols; j++) {
            squares += (double)row[j] * (double)row[j];
            dot += (double)row[j] * (double)g[j];
        }
        double r = sqrt(squares), back = r > epsilon ? dot / squares : 0, length = fmax(r, epsilon);
        for (int64_t j = 0; j < x.cols; j++) dx.data[i * dx.ld + j] = (float)((g[j] - row[j] * back) / length);
    }
    return DS_OK;
}

const ds__op ds__op_l2_normalize = {
    .name = "l2_normalize",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = ds__infer_same,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
    .print = ds__print_epsilon,
};

const ds__op ds__op_l2_normalize_grad = {
    .name = "l2_normalize_grad",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grad,
    .flops = flops,
    .reference = reference_grad,
    .in_place = {1, 0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .print = ds__print_epsilon,
};

ds_value ds__l2_normalize(ds_graph *graph, ds_value x, float epsilon) {
    return ds__graph_add(graph, &ds__op_l2_normalize, &x, 1, (ds__attributes){.epsilon = epsilon});
}
