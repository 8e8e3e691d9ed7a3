/* The graph IR: values, nodes and the graph that owns them.
 *
 * A graph is a list of nodes in an order in which they can run; each node applies one operator to values.  Values are
 * immutable in shape and named by index.  The operator itself is a const structure (ir/op.h) that knows its shape rule,
 * its cost and its reference, so this layer needs no list of operators.
 *
 * The public ds_graph is this structure; building is sticky: the first error is kept and later calls do nothing. */
#ifndef DS_IR_GRAPH_H
#define DS_IR_GRAPH_H

#include "base/arena.h"
#include "base/buffer.h"
#include "deepseek/graph.h"
#include "tensor/activation.h"

enum {
    DS__MAX_SYMBOLS = 8,
    DS__MAX_INPUTS = 7,
    DS__MAX_OUTPUTS = 4,
    DS__MAX_NODES = 1 << 20,
    DS__MAX_DIM = 1 << 30, /* of one dimension, and of base and factor of a symbolic one */
};

typedef struct ds__shape {
    int rank;
    ds_dim dims[DS_MAX_RANK];
} ds__shape;

typedef enum ds__value_kind {
    DS__VALUE_INPUT,     /* given at each run */
    DS__VALUE_WEIGHT,    /* constant, shared between sessions, possibly mapped from a file */
    DS__VALUE_STATE,     /* lives across runs in memory of the caller's, which operators may update in place */
    DS__VALUE_TEMPORARY, /* planned by liveness; a graph output is one that the caller's memory is bound to */
} ds__value_kind;

/* What backends may bring a weight to before they use it; how it is stored is its dtype's business. */
typedef enum ds__precision {
    DS__PRECISION_F32,
    DS__PRECISION_BF16,
    DS__PRECISION_INT8, /* tensor/quantize.h; what is multiplied with it is quantised too */
} ds__precision;

typedef struct ds__value {
    const char *name; /* never NULL; the arena's */
    ds_dtype dtype;
    ds__shape shape;
    ds__value_kind kind;
    const void *data;        /* weights: dense, borrowed; NULL when made of parts. States: dense floats, written to */
    const void *scales;      /* weights of DS_I8: a float for each row, borrowed, perhaps unaligned; else NULL */
    ds__precision precision; /* of weights */
    /* Weights: the rows of these weights, one behind the other; what fusing Q, K and V makes. */
    const int32_t *parts;
    int32_t part_count;
} ds__value;

typedef enum ds__pool_kind { DS__POOL_MEAN, DS__POOL_MAX, DS__POOL_FIRST } ds__pool_kind;

/* What an operator needs besides its inputs; each reads its own fields, the others are zero. */
typedef struct ds__attributes {
    ds__activation activation; /* activation, linear */
    float epsilon;             /* layer_norm, l2_normalize */
    int32_t heads, key_heads;  /* attention */
    float scale;
    bool causal;
    ds__pool_kind pool;            /* pool */
    int64_t skipped;               /* gather, scatter_add: 1 + the row that gets no gradient; 0: each gets one */
    int64_t first, count;          /* slice; count: rows or columns of what a gradient is for */
    bool transpose_a, transpose_b; /* matmul */
    ds__precision precision;       /* matmul, and linear with a state: what operands are rounded to; F32 or BF16 */
    float dropout;                 /* dropout, attention: the share that is dropped, in [0, 1) */
    int32_t site;                  /* which dropout of the graph it is: tensor/philox.h */
    float smoothing;               /* cross_entropy */
    bool is_weight;                /* fake_quantize */
} ds__attributes;

typedef struct ds__op ds__op;

typedef struct ds__node {
    const ds__op *op;
    int32_t inputs[DS__MAX_INPUTS]; /* value indexes; -1: an optional input that is absent */
    int32_t input_count;
    int32_t outputs[DS__MAX_OUTPUTS];
    int32_t output_count;
    ds__attributes attributes;
} ds__node;

typedef struct ds__named_output {
    const char *name;
    int32_t value;
} ds__named_output;

struct ds_graph {
    ds_context *context;
    ds__arena arena; /* names, parts */
    const char *symbols[DS__MAX_SYMBOLS];
    int32_t symbol_count;
    ds__value *values;
    size_t value_count, value_capacity;
    ds__node *nodes;
    size_t node_count, node_capacity;
    ds__named_output *outputs;
    size_t output_count, output_capacity;
    ds_error error; /* the first one; DS_OK until then */
};

static inline const char *ds__value_kind_name(ds__value_kind kind) {
    static const char *const names[] = {"input", "weight", "state", "temporary"};
    return names[kind];
}

ds_status ds__graph_create(ds_context *context, ds_graph **out, ds_error *error) DS_MUST_CHECK;
void ds__graph_destroy(ds_graph *graph);
/* A graph of its own with the same content; weights' data stay borrowed. */
ds_status ds__graph_copy(const ds_graph *graph, ds_graph **out, ds_error *error) DS_MUST_CHECK;
static inline bool ds__graph_ok(const ds_graph *graph) { return graph->error.status == DS_OK; }
/* Keeps the first error and returns DS_NO_VALUE, so that builders can `return ds__graph_fail(...)`. */
ds_value ds__graph_fail(ds_graph *graph, ds_status status, const char *format, ...) DS_PRINTF(3, 4);

ds_dim ds__graph_symbol(ds_graph *graph, const char *name);
ds_value ds__graph_input(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const ds_dim *shape);
ds_value ds__graph_weight(ds_graph *graph, const char *name, ds_dtype dtype, int rank, const int64_t *shape,
                          const void *data);
/* A weight of 8-bit codes: row r is codes[r] * scales[r]. They keep to tensor/quantize.h; precision is INT8. */
ds_value ds__graph_weight_codes(ds_graph *graph, const char *name, int rank, const int64_t *shape, const void *codes,
                                const void *scales);
/* Memory of the caller's, [shape] floats, that lives as long as the graph's programs: parameters in training. */
ds_value ds__graph_state(ds_graph *graph, const char *name, int rank, const int64_t *shape, float *data);
/* A weight whose rows are those of `parts` (weights of one dtype and precision that agree in all but the first
 * dimension). */
ds_value ds__graph_stack_weights(ds_graph *graph, const char *name, const int32_t *parts, int32_t count);
void ds__graph_output(ds_graph *graph, const char *name, ds_value value);

/* Appends a node: checks its inputs, infers the output's shape, makes the output value. inputs: -1 for an absent one.
 */
ds_value ds__graph_add(ds_graph *graph, const ds__op *op, const ds_value *inputs, int count, ds__attributes attributes);

/* Helpers of passes. Every value has one producer; -1 for inputs and weights. */
int32_t ds__graph_producer(const ds_graph *graph, int32_t value);
/* How many node inputs and graph outputs read the value. */
size_t ds__graph_uses(const ds_graph *graph, int32_t value);
/* Makes room for a node in front of `position` (or at the end); false: out of memory. */
bool ds__graph_insert(ds_graph *graph, size_t position, ds__node node) DS_MUST_CHECK;
void ds__graph_remove(ds_graph *graph, size_t position);
/* Takes the node at `from` to `to`, which is not behind it. */
void ds__graph_move_up(ds_graph *graph, size_t from, size_t to);
/* A new temporary of the given type; -1: out of memory. */
int32_t ds__graph_new_value(ds_graph *graph, ds_dtype dtype, const ds__shape *shape);

static inline ds_dim ds__dim_of(int64_t size) { return (ds_dim){size, 0, -1}; }
static inline bool ds__dim_equal(ds_dim a, ds_dim b) {
    return a.base == b.base && a.factor == b.factor && (a.factor == 0 || a.symbol == b.symbol);
}
bool ds__shape_equal(const ds__shape *a, const ds__shape *b);
/* The dimension's size for given symbol sizes (all >= 0 and <= DS__MAX_DIM); -1 when it exceeds DS__MAX_DIM. */
int64_t ds__dim_size(ds_dim dim, const int64_t *symbols);
/* "[T, 384]" into text. */
void ds__shape_print(const ds_graph *graph, const ds__shape *shape, char *text, size_t size);

/* Checks order, types, attributes and shapes of every node, and that outputs can be bound. */
ds_status ds__graph_verify(const ds_graph *graph, ds_error *error) DS_MUST_CHECK;
/* Appends the graph as text, one value or node a line; failure is the buffer's. */
void ds__graph_print(const ds_graph *graph, ds__buffer *out);

#endif
