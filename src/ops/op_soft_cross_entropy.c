/* soft_cross_entropy: y[i] = -sum_j targets[i, j] * log softmax(logits[i])[j]: learning from a teacher's probabilities
 * (Hinton, Vinyals, Dean 2015, at temperature 1).  logits, targets: [R, n]. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status expect(const ds_graph *graph, const ds__node *node, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    return ds__expect_same(graph, node, 0, 1, error);
}

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(expect(graph, node, error));
    *result = (ds__op_result){DS_F32, {1, {ds__input(graph, node, 0)->shape.dims[0]}}};
    return DS_OK;
}

static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(expect(graph, node, error));
    DS_TRY(ds__expect_each_row(graph, node, 2, error));
    *result = (ds__op_result){DS_F32, ds__input(graph, node, 0)->shape};
    return DS_OK;
}

/* log(sum(exp(x))) */
static double log_sum(const float *x, int64_t n) {
    double top = x[0], sum = 0;
    for (int64_t j = 1; j < n; j++) top = x[j] > top || x[j] != x[j] ? x[j] : top;
    for (int64_t j = 0; j < n; j++) sum += exp(x[j] - top);
    return top + log(sum);
}

static double row_loss(const float *x, const float *t, int64_t n) {
    double total = log_sum(x, n), sum = 0;
    for (int64_t j = 0; j < n; j++) sum += t[j] * (total - x[j]);
    return sum;
}

static void row_gradient(const float *x, const float *t, int64_t n, float dy, float *dx) {
    double total = log_sum(x, n), weight = 0;
    for (int64_t j = 0; j < n; j++) weight += t[j];
    for (int64_t j = 0; j < n; j++) dx[j] = (float)(dy * (weight * exp(x[j] - total) - t[j]));
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    const ds__rows x = ds__rows_of(call->inputs[0]);
    const ds__rows targets = ds__rows_of(call->inputs[1]);
    float *y = call->outputs[0]->data;
    for (int64_t i = 0; i < x.rows; i++)
        y[i] = (float)row_loss(x.data + i * x.ld, targets.data + i * targets.ld, x.cols);
    return DS_OK;
}

static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    const ds__rows x = ds__rows_of(call->inputs[0]), dx = ds__rows_of(call->outputs[0]);
    const ds__rows targets = ds__rows_of(call->inputs[1]);
    const float *dy = call->inputs[2]->data;
    for (int64_t i = 0; i < x.rows; i++)
        row_gradient(x.data + i * x.ld, targets.data + i * targets.ld, x.cols, dy[i], dx.data + i * dx.ld);
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] = ds__graph_add(graph, &ds__op_soft_cross_entropy_grad,
                                 (ds_value[]){{node->inputs[0]}, {node->inputs[1]}, dy}, 3, node->attributes);
}

const ds__op ds__op_soft_cross_entropy = {
    .name = "soft_cross_entropy",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
};

const ds__op ds__op_soft_cross_entropy_grad = {
    .name = "soft_cross_entropy_grad",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_grad,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
};

ds_value ds__soft_cross_entropy(ds_graph *graph, ds_value logits, ds_value targets) {
    return ds__graph_add(graph, &ds__op_soft_cross_entropy, (ds_value[]){logits, targets}, 2, (ds__attributes){0});
}
