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

const ds__op ds__op_l2_normalize = {
    .name = "l2_normalize",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = ds__infer_same,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .by_rows = true,
    .print = ds__print_epsilon,
};

ds_value ds__l2_normalize(ds_graph *graph, ds_value x, float epsilon) {
    return ds__graph_add(graph, &ds__op_l2_normalize, &x, 1, (ds__attributes){.epsilon = epsilon});
}
