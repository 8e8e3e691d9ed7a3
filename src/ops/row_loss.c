/* The frame of row-wise losses; see the header. */
#include "ops/row_loss.h"

#include <math.h>

static ds_status expect(const ds_graph *graph, const ds__node *node, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    return ds__expect_same(graph, node, 0, 1, error);
}

ds_status ds__row_loss_infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(expect(graph, node, error));
    *result = (ds__op_result){DS_F32, {1, {ds__input(graph, node, 0)->shape.dims[0]}}};
    return DS_OK;
}

ds_status ds__row_loss_infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(expect(graph, node, error));
    DS_TRY(ds__expect_each_row(graph, node, 2, error));
    *result = (ds__op_result){DS_F32, ds__input(graph, node, 0)->shape};
    return DS_OK;
}

ds_status ds__row_loss_run(const ds__call *call, ds__row_loss *loss) {
    const ds__rows x = ds__rows_of(call->inputs[0]), targets = ds__rows_of(call->inputs[1]);
    float *y = call->outputs[0]->data;
    for (int64_t i = 0; i < x.rows; i++) y[i] = (float)loss(x.data + i * x.ld, targets.data + i * targets.ld, x.cols);
    return DS_OK;
}

ds_status ds__row_loss_run_grad(const ds__call *call, ds__row_loss_gradient *gradient) {
    const ds__rows x = ds__rows_of(call->inputs[0]), targets = ds__rows_of(call->inputs[1]);
    const ds__rows dx = ds__rows_of(call->outputs[0]);
    const float *dy = call->inputs[2]->data;
    for (int64_t i = 0; i < x.rows; i++)
        gradient(x.data + i * x.ld, targets.data + i * targets.ld, x.cols, dy[i], dx.data + i * dx.ld);
    return DS_OK;
}

ds_value ds__row_loss_back(ds_graph *graph, const ds__op *gradient_op, const ds__node *node, ds_value dy) {
    return ds__graph_add(graph, gradient_op, (ds_value[]){{node->inputs[0]}, {node->inputs[1]}, dy}, 3,
                         node->attributes);
}

double ds__log_sum_exp(const float *x, int64_t n) {
    double top = x[0], sum = 0;
    for (int64_t j = 1; j < n; j++) top = x[j] > top || x[j] != x[j] ? x[j] : top;
    for (int64_t j = 0; j < n; j++) sum += exp(x[j] - top);
    return top + log(sum);
}
