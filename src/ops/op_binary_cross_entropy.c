/* binary_cross_entropy: y[i] = mean_j of -t log s(x) - (1 - t) log(1 - s(x)), s the sigmoid, computed without overflow
 * as max(x, 0) - x t + log(1 + exp(-|x|)).  logits, targets: [R, n]. */
#include <math.h>

#include "ops/ops.h"
#include "ops/row_loss.h"

static double row_loss(const float *x, const float *t, int64_t n) {
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += fmax(x[j], 0) - (double)x[j] * t[j] + log1p(exp(-fabs(x[j])));
    return sum / (double)n;
}

static void row_gradient(const float *x, const float *t, int64_t n, float dy, float *dx) {
    for (int64_t j = 0; j < n; j++) dx[j] = (float)(dy * (1 / (1 + exp(-(double)x[j])) - t[j]) / (double)n);
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
    if (wanted[0]) gives[0] = ds__row_loss_back(graph, &ds__op_binary_cross_entropy_grad, node, dy);
}

const ds__op ds__op_binary_cross_entropy = {
    .name = "binary_cross_entropy",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = ds__row_loss_infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
};

const ds__op ds__op_binary_cross_entropy_grad = {
    .name = "binary_cross_entropy_grad",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = ds__row_loss_infer_grad,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
};

ds_value ds__binary_cross_entropy(ds_graph *graph, ds_value logits, ds_value targets) {
    return ds__graph_add(graph, &ds__op_binary_cross_entropy, (ds_value[]){logits, targets}, 2, (ds__attributes){0});
}
