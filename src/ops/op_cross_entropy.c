/* cross_entropy: y[i] = -sum_j t[j] * log softmax(logits[i])[j], where t is 1 at the row's label; with smoothing s it
 * is 1 - s there and s / n everywhere more (Szegedy et al. 2016), as torch.nn.CrossEntropyLoss has it.
 *
 * logits: [R, n], labels: int32 [R], negative where a row has none: it costs 0. */
#include <math.h>

#include "ops/ops.h"
#include "ops/row_loss.h"

static ds_status expect(const ds_graph *graph, const ds__node *node, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    DS_TRY(ds__expect(graph, node, 1, DS_I32, 1, error));
    if (!ds__dim_equal(ds__input(graph, node, 0)->shape.dims[0], ds__input(graph, node, 1)->shape.dims[0]))
        return ds__shapes_disagree(graph, node, 0, 1, error);
    if (node->attributes.smoothing >= 0 && node->attributes.smoothing < 1) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "label smoothing is %g, expected 0 to less than 1",
                    (double)node->attributes.smoothing);
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

static double row_loss(const float *x, const int32_t *label, int64_t n, float smoothing) {
    if (*label < 0) return 0;
    double total = ds__log_sum_exp(x, n), mean = 0;
    for (int64_t j = 0; smoothing != 0 && j < n; j++) mean += total - x[j];
    return (1.0 - smoothing) * (total - x[*label]) + smoothing * mean / (double)n;
}

static void row_gradient(const float *x, const int32_t *label, int64_t n, float smoothing, float dy, float *dx) {
    double total = ds__log_sum_exp(x, n);
    for (int64_t j = 0; j < n; j++) {
        double target = (j == *label ? 1.0 - smoothing : 0.0) + smoothing / (double)n;
        dx[j] = *label < 0 ? 0.0f : (float)(dy * (exp(x[j] - total) - target));
    }
}

static ds_status check_labels(const ds__call *call, ds_error *error) {
    const int32_t *label = call->inputs[1]->data;
    const int64_t rows = call->inputs[0]->shape[0], n = call->inputs[0]->shape[1];
    for (int64_t i = 0; i < rows; i++)
        if (label[i] >= n)
            return ds__fail(error, DS_INVALID_ARGUMENT, "label %d of row %lld is outside the %lld labels", label[i],
                            (long long)i, (long long)n);
    return DS_OK;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    const ds__rows x = ds__rows_of(call->inputs[0]);
    const int32_t *targets = call->inputs[1]->data;
    DS_TRY(check_labels(call, error));
    float *y = call->outputs[0]->data;
    for (int64_t i = 0; i < x.rows; i++)
        y[i] = (float)row_loss(x.data + i * x.ld, targets + i, x.cols, call->node->attributes.smoothing);
    return DS_OK;
}

static ds_status reference_grad(const ds__call *call, ds_error *error) {
    DS_TRY(check_labels(call, error));
    const ds__rows x = ds__rows_of(call->inputs[0]), dx = ds__rows_of(call->outputs[0]);
    const int32_t *targets = call->inputs[1]->data;
    const float *dy = call->inputs[2]->data;
    for (int64_t i = 0; i < x.rows; i++)
        row_gradient(x.data + i * x.ld, targets + i, x.cols, call->node->attributes.smoothing, dy[i],
                     dx.data + i * dx.ld);
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0]) gives[0] = ds__row_loss_back(graph, &ds__op_cross_entropy_grad, node, dy);
}

static void print(const ds__node *node, ds__buffer *out) {
    if (node->attributes.smoothing != 0) ds__buffer_printf(out, " smoothing=%g", (double)node->attributes.smoothing);
}

const ds__op ds__op_cross_entropy = {
    .name = "cross_entropy",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
    .print = print,
};

const ds__op ds__op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_grad,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
    .print = print,
};

ds_value ds__cross_entropy(ds_graph *graph, ds_value logits, ds_value labels, float smoothing) {
    return ds__graph_add(graph, &ds__op_cross_entropy, (ds_value[]){logits, labels}, 2,
                         (ds__attributes){.smoothing = smoothing});
}
