/* Gradients of operators that work row by row, sums down the rows, dropout. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/grad/grad.h"

static ds_status over_rows(const ds__call *call, const ds__run *with, ds__range_fn fn) {
    const ds__rows y = ds__rows_of(call->outputs[0]);
    if (y.rows && y.cols) ds__cpu_split(call, with, y.rows, y.rows * y.cols, fn);
    return DS_OK;
}

static void activation_grad_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[1]),
                   dx = ds__rows_of(call->outputs[0]);
    for (int64_t i = first; i < last; i++)
        ds__grad_f32_choose()->activate(call->node->attributes.activation, x.data + i * x.ld, dy.data + i * dy.ld,
                                        dx.data + i * dx.ld, (size_t)x.cols);
}

static ds_status activation_grad(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, activation_grad_rows);
}

static void layer_norm_grad_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[2]),
                   dx = ds__rows_of(call->outputs[0]);
    ds__grad_f32_choose()->layer_norm(x.data + first * x.ld, (size_t)x.ld, call->inputs[1]->data,
                                      call->node->attributes.epsilon, dy.data + first * dy.ld, (size_t)dy.ld,
                                      dx.data + first * dx.ld, (size_t)dx.ld, (size_t)(last - first), (size_t)x.cols);
}

static ds_status layer_norm_grad(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, layer_norm_grad_rows);
}

static void dropout_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const ds__dropout dropout = ds__dropout_in(&call->node->attributes, call->inputs[1]);
    ds__grad_f32_choose()->dropout(&dropout, (uint32_t)first, x.data + first * x.ld, (size_t)x.ld,
                                   y.data + first * y.ld, (size_t)y.ld, (size_t)(last - first), (size_t)x.cols);
}

static ds_status dropout(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, dropout_rows);
}

/* Sums down the rows are cut into columns, so that each sum has the rows in their order whoever makes it. */
typedef struct column_job {
    const ds__call *call;
    int64_t columns, tasks;
    void (*run)(const ds__call *call, int64_t first, int64_t count);
} column_job;

static void run_columns(void *argument, int task, int worker) {
    (void)worker;
    enum { UNIT = 16 };
    const column_job *job = argument;
    const int64_t units = (job->columns + UNIT - 1) / UNIT;
    int64_t first = units * task / job->tasks * UNIT, last = units * (task + 1) / job->tasks * UNIT;
    if (last > job->columns) last = job->columns;
    if (first < last) job->run(job->call, first, last - first);
}

static ds_status over_columns(const ds__call *call, const ds__run *with, int64_t columns,
                              void (*run)(const ds__call *, int64_t, int64_t)) {
    column_job job = {call, columns, with->threads, run};
    ds__pool_run(with->pool, with->threads, run_columns, &job);
    return DS_OK;
}

static void sum_columns(const ds__call *call, int64_t first, int64_t count) {
    const ds__rows x = ds__rows_of(call->inputs[0]);
    float *y = (float *)call->outputs[0]->data + first;
    memset(y, 0, (size_t)count * sizeof *y);
    ds__grad_f32_choose()->sum_rows(x.data + first, (size_t)x.ld, y, (size_t)x.rows, (size_t)count);
}

static ds_status sum_rows(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_columns(call, with, ds__rows_of(call->inputs[0]).cols, sum_columns);
}

/* One thread: every row's mean and deviation are needed for each of its columns. */
static ds_status layer_norm_grad_gamma(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)with;
    (void)error;
    const ds__rows x = ds__rows_of(call->inputs[0]), dy = ds__rows_of(call->inputs[1]);
    float *dgamma = call->outputs[0]->data;
    memset(dgamma, 0, (size_t)x.cols * sizeof *dgamma);
    ds__grad_f32_choose()->layer_norm_gamma(x.data, (size_t)x.ld, call->node->attributes.epsilon, dy.data,
                                            (size_t)dy.ld, dgamma, (size_t)x.rows, (size_t)x.cols);
    return DS_OK;
}

/* The residual's rows or zeros; nothing to do where the sum is made in the residual's own memory. */
static void start_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds__rows y = ds__rows_of(call->outputs[0]);
    const ds_tensor *residual = call->inputs[DS__SCATTER_RESIDUAL];
    const size_t bytes = (size_t)y.cols * sizeof *y.data;
    if (residual && residual->data == y.data) return;
    for (int64_t i = first; i < last; i++)
        if (residual)
            memcpy(y.data + i * y.ld, ds__rows_of(residual).data + i * ds__rows_of(residual).ld, bytes);
        else
            memset(y.data + i * y.ld, 0, bytes);
}

static void scatter_columns(const ds__call *call, int64_t first, int64_t count) {
    const ds__rows dy = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const int32_t *ids = call->inputs[1]->data;
    for (int64_t i = 0; i < dy.rows; i++) {
        if (ids[i] + 1 == call->node->attributes.skipped) continue;
        float *to = y.data + ids[i] * y.ld + first;
        ds__elementwise_f32_choose()->add(to, dy.data + i * dy.ld + first, to, (size_t)count);
    }
}

static ds_status scatter_add(const ds__call *call, const ds__run *with, ds_error *error) {
    DS_TRY(ds__check_ids(call->inputs[1], call->outputs[0]->shape[0], 0, error));
    DS_TRY(over_rows(call, with, start_rows));
    return over_columns(call, with, ds__rows_of(call->outputs[0]).cols, scatter_columns);
}

/* An operator's own definition on some of its rows: for what is not worth a kernel but too much for one thread. */
static void reference_rows(const ds__call *call, int64_t first, int64_t last) {
    ds_tensor x = *call->inputs[0], y = *call->outputs[0];
    x.data = (float *)x.data + first * x.stride[0];
    y.data = (float *)y.data + first * y.stride[0];
    x.shape[0] = y.shape[0] = last - first;
    ds__call rows = {.node = call->node, .inputs = {&x}, .outputs = {&y}};
    ds_error error;
    ds_status status = call->node->op->reference(&rows, &error); /* depends on no data */
    (void)status;
}

static ds_status fake_quantize(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, reference_rows);
}

static void narrow_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds__rows x = ds__rows_of(call->inputs[0]);
    uint16_t *y = call->outputs[0]->data;
    for (int64_t i = first; i < last; i++)
        ds__elementwise_f32_choose()->narrow_bf16(x.data + i * x.ld, y + i * x.cols, (size_t)x.cols);
}

static void widen_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds__rows y = ds__rows_of(call->outputs[0]);
    const uint16_t *x = call->inputs[0]->data;
    for (int64_t i = first; i < last; i++)
        ds__elementwise_f32_choose()->widen_bf16(x + i * y.cols, y.data + i * y.ld, (size_t)y.cols);
}

static ds_status widen(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, widen_rows);
}

static ds_status narrow(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, narrow_rows);
}

const ds__cpu_op ds__cpu_activation_grad = {.op = &ds__op_activation_grad, .run = activation_grad};
const ds__cpu_op ds__cpu_layer_norm_grad = {.op = &ds__op_layer_norm_grad, .run = layer_norm_grad};
const ds__cpu_op ds__cpu_layer_norm_grad_gamma = {.op = &ds__op_layer_norm_grad_gamma, .run = layer_norm_grad_gamma};
const ds__cpu_op ds__cpu_dropout = {.op = &ds__op_dropout, .run = dropout};
const ds__cpu_op ds__cpu_sum_rows = {.op = &ds__op_sum_rows, .run = sum_rows};
const ds__cpu_op ds__cpu_scatter_add = {.op = &ds__op_scatter_add, .run = scatter_add};
const ds__cpu_op ds__cpu_fake_quantize = {.op = &ds__op_fake_quantize, .run = fake_quantize};
const ds__cpu_op ds__cpu_narrow = {.op = &ds__op_narrow, .run = narrow};
const ds__cpu_op ds__cpu_widen = {.op = &ds__op_widen, .run = widen};
