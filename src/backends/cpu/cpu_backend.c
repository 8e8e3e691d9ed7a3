/* The CPU backends' tables: what a model that is run needs, and behind it what training adds (weights that change from
 * step to step, gradients).  A node that no row supports falls back to the next backend. */
#include "backends/cpu/cpu_backend.h"

typedef struct table {
    const ds__cpu_op *const *rows;
    size_t count;
} table;

static const ds__cpu_op *const run_rows[] = {
    &ds__cpu_linear, &ds__cpu_attention, &ds__cpu_gather, &ds__cpu_layer_norm, &ds__cpu_activation,
    &ds__cpu_add,    &ds__cpu_mul,       &ds__cpu_pool,   &ds__cpu_softmax,    &ds__cpu_l2_normalize,
};

static const ds__cpu_op *const train_rows[] = {
    &ds__cpu_linear_dense,    &ds__cpu_matmul,          &ds__cpu_attention_train,       &ds__cpu_attention_grad,
    &ds__cpu_activation_grad, &ds__cpu_layer_norm_grad, &ds__cpu_layer_norm_grad_gamma, &ds__cpu_dropout,
    &ds__cpu_sum_rows,        &ds__cpu_scatter_add,     &ds__cpu_fake_quantize,         &ds__cpu_update,
    &ds__cpu_narrow,          &ds__cpu_widen,
};

static const table run_table = {run_rows, sizeof run_rows / sizeof *run_rows};
static const table train_table = {train_rows, sizeof train_rows / sizeof *train_rows};

static const ds__cpu_op *find(const table *in, const ds__op *op) {
    for (size_t i = 0; i < in->count; i++)
        if (in->rows[i]->op == op) return in->rows[i];
    return NULL;
}

/* The functions of a backend on one of the tables. */
#define BACKEND_FUNCTIONS(name)                                                                                        \
    static bool name##_supports(const ds_graph *graph, const ds__node *node) {                                         \
        const ds__cpu_op *row = find(&name##_table, node->op);                                                         \
        return row && (!row->supports || row->supports(graph, node));                                                  \
    }                                                                                                                  \
    static const ds__weight_form *name##_weight_form(const ds_graph *graph, const ds__node *node, int input) {         \
        const ds__cpu_op *row = find(&name##_table, node->op);                                                         \
        return row->weight_form ? row->weight_form(graph, node, input) : &ds__weight_form_dense;                       \
    }                                                                                                                  \
    static bool name##_scratch(const ds_graph *graph, const ds__node *node, size_t *floats) {                          \
        const ds__cpu_op *row = find(&name##_table, node->op);                                                         \
        *floats = 0;                                                                                                   \
        return !row->scratch || row->scratch(graph, node, floats);                                                     \
    }                                                                                                                  \
    static ds_status name##_run(const ds__call *call, const ds__run *with, ds_error *error) {                          \
        return find(&name##_table, call->node->op)->run(call, with, error);                                            \
    }
BACKEND_FUNCTIONS(run)
BACKEND_FUNCTIONS(train)

const ds__backend ds__backend_cpu = {
    .name = "cpu",
    .supports = run_supports,
    .weight_form = run_weight_form,
    .scratch = run_scratch,
    .run = run_run,
    .runs_rows = true,
    .fastest = ds__cpu_fastest,
};

const ds__backend ds__backend_cpu_train = {
    .name = "cpu_train",
    .supports = train_supports,
    .weight_form = train_weight_form,
    .scratch = train_scratch,
    .run = train_run,
    .runs_rows = true,
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
