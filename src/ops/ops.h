/* The operators and the functions that put them into a graph.  Shapes are stated in deepseek/graph.h, where the same
 * functions are public.  Adding one: a file op_<name>.c with its const structure, and a row in ops.def. */
#ifndef DS_OPS_OPS_H
#define DS_OPS_OPS_H

#include "ir/op.h"
#include "tensor/philox.h"

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

/* Inputs of `matmul` stand at the same places. */
/* Input of `scatter_add` behind dy and ids; optional. */
enum { DS__SCATTER_RESIDUAL = 2 };
/* Inputs of `attention`; rng: int32 [3], two words of seed and the draw (tensor/philox.h), with dropout only. */
enum { DS__ATTENTION_Q, DS__ATTENTION_K, DS__ATTENTION_V, DS__ATTENTION_STARTS, DS__ATTENTION_RNG };

/* Inputs of `update` by position: states from the weight on, moments optional; and columns of its settings, of which
 * the last seven are AdamW's or SGD's. */
enum {
    DS__UPDATE_GRADIENT,
    DS__UPDATE_SETTINGS,
    DS__UPDATE_LOSS,
    DS__UPDATE_WEIGHT,
    DS__UPDATE_FIRST,
    DS__UPDATE_SECOND
};
enum { DS__UPDATE_SCALE, DS__UPDATE_COLUMNS = 8 };
enum {
    DS__ADAMW_DECAY = DS__UPDATE_SCALE + 1,
    DS__ADAMW_STEP_SIZE,
    DS__ADAMW_V_CORRECTION,
    DS__ADAMW_EPSILON,
    DS__ADAMW_ONE_MINUS_BETA1,
    DS__ADAMW_BETA2,
    DS__ADAMW_ONE_MINUS_BETA2
};
enum { DS__SGD_WEIGHT_DECAY = DS__UPDATE_SCALE + 1, DS__SGD_MOMENTUM, DS__SGD_RATE };

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

/* What training adds.  R: any number of rows, P: of pairs. */
/* a: [m, k] or transposed [k, m]; b: [k, n] (a narrow one too) or transposed [n, k] -> [m, n]. */
ds_value ds__multiply(ds_graph *graph, ds_value a, bool transpose_a, ds_value b, bool transpose_b);
/* rng: int32 [3] as above; rate 0 gives x itself. site: a number of its own for each dropout of a model. */
ds_value ds__dropout_of(ds_graph *graph, ds_value x, ds_value rng, float rate, int32_t site);
/* As tensor/quantize.h rounds, back in floats; the gradient goes through as it is (Bengio, Leonard, Courville 2013). */
ds_value ds__fake_quantize(ds_graph *graph, ds_value x, bool is_weight);
/* logits: [R, n], labels: int32 [R], negative: none, which costs 0 -> [R] */
ds_value ds__cross_entropy(ds_graph *graph, ds_value logits, ds_value labels, float smoothing);
/* logits or x, targets: [R, n] -> [R] */
ds_value ds__soft_cross_entropy(ds_graph *graph, ds_value logits, ds_value targets);
ds_value ds__binary_cross_entropy(ds_graph *graph, ds_value logits, ds_value targets);
ds_value ds__squared_error(ds_graph *graph, ds_value x, ds_value targets);
/* x: [2P, n] -> [P, 1] */
ds_value ds__pair_cosine(ds_graph *graph, ds_value x);
/* x: [2P, n], rows of length 1 -> [P]; scores are scale * dot product. */
ds_value ds__in_batch_negatives(ds_graph *graph, ds_value x, float scale);
/* factor * x */
ds_value ds__scale(ds_graph *graph, ds_value x, float factor);
/* The same values rounded to bfloat16, a temporary of that type; and back. */
ds_value ds__narrow(ds_graph *graph, ds_value x);
ds_value ds__widen(ds_graph *graph, ds_value x);
/* x: [R, n] -> [n] */
ds_value ds__sum_rows(ds_graph *graph, ds_value x);

/* One optimiser step on the states among the inputs, with row `row` of the settings -> [1] */
ds_value ds__update(ds_graph *graph, const ds_value inputs[DS__UPDATE_SECOND + 1], int64_t row);
/* Whether a call of `update` may write: every row's loss is finite. */
bool ds__update_allowed(const ds__call *call);

/* The dropout of a node in a run; rng may be NULL where the rate is 0. */
ds__dropout ds__dropout_in(const ds__attributes *attributes, const ds_tensor *rng);

/* The attention's settings of a node with every default resolved (heads of keys, scale). */
ds_attention_config ds__attention_config_of(const ds__attributes *attributes, int64_t width);

#endif
