/* attention: (sequence, query block, head) units, dealt out by their cost, so that one long text uses every core and
 * many short ones do not wait for each other. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/attention/attention.h"

typedef struct job {
    const ds__attention_f32 *kernel;
    const ds__run *run;
    ds__rows q, k, v, out;
    const int32_t *start;
    int64_t sequences;
    ds_attention_config config;
    int64_t head_dim;
    double total_cost; /* pairs of query and key, all heads */
    int tasks;
} job;

static bool scratch(const ds_graph *graph, const ds__node *node, size_t *floats) {
    int64_t width = graph->values[node->inputs[0]].shape.dims[1].base;
    return ds__attention_f32_choose()->scratch_floats((size_t)(width / node->attributes.heads), floats);
}

static void run_unit(const job *j, int64_t first, int64_t length, int64_t query, int64_t queries, int64_t head,
                     float *memory) {
    int64_t group = j->config.heads / j->config.key_heads;
    int64_t column = head * j->head_dim, key_column = head / group * j->head_dim;
    ds__attention_f32_args args = {
        .q = j->q.data + (first + query) * j->q.ld + column,
        .k = j->k.data + first * j->k.ld + key_column,
        .v = j->v.data + first * j->v.ld + key_column,
        .ldq = (size_t)j->q.ld,
        .ldk = (size_t)j->k.ld,
        .ldv = (size_t)j->v.ld,
        .out = j->out.data + (first + query) * j->out.ld + column,
        .ldo = (size_t)j->out.ld,
        .queries = (size_t)queries,
        .keys = (size_t)length,
        .head_dim = (size_t)j->head_dim,
        .first_query = (size_t)query,
        .mask = j->config.causal ? DS__MASK_CAUSAL : DS__MASK_NONE,
        .scale = j->config.scale,
        .scratch = memory,
    };
    j->kernel->run(&args);
}

/* Queries of a unit: many, since they share the reading of the keys, but every thread should find several units. */
static int64_t queries_of_unit(const job *j, int64_t length) {
    enum { UNITS_PER_THREAD = 6 };
    int64_t block = (int64_t)j->kernel->query_block, queries = (int64_t)j->kernel->query_group;
    while (queries > block && j->config.heads * ((length + queries - 1) / queries) < UNITS_PER_THREAD * j->run->threads)
        queries /= 2;
    return queries;
}

/* Task t runs the units whose place on the axis of accumulated cost falls into its share. */
static void run_share(void *argument, int task, int worker) {
    const job *j = argument;
    double low = j->total_cost * task / j->tasks, high = j->total_cost * (task + 1) / j->tasks, at = 0;
    float *memory = j->run->scratch + (size_t)worker * j->run->scratch_floats;
    for (int64_t s = 0; s < j->sequences && at < high; s++) {
        int64_t first = j->start[s], length = j->start[s + 1] - first;
        double cost = (double)length * (double)length * j->config.heads;
        if (at + cost <= low) {
            at += cost;
            continue;
        }
        const int64_t block = queries_of_unit(j, length);
        for (int64_t head = 0; head < j->config.heads; head++)
            for (int64_t query = 0; query < length; query += block) {
                int64_t queries = length - query < block ? length - query : block;
                if (at >= low && at < high) run_unit(j, first, length, query, queries, head, memory);
                at += (double)queries * (double)length;
            }
    }
}

static ds_status run(const ds__call *call, const ds__run *with, ds_error *error) {
    enum { SMALL_COST = 4096, TASKS_PER_THREAD = 4 };
    DS_TRY(ds__check_seq_start(call->inputs[3], call->inputs[0]->shape[0], error));
    job j = {
        .kernel = ds__attention_f32_choose(),
        .run = with,
        .q = ds__rows_of(call->inputs[0]),
        .k = ds__rows_of(call->inputs[1]),
        .v = ds__rows_of(call->inputs[2]),
        .out = ds__rows_of(call->outputs[0]),
        .start = call->inputs[3]->data,
        .sequences = call->inputs[3]->shape[0] - 1,
    };
    j.config = ds__attention_config_of(&call->node->attributes, j.q.cols);
    j.head_dim = j.q.cols / j.config.heads;
    for (int64_t s = 0; s < j.sequences; s++) {
        double length = j.start[s + 1] - j.start[s];
        j.total_cost += length * length * j.config.heads;
    }
    int threads = with->threads;
    j.tasks = threads == 1 || j.total_cost < SMALL_COST ? 1 : threads * TASKS_PER_THREAD;
    ds__pool_run(with->pool, j.tasks, run_share, &j);
    return DS_OK;
}

/* Dropping probabilities is training's. */
static bool supports(const ds_graph *graph, const ds__node *node) {
    (void)graph;
    return node->attributes.dropout == 0;
}

const ds__cpu_op ds__cpu_attention = {.op = &ds__op_attention, .supports = supports, .scratch = scratch, .run = run};
