/* The CPU backend's table. A node whose operator has no row here falls back to the next backend. */
#include "backends/cpu/cpu_backend.h"

static const ds__cpu_op *const table[] = {
    &ds__cpu_linear, &ds__cpu_attention, &ds__cpu_gather, &ds__cpu_layer_norm, &ds__cpu_activation,
    &ds__cpu_add,    &ds__cpu_mul,       &ds__cpu_pool,   &ds__cpu_softmax,    &ds__cpu_l2_normalize,
};

static const ds__cpu_op *find(const ds__op *op) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i]->op == op) return table[i];
    return NULL;
}

static bool supports(const ds_graph *graph, const ds__node *node) {
    const ds__cpu_op *row = find(node->op);
    return row && (!row->supports || row->supports(graph, node));
}

static const ds__weight_form *weight_form(const ds_graph *graph, const ds__node *node, int input) {
    const ds__cpu_op *row = find(node->op);
    return row->weight_form ? row->weight_form(graph, node, input) : &ds__weight_form_dense;
}

static bool scratch(const ds_graph *graph, const ds__node *node, size_t *floats) {
    const ds__cpu_op *row = find(node->op);
    *floats = 0;
    return !row->scratch || row->scratch(graph, node, floats);
}

static ds_status run(const ds__call *call, const ds__run *run_with, ds_error *error) {
    return find(call->node->op)->run(call, run_with, error);
}

const ds__backend ds__backend_cpu = {
    .name = "cpu",
    .supports = supports,
    .weight_form = weight_form,
    .scratch = scratch,
    .run = run,
    .runs_rows = true,
    .fastest = ds__cpu_fastest,
};

typedef struct range_job {
    const ds__call *call;
    ds__range_fn fn;
    int64_t count, tasks;
} range_job;

static void run_range(void *argument, int task, int worker) {
    (void)worker;
    const range_job *job = argument;
    job->fn(job->call, job->count * task / job->tasks, job->count * (task + 1) / job->tasks);
}

void ds__cpu_split(const ds__call *call, const ds__run *run_with, int64_t count, int64_t elements, ds__range_fn fn) {
    enum { SMALL = 8192 }; /* elements: under this, waking a worker costs more than it brings */
    int threads = run_with->threads;
    range_job job = {call, fn, count, 2 * threads < count ? 2 * threads : count};
    if (threads == 1 || elements < SMALL)
        fn(call, 0, count);
    else
        ds__pool_run(run_with->pool, (int)job.tasks, run_range, &job);
}
