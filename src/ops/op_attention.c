/* attention (Vaswani et al. 2017) within each sequence of a packed batch.
 *
 * q: [T, heads*d], k and v: [T, key_heads*d], seq_start: int32 [B+1] with seq_start[0] = 0 and seq_start[B] = T.
 * out[i, h] = sum_j softmax_j(scale * q[i, h].k[j, g]) * v[j, g], j over the tokens of i's sequence (up to i when
 * causal), g = h / (heads / key_heads).  With dropout (and rng: int32 [3]) the probabilities are dropped: element
 * (i * heads + h, j) of the node's site, j counted from the sequence's start. */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

ds_attention_config ds__attention_config_of(const ds__attributes *attributes, int64_t width) {
    ds_attention_config config = {attributes->heads, attributes->key_heads, attributes->scale, attributes->causal};
    if (config.key_heads == 0) config.key_heads = config.heads;
    if (config.scale == 0) config.scale = 1.0f / sqrtf((float)(width / config.heads));
    return config;
}

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    for (int i = 0; i < 3; i++) DS_TRY(ds__expect(graph, node, i, DS_F32, 2, error));
    DS_TRY(ds__expect(graph, node, 3, DS_I32, 1, error));
    const ds__value *q = ds__input(graph, node, 0), *k = ds__input(graph, node, 1), *v = ds__input(graph, node, 2);
    ds_dim width = q->shape.dims[1];
    int32_t heads = node->attributes.heads, key_heads = node->attributes.key_heads ? node->attributes.key_heads : heads;
    if (heads < 1 || key_heads < 1 || width.factor != 0 || width.base % heads != 0 || heads % key_heads != 0)
        return ds__fail(
            error, DS_INVALID_ARGUMENT,
            "%d heads (%d of keys) cannot share %lld columns: heads must divide the columns, and heads of keys "
            "must divide the heads",
            heads, key_heads, (long long)width.base);
    ds_dim key_width = ds__dim_of(width.base / heads * key_heads);
    if (!ds__dim_equal(k->shape.dims[1], key_width) || !ds__dim_equal(q->shape.dims[0], k->shape.dims[0]))
        return ds__shapes_disagree(graph, node, 0, 1, error);
    if (!ds__shape_equal(&k->shape, &v->shape)) return ds__shapes_disagree(graph, node, 1, 2, error);
    if (node->attributes.dropout != 0 && node->input_count <= DS__ATTENTION_RNG)
        return ds__fail(error, DS_INVALID_ARGUMENT, "dropout is %g, but there is no rng",
                        (double)node->attributes.dropout);
    if (node->input_count > DS__ATTENTION_RNG) DS_TRY(ds__expect_dropout(graph, node, DS__ATTENTION_RNG, error));
    *result = (ds__op_result){DS_F32, q->shape};
    return DS_OK;
}

static double flops(const ds__call *call) {
    const int32_t *start = call->inputs[3]->data;
    ds__rows q = ds__rows_of(call->inputs[0]);
    double pairs = 0;
    for (int64_t b = 0; b + 1 < call->inputs[3]->shape[0]; b++) {
        double length = start[b + 1] - start[b];
        pairs += length * length;
    }
    return 4.0 * pairs * (double)q.cols;
}

/* One head: its columns of k and v begin at `column` and are `d` wide. */
typedef struct head {
    ds__rows k, v;
    int64_t column, d;
    float scale;
    ds__dropout dropout;
} head;

/* What probabilities are multiplied by: 0 where (row, j) is dropped. */
static double kept(const ds__dropout *dropout, int64_t row, int64_t j) {
    if (dropout->rate == 0) return 1;
    return ds__dropout_keeps(dropout, (uint32_t)row, (uint32_t)j) ? (double)ds__dropout_scale(dropout->rate) : 0;
}

/* One query over keys [first, last). row: its dropout's. q and out: [d]. */
static void attend(const head *h, const float *q, int64_t row, int64_t first, int64_t last, float *out) {
    double top = -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++) { /* the maximum first, then the weighted sum: no memory for the scores */
        for (int64_t c = 0; pass == 1 && c < h->d; c++) out[c] = 0;
        for (int64_t j = first; j < last; j++) {
            const float *k = h->k.data + j * h->k.ld + h->column, *v = h->v.data + j * h->v.ld + h->column;
            double score = 0;
            for (int64_t c = 0; c < h->d; c++) score += (double)q[c] * (double)k[c];
            score *= h->scale;
            if (pass == 0) {
                top = fmax(top, score);
                continue;
            }
            double weight = exp(score - top);
            sum += weight;
            weight *= kept(&h->dropout, row, j - first);
            for (int64_t c = 0; c < h->d; c++) out[c] += (float)weight * v[c];
        }
    }
    for (int64_t c = 0; c < h->d; c++) out[c] = (float)(out[c] / sum);
}

static ds_status reference(const ds__call *call, ds_error *error) {
    DS_TRY(ds__check_seq_start(call->inputs[3], call->inputs[0]->shape[0], error));
    ds__rows q = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const int32_t *start = call->inputs[3]->data;
    ds_attention_config config = ds__attention_config_of(&call->node->attributes, q.cols);
    int64_t group = config.heads / config.key_heads;
    head one = {.k = ds__rows_of(call->inputs[1]),
                .v = ds__rows_of(call->inputs[2]),
                .d = q.cols / config.heads,
                .scale = config.scale,
                .dropout = ds__dropout_in(&call->node->attributes, call->inputs[DS__ATTENTION_RNG])};
    for (int64_t b = 0; b + 1 < call->inputs[3]->shape[0]; b++)
        for (int64_t i = start[b]; i < start[b + 1]; i++)
            for (int64_t h = 0; h < config.heads; h++) {
                one.column = h / group * one.d;
                attend(&one, q.data + i * q.ld + h * one.d, i * config.heads + h, start[b],
                       config.causal ? i + 1 : start[b + 1], y.data + i * y.ld + h * one.d);
            }
    return DS_OK;
}

static void print(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " heads=%d", node->attributes.heads);
    if (node->attributes.key_heads) ds__buffer_printf(out, " key_heads=%d", node->attributes.key_heads);
    if (node->attributes.scale != 0) ds__buffer_printf(out, " scale=%g", (double)node->attributes.scale);
    if (node->attributes.causal) ds__buffer_text(out, " causal");
    if (node->attributes.dropout != 0)
        ds__buffer_printf(out, " dropout=%g site=%d", (double)node->attributes.dropout, node->attributes.site);
}

static void gradient(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives) {
    if (!wanted[DS__ATTENTION_Q] && !wanted[DS__ATTENTION_K] && !wanted[DS__ATTENTION_V]) return;
    const int64_t width = graph->values[node->inputs[0]].shape.dims[1].base,
                  key_width = graph->values[node->inputs[1]].shape.dims[1].base;
    const bool drops = node->input_count > DS__ATTENTION_RNG;
    ds_value inputs[] = {{node->inputs[0]},
                         {node->inputs[1]},
                         {node->inputs[2]},
                         {node->inputs[3]},
                         {node->outputs[0]},
                         dy,
                         {drops ? node->inputs[DS__ATTENTION_RNG] : -1}};
    ds_value all = ds__graph_add(graph, &ds__op_attention_grad, inputs, drops ? 7 : 6, node->attributes);
    if (wanted[DS__ATTENTION_Q]) gives[DS__ATTENTION_Q] = ds__slice(graph, all, 0, width);
    if (wanted[DS__ATTENTION_K]) gives[DS__ATTENTION_K] = ds__slice(graph, all, width, key_width);
    if (wanted[DS__ATTENTION_V]) gives[DS__ATTENTION_V] = ds__slice(graph, all, width + key_width, key_width);
}

const ds__op ds__op_attention = {
    .name = "attention",
    .min_inputs = 4,
    .max_inputs = 5,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .gradient = gradient,
    .print = print,
};

ds_value ds__attention(ds_graph *graph, const ds_value qkv[3], ds_value seq_start, ds_attention_config config) {
    ds__attributes attributes = {
        .heads = config.heads, .key_heads = config.key_heads, .scale = config.scale, .causal = config.causal};
    return ds__graph_add(graph, &ds__op_attention, (ds_value[]){qkv[0], qkv[1], qkv[2], seq_start}, 4, attributes);
}
