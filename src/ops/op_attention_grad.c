/* attention_grad: what `attention` gives back to q, k and v, side by side: [T, heads*d + 2 * key_heads*d].
 *
 * Inputs: q, k, v, seq_start as attention has them, its output, the output's gradient, and its rng where it drops. With
 * p the probabilities, m what dropout multiplies them by, and D = sum over columns of dout * out:
 *   ds[i, j] = p[i, j] * (m[i, j] * dout[i].v[j] - D[i]),  dq = scale * ds k,  dk = scale * ds^T q,  dv = (m p)^T dout
 */
#include <math.h>

#include "ops/op_shared.h"
#include "ops/ops.h"

enum { OUT = DS__ATTENTION_STARTS + 1, DOUT, RNG };

static ds_status infer(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__op_attention.infer(
        graph,
        &(ds__node){.op = &ds__op_attention,
                    .inputs = {node->inputs[0], node->inputs[1], node->inputs[2], node->inputs[3], node->inputs[RNG]},
                    .input_count = node->input_count > RNG ? 5 : 4,
                    .attributes = node->attributes},
        result, error));
    DS_TRY(ds__expect_same(graph, node, 0, OUT, error));
    DS_TRY(ds__expect_same(graph, node, 0, DOUT, error));
    result->shape.dims[1].base += 2 * ds__input(graph, node, 1)->shape.dims[1].base;
    return DS_OK;
}

static double flops(const ds__call *call) {
    const int32_t *start = call->inputs[3]->data;
    double pairs = 0;
    for (int64_t b = 0; b + 1 < call->inputs[3]->shape[0]; b++) {
        double length = start[b + 1] - start[b];
        pairs += length * length;
    }
    return 10.0 * pairs * (double)ds__rows_of(call->inputs[0]).cols; /* five products */
}

/* One head of one sequence, rows [first, last). */
typedef struct head {
    ds__rows q, k, v, out, dout, dq, dk, dv; /* data: this head's first column */
    int64_t first, last, d, row, row_step;   /* row: the dropout's of the first query */
    ds_attention_config config;
    ds__dropout dropout;
} head;

static double dot(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t c = 0; c < n; c++) sum += (double)a[c] * (double)b[c];
    return sum;
}

static void one_query(const head *h, int64_t i) {
    const int64_t last = h->config.causal ? i + 1 : h->last, d = h->d;
    const float *q = h->q.data + i * h->q.ld, *dout = h->dout.data + i * h->dout.ld;
    float *dq = h->dq.data + i * h->dq.ld;
    double top = -INFINITY, total = 0, scale = h->config.scale;
    for (int64_t j = h->first; j < last; j++) top = fmax(top, scale * dot(q, h->k.data + j * h->k.ld, d));
    for (int64_t j = h->first; j < last; j++) total += exp(scale * dot(q, h->k.data + j * h->k.ld, d) - top);
    const double shared = dot(dout, h->out.data + i * h->out.ld, d);
    for (int64_t j = h->first; j < last; j++) {
        const float *k = h->k.data + j * h->k.ld;
        float *dk = h->dk.data + j * h->dk.ld, *dv = h->dv.data + j * h->dv.ld;
        double p = exp(scale * dot(q, k, d) - top) / total, factor = 1;
        if (h->dropout.rate != 0)
            factor = ds__dropout_keeps(&h->dropout, (uint32_t)(h->row + (i - h->first) * h->row_step),
                                       (uint32_t)(j - h->first))
                         ? (double)ds__dropout_scale(h->dropout.rate)
                         : 0;
        double ds = scale * p * (factor * dot(dout, h->v.data + j * h->v.ld, d) - shared);
        for (int64_t c = 0; c < d; c++) {
            dq[c] += (float)(ds * k[c]);
            dk[c] += (float)(ds * q[c]);
            dv[c] += (float)(factor * p * dout[c]);
        }
    }
}

static ds_status reference(const ds__call *call, ds_error *error) {
    DS_TRY(ds__check_seq_start(call->inputs[3], call->inputs[0]->shape[0], error));
    ds__rows q = ds__rows_of(call->inputs[0]), k = ds__rows_of(call->inputs[1]), v = ds__rows_of(call->inputs[2]);
    ds__rows out = ds__rows_of(call->inputs[OUT]), dout = ds__rows_of(call->inputs[DOUT]);
    ds__rows y = ds__rows_of(call->outputs[0]);
    const int32_t *start = call->inputs[3]->data;
    head h = {.config = ds__attention_config_of(&call->node->attributes, q.cols),
              .dropout = ds__dropout_in(&call->node->attributes, call->inputs[RNG])};
    h.d = q.cols / h.config.heads;
    h.row_step = h.config.heads;
    for (int64_t i = 0; i < y.rows; i++)
        for (int64_t j = 0; j < y.cols; j++) y.data[i * y.ld + j] = 0;
    for (int64_t b = 0; b + 1 < call->inputs[3]->shape[0]; b++)
        for (int64_t n = 0; n < h.config.heads; n++) {
            int64_t column = n * h.d, key_column = n / (h.config.heads / h.config.key_heads) * h.d;
            h.first = start[b];
            h.last = start[b + 1];
            h.row = h.first * h.config.heads + n;
            h.q = (ds__rows){q.data + column, q.rows, h.d, q.ld};
            h.k = (ds__rows){k.data + key_column, k.rows, h.d, k.ld};
            h.v = (ds__rows){v.data + key_column, v.rows, h.d, v.ld};
            h.out = (ds__rows){out.data + column, out.rows, h.d, out.ld};
            h.dout = (ds__rows){dout.data + column, dout.rows, h.d, dout.ld};
            h.dq = (ds__rows){y.data + column, y.rows, h.d, y.ld};
            h.dk = (ds__rows){y.data + q.cols + key_column, y.rows, h.d, y.ld};
            h.dv = (ds__rows){y.data + q.cols + k.cols + key_column, y.rows, h.d, y.ld};
            for (int64_t i = h.first; i < h.last; i++) one_query(&h, i);
        }
    return DS_OK;
}

static void print(const ds__node *node, ds__buffer *out) { ds__op_attention.print(node, out); }

const ds__op ds__op_attention_grad = {
    .name = "attention_grad",
    .min_inputs = 6,
    .max_inputs = 7,
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .in_place = {DS__IN_PLACE_NONE},
    .print = print,
};
