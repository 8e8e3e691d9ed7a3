/* sum_rows: y[c] = sum over all rows of x[r, c].  x: [R, n] (or more leading dimensions) -> [n]. */
#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    result->shape = (ds__shape){1, {ds__last_dim(&result->shape)}};
    return DS_OK;
}

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return (double)x.rows * (double)x.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]);
    float *y = call->outputs[0]->data;
    for (int64_t j = 0; j < x.cols; j++) {
        double sum = 0;
        for (int64_t i = 0; i < x.rows; i++) sum += x.data[i * x.ld + j];
        y[j] = (float)sum;
    }
    return DS_OK;
}

const ds__op ds__op_sum_rows = {
    .name = "sum_rows",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
};

ds_value ds__sum_rows(ds_graph *graph, ds_value x) {
    return ds__graph_add(graph, &ds__op_sum_rows, &x, 1, (ds__attributes){0});
}
