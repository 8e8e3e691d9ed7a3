/* matmul: y = op(a) * op(b) + bias + residual, where op may transpose; a product of two matrices that both change.
 *
 * a: [m, k], or [k, m] with transpose_a; b: [k, n], which may be BF16, or [n, k] with transpose_b; bias: [n]; residual
 * and y: [m, n].  It is what the gradients of `linear` are made of. */
#include "ops/op_shared.h"
#include "ops/ops.h"
#include "tensor/convert.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    const bool narrow = ds__input(graph, node, 1)->dtype == DS_BF16 && !node->attributes.transpose_b;
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    DS_TRY(ds__expect(graph, node, 1, narrow ? DS_BF16 : DS_F32, 2, error));
    const ds_dim *a = ds__input(graph, node, 0)->shape.dims, *b = ds__input(graph, node, 1)->shape.dims;
    const bool turn_a = node->attributes.transpose_a, turn_b = node->attributes.transpose_b;
    if (!ds__dim_equal(a[!turn_a], b[turn_b])) return ds__shapes_disagree(graph, node, 0, 1, error);
    *result = (ds__op_result){DS_F32, {2, {a[turn_a], b[!turn_b]}}};
    const ds__value *bias = ds__input(graph, node, DS__LINEAR_BIAS),
                    *residual = ds__input(graph, node, DS__LINEAR_RESIDUAL);
    if (bias) {
        DS_TRY(ds__expect(graph, node, DS__LINEAR_BIAS, DS_F32, 1, error));
        if (!ds__dim_equal(bias->shape.dims[0], result->shape.dims[1]))
            return ds__shapes_disagree(graph, node, 1, DS__LINEAR_BIAS, error);
    }
    if (!residual) return DS_OK;
    DS_TRY(ds__expect(graph, node, DS__LINEAR_RESIDUAL, DS_F32, 2, error));
    if (ds__shape_equal(&residual->shape, &result->shape)) return DS_OK;
    return ds__shapes_disagree(graph, node, 1, DS__LINEAR_RESIDUAL, error);
}

static double flops(const ds__call *call) {
    ds__rows a = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    return 2.0 * (double)a.rows * (double)a.cols * (double)y.cols;
}

static double right_at(const ds_tensor *b, int64_t index) {
    if (b->dtype == DS_BF16) return (double)ds__bf16_to_f32(((const uint16_t *)b->data)[index]);
    return (double)((const float *)b->data)[index];
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    const bool turn_a = call->node->attributes.transpose_a, turn_b = call->node->attributes.transpose_b;
    ds__rows a = ds__rows_of(call->inputs[0]), b = ds__rows_of(call->inputs[1]), y = ds__rows_of(call->outputs[0]);
    ds__rows residual = {NULL, 0, 0, 0};
    if (call->inputs[DS__LINEAR_RESIDUAL]) residual = ds__rows_of(call->inputs[DS__LINEAR_RESIDUAL]);
    const float *bias = call->inputs[DS__LINEAR_BIAS] ? call->inputs[DS__LINEAR_BIAS]->data : NULL;
    int64_t a_row = turn_a ? 1 : a.ld, a_step = turn_a ? a.ld : 1, b_step = turn_b ? 1 : b.ld,
            b_col = turn_b ? b.ld : 1;
    int64_t k = turn_a ? a.rows : a.cols;
    for (int64_t i = 0; i < y.rows; i++)
        for (int64_t j = 0; j < y.cols; j++) {
            double sum = bias ? bias[j] : 0.0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)a.data[i * a_row + p * a_step] * right_at(call->inputs[1], p * b_step + j * b_col);
            float value = (float)sum;
            if (residual.data) value += residual.data[i * residual.ld + j];
            y.data[i * y.ld + j] = value;
        }
    return DS_OK;
}

static void print(const ds__node *node, ds__buffer *out) {
    if (node->attributes.transpose_a) ds__buffer_text(out, " transpose_a");
    if (node->attributes.transpose_b) ds__buffer_text(out, " transpose_b");
    if (node->attributes.precision == DS__PRECISION_BF16) ds__buffer_text(out, " bfloat16");
}

const ds__op ds__op_matmul = {
    .name = "matmul",
    .min_inputs = 2,
    .max_inputs = DS__LINEAR_INPUTS,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__LINEAR_RESIDUAL, DS__IN_PLACE_NONE},
    .residual = DS__LINEAR_RESIDUAL,
    .print = print,
};

ds_value ds__multiply(ds_graph *graph, ds_value a, bool transpose_a, ds_value b, bool transpose_b) {
    ds_value inputs[DS__LINEAR_INPUTS] = {a, b, DS_NO_VALUE, DS_NO_VALUE};
    return ds__graph_add(graph, &ds__op_matmul, inputs, DS__LINEAR_INPUTS,
                         (ds__attributes){.transpose_a = transpose_a, .transpose_b = transpose_b});
}
