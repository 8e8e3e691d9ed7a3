/* linear on the packed-weight products of kernels/gemm, in the precision that its weight asks for. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/gemm/gemm.h"
#include "tensor/quantize.h"

/* One form a precision: panels in the order of the variant that runs here. */
#define FORM_FUNCTIONS(op)                                                                                             \
    static bool op##_bytes(size_t rows, size_t cols, size_t *bytes) {                                                  \
        return ds__gemm_packed_bytes(ds__gemm_##op##_choose(), rows, cols, bytes);                                     \
    }                                                                                                                  \
    static void op##_start(size_t rows, size_t cols, void *out) {                                                      \
        ds__gemm_start(ds__gemm_##op##_choose(), rows, cols, out);                                                     \
    }                                                                                                                  \
    static void op##_put(const float *rows, size_t ld, size_t count, size_t cols, size_t first, void *out) {           \
        ds__gemm_##op##_choose()->pack(rows, ld, count, cols, first, out);                                             \
    }
FORM_FUNCTIONS(f32)
FORM_FUNCTIONS(bf16)
FORM_FUNCTIONS(s8)

static void s8_put_codes(const int8_t *codes, const float *scales, size_t count, size_t cols, size_t first, void *out) {
    ds__gemm_s8_choose()->pack_codes(codes, scales, count, cols, first, out);
}

static const ds__weight_form f32_form = {"packed for float32 products", DS_F32, f32_bytes, f32_start, f32_put, NULL};
static const ds__weight_form bf16_form = {
    "packed for bfloat16 products", DS_BF16, bf16_bytes, bf16_start, bf16_put, NULL};
static const ds__weight_form s8_form = {"packed for int8 products", DS_I8, s8_bytes, s8_start, s8_put, s8_put_codes};

/* Packing pays only for weights that stay; a product with a computed matrix falls back. */
static bool supports(const ds_graph *graph, const ds__node *node) {
    return graph->values[node->inputs[DS__LINEAR_WEIGHT]].kind == DS__VALUE_WEIGHT;
}

static const ds__weight_form *weight_form(const ds_graph *graph, const ds__node *node, int input) {
    const ds__value *weight = &graph->values[node->inputs[input]];
    if (input != DS__LINEAR_WEIGHT) return &ds__weight_form_dense;
    if (weight->precision == DS__PRECISION_BF16) return &bf16_form;
    bool fits = weight->shape.dims[1].base <= DS__QUANTIZE_MAX_K;
    return weight->precision == DS__PRECISION_INT8 && fits ? &s8_form : &f32_form;
}

/* dtype: of the weight's form. */
static const ds__gemm *gemm_of(ds_dtype dtype) {
    return dtype == DS_BF16 ? ds__gemm_bf16_choose() : dtype == DS_I8 ? ds__gemm_s8_choose() : ds__gemm_f32_choose();
}

ds__precision ds__cpu_fastest(const char **why) {
    if (ds__gemm_bf16_choose()->row_bytes) {
        *why = "this CPU has products of bfloat16 pairs, two multiply-adds where float32 has one";
        return DS__PRECISION_BF16;
    }
    *why = "this CPU has no bfloat16 products, so float32 is faster";
    return DS__PRECISION_F32;
}

/* How many prepared rows a worker has room for. */
enum { ROOM_ROWS = 128 };

static bool scratch(const ds_graph *graph, const ds__node *node, size_t *floats) {
    const ds__gemm *gemm = gemm_of(weight_form(graph, node, DS__LINEAR_WEIGHT)->dtype);
    size_t bytes = 0;
    if (gemm->row_bytes) {
        size_t k = (size_t)graph->values[node->inputs[DS__LINEAR_WEIGHT]].shape.dims[1].base;
        if (!gemm->row_bytes(k, &bytes) || !ds__size_mul(bytes, ROOM_ROWS, &bytes)) return false;
    }
    *floats = bytes / sizeof(float);
    return true;
}

typedef struct product {
    const ds__gemm *gemm;
    const ds__run *run;
    ds__gemm_args args;
    size_t row_bytes;               /* of a prepared row; 0: rows are read as they are */
    size_t row_tasks, column_tasks; /* the grid that the result is cut into */
} product;

/* Rows [m0, m1) are a product of their own whose rows lie prepared at `prepared`. */
static void run_prepared(const product *p, ds__gemm_args args, const char *prepared) {
    args.a = NULL;
    args.prepared = prepared;
    if (args.residual) args.residual += args.m0 * args.ldr;
    args.c += args.m0 * args.ldc;
    args.m = args.m1 -= args.m0;
    args.m0 = 0;
    p->gemm->run(&args);
}

static void run_block(void *argument, int task, int worker) {
    const product *p = argument;
    ds__gemm_args args = p->args;
    ds__cpu_cut(args.m, p->gemm->mr, (size_t)task / p->column_tasks, p->row_tasks, &args.m0, &args.m1);
    ds__cpu_cut(args.n, p->gemm->nr, (size_t)task % p->column_tasks, p->column_tasks, &args.n0, &args.n1);
    if (args.m0 >= args.m1 || args.n0 >= args.n1) return;
    if (!p->row_bytes) {
        p->gemm->run(&args);
    } else if (args.prepared) {
        run_prepared(p, args, (const char *)args.prepared + args.m0 * p->row_bytes);
    } else {
        char *room = (char *)(p->run->scratch + (size_t)worker * p->run->scratch_floats);
        const size_t end = args.m1;
        for (; args.m0 < end; args.m0 = args.m1) {
            args.m1 = end - args.m0 < ROOM_ROWS ? end : args.m0 + ROOM_ROWS;
            p->gemm->prepare(args.a + args.m0 * args.lda, args.lda, args.m1 - args.m0, args.k, room);
            run_prepared(p, args, room);
        }
    }
}

static void prepare_part(void *argument, int task, int worker) {
    (void)worker;
    const product *p = argument;
    size_t first, last;
    ds__cpu_cut(p->args.m, 1, (size_t)task, p->row_tasks, &first, &last);
    char *to = (char *)p->run->scratch + first * p->row_bytes;
    p->gemm->prepare(p->args.a + first * p->args.lda, p->args.lda, last - first, p->args.k, to);
}

/* Rows that fit one room, which all threads want to read: prepared by all beforehand. */
static void prepare_all(product *p, size_t threads) {
    enum { SMALL = 8192 }; /* elements: under this, waking a worker costs more than it brings */
    p->row_tasks = p->args.m * p->args.k < SMALL ? 1 : threads < p->args.m ? threads : p->args.m;
    ds__pool_run(p->run->pool, (int)p->row_tasks, prepare_part, p);
    p->args.prepared = p->run->scratch;
}

/* For a product that all threads work on (see ds__split for when that is so). Enough rows: they share the rows, each
 * reads the whole weight. Few rows: they share the weight. */
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
    size_t threads = (size_t)with->threads;
    product p = {.gemm = gemm_of(call->inputs[DS__LINEAR_WEIGHT]->dtype), .run = with};
    p.args = (ds__gemm_args){
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
    if (p.gemm->row_bytes && !p.gemm->row_bytes(p.args.k, &p.row_bytes)) return DS_OK; /* scratch() would have failed */
    if (p.row_bytes && p.args.m <= ROOM_ROWS) prepare_all(&p, threads);
    choose_grid(&p, threads);
    if (threads == 1)
        run_block(&p, 0, 0); /* as worker 0: with->scratch is this thread's own */
    else
        ds__pool_run(with->pool, (int)(p.row_tasks * p.column_tasks), run_block, &p);
    return DS_OK;
}

const ds__cpu_op ds__cpu_linear = {
    .op = &ds__op_linear, .supports = supports, .weight_form = weight_form, .scratch = scratch, .run = run};
