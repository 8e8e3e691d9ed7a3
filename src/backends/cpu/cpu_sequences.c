/* Operators that know rows by number: looking rows up, and one row out of each sequence. */
#include "backends/cpu/cpu_backend.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embed/embed.h"
#include "kernels/reduce/reduce.h"

/* A table stays in its file unless it has to be narrower than it is stored: 8-bit rows carry their scale behind them,
 * since what is looked up at once should lie side by side. */
static bool table_s8_bytes(size_t rows, size_t cols, size_t *bytes) {
    return ds__size_add(cols, sizeof(float), bytes) && ds__size_mul(*bytes, rows, bytes);
}

static void table_s8_put_codes(const int8_t *codes, const float *scales, size_t count, size_t cols, size_t first,
                               void *out) {
    char *to = (char *)out + first * (cols + sizeof *scales);
    for (size_t i = 0; i < count; i++, to += cols + sizeof *scales) {
        memcpy(to, codes + i * cols, cols);
        memcpy(to + cols, &scales[i], sizeof *scales);
    }
}

static void table_s8_put(const float *rows, size_t ld, size_t count, size_t cols, size_t first, void *out) {
    ds__embed_f32_choose()->quantize(rows, ld, count, cols, (char *)out + first * (cols + sizeof(float)));
}

static bool table_bf16_bytes(size_t rows, size_t cols, size_t *bytes) {
    return ds__size_mul(rows, cols, bytes) && ds__size_mul(*bytes, sizeof(uint16_t), bytes);
}

static void table_bf16_put(const float *rows, size_t ld, size_t count, size_t cols, size_t first, void *out) {
    uint16_t *to = (uint16_t *)out + first * cols;
    for (size_t i = 0; i < count; i++) ds__elementwise_f32_choose()->narrow_bf16(rows + i * ld, to + i * cols, cols);
}

static const ds__weight_form table_s8_form = {"table in int8",   DS_I8, table_s8_bytes, NULL, table_s8_put,
                                              table_s8_put_codes};
static const ds__weight_form table_bf16_form = {"table in bfloat16", DS_BF16, table_bf16_bytes, NULL,
                                                table_bf16_put,      NULL};

static const ds__weight_form *gather_form(const ds_graph *graph, const ds__node *node, int input) {
    const ds__value *table = &graph->values[node->inputs[0]];
    if (input != 0) return &ds__weight_form_dense;
    if (table->precision == DS__PRECISION_INT8) return &table_s8_form;
    return table->precision == DS__PRECISION_BF16 && table->dtype == DS_F32 ? &table_bf16_form : &ds__weight_form_raw;
}

static void gather_rows(const ds__call *call, int64_t first, int64_t last) {
    const ds_tensor *table = call->inputs[0];
    ds__rows y = ds__rows_of(call->outputs[0]);
    ds__embed_f32_choose()->gather(table->data, table->dtype, (const int32_t *)call->inputs[1]->data + first,
                                   y.data + first * y.ld, (size_t)y.ld, (size_t)(last - first), (size_t)y.cols);
}

static ds_status gather(const ds__call *call, const ds__run *with, ds_error *error) {
    DS_TRY(ds__check_ids(call->inputs[1], call->inputs[0]->shape[0], with->first_row, error));
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
