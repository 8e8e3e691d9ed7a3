/* dropout (Srivastava et al. 2014): y = x / (1 - rate) where an element stays, else 0.
 *
 * x: [R, n], rng: int32 [3].  Which elements stay is a function of seed, draw, site, row and column (tensor/philox.h),
 * so the gradient is the same operator on dy, and a recomputed forward pass drops the same ones. */
#include "ops/op_shared.h"
#include "ops/ops.h"

ds_status ds__expect_dropout(const ds_graph *graph, const ds__node *node, int rng, ds_error *error) {
    if (!(node->attributes.dropout >= 0 && node->attributes.dropout < 1))
        return ds__fail(error, DS_INVALID_ARGUMENT, "dropout is %g, expected 0 to less than 1",
                        (double)node->attributes.dropout);
    DS_TRY(ds__expect(graph, node, rng, DS_I32, 1, error));
    const ds_dim words = ds__input(graph, node, rng)->shape.dims[0];
    if (ds__dim_equal(words, ds__dim_of(3))) return DS_OK;
    return ds__fail(error, DS_SHAPE_MISMATCH, "rng has %lld words%s, expected 3: the seed's two and the draw",
                    (long long)words.base, words.factor ? " and more" : "");
}

ds__dropout ds__dropout_in(const ds__attributes *attributes, const ds_tensor *rng) {
    ds__dropout dropout = {.site = (uint32_t)attributes->site, .rate = attributes->dropout};
    if (!rng) return dropout;
    const int32_t *words = rng->data;
    dropout.seed[0] = (uint32_t)words[0];
    dropout.seed[1] = (uint32_t)words[1];
    dropout.draw = (uint32_t)words[2];
    return dropout;
}

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    return ds__expect_dropout(graph, node, 1, error);
}

static double flops(const ds__call *call) {
    ds__rows x = ds__rows_of(call->inputs[0]);
    return 16.0 * (double)x.rows * (double)x.cols;
}

static ds_status reference(const ds__call *call, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const ds__dropout dropout = ds__dropout_in(&call->node->attributes, call->inputs[1]);
    const float scale = ds__dropout_scale(dropout.rate);
    for (int64_t i = 0; i < x.rows; i++)
        for (int64_t j = 0; j < x.cols; j++)
            y.data[i * y.ld + j] =
                ds__dropout_keeps(&dropout, (uint32_t)i, (uint32_t)j) ? x.data[i * x.ld + j] * scale : 0.0f;
    return DS_OK;
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (wanted[0])
        gives[0] =
            ds__dropout_of(graph, dy, (ds_value){node->inputs[1]}, node->attributes.dropout, node->attributes.site);
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " rate=%g site=%d", (double)node->attributes.dropout, node->attributes.site);
}

const ds__op ds__op_dropout = {
    .name = "dropout",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {0, DS__IN_PLACE_NONE},
    .gradient = gradient,
    .print = print,
};

ds_value ds__dropout_of(ds_graph *graph, ds_value x, ds_value rng, float rate, int32_t site) {
    if (rate == 0) return x;
    return ds__graph_add(graph, &ds__op_dropout, (ds_value[]){x, rng}, 2,
                         (ds__attributes){.dropout = rate, .site = site});
}
