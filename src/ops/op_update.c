/* update: one optimiser step on a weight in training, in place: AdamW with two moments, SGD with one or none (the
 * formulas are in kernels/optim/optim.h).
 *
 * gradient: [...], settings: [n, 8], of which the node reads row `first` (DS__UPDATE_* below are its columns), loss:
 * [R], weight, first, second: states of the gradient's shape.  Nothing is written when an element of loss is not
 * finite, so a step that went wrong before the backward part leaves no trace.  y: [1], the gradient's length. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, DS__UPDATE_GRADIENT, DS_F32, -1, error));
    DS_TRY(ds__expect(graph, node, DS__UPDATE_SETTINGS, DS_F32, 2, error));
    DS_TRY(ds__expect(graph, node, DS__UPDATE_LOSS, DS_F32, 1, error));
    const ds_dim *size = ds__input(graph, node, DS__UPDATE_SETTINGS)->shape.dims;
    if (!ds__dim_equal(size[1], ds__dim_of(DS__UPDATE_COLUMNS)) || size[0].factor != 0 || node->attributes.first < 0 ||
        node->attributes.first >= size[0].base)
        return ds__fail(error, DS_SHAPE_MISMATCH, "row %lld of settings [%lld, %lld], expected a row of [n, %d]",
                        (long long)node->attributes.first, (long long)size[0].base, (long long)size[1].base,
                        DS__UPDATE_COLUMNS);
    for (int i = DS__UPDATE_WEIGHT; i < node->input_count; i++) {
        const ds__value *state = ds__input(graph, node, i);
        if (!state) continue;
        if (state->kind != DS__VALUE_STATE)
            return ds__fail(error, DS_INVALID_ARGUMENT, "input %d (%%%s) is a %s, expected a state", i, state->name,
                            ds__value_kind_name(state->kind));
        DS_TRY(ds__expect_same(graph, node, DS__UPDATE_GRADIENT, i, error));
    }
    *result = (ds__op_result){DS_F32, {1, {ds__dim_of(1)}}};
    return DS_OK;
}

static double flops(const ds__call *call) {
    ds__rows g = ds__rows_of(call->inputs[DS__UPDATE_GRADIENT]);
    return 16.0 * (double)g.rows * (double)g.cols;
}

bool ds__update_allowed(const ds__call *call) {
    const float *loss = call->inputs[DS__UPDATE_LOSS]->data;
    for (int64_t i = 0; i < call->inputs[DS__UPDATE_LOSS]->shape[0]; i++)
        if (!isfinite(loss[i])) return false;
    return true;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    const ds__rows g = ds__rows_of(call->inputs[DS__UPDATE_GRADIENT]);
    const float *k =
        (const float *)call->inputs[DS__UPDATE_SETTINGS]->data + call->node->attributes.first * DS__UPDATE_COLUMNS;
    const ds_tensor *first = call->inputs[DS__UPDATE_FIRST], *second = call->inputs[DS__UPDATE_SECOND];
    float *w = call->inputs[DS__UPDATE_WEIGHT]->data, *m = first ? first->data : NULL,
          *v = second ? second->data : NULL;
    const bool allowed = ds__update_allowed(call);
    double sum = 0;
    for (int64_t i = 0; i < g.rows * g.cols; i++) {
        const float raw = g.data[i / g.cols * g.ld + i % g.cols], given = k[DS__UPDATE_SCALE] * raw;
        sum += (double)raw * (double)raw;
        if (!allowed) continue;
        if (v) {
            m[i] = m[i] + k[DS__ADAMW_ONE_MINUS_BETA1] * (given - m[i]);
            v[i] = k[DS__ADAMW_BETA2] * v[i] + k[DS__ADAMW_ONE_MINUS_BETA2] * given * given;
            w[i] = w[i] * k[DS__ADAMW_DECAY] -
                   k[DS__ADAMW_STEP_SIZE] * m[i] / (sqrtf(v[i]) * k[DS__ADAMW_V_CORRECTION] + k[DS__ADAMW_EPSILON]);
        } else {
            float step = given + k[DS__SGD_WEIGHT_DECAY] * w[i];
            if (m) step = m[i] = k[DS__SGD_MOMENTUM] * m[i] + step;
            w[i] = w[i] - k[DS__SGD_RATE] * step;
        }
    }
    *(float *)call->outputs[0]->data = (float)sqrt(sum);
    return DS_OK;
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " row=%lld", (long long)node->attributes.first);
}

const ds__op ds__op_update = {
    .name = "update",
    .min_inputs = DS__UPDATE_WEIGHT + 1,
    .max_inputs = DS__UPDATE_SECOND + 1,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .updates = true,
    .print = print,
};

ds_value ds__update(ds_graph *graph, const ds_value inputs[DS__UPDATE_SECOND + 1], int64_t row) {
    return ds__graph_add(graph, &ds__op_update, inputs, DS__UPDATE_SECOND + 1, (ds__attributes){.first = row});
}
