/* add: y = a + b, both of one shape, or b: [n] taken for each row of a: [..., n]. */
#include "ops/op_shared.h"
#include "ops/ops.h"

static double flops(const ds__call *call) {
    ds__rows a = ds__rows_of(call->inputs[0]);
    return (double)a.rows * (double)a.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows a = ds__rows_of(call->inputs[0]), b = ds__rows_of(call->inputs[1]), y = ds__rows_of(call->outputs[0]);
    int64_t step = call->inputs[1]->rank == 1 && call->inputs[0]->rank > 1 ? 0 : b.ld;
    for (int64_t i = 0; i < a.rows; i++)
        for (int64_t j = 0; j < a.cols; j++) y.data[i * y.ld + j] = a.data[i * a.ld + j] + b.data[i * step + j];
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0]) gives[0] = dy;
    if (wanted[1]) gives[1] = ds__is_row(graph, node) ? ds__sum_rows(graph, dy) : dy;
}

const ds__op ds__op_add = {
    .name = "add",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = ds__infer_same_or_row,
    .flops = flops,
    .reference = reference,
    .in_place = {0, 1, DS__IN_PLACE_NONE},
    .by_rows = true,
    .gradient = gradient,
};

ds_value ds__add(ds_graph *graph, ds_value a, ds_value b) {
    return ds__graph_add(graph, &ds__op_add, (ds_value[]){a, b}, 2, (ds__attributes){0});
}
