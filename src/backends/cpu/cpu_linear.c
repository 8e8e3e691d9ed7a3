/* linear on the packed-weight products of kernels/gemm. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/gemm/gemm.h"

static bool packed_floats(size_t rows, size_t cols, size_t *floats) {
    return ds__gemm_f32_packed_size(ds__gemm_f32_choose(), rows, cols, floats);
}

static void put_packed(const float *rows, size_t ld, size_t count, size_t cols, size_t first, float *out) {
    ds__gemm_f32_choose()->pack(rows, ld, count, cols, first, out);
}

static const ds__weight_form packed_form = {"packed for products", packed_floats, put_packed};

/* Packing pays only for weights that stay; a product with a computed matrix falls back. */
static bool supports(const ds_graph *graph, const ds__node *node) {
    return graph->values[node->inputs[DS__LINEAR_WEIGHT]].kind == DS__VALUE_WEIGHT;
}

static const ds__weight_form *weight_form(const ds__node *node, int input) {
    (void)node;
    return input == DS__LINEAR_WEIGHT ? &packed_form : &ds__weight_form_dense;
}

typedef struct product {
    const ds__gemm_f32 *gemm;
    ds__gemm_f32_args args;
    size_t row_tasks, column_tasks; /* the grid that the result is cut into */
} product;

/* Cut `part` of `parts` of [0, size), in multiples of `unit`. */
static void cut(size_t size, size_t unit, size_t part, size_t parts, size_t *first, size_t *last) {
    size_t units = (size + unit - 1) / unit;
    *first = units * part / parts * unit;
    *last = units * (part + 1) / parts * unit;
    if (*last > size) *last = size;
    if (*first > size) *first = size;
}

static void run_block(void *argument, int task, int worker) {
    (void)worker;
    const product *p = argument;
    ds__gemm_f32_args args = p->args;
    cut(args.m, p->gemm->mr, (size_t)task / p->column_tasks, p->row_tasks, &args.m0, &args.m1);
    cut(args.n, p->gemm->nr, (size_t)task % p->column_tasks, p->column_tasks, &args.n0, &args.n1);
    if (args.m0 < args.m1 && args.n0 < args.n1) p->gemm->run(&args);
}

/* Enough rows: threads share the rows, each reads the whole weight. Few rows: they share the weight. */
static void choose_grid(product *p, size_t threads) {
    enum { TASKS_PER_THREAD = 2 };
    size_t row_tiles = (p->args.m + p->gemm->mr - 1) / p->gemm->mr;
    size_t panels = (p->args.n + p->gemm->nr - 1) / p->gemm->nr;
    p->row_tasks = p->column_tasks = 1;
    if (threads == 1) return;
    size_t wanted = threads * TASKS_PER_THREAD;
    if (row_tiles >= 2 * wanted)
        p->row_tasks = wanted;
    else
        p->column_tasks = panels < wanted ? panels : wanted;
}

static ds_status run(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    ds__rows x = ds__rows_of(call->inputs[DS__LINEAR_X]), y = ds__rows_of(call->outputs[0]);
    const ds_tensor *bias = call->inputs[DS__LINEAR_BIAS], *residual = call->inputs[DS__LINEAR_RESIDUAL];
    product p = {.gemm = ds__gemm_f32_choose()};
    p.args = (ds__gemm_f32_args){
        .a = x.data,
        .lda = (size_t)x.ld,
        .w = call->inputs[DS__LINEAR_WEIGHT]->data,
        .bias = bias ? bias->data : NULL,
        .c = y.data,
        .ldc = (size_t)y.ld,
        .m = (size_t)x.rows,
        .n = (size_t)y.cols,
        .k = (size_t)x.cols,
        .m1 = (size_t)x.rows,
        .n1 = (size_t)y.cols,
        .activation = call->node->attributes.activation,
    };
    if (residual) {
        ds__rows r = ds__rows_of(residual);
        p.args.residual = r.data;
        p.args.ldr = (size_t)r.ld;
    }
    if (p.args.m == 0 || p.args.n == 0) return DS_OK;
    choose_grid(&p, (size_t)ds__pool_threads(with->pool));
    ds__pool_run(with->pool, (int)(p.row_tasks * p.column_tasks), run_block, &p);
    return DS_OK;
}

const ds__cpu_op ds__cpu_linear = {.op = &ds__op_linear, .supports = supports, .weight_form = weight_form, .run = run};
