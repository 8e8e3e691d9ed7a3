/* layer_norm (Ba, Kiros, Hinton 2016): y = (x - mean) / sqrt(variance + eps) * gamma + beta over the last dimension,
 * with the population variance.  gamma and beta: [n]. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    DS_TRY(ds__expect_row(graph, node, 1, error));
    DS_TRY(ds__expect_row(graph, node, 2, error));
    if (node->attributes.epsilon >= 0 && node->attributes.epsilon <= 1) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "eps is %g, expected 0 to 1", (double)node->attributes.epsilon);
}

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return 7.0 * (double)x.rows * (double)x.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const float *gamma = call->inputs[1]->data, *beta = call->inputs[2]->data;
    for (int64_t i = 0; i < x.rows; i++) {
        const float *row = x.data + i * x.ld;
        double mean = 0, variance = 0;
        for (int64_t j = 0; j < x.cols; j++) mean += row[j];
        mean /= (double)x.cols;
        for (int64_t j = 0; j < x.cols; j++) variance += (row[j] - mean) * (row[j] - mean);
        double scale = 1 / sqrt(variance / (double)x.cols + call->node->attributes.epsilon);
        for (int64_t j = 0; j < x.cols; j++)
            y.data[i * y.ld + j] = (float)((row[j] - mean) * scale * gamma[j] + beta[j]);
    }
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    const ds_value x = {node->inputs[0]}, gamma = {node->inputs[1]};
    const ds__attributes attributes = {.epsilon = node->attributes.epsilon};
    if (wanted[1]) gives[1] = ds__graph_add(graph, &ds__op_layer_norm_grad_gamma, (ds_value[]){x, dy}, 2, attributes);
    if (wanted[2]) gives[2] = ds__sum_rows(graph, dy);
    if (wanted[0]) gives[0] = ds__graph_add(graph, &ds__op_layer_norm_grad, (ds_value[]){x, gamma, dy}, 3, attributes);
}

static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    DS_TRY(ds__expect_row(graph, node, 1, error));
    return ds__expect_same(graph, node, 0, 2, error);
}

static ds_status infer_grad_gamma(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    DS_TRY(ds__expect_same(graph, node, 0, 1, error));
    result->shape = (ds__shape){1, {ds__last_dim(&result->shape)}};
    return DS_OK;
}

/* *mean and *scale (1 / sqrt(variance + eps)) of a row. */
static void statistics(const float *row, int64_t n, double epsilon, double *mean, double *scale) {
    double sum = 0, variance = 0;
    for (int64_t j = 0; j < n; j++) sum += row[j];
    *mean = sum / (double)n;
    for (int64_t j = 0; j < n; j++) variance += (row[j] - *mean) * (row[j] - *mean);
    *scale = 1 / sqrt(variance / (double)n + epsilon);
}

/* With g = dy * gamma and h = (x - mean) * scale:  dx = scale * (g - mean(g) - h * mean(g * h)) */
static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[2]), dx = ds__rows_of(call->outputs[0]);
    const float *gamma = call->inputs[1]->data;
    for (int64_t i = 0; i < x.rows; i++) {
        const float *row = x.data + i * x.ld, *g = dy.data + i * dy.ld;
        double mean, scale, sum = 0, dot = 0, n = (double)x.cols;
        statistics(row, x.cols, call->node->attributes.epsilon, &mean, &scale);
        for (int64_t j = 0; j < x.cols; j++) {
            double given = (double)g[j] * gamma[j];
            sum += given;
            dot += given * (row[j] - mean) * scale;
        }
        for (int64_t j = 0; j < x.cols; j++)
            dx.data[i * dx.ld + j] =
                (float)(scale * ((double)g[j] * gamma[j] - sum / n - (row[j] - mean) * scale * dot / n));
    }
    return DS_OK;
}

static ds_status reference_grad_gamma(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[1]);
    float *dgamma = call->outputs[0]->data;
    for (int64_t j = 0; j < x.cols; j++) dgamma[j] = 0;
    for (int64_t i = 0; i < x.rows; i++) {
        double mean, scale;
        statistics(x.data + i * x.ld, x.cols, call->node->attributes.epsilon, &mean, &scale);
        for (int64_t j = 0; j < x.cols; j++)
            dgamma[j] += (float)(dy.data[i * dy.ld + j] * (x.data[i * x.ld + j] - mean) * scale);
    }
    return DS_OK;
}

const ds__op ds__op_layer_norm = {
    .name = "layer_norm",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
    .print = ds__print_epsilon,
};

const ds__op ds__op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_grad,
    .flops = flops,
    .reference = reference_grad,
    .in_place = {2, DS__IN_PLACE_NONE},
    .by_rows = true,
    .print = ds__print_epsilon,
};

const ds__op ds__op_layer_norm_grad_gamma = {
    .name = "layer_norm_grad_gamma",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grad_gamma,
    .flops = flops,
    .reference = reference_grad_gamma,
    .in_place = {DS__IN_PLACE_NONE},
    .print = ds__print_epsilon,
};

ds_value ds__layer_norm(ds_graph *graph, ds_value x, ds_value gamma, ds_value beta, float epsilon) {
    return ds__graph_add(graph, &ds__op_layer_norm, (ds_value[]){x, gamma, beta}, 3,
                         (ds__attributes){.epsilon = epsilon});
}
