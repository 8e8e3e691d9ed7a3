/* fake_quantize: x as the int8 engine would see it (tensor/quantize.h), back in floats, so that training learns to live
 * with the rounding.  x: [R, n], a row a scale: of a weight (symmetric, pairs bounded) or of activations (asymmetric).
 */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"
#include "tensor/quantize.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    return ds__expect(graph, node, 0, DS_F32, 2, error);
}

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return 6.0 * (double)x.rows * (double)x.cols;
}

static void round_weight(const float *x, float *y, int64_t n) {
    const float scale = ds__weight_scale(ds__weight_range_of(x, (size_t)n)), factor = ds__weight_factor(scale);
    for (int64_t j = 0; j < n; j++) y[j] = scale * (float)ds__weight_code(x[j], factor);
}

static void round_activations(const float *x, float *y, int64_t n) {
    float low = 0, high = 0;
    bool finite = true;
    for (int64_t j = 0; j < n; j++) {
        low = fminf(low, x[j]);
        high = fmaxf(high, x[j]);
        finite = finite && isfinite(x[j]);
    }
    const ds__row_codes row = ds__row_codes_for(low, high, finite);
    for (int64_t j = 0; j < n; j++)
        y[j] = finite ? row.scale * (float)((int32_t)ds__row_code(x[j], &row) - row.zero) : x[j];
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < x.rows; i++)
        (call->node->attributes.is_weight ? round_weight : round_activations)(x.data + i * x.ld, y.data + i * y.ld,
                                                                              x.cols);
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    (void)graph;
    (void)node;
    if (wanted[0]) gives[0] = dy;
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_text(out, node->attributes.is_weight ? " weight" : " activations");
}

const ds__op ds__op_fake_quantize = {
    .name = "fake_quantize",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
    .print = print,
};

ds_value ds__fake_quantize(ds_graph *graph, ds_value x, bool is_weight) {
    return ds__graph_add(graph, &ds__op_fake_quantize, &x, 1, (ds__attributes){.is_weight = is_weight});
}
