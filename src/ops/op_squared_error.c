/* squared_error: y[i] = mean_j of (x[i, j] - targets[i, j])^2.  x, targets: [R, n]. */
#include "ops/ops.h"
#include "ops/row_loss.h"

static double row_loss(const float *x, const float *t, int64_t n) {
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += ((double)x[j] - t[j]) * ((double)x[j] - t[j]);
    return sum / (double)n;
}

static void row_gradient(const float *x, const float *t, int64_t n, float dy, float *dx) {
    for (int64_t j = 0; j < n; j++) dx[j] = (float)(2 * dy * ((double)x[j] - t[j]) / (double)n);
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    return ds__row_loss_run(call, row_loss);
}

static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    return ds__row_loss_run_grad(call, row_gradient);
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0]) gives[0] = ds__row_loss_back(graph, &ds__op_squared_error_grad, node, dy);
}

const ds__op ds__op_squared_error = {
    .name = "squared_error",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = ds__row_loss_infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
};

const ds__op ds__op_squared_error_grad = {
    .name = "squared_error_grad",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = ds__row_loss_infer_grad,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
};

ds_value ds__squared_error(ds_graph *graph, ds_value x, ds_value targets) {
    return ds__graph_add(graph, &ds__op_squared_error, (ds_value[]){x, targets}, 2, (ds__attributes){0});
}
