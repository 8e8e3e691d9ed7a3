/* narrow: x rounded to the nearest bfloat16, which takes half the memory; products of bfloat16 read it as it is. widen:
 * back to float32, exactly. */
#include "ops/op_shared.h"
#include "ops/ops.h"
#include "tensor/convert.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    result->dtype = DS_BF16;
    return DS_OK;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]);
    uint16_t *y = call->outputs[0]->data;
    for (int64_t i = 0; i < x.rows; i++)
        for (int64_t j = 0; j < x.cols; j++) y[i * x.cols + j] = ds__f32_to_bf16(x.data[i * x.ld + j]);
    return DS_OK;
}

const ds__op ds__op_narrow = {
    .name = "narrow",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .by_rows = true,
};

static ds_status infer_widen(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_BF16, -1, error));
    *result = (ds__op_result){DS_F32, ds__input(graph, node, 0)->shape};
    return DS_OK;
}

static ds_status reference_widen(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows y = ds__rows_of(call->outputs[0]);
    const uint16_t *x = call->inputs[0]->data;
    for (int64_t i = 0; i < y.rows; i++)
        for (int64_t j = 0; j < y.cols; j++) y.data[i * y.ld + j] = ds__bf16_to_f32(x[i * y.cols + j]);
    return DS_OK;
}

const ds__op ds__op_widen = {
    .name = "widen",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer_widen,
    .reference = reference_widen,
    .in_place = {DS__IN_PLACE_NONE},
    .by_rows = true,
};

ds_value ds__narrow(ds_graph *graph, ds_value x) {
    return ds__graph_add(graph, &ds__op_narrow, &x, 1, (ds__attributes){0});
}

ds_value ds__widen(ds_graph *graph, ds_value x) {
    return ds__graph_add(graph, &ds__op_widen, &x, 1, (ds__attributes){0});
}
