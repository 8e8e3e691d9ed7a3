/* softmax: y = exp(x - max(x)) / sum(exp(x - max(x))) over the last dimension. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return 10.0 * (double)x.rows * (double)x.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < x.rows; i++) {
        const float *row = x.data + i * x.ld;
        float *out = y.data + i * y.ld;
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < x.cols; j++) top = fmax(top, row[j]);
        for (int64_t j = 0; j < x.cols; j++) sum += exp(row[j] - top);
        for (int64_t j = 0; j < x.cols; j++) out[j] = (float)(exp(row[j] - top) / sum);
    }
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] =
            ds__graph_add(graph, &ds__op_softmax_grad, (ds_value[]){{node->outputs[0]}, dy}, 2, (ds__attributes){0});
}

static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    return ds__expect_same(graph, node, 0, 1, error);
}

/* dx = y * (dy - sum(y * dy)) */
static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows y = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[1]), dx = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < y.rows; i++) {
        const float *p = y.data + i * y.ld, *g = dy.data + i * dy.ld;
        double sum = 0;
        for (int64_t j = 0; j < y.cols; j++) sum += (double)p[j] * (double)g[j];
        for (int64_t j = 0; j < y.cols; j++) dx.data[i * dx.ld + j] = (float)(p[j] * (g[j] - sum));
    }
    return DS_OK;
}

const ds__op ds__op_softmax = {
    .name = "softmax",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = ds__infer_same,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
};

const ds__op ds__op_softmax_grad = {
    .name = "softmax_grad",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grad,
    .flops = flops,
    .reference = reference_grad,
    .in_place = {1, 0, DS__IN_PLACE_NONE},
    .by_rows = true,
};

ds_value ds__softmax(ds_graph *graph, ds_value x) {
    return ds__graph_add(graph, &ds__op_softmax, &x, 1, (ds__attributes){0});
}
