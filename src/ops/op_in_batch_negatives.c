/* in_batch_negatives (Henderson et al. 2017): the first text of each pair picks its second among all second texts.
 *
 * x: [2P, n], rows 2i and 2i + 1 belong together -> y: [P];  s[i, j] = scale * x[2i].x[2j + 1],
 * y[i] = log(sum_j exp(s[i, j])) - s[i, i]. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    ds_dim rows = ds__input(graph, node, 0)->shape.dims[0];
    DS_TRY(ds__halve_rows(&rows, error));
    *result = (ds__op_result){DS_F32, {1, {rows}}};
    return DS_OK;
}

static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(infer(graph, node, result, error));
    DS_TRY(ds__expect(graph, node, 1, DS_F32, 1, error));
    if (!ds__shape_equal(&result->shape, &ds__input(graph, node, 1)->shape))
        return ds__shapes_disagree(graph, node, 0, 1, error);
    result->shape = ds__input(graph, node, 0)->shape;
    return DS_OK;
}

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return 0.5 * (double)x.rows * (double)x.rows * (double)x.cols;
}

static double score(const ds__rows *x, double scale, int64_t i, int64_t j) {
    const float *a = x->data + 2 * i * x->ld, *b = x->data + (2 * j + 1) * x->ld;
    double sum = 0;
    for (int64_t c = 0; c < x->cols; c++) sum += (double)a[c] * b[c];
    return scale * sum;
}

/* log(sum_j exp(s[i, j])) */
static double log_sum(const ds__rows *x, double scale, int64_t i) {
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < x->rows / 2; j++) { /* the sum so far is kept relative to the largest so far */
        const double s = score(x, scale, i, j), higher = fmax(top, s);
        sum = sum * exp(top - higher) + exp(s - higher);
        top = higher;
    }
    return top + log(sum);
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    const ds__rows x = ds__rows_of(call->inputs[0]);
    const double scale = call->node->attributes.scale;
    float *y = call->outputs[0]->data;
    for (int64_t i = 0; i < x.rows / 2; i++) y[i] = (float)(log_sum(&x, scale, i) - score(&x, scale, i, i));
    return DS_OK;
}

static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    const ds__rows x = ds__rows_of(call->inputs[0]), dx = ds__rows_of(call->outputs[0]);
    const double scale = call->node->attributes.scale;
    const float *dy = call->inputs[1]->data;
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++) dx.data[r * dx.ld + c] = 0;
    for (int64_t i = 0; i < x.rows / 2; i++) {
        const double total = log_sum(&x, scale, i);
        for (int64_t j = 0; j < x.rows / 2; j++) {
            const double ds = scale * dy[i] * (exp(score(&x, scale, i, j) - total) - (i == j));
            const float *a = x.data + 2 * i * x.ld, *b = x.data + (2 * j + 1) * x.ld;
            float *da = dx.data + 2 * i * dx.ld, *db = dx.data + (2 * j + 1) * dx.ld;
            for (int64_t c = 0; c < x.cols; c++) {
                da[c] += (float)(ds * b[c]);
                db[c] += (float)(ds * a[c]);
            }
        }
    }
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] = ds__graph_add(graph, &ds__op_in_batch_negatives_grad, (ds_value[]){{node->inputs[0]}, dy}, 2,
                                 node->attributes);
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " scale=%g", (double)node->attributes.scale);
}

const ds__op ds__op_in_batch_negatives = {
    .name = "in_batch_negatives",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
    .print = print,
};

const ds__op ds__op_in_batch_negatives_grad = {
    .name = "in_batch_negatives_grad",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grad,
    .flops = flops,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
    .print = print,
};

ds_value ds__in_batch_negatives(ds_graph *graph, ds_value x, float scale) {
    return ds__graph_add(graph, &ds__op_in_batch_negatives, &x, 1, (ds__attributes){.scale = scale});
}
