/* update: chunks of a weight are the tasks, so that a chunk's gradient is measured and applied while it is in the
 * cache; their sums are added in the order of the chunks. */
#include <math.h>

#include "backends/cpu/cpu_backend.h"
#include "kernels/optim/optim.h"

enum { CHUNK = 1 << 16, AT_ONCE = 256 /* chunks, so that the sums need no memory of their own */ };

typedef struct job {
    const float *gradient, *settings;
    float *weight, *first, *second; /* first, second: NULL where there is none */
    size_t elements, from;          /* from: the first chunk of this round */
    bool allowed;
    double sums[AT_ONCE];
} job;

static void apply(const job *j, size_t at, size_t count) {
    const float *k = j->settings;
    if (j->second) {
        const ds__adamw with = {
            .grad_scale = k[DS__UPDATE_SCALE],
            .decay = k[DS__ADAMW_DECAY],
            .step_size = k[DS__ADAMW_STEP_SIZE],
            .v_correction = k[DS__ADAMW_V_CORRECTION],
            .epsilon = k[DS__ADAMW_EPSILON],
            .one_minus_beta1 = k[DS__ADAMW_ONE_MINUS_BETA1],
            .beta2 = k[DS__ADAMW_BETA2],
            .one_minus_beta2 = k[DS__ADAMW_ONE_MINUS_BETA2],
        };
        ds__optim_f32_choose()->adamw(&with, j->gradient + at, j->weight + at, j->first + at, j->second + at, count);
        return;
    }
    const ds__sgd with = {k[DS__UPDATE_SCALE], k[DS__SGD_WEIGHT_DECAY], j->first ? k[DS__SGD_MOMENTUM] : 0,
                          k[DS__SGD_RATE]};
    ds__optim_f32_choose()->sgd(&with, j->gradient + at, j->weight + at, j->first ? j->first + at : NULL, count);
}

static void run_chunk(void *argument, int task, int worker) {
    (void)worker;
    job *j = argument;
    const size_t at = (j->from + (size_t)task) * CHUNK;
    const size_t count = j->elements - at < CHUNK ? j->elements - at : CHUNK;
    j->sums[task] = ds__optim_f32_choose()->sum_of_squares(j->gradient + at, count);
    if (j->allowed) apply(j, at, count);
}

static float *data_of(const ds_tensor *tensor) { return tensor ? tensor->data : NULL; }

static ds_status run(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    const ds__rows gradient = ds__rows_of(call->inputs[DS__UPDATE_GRADIENT]);
    job j = {
        .gradient = gradient.data,
        .settings =
            (const float *)call->inputs[DS__UPDATE_SETTINGS]->data + call->node->attributes.first * DS__UPDATE_COLUMNS,
        .weight = data_of(call->inputs[DS__UPDATE_WEIGHT]),
        .first = data_of(call->inputs[DS__UPDATE_FIRST]),
        .second = data_of(call->inputs[DS__UPDATE_SECOND]),
        .elements = (size_t)(gradient.rows * gradient.cols),
        .allowed = ds__update_allowed(call),
    };
    const size_t chunks = (j.elements + CHUNK - 1) / CHUNK;
    double total = 0;
    for (; j.from < chunks; j.from += AT_ONCE) {
        const size_t many = chunks - j.from < AT_ONCE ? chunks - j.from : AT_ONCE;
        ds__pool_run(with->pool, (int)many, run_chunk, &j);
        for (size_t i = 0; i < many; i++) total += j.sums[i];
    }
    *(float *)call->outputs[0]->data = (float)sqrt(total);
    return DS_OK;
}

/* A gradient that is a view may not be dense. */
static bool supports(const ds_graph *graph, const ds__node *node) {
    const int32_t producer = ds__graph_producer(graph, node->inputs[DS__UPDATE_GRADIENT]);
    return producer < 0 || !graph->nodes[producer].op->view;
}

const ds__cpu_op ds__cpu_update = {.op = &ds__op_update, .supports = supports, .run = run};
