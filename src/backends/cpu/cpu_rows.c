/* Operators that work row by row: norms, softmax, element by element. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"
#include "kernels/reduce/reduce.h"

/* Runs fn over the rows of the output, in parallel when there are many. */
static ds_status over_rows(const ds__call *call, const ds__run *with, ds__range_fn fn) {
    ds__rows y = ds__rows_of(call->outputs[0]);
    if (y.rows && y.cols) ds__cpu_split(call, with, y.rows, y.rows * y.cols, fn);
    return DS_OK;
}

static void layer_norm_rows(const ds__call *call, int64_t first, int64_t last) {
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    ds__norm_f32_choose()->layer_norm(x.data + first * x.ld, (size_t)x.ld, call->inputs[1]->data, call->inputs[2]->data,
                                      call->node->attributes.epsilon, y.data + first * y.ld, (size_t)y.ld,
                                      (size_t)(last - first), (size_t)x.cols);
}

static ds_status layer_norm(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, layer_norm_rows);
}

static void l2_normalize_rows(const ds__call *call, int64_t first, int64_t last) {
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    ds__norm_f32_choose()->l2_normalize(x.data + first * x.ld, (size_t)x.ld, call->node->attributes.epsilon,
                                        y.data + first * y.ld, (size_t)y.ld, (size_t)(last - first), (size_t)x.cols);
}

static ds_status l2_normalize(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, l2_normalize_rows);
}

static void softmax_rows(const ds__call *call, int64_t first, int64_t last) {
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    ds__reduce_f32_choose()->softmax(x.data + first * x.ld, (size_t)x.ld, y.data + first * y.ld, (size_t)y.ld,
                                     (size_t)(last - first), (size_t)x.cols);
}

static ds_status softmax(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, softmax_rows);
}

static void activate_rows(const ds__call *call, int64_t first, int64_t last) {
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const ds__elementwise_f32 *kernel = ds__elementwise_f32_choose();
    for (int64_t i = first; i < last; i++)
        kernel->activate(call->node->attributes.activation, x.data + i * x.ld, y.data + i * y.ld, (size_t)x.cols);
}

static ds_status activate(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, activate_rows);
}

/* a and b row by row; b is one row for all when its rank is 1 and a's is not. */
static void combine_rows(const ds__call *call, int64_t first, int64_t last,
                         void (*combine)(const float *, const float *, float *, size_t)) {
    ds__rows a = ds__rows_of(call->inputs[0]), b = ds__rows_of(call->inputs[1]), y = ds__rows_of(call->outputs[0]);
    int64_t step = call->inputs[1]->rank == 1 && call->inputs[0]->rank > 1 ? 0 : b.ld;
    for (int64_t i = first; i < last; i++)
        combine(a.data + i * a.ld, b.data + i * step, y.data + i * y.ld, (size_t)y.cols);
}

static void add_rows(const ds__call *call, int64_t first, int64_t last) {
    combine_rows(call, first, last, ds__elementwise_f32_choose()->add);
}

static void mul_rows(const ds__call *call, int64_t first, int64_t last) {
    combine_rows(call, first, last, ds__elementwise_f32_choose()->mul);
}

static ds_status add(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, add_rows);
}

static ds_status mul(const ds__call *call, const ds__run *with, ds_error *error) {
    (void)error;
    return over_rows(call, with, mul_rows);
}

const ds__cpu_op ds__cpu_layer_norm = {.op = &ds__op_layer_norm, .run = layer_norm};
const ds__cpu_op ds__cpu_l2_normalize = {.op = &ds__op_l2_normalize, .run = l2_normalize};
const ds__cpu_op ds__cpu_softmax = {.op = &ds__op_softmax, .run = softmax};
const ds__cpu_op ds__cpu_activation = {.op = &ds__op_activation, .run = activate};
const ds__cpu_op ds__cpu_add = {.op = &ds__op_add, .run = add};
const ds__cpu_op ds__cpu_mul = {.op = &ds__op_mul, .run = mul};
