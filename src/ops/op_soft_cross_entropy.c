/* soft_cross_entropy: y[i] = -sum_j targets[i, j] * log softmax(logits[i])[j]: learning from a teacher's probabilities
 * (Hinton, Vinyals, Dean 2015, at temperature 1).  logits, targets: [R, n]. */
#include <math.h>

#include "ops/ops.h"
#include "ops/row_loss.h"

static double row_loss(const float *x, const float *t, int64_t n) {
    double total = ds__log_sum_exp(x, n), sum = 0;
    for (int64_t j = 0; j < n; j++) sum += t[j] * (total - x[j]);
    return sum;
}

static void row_gradient(const float *x, const float *t, int64_t n, float dy, float *dx) {
    double total = ds__log_sum_exp(x, n), weight = 0;
    for (int64_t j = 0; j < n; j++) weight += t[j];
    for (int64_t j = 0; j < n; j++) dx[j] = (float)(dy * (weight * exp(x[j] - total) - t[j]));
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
    if (wanted[0]) gives[0] = ds__row_loss_back(graph, &ds__op_soft_cross_entropy_grad, node, dy);
}

const ds__op ds__op_soft_cross_entropy = {
    .name = "soft_cross_entropy",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = ds__row_loss_infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
};

const ds__op ds__op_soft_cross_entropy_grad = {
    .name = "soft_cross_entropy_grad",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = ds__row_loss_infer_grad,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
};

ds_value ds__soft_cross_entropy(ds_graph *graph, ds_value logits, ds_value targets) {
    return ds__graph_add(graph, &ds__op_soft_cross_entropy, (ds_value[]){logits, targets}, 2, (ds__attributes){0});
}
