/* slice: columns [first, first + count) of the last dimension, as a view into the input's memory. */
#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    ds_dim *last = &result->shape.dims[result->shape.rank - 1];
    int64_t first = node->attributes.first, count = node->attributes.count;
    if (last->factor != 0 || first < 0 || count < 1 || first > last->base || count > last->base - first)
        return ds__fail(error, DS_SHAPE_MISMATCH,
                        "columns [%lld, %lld + %lld) are not within the last dimension of %lld%s", (long long)first,
                        (long long)first, (long long)count, (long long)last->base, last->factor ? " (symbolic)" : "");
    *last = ds__dim_of(count);
    return DS_OK;
}

static void view(ds__call *call) {
    const ds_tensor *x = call->inputs[0];
    ds_tensor *y = call->outputs[0];
    y->data = x->data ? (float *)x->data + call->node->attributes.first : NULL;
    for (int i = 0; i < x->rank; i++) y->stride[i] = x->stride[i];
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < y.rows; i++)
        for (int64_t j = 0; j < y.cols; j++) y.data[i * y.ld + j] = x.data[i * x.ld + call->node->attributes.first + j];
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (!wanted[0]) return;
    ds__attributes attributes = {.first = node->attributes.first};
    attributes.count = ds__last_dim(&graph->values[node->inputs[0]].shape).base;
    gives[0] = ds__graph_add(graph, &ds__op_pad_columns, &dy, 1, attributes);
}

/* dy: [..., c] -> [..., count] with dy in the columns from `first` on and zeros elsewhere. */
static ds_status infer_pad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    ds_dim *last = &result->shape.dims[result->shape.rank - 1];
    int64_t first = node->attributes.first, count = node->attributes.count;
    if (last->factor != 0 || first < 0 || count < 1 || count > DS__MAX_DIM || first > count - last->base)
        return ds__fail(error, DS_SHAPE_MISMATCH, "%lld columns from %lld on are not within %lld",
                        (long long)last->base, (long long)first, (long long)count);
    *last = ds__dim_of(count);
    return DS_OK;
}

static ds_status reference_pad(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows dy = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < y.rows; i++) {
        for (int64_t j = 0; j < y.cols; j++) y.data[i * y.ld + j] = 0;
        for (int64_t j = 0; j < dy.cols; j++)
            y.data[i * y.ld + call->node->attributes.first + j] = dy.data[i * dy.ld + j];
    }
    return DS_OK;
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " columns=%lld+%lld", (long long)node->attributes.first, (long long)node->attributes.count);
}

const ds__op ds__op_slice = {
    .name = "slice",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .reference = reference,
    .view = view,
    .in_place = {DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
    .print = print,
};

const ds__op ds__op_pad_columns = {
    .name = "pad_columns",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer_pad,
    .reference = reference_pad,
    .in_place = {DS__IN_PLACE_NONE},
    .by_rows = true,
    .print = print,
};

ds_value ds__slice(ds_graph *graph, ds_value x, int64_t first, int64_t count) {
    return ds__graph_add(graph, &ds__op_slice, &x, 1, (ds__attributes){.first = first, .count = count});
}
