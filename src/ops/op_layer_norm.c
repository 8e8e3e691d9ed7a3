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

const ds__op ds__op_layer_norm = {
    .name = "layer_norm",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .print = ds__print_epsilon,
};

ds_value ds__layer_norm(ds_graph *graph, ds_value x, ds_value gamma, ds_value beta, float epsilon) {
    return ds__graph_add(graph, &ds__op_layer_norm, (ds_value[]){x, gamma, beta}, 3,
                         (ds__attributes){.epsilon = epsilon});
}
