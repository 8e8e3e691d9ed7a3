/* pool: one row a sequence: the mean, the maximum (column by column) or the first of its rows.
 *
 * x: [T, n], seq_start: int32 [B+1] -> [B, n].  Sequences are not empty. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    DS_TRY(ds__expect(graph, node, 1, DS_I32, 1, error));
    ds_dim count = ds__input(graph, node, 1)->shape.dims[0];
    if (count.base < 1)
        return ds__fail(error, DS_SHAPE_MISMATCH, "seq_start may have no entry; its shape must be B+1 with B >= 0");
    count.base--;
    *result = (ds__op_result){DS_F32, {2, {count, ds__input(graph, node, 0)->shape.dims[1]}}};
    return DS_OK;
}

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return call->node->attributes.pool == DS__POOL_FIRST ? 0 : (double)x.rows * (double)x.cols;
}

static float pool_column(ds__pool_kind kind, const float *x, int64_t rows, int64_t ld) {
    double sum = 0, top = -INFINITY;
    for (int64_t r = 0; r < rows; r++) {
        sum += x[r * ld];
        top = fmax(top, x[r * ld]);
    }
    return kind == DS__POOL_FIRST ? x[0] : kind == DS__POOL_MAX ? (float)top : (float)(sum / (double)rows);
}

static ds_status reference(const ds__call *call, ds_error *error) {
    DS_TRY(ds__check_seq_start(call->inputs[1], call->inputs[0]->shape[0], error));
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const int32_t *start = call->inputs[1]->data;
    for (int64_t b = 0; b < y.rows; b++)
        for (int64_t c = 0; c < y.cols; c++)
            y.data[b * y.ld + c] =
                pool_column(call->node->attributes.pool, x.data + start[b] * x.ld + c, start[b + 1] - start[b], x.ld);
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] = ds__graph_add(graph, &ds__op_pool_grad, (ds_value[]){{node->inputs[0]}, {node->inputs[1]}, dy}, 3,
                                 (ds__attributes){.pool = node->attributes.pool});
}

/* x: [T, n], of which only the shape matters but for the maximum; seq_start: int32 [B+1]; dy: [B, n] -> [T, n] */
static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(infer(graph, node, result, error));
    DS_TRY(ds__expect(graph, node, 2, DS_F32, 2, error));
    if (!ds__shape_equal(&result->shape, &ds__input(graph, node, 2)->shape))
        return ds__shapes_disagree(graph, node, 0, 2, error);
    result->shape = ds__input(graph, node, 0)->shape;
    return DS_OK;
}

/* Of several largest ones the first gets the maximum's gradient. */
static ds_status reference_grad(const ds__call *call, ds_error *error) {
    DS_TRY(ds__check_seq_start(call->inputs[1], call->inputs[0]->shape[0], error));
    ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[2]), dx = ds__rows_of(call->outputs[0]);
    const int32_t *start = call->inputs[1]->data;
    const ds__pool_kind kind = call->node->attributes.pool;
    for (int64_t b = 0; b < dy.rows; b++)
        for (int64_t c = 0; c < dy.cols; c++) {
            int64_t best = start[b];
            for (int64_t r = start[b]; kind == DS__POOL_MAX && r < start[b + 1]; r++)
                if (x.data[r * x.ld + c] > x.data[best * x.ld + c]) best = r;
            const float given = dy.data[b * dy.ld + c];
            for (int64_t r = start[b]; r < start[b + 1]; r++)
                dx.data[r * dx.ld + c] = kind == DS__POOL_MEAN ? given / (float)(start[b + 1] - start[b])
                                         : r == best           ? given
                                                               : 0.0f;
        }
    return DS_OK;
}

static void print(const ds__node *node, ds__buffer *out) {
    static const char *const names[] = {"mean", "max", "first"};
    ds__buffer_printf(out, " %s", names[node->attributes.pool]);
}

const ds__op ds__op_pool = {
    .name = "pool",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
    .print = print,
};

const ds__op ds__op_pool_grad = {
    .name = "pool_grad",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_grad,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
    .print = print,
};

ds_value ds__pool_rows(ds_graph *graph, ds_value x, ds_value seq_start, ds__pool_kind kind) {
    return ds__graph_add(graph, &ds__op_pool, (ds_value[]){x, seq_start}, 2, (ds__attributes){.pool = kind});
}
