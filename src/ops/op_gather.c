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

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] = ds__graph_add(graph, &ds__op_scatter_add, (ds_value[]){dy, {node->inputs[1]}, DS_NO_VALUE}, 3,
                                 (ds__attributes){.count = graph->values[node->inputs[0]].shape.dims[0].base,
                                                  .skipped = node->attributes.skipped});
}

static void print(const ds__node *node, ds__buffer *out) {
    if (node->attributes.skipped) ds__buffer_printf(out, " skipped=%lld", (long long)node->attributes.skipped - 1);
}

const ds__op ds__op_gather = {
    .name = "gather",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
    .print = print,
};

ds_value ds__gather(ds_graph *graph, ds_value table, ds_value ids) {
    return ds__graph_add(graph, &ds__op_gather, (ds_value[]){table, ids}, 2, (ds__attributes){0});
}

/* scatter_add: y = residual (0 without one), then y[ids[i]] += dy[i] in the order of i, but for the skipped id.  dy:
 * [R, n], ids: int32 [R], residual: [count, n] -> [count, n]. */
static ds_status infer_scatter(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    DS_TRY(ds__expect(graph, node, 1, DS_I32, 1, error));
    const ds_dim *rows = ds__input(graph, node, 0)->shape.dims;
    if (!ds__dim_equal(rows[0], ds__input(graph, node, 1)->shape.dims[0]))
        return ds__shapes_disagree(graph, node, 0, 1, error);
    if (node->attributes.count < 1 || node->attributes.count > DS__MAX_DIM)
        return ds__fail(error, DS_INVALID_ARGUMENT, "count is %lld, expected 1 to %d",
                        (long long)node->attributes.count, DS__MAX_DIM);
    *result = (ds__op_result){DS_F32, {2, {ds__dim_of(node->attributes.count), rows[1]}}};
    const ds__value *residual = ds__input(graph, node, DS__SCATTER_RESIDUAL);
    if (!residual) return DS_OK;
    DS_TRY(ds__expect(graph, node, DS__SCATTER_RESIDUAL, DS_F32, 2, error));
    if (ds__shape_equal(&residual->shape, &result->shape)) return DS_OK;
    return ds__shapes_disagree(graph, node, 0, DS__SCATTER_RESIDUAL, error);
}

static ds_status reference_scatter(const ds__call *call, ds_error *error) {
    ds__rows dy = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const int32_t *ids = call->inputs[1]->data;
    DS_TRY(ds__check_ids(call->inputs[1], y.rows, 0, error));
    const ds__rows none = {NULL, 0, 0, 0};
    const ds__rows base = call->inputs[DS__SCATTER_RESIDUAL] ? ds__rows_of(call->inputs[DS__SCATTER_RESIDUAL]) : none;
    for (int64_t i = 0; i < y.rows; i++)
        for (int64_t j = 0; j < y.cols; j++) y.data[i * y.ld + j] = base.data ? base.data[i * base.ld + j] : 0;
    for (int64_t i = 0; i < dy.rows; i++)
        for (int64_t j = 0; j < dy.cols && ids[i] + 1 != call->node->attributes.skipped; j++)
            y.data[ids[i] * y.ld + j] += dy.data[i * dy.ld + j];
    return DS_OK;
}

const ds__op ds__op_scatter_add = {
    .name = "scatter_add",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer_scatter,
    .reference = reference_scatter,
    .in_place = {DS__SCATTER_RESIDUAL, DS__IN_PLACE_NONE},
    .residual = DS__SCATTER_RESIDUAL,
    .print = print,
};
