/* The frame of losses that look at rows one by one: y[i] = loss(x[i], targets[i]).
 *
 * Inputs of the loss: x: [R, n] and targets, of the same shape -> [R]; of its gradient operator also dy: [R] -> [R, n].
 * cross_entropy, whose targets are one label a row, has rules of its own. */
#ifndef DS_OPS_ROW_LOSS_H
#define DS_OPS_ROW_LOSS_H

#include "ops/op_shared.h"

/* x, t: [n]. */
typedef double ds__row_loss(const float *x, const float *t, int64_t n);
/* dx[j] = dy * d loss / d x[j] */
typedef void ds__row_loss_gradient(const float *x, const float *t, int64_t n, float dy, float *dx);

ds_status ds__row_loss_infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error);
ds_status ds__row_loss_infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error);
/* References; they cannot fail. */
ds_status ds__row_loss_run(const ds__call *call, ds__row_loss *loss);
ds_status ds__row_loss_run_grad(const ds__call *call, ds__row_loss_gradient *gradient);
/* The node of `gradient_op` on a loss's inputs and dy. */
ds_value ds__row_loss_back(ds_graph *graph, const ds__op *gradient_op, const ds__node *node, ds_value dy);

/* log(sum(exp(x))) of [n] without overflow; NaN where x holds one. */
double ds__log_sum_exp(const float *x, int64_t n);

#endif
