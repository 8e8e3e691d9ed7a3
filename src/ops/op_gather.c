/* gather: y[i] = table[ids[i]].  table: [rows, n], a weight that may be stored as F16 or BF16; ids: int32 [count]. */
#include "ops/op_shared.h"
#include "ops/ops.h"
#include "tensor/convert.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect_float(graph, node, 0, 2, error));
    DS_TRY(ds__expect(graph, node, 1, DS_I32, 1, error));
    result->dtype = DS_F32;
    result->shape =
        (ds__shape){2, {ds__input(graph, node, 1)->shape.dims[0], ds__input(graph, node, 0)->shape.dims[1]}};
    return DS_OK;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    const ds_tensor *table = call->inputs[0], *ids = call->inputs[1];
    ds__rows y = ds__rows_of(call->outputs[0]);
    size_t row_bytes = (size_t)table->stride[0] * ds_dtype_size(table->dtype);
    DS_TRY(ds__check_ids(ids, table->shape[0], 0, error));
    for (int64_t i = 0; i < y.rows; i++) {
        size_t id = (size_t)((const int32_t *)ids->data)[i];
        DS_TRY(ds__widen_to_f32(table->dtype, (const char *)table->data + id * row_bytes, y.data + i * y.ld,
                                (size_t)y.cols));
    }
    return DS_OK;
}

const ds__op ds__op_gather = {
    .name = "gather",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .by_rows = true,
};

ds_value ds__gather(ds_graph *graph, ds_value table, ds_value ids) {
    return ds__graph_add(graph, &ds__op_gather, (ds_value[]){table, ids}, 2, (ds__attributes){0});
}
