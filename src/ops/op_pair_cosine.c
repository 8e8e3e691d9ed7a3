/* pair_cosine: the cosine of each pair of rows.  x: [2P, n], rows 2i and 2i + 1 belong together -> [P, 1].  A row of
 * length 0 has cosine 0 with everything, and no gradient. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    ds_dim rows = ds__input(graph, node, 0)->shape.dims[0];
    DS_TRY(ds__halve_rows(&rows, error));
    *result = (ds__op_result){DS_F32, {2, {rows, ds__dim_of(1)}}};
    return DS_OK;
}

static ds_status infer_grad(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(infer(graph, node, result, error));
    DS_TRY(ds__expect(graph, node, 1, DS_F32, 2, error));
    if (!ds__shape_equal(&result->shape, &ds__input(graph, node, 1)->shape))
        return ds__shapes_disagree(graph, node, 0, 1, error);
    result->shape = ds__input(graph, node, 0)->shape;
    return DS_OK;
}

/* Of rows a and b: a.b and the squares of their lengths. */
typedef struct pair {
    double dot, a, b;
} pair;

static pair measure(const float *a, const float *b, int64_t n) {
    pair p = {0, 0, 0};
    for (int64_t j = 0; j < n; j++) {
        p.dot += (double)a[j] * b[j];
        p.a += (double)a[j] * a[j];
        p.b += (double)b[j] * b[j];
    }
    return p;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    const ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < y.rows; i++) {
        pair p = measure(x.data + 2 * i * x.ld, x.data + (2 * i + 1) * x.ld, x.cols);
        y.data[i * y.ld] = p.a == 0 || p.b == 0 ? 0.0f : (float)(p.dot / sqrt(p.a) / sqrt(p.b));
    }
    return DS_OK;
}

/* da = dy * (b / (|a| |b|) - cos * a / |a|^2), db alike */
static ds_status reference_grad(const ds__call *call, ds_error *error) {
    (void)error;
    const ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[1]),
                   dx = ds__rows_of(call->outputs[0]);
    for (int64_t i = 0; i < dy.rows; i++) {
        const float *a = x.data + 2 * i * x.ld, *b = a + x.ld;
        float *da = dx.data + 2 * i * dx.ld, *db = da + dx.ld;
        const pair p = measure(a, b, x.cols);
        const bool none = p.a == 0 || p.b == 0;
        const double given = none ? 0 : dy.data[i * dy.ld], inverse = none ? 0 : 1 / sqrt(p.a) / sqrt(p.b);
        const double cosine = p.dot * inverse;
        for (int64_t j = 0; j < x.cols; j++) {
            da[j] = none ? 0.0f : (float)(given * (b[j] * inverse - cosine * a[j] / p.a));
            db[j] = none ? 0.0f : (float)(given * (a[j] * inverse - cosine * b[j] / p.b));
        }
    }
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] =
            ds__graph_add(graph, &ds__op_pair_cosine_grad, (ds_value[]){{node->inputs[0]}, dy}, 2, (ds__attributes){0});
}

const ds__op ds__op_pair_cosine = {
    .name = "pair_cosine",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
};

const ds__op ds__op_pair_cosine_grad = {
    .name = "pair_cosine_grad",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grad,
    .reference = reference_grad,
    .in_place = {DS__IN_PLACE_NONE},
};

ds_value ds__pair_cosine(ds_graph *graph, ds_value x) {
    return ds__graph_add(graph, &ds__op_pair_cosine, &x, 1, (ds__attributes){0});
}
