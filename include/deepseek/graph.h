/* One's own graph on one's own buffers: build it, compile it, run it.
 *
 * The builder is sticky: it keeps the first mistake and turns into no-ops; ds_graph_compile reports it.  A dimension is
 * a number or a named size that is only known when the graph runs ("T").
 *
 *     ds_graph *g;  ds_graph_create(context, &g, &error);
 *     ds_value x = ds_graph_input(g, "x", DS_F32, 2, (ds_dim[]){ds_dim_named(g, "T"), ds_dim_fixed(16)});
 *     ds_value w = ds_graph_weight(g, "w", DS_F32, 2, (int64_t[]){4, 16}, weights);
 *     ds_graph_output(g, "y", ds_graph_softmax(g, ds_graph_linear(g, x, w, DS_NO_VALUE)));
 *     ds_graph_compile(g, &program, &error);  */
#ifndef DEEPSEEK_GRAPH_H
#define DEEPSEEK_GRAPH_H

#include <stdbool.h>

#include "deepseek/context.h"
#include "deepseek/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ds_graph ds_graph;
typedef struct ds_program ds_program;

/* A value of a graph; only meaningful with the graph that made it. */
typedef struct ds_value {
    int32_t index;
} ds_value;
#define DS_NO_VALUE ((ds_value){-1})

/* base + factor * size of the symbol. */
typedef struct ds_dim {
    int64_t base, factor;
    int32_t symbol; /* -1: none */
} ds_dim;

DS_API DS_MUST_CHECK ds_status ds_graph_create(ds_context *context, ds_graph **out, ds_error *error);
DS_API void ds_graph_destroy(ds_graph *graph);

static inline ds_dim ds_dim_fixed(int64_t size) {
    ds_dim dim = {size, 0, -1};
    return dim;
}
/* The same name gives the same symbol. At most 8 symbols a graph. */
DS_API ds_dim ds_dim_named(ds_graph *graph, const char *name);

/* Inputs are given at each run. Weights are constants: `data` (dense) is borrowed until the program is destroyed. */
DS_API ds_value ds_graph_input(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const ds_dim *shape);
DS_API ds_value ds_graph_weight(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const int64_t *shape,
                                const void *data);
DS_API void ds_graph_output(ds_graph *graph, const char *name, ds_value value);

/* x: [..., k], weight: [n, k], bias: [n] or DS_NO_VALUE -> [..., n] */
DS_API ds_value ds_graph_linear(ds_graph *graph, ds_value x, ds_value weight, ds_value bias);
/* Same shapes, or b: [n] added to (multiplied with) each row of a: [..., n]. */
DS_API ds_value ds_graph_add(ds_graph *graph, ds_value a, ds_value b);
DS_API ds_value ds_graph_mul(ds_graph *graph, ds_value a, ds_value b);
DS_API ds_value ds_graph_relu(ds_graph *graph, ds_value x);
DS_API ds_value ds_graph_gelu(ds_graph *graph, ds_value x);
DS_API ds_value ds_graph_gelu_tanh(ds_graph *graph, ds_value x);
DS_API ds_value ds_graph_tanh(ds_graph *graph, ds_value x);
DS_API ds_value ds_graph_sigmoid(ds_graph *graph, ds_value x);
/* Over the last dimension. */
DS_API ds_value ds_graph_softmax(ds_graph *graph, ds_value x);
DS_API ds_value ds_graph_layer_norm(ds_graph *graph, ds_value x, ds_value gamma, ds_value beta, float eps);
DS_API ds_value ds_graph_l2_normalize(ds_graph *graph, ds_value x, float eps);
/* table: [rows, n], ids: int32 [count] -> [count, n]; an id outside the table fails the run. */
DS_API ds_value ds_graph_gather(ds_graph *graph, ds_value table, ds_value ids);
/* q: [T, heads*d], k and v: [T, key_heads*d], seq_start: int32 [B+1] -> [T, heads*d]; each sequence attends to itself;
 * heads is a multiple of key_heads. */
typedef struct ds_attention_config {
    int32_t heads, key_heads; /* key_heads 0: as heads */
    float scale;              /* 0: 1/sqrt(d) */
    bool causal;
} ds_attention_config;
DS_API ds_value ds_graph_attention(ds_graph *graph, ds_value q, ds_value k, ds_value v, ds_value seq_start,
                                   ds_attention_config config);
/* x: [T, n], seq_start: int32 [B+1] -> [B, n]. */
DS_API ds_value ds_graph_pool_mean(ds_graph *graph, ds_value x, ds_value seq_start);
DS_API ds_value ds_graph_pool_max(ds_graph *graph, ds_value x, ds_value seq_start);
DS_API ds_value ds_graph_pool_first(ds_graph *graph, ds_value x, ds_value seq_start);
/* Columns [first, first + count) of the last dimension; a view, not a copy. */
DS_API ds_value ds_graph_slice(ds_graph *graph, ds_value x, int64_t first, int64_t count);

/* Verifies, optimises and plans. The graph may be destroyed afterwards; the context must stay. */
DS_API DS_MUST_CHECK ds_status ds_graph_compile(ds_graph *graph, ds_program **out, ds_error *error);
DS_API void ds_program_destroy(ds_program *program);

typedef struct ds_binding {
    const char *name;
    ds_tensor tensor; /* dense; an output's must have the shape that the inputs' sizes give */
} ds_binding;

/* One run on the caller's buffers. Every input and output must be bound; not for two threads at once. */
DS_API DS_MUST_CHECK ds_status ds_program_run(ds_program *program, const ds_binding *inputs, size_t input_count,
                                              const ds_binding *outputs, size_t output_count, ds_error *error);

/* The graph as text, one node a line, after all passes; borrowed from the program. */
DS_API const char *ds_program_text(const ds_program *program);

#ifdef __cplusplus
}
#endif
#endif
