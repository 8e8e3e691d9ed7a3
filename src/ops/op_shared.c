/* What several operators share. */
#include "ops/op_shared.h"

ds__rows ds__rows_of(const ds_tensor *tensor) {
    ds__rows rows = {.data = tensor->data, .rows = 1, .cols = 1, .ld = 1};
    if (tensor->rank == 0) return rows;
    rows.cols = tensor->shape[tensor->rank - 1];
    for (int i = 0; i + 1 < tensor->rank; i++) rows.rows *= tensor->shape[i];
    rows.ld = tensor->rank >= 2 ? tensor->stride[tensor->rank - 2] : rows.cols;
    return rows;
}

ds_status ds__expect(const ds_graph *graph, const ds__node *node, int i, ds_dtype dtype, int rank, ds_error *error) {
    const ds__value *value = ds__input(graph, node, i);
    if (value->dtype != dtype)
        return ds__fail(error, DS_INVALID_ARGUMENT, "input %d (%%%s) is %s, expected %s", i, value->name,
                        ds_dtype_name(value->dtype), ds_dtype_name(dtype));
    if (rank < 0 ? value->shape.rank >= 1 : value->shape.rank == rank) return DS_OK;
    return ds__fail(error, DS_SHAPE_MISMATCH, "input %d (%%%s) has rank %d, expected %s%d", i, value->name,
                    value->shape.rank, rank < 0 ? "at least " : "", rank < 0 ? 1 : rank);
}

ds_status ds__expect_float(const ds_graph *graph, const ds__node *node, int i, int rank, ds_error *error) {
    const ds__value *value = ds__input(graph, node, i);
    bool codes = value->dtype == DS_I8 && (value->scales || value->part_count);
    bool narrow = value->kind == DS__VALUE_WEIGHT && (value->dtype == DS_F16 || value->dtype == DS_BF16 || codes);
    return ds__expect(graph, node, i, narrow ? value->dtype : DS_F32, rank, error);
}

ds_status ds__shapes_disagree(const ds_graph *graph, const ds__node *node, int a, int b, ds_error *error) {
    const ds__value *left = ds__input(graph, node, a), *right = ds__input(graph, node, b);
    char left_shape[160], right_shape[160];
    ds__shape_print(graph, &left->shape, left_shape, sizeof left_shape);
    ds__shape_print(graph, &right->shape, right_shape, sizeof right_shape);
    return ds__fail(error, DS_SHAPE_MISMATCH, "%%%s is %s, which does not fit %%%s, which is %s", right->name,
                    right_shape, left->name, left_shape);
}

ds_status ds__expect_row(const ds_graph *graph, const ds__node *node, int i, ds_error *error) {
    DS_TRY(ds__expect_float(graph, node, i, 1, error));
    const ds__value *x = ds__input(graph, node, 0), *row = ds__input(graph, node, i);
    if (ds__dim_equal(ds__last_dim(&x->shape), row->shape.dims[0])) return DS_OK;
    return ds__shapes_disagree(graph, node, 0, i, error);
}

ds_status ds__expect_same(const ds_graph *graph, const ds__node *node, int a, int b, ds_error *error) {
    DS_TRY(ds__expect(graph, node, b, DS_F32, -1, error));
    if (ds__shape_equal(&ds__input(graph, node, a)->shape, &ds__input(graph, node, b)->shape)) return DS_OK;
    return ds__shapes_disagree(graph, node, a, b, error);
}

ds_status ds__expect_each_row(const ds_graph *graph, const ds__node *node, int i, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, 2, error));
    DS_TRY(ds__expect(graph, node, i, DS_F32, 1, error));
    if (ds__dim_equal(ds__input(graph, node, 0)->shape.dims[0], ds__input(graph, node, i)->shape.dims[0])) return DS_OK;
    return ds__shapes_disagree(graph, node, 0, i, error);
}

ds_status ds__halve_rows(ds_dim *rows, ds_error *error) {
    if (rows->base % 2 || rows->factor % 2)
        return ds__fail(error, DS_SHAPE_MISMATCH, "rows come in pairs, but there may be %lld + %lld * n of them",
                        (long long)rows->base, (long long)rows->factor);
    rows->base /= 2;
    rows->factor /= 2;
    return DS_OK;
}

ds_status ds__infer_same(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__expect(graph, node, 0, DS_F32, -1, error));
    *result = (ds__op_result){DS_F32, ds__input(graph, node, 0)->shape};
    return DS_OK;
}

ds_status ds__infer_same_or_row(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error) {
    DS_TRY(ds__infer_same(graph, node, result, error));
    DS_TRY(ds__expect_float(graph, node, 1, -1, error));
    const ds__value *a = ds__input(graph, node, 0), *b = ds__input(graph, node, 1);
    if (ds__shape_equal(&a->shape, &b->shape)) return ds__expect(graph, node, 1, DS_F32, -1, error);
    if (b->shape.rank != 1) return ds__shapes_disagree(graph, node, 0, 1, error);
    return ds__expect_row(graph, node, 1, error);
}

void ds__print_epsilon(const ds__node *node, ds__buffer *out) {
    ds__buffer_printf(out, " eps=%g", (double)node->attributes.epsilon);
}

ds_status ds__check_ids(const ds_tensor *ids, int64_t rows, int64_t first, ds_error *error) {
    const int32_t *id = ids->data;
    for (int64_t i = 0; i < ids->shape[0]; i++)
        if (id[i] < 0 || id[i] >= rows)
            return ds__fail(error, DS_INVALID_ARGUMENT, "id %d at position %lld is outside the table of %lld rows",
                            id[i], (long long)(first + i), (long long)rows);
    return DS_OK;
}

ds_status ds__check_seq_start(const ds_tensor *seq_start, int64_t tokens, ds_error *error) {
    const int32_t *start = seq_start->data;
    int64_t sequences = seq_start->shape[0] - 1;
    if (start[0] != 0 || start[sequences] != tokens)
        return ds__fail(error, DS_INVALID_ARGUMENT, "seq_start runs from %d to %d, expected 0 to %lld", start[0],
                        start[sequences], (long long)tokens);
    for (int64_t i = 0; i < sequences; i++)
        if (start[i + 1] <= start[i])
            return ds__fail(error, DS_INVALID_ARGUMENT,
                            "sequence %lld runs from token %d to %d, expected at least one token", (long long)i,
                            start[i], start[i + 1]);
    return DS_OK;
}
