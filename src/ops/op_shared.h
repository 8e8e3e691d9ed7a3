/* What several operators share: reading shapes in rules, and seeing a tensor as rows. */
#ifndef DS_OPS_OP_SHARED_H
#define DS_OPS_OP_SHARED_H

#include "base/error.h"
#include "ir/op.h"

/* A tensor as [rows, cols]: all leading dimensions are rows. Views made by slicing keep a uniform distance `ld`. */
typedef struct ds__rows {
    float *data;
    int64_t rows, cols, ld;
} ds__rows;
ds__rows ds__rows_of(const ds_tensor *tensor);

/* The value of input i, NULL when absent. */
static inline const ds__value *ds__input(const ds_graph *graph, const ds__node *node, int i) {
    return i < node->input_count && node->inputs[i] >= 0 ? &graph->values[node->inputs[i]] : NULL;
}

/* DS_OK when input i has this type and rank (rank -1: any of at least 1). */
ds_status ds__expect(const ds_graph *graph, const ds__node *node, int i, ds_dtype dtype, int rank, ds_error *error);
/* DS_OK when input i is a floating-point value of this rank (weights may be stored as F16, BF16, or codes with scales).
 */
ds_status ds__expect_float(const ds_graph *graph, const ds__node *node, int i, int rank, ds_error *error);
/* DS_OK when input i is a vector as long as the last dimension of input 0. */
ds_status ds__expect_row(const ds_graph *graph, const ds__node *node, int i, ds_error *error);
/* Two shapes that disagree, as a sentence. */
ds_status ds__shapes_disagree(const ds_graph *graph, const ds__node *node, int a, int b, ds_error *error);

/* Data that comes from outside at each run, checked before it is used as an index: the numbers of rows of a table (the
 * first of them stands at `first` in the batch), and
 * the starts of sequences (from 0 to `tokens`, each at least one token long). */
ds_status ds__check_ids(const ds_tensor *ids, int64_t rows, int64_t first, ds_error *error);
ds_status ds__check_seq_start(const ds_tensor *seq_start, int64_t tokens, ds_error *error);

/* DS_OK when the node's dropout and its rng (input `rng`: int32 [3]) are valid. */
ds_status ds__expect_dropout(const ds_graph *graph, const ds__node *node, int rng, ds_error *error);
/* DS_OK when inputs a and b have one shape. */
ds_status ds__expect_same(const ds_graph *graph, const ds__node *node, int a, int b, ds_error *error);
/* DS_OK when input i is f32 [R], R the rows of input 0: [R, n]. */
ds_status ds__expect_each_row(const ds_graph *graph, const ds__node *node, int i, ds_error *error);

/* Rows that come in pairs: half of them; refused when there may be an odd one. */
ds_status ds__halve_rows(ds_dim *rows, ds_error *error);

static inline ds_dim ds__last_dim(const ds__shape *shape) { return shape->dims[shape->rank - 1]; }

/* Whether input 1 is one row for all rows of input 0. */
static inline bool ds__is_row(const ds_graph *graph, const ds__node *node) {
    return ds__input(graph, node, 1)->shape.rank == 1 && ds__input(graph, node, 0)->shape.rank > 1;
}

/* Rules and printers that operators have in common. */
ds_status ds__infer_same(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error);
ds_status ds__infer_same_or_row(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error);
void ds__print_epsilon(const ds__node *node, ds__buffer *out);

#endif
