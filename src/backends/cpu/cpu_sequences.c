/* Operators that know rows by number: looking rows up, and one row out of each sequence. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/embed/embed.h"
#include "kernels/reduce/reduce.h"

static const ds__weight_form *gather_form(const ds__node *node, int input) {
    (void)node;
    return input == 0 ? &ds__weight_form_raw : &ds__weight_form_dense; /* a table stays in its file */
}

static void gather_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds_tensor *table = call->inputs[0];
    ds__rows y = ds__rows_of(call->outputs[0]);
    ds__embed_f32_choose()->gather(table->data, table->dtype, (const int32_t *)call->inputs[1]->data + first,
                                   y.data + first * y.ld, (size_t)y.ld, (size_t)(last - first), (size_t)y.cols);
}

static ds_status gather(const ds__call *call, const ds__run *with, ds_error *error) {
    DS_TRY(ds__check_ids(call->inputs[1], call->inputs[0]->shape[0], error));
    ds__rows y = ds__rows_of(call->outputs[0]);
    if (y.rows && y.cols) ds__cpu_split(call, with, y.rows, y.rows * y.cols, gather_rows);
    return DS_OK;
}

static void pool_sequences(const ds__call *call, int64_t first, int64_t last) {
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    const int32_t *start = call->inputs[1]->data;
    const ds__reduce_f32 *kernel = ds__reduce_f32_choose();
    for (int64_t s = first; s < last; s++) {
        const float *rows = x.data + start[s] * x.ld;
        float *out = y.data + s * y.ld;
        size_t count = (size_t)(start[s + 1] - start[s]), columns = (size_t)x.cols;
        switch (call->node->attributes.pool) {
        case DS__POOL_MEAN: kernel->mean_rows(rows, (size_t)x.ld, out, count, columns); break;
        case DS__POOL_MAX: kernel->max_rows(rows, (size_t)x.ld, out, count, columns); break;
        case DS__POOL_FIRST: memcpy(out, rows, columns * sizeof *out); break;
        }
    }
}

static ds_status pool(const ds__call *call, const ds__run *with, ds_error *error) {
    DS_TRY(ds__check_seq_start(call->inputs[1], call->inputs[0]->shape[0], error));
    ds__rows x = ds__rows_of(call->inputs[0]), y = ds__rows_of(call->outputs[0]);
    if (y.rows && y.cols) ds__cpu_split(call, with, y.rows, x.rows * x.cols, pool_sequences);
    return DS_OK;
}

const ds__cpu_op ds__cpu_gather = {.op = &ds__op_gather, .weight_form = gather_form, .run = gather};
const ds__cpu_op ds__cpu_pool = {.op = &ds__op_pool, .run = pool};
