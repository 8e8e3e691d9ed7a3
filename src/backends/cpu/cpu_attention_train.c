/* attention with dropout, and attention_grad.  A unit is one sequence and one head of keys with its heads of queries,
 * which add to the same rows of dk and dv: one thread has all of it, so sums keep their order. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/attention_train/attention_train.h"

enum { OUT = DS__ATTENTION_STARTS + 1, DOUT, RNG }; /* of attention_grad, behind attention's own inputs */

typedef struct job {
    const ds__attention_train_f32 *kernel;
    const ds__run *run;
    ds__rows q, k, v, out, dout, dqkv;
    const int32_t *start;
    int64_t sequences, head_dim;
    ds_attention_config config;
    ds__dropout dropout;
    bool backward;
} job;

static bool scratch(const ds_graph *graph, const ds__node *node, size_t *floats) {
    const int64_t width = graph->values[node->inputs[0]].shape.dims[1].base;
    return ds__attention_train_f32_choose()->scratch_floats((size_t)(width / node->attributes.heads), floats);
}

static ds__attention_train_args arguments(const job *j, int64_t first, int64_t length, int64_t head, int64_t key_head) {
    const int64_t column = head * j->head_dim, key_column = key_head * j->head_dim;
    ds__attention_train_args args = {
        .q = j->q.data + first * j->q.ld + column,
        .k = j->k.data + first * j->k.ld + key_column,
        .v = j->v.data + first * j->v.ld + key_column,
        .ldq = (size_t)j->q.ld,
        .ldk = (size_t)j->k.ld,
        .ldv = (size_t)j->v.ld,
        .out = j->out.data + first * j->out.ld + column,
        .ldo = (size_t)j->out.ld,
        .length = (size_t)length,
        .head_dim = (size_t)j->head_dim,
        .causal = j->config.causal,
        .scale = j->config.scale,
        .dropout = j->dropout,
        .dropout_row = (uint32_t)(first * j->config.heads + head),
        .dropout_step = (uint32_t)j->config.heads,
    };
    if (!j->backward) return args;
    float *to = j->dqkv.data + first * j->dqkv.ld;
    args.dout = j->dout.data + first * j->dout.ld + column;
    args.lddo = (size_t)j->dout.ld;
    args.dq = to + column;
    args.dk = to + j->q.cols + key_column;
    args.dv = to + j->q.cols + j->k.cols + key_column;
    args.lddq = args.lddk = args.lddv = (size_t)j->dqkv.ld;
    args.accumulate = head % (j->config.heads / j->config.key_heads) != 0;
    return args;
}

static void run_unit(void *argument, int task, int worker) {
    const job *j = argument;
    const int64_t sequence = task / j->config.key_heads, key_head = task % j->config.key_heads;
    const int64_t group = j->config.heads / j->config.key_heads;
    const int64_t first = j->start[sequence], length = j->start[sequence + 1] - first;
    for (int64_t head = key_head * group; head < (key_head + 1) * group; head++) {
        ds__attention_train_args args = arguments(j, first, length, head, key_head);
        args.scratch = j->run->scratch + (size_t)worker * j->run->scratch_floats;
        (j->backward ? j->kernel->backward : j->kernel->forward)(&args);
    }
}

static ds_status run(const ds__call *call, const ds__run *with, bool backward, ds_error *error) {
    DS_TRY(ds__check_seq_start(call->inputs[DS__ATTENTION_STARTS], call->inputs[0]->shape[0], error));
    job j = {
        .kernel = ds__attention_train_f32_choose(),
        .run = with,
        .q = ds__rows_of(call->inputs[DS__ATTENTION_Q]),
        .k = ds__rows_of(call->inputs[DS__ATTENTION_K]),
        .v = ds__rows_of(call->inputs[DS__ATTENTION_V]),
        .out = ds__rows_of(backward ? call->inputs[OUT] : call->outputs[0]),
        .start = call->inputs[DS__ATTENTION_STARTS]->data,
        .sequences = call->inputs[DS__ATTENTION_STARTS]->shape[0] - 1,
        .dropout = ds__dropout_in(&call->node->attributes, call->inputs[backward ? RNG : DS__ATTENTION_RNG]),
        .backward = backward,
    };
    if (backward) {
        j.dout = ds__rows_of(call->inputs[DOUT]);
        j.dqkv = ds__rows_of(call->outputs[0]);
    }
    j.config = ds__attention_config_of(&call->node->attributes, j.q.cols);
    j.head_dim = j.q.cols / j.config.heads;
    ds__pool_run(with->pool, (int)(j.sequences * j.config.key_heads), run_unit, &j);
    return DS_OK;
}

static ds_status forward(const ds__call *call, const ds__run *with, ds_error *error) {
    return run(call, with, false, error);
}

static ds_status backward(const ds__call *call, const ds__run *with, ds_error *error) {
    return run(call, with, true, error);
}

const ds__cpu_op ds__cpu_attention_train = {.op = &ds__op_attention, .scratch = scratch, .run = forward};
const ds__cpu_op ds__cpu_attention_grad = {.op = &ds__op_attention_grad, .scratch = scratch, .run = backward};
