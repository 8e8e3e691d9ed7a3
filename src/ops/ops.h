/* The operators and the functions that put them into a graph.  Shapes are stated in deepseek/graph.h, where the same
 * functions are public.  Adding one: a file op_<name>.c with its const structure, and a row in ops.def. */
#ifndef DS_OPS_OPS_H
#define DS_OPS_OPS_H

#include "ir/op.h"

#define DS_OP(name, about) extern const ds__op ds__op_##name;
#include "ops/ops.def"
#undef DS_OP

/* All operators in the order of ops.def, with what they compute. */
typedef struct ds__op_entry {
    const ds__op *op;
    const char *about;
} ds__op_entry;
size_t ds__op_count(void);
ds__op_entry ds__op_at(size_t index);

/* Inputs of `linear` by position. bias and residual are optional. */
enum { DS__LINEAR_X, DS__LINEAR_WEIGHT, DS__LINEAR_BIAS, DS__LINEAR_RESIDUAL, DS__LINEAR_INPUTS };

/* Building. bias: DS_NO_VALUE for none; it becomes an `add` of its own, which the passes fuse. */
ds_value ds__linear(ds_graph *graph, ds_value x, ds_value weight, ds_value bias);
ds_value ds__add(ds_graph *graph, ds_value a, ds_value b);
ds_value ds__mul(ds_graph *graph, ds_value a, ds_value b);
ds_value ds__activate(ds_graph *graph, ds_value x, ds__activation activation);
ds_value ds__softmax(ds_graph *graph, ds_value x);
ds_value ds__layer_norm(ds_graph *graph, ds_value x, ds_value gamma, ds_value beta, float epsilon);
ds_value ds__l2_normalize(ds_graph *graph, ds_value x, float epsilon);
ds_value ds__gather(ds_graph *graph, ds_value table, ds_value ids);
ds_value ds__attention(ds_graph *graph, const ds_value qkv[3], ds_value seq_start, ds_attention_config config);
ds_value ds__pool_rows(ds_graph *graph, ds_value x, ds_value seq_start, ds__pool_kind kind);
ds_value ds__slice(ds_graph *graph, ds_value x, int64_t first, int64_t count);

/* The attention's settings of a node with every default resolved (heads of keys, scale). */
ds_attention_config ds__attention_config_of(const ds__attributes *attributes, int64_t width);

#endif
