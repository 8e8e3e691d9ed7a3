/* Products of matrices that change from call to call: `matmul`, and `linear` with a weight that is in training. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul/matmul.h"

static const ds__matmul *kernel_of(const ds__node *node) {
    return node->attributes.precision == DS__PRECISION_BF16 ? ds__matmul_bf16_choose() : ds__matmul_f32_choose();
}

static bool scratch(const ds_graph *graph, const ds__node *node, size_t *floats) {
    (void)graph;
    *floats = kernel_of(node)->scratch_floats;
    return true;
}

typedef struct product {
    const ds__matmul *kernel;
    const ds__run *run;
    ds__matmul_args args;
    size_t row_tasks, column_tasks; /* the grid that the result is cut into */
    ds__activation activation;
} product;

static void run_block(void *argument, int task, int worker) {
    const product *p = argument;
    ds__matmul_args args = p->args;
    ds__cpu_cut(args.m, p->kernel->mr, (size_t)task / p->column_tasks, p->row_tasks, &args.m0, &args.m1);
    ds__cpu_cut(args.n, p->kernel->nr, (size_t)task % p->column_tasks, p->column_tasks, &args.n0, &args.n1);
    if (args.m0 >= args.m1 || args.n0 >= args.n1) return;
    args.scratch = p->run->scratch + (size_t)worker * p->run->scratch_floats;
    p->kernel->run(&args);
    if (p->activation == DS__ACTIVATION_NONE) return;
    for (size_t i = args.m0; i < args.m1; i++) {
        float *row = args.c + i * args.ldc + args.n0;
        ds__elementwise_f32_choose()->activate(p->activation, row, row, args.n1 - args.n0);
    }
}

/* Every task packs what it reads, so the longer side is cut: then the packing of that side is shared and only the
 * shorter side is packed by every task. */
static void choose_grid(product *p, size_t threads) {
    enum { TASKS_PER_THREAD = 2 };
    const size_t wanted = threads == 1 ? 1 : threads * TASKS_PER_THREAD;
    const size_t rows = (p->args.m + p->kernel->mr - 1) / p->kernel->mr;
    const size_t columns = (p->args.n + p->kernel->nr - 1) / p->kernel->nr;
    p->row_tasks = p->column_tasks = 1;
    if (p->args.n >= p->args.m && columns >= wanted)
        p->column_tasks = wanted;
    else if (rows >= wanted)
        p->row_tasks = wanted;
    else
        p->column_tasks = columns < wanted ? columns : wanted;
}

static ds_status run_product(const ds__call *call, const ds__run *with, bool transpose_a, bool transpose_b) {
    const ds__rows a = ds__rows_of(call->inputs[0]), b = ds__rows_of(call->inputs[1]),
                   y = ds__rows_of(call->outputs[0]);
    const ds_tensor *bias = call->inputs[DS__LINEAR_BIAS], *residual = call->inputs[DS__LINEAR_RESIDUAL];
    product p = {.kernel = kernel_of(call->node), .run = with, .activation = call->node->attributes.activation};
    p.args = (ds__matmul_args){
        .a = a.data,
        .b = call->inputs[1]->dtype == DS_BF16 ? NULL : b.data,
        .b_bf16 = call->inputs[1]->dtype == DS_BF16 ? call->inputs[1]->data : NULL,
        .lda = (size_t)a.ld,
        .ldb = (size_t)b.ld,
        .a_transposed = transpose_a,
        .b_transposed = transpose_b,
        .bias = bias ? bias->data : NULL,
        .c = y.data,
        .ldc = (size_t)y.ld,
        .m = (size_t)y.rows,
        .n = (size_t)y.cols,
        .k = (size_t)(transpose_a ? a.rows : a.cols),
    };
    if (residual) {
        const ds__rows r = ds__rows_of(residual);
        p.args.residual = r.data;
        p.args.ldr = (size_t)r.ld;
    }
    if (p.args.m == 0 || p.args.n == 0) return DS_OK;
    choose_grid(&p, (size_t)with->threads);
    if (with->threads == 1)
        run_block(&p, 0, 0); /* as worker 0: with->scratch is this thread's own */
    else
        ds__pool_run(with->pool, (int)(p.row_tasks * p.column_tasks), run_block, &p);
    return DS_OK;
}

static ds_status run_matmul(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return run_product(call, with, call->node->attributes.transpose_a, call->node->attributes.transpose_b);
}

static ds_status run_linear(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return run_product(call, with, false, true);
}

/* Dense floats in x and the weight; an activation and a residual together would need the activation in between. */
static bool supports_linear(const ds_graph *graph, const ds__node *node) {
    const ds__value *weight = &graph->values[node->inputs[DS__LINEAR_WEIGHT]];
    const bool both = node->attributes.activation != DS__ACTIVATION_NONE && node->input_count > DS__LINEAR_RESIDUAL &&
                      node->inputs[DS__LINEAR_RESIDUAL] >= 0;
    return weight->kind != DS__VALUE_WEIGHT && !both;
}

/* A bfloat16 factor is for products that would round it. */
static bool supports_matmul(const ds_graph *graph, const ds__node *node) {
    return graph->values[node->inputs[1]].dtype != DS_BF16 || node->attributes.precision == DS__PRECISION_BF16;
}

const ds__cpu_op ds__cpu_matmul = {
    .op = &ds__op_matmul, .supports = supports_matmul, .scratch = scratch, .run = run_matmul};
const ds__cpu_op ds__cpu_linear_dense = {
    .op = &ds__op_linear, .supports = supports_linear, .scratch = scratch, .run = run_linear};
