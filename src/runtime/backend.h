/* What a backend is: it says which nodes it can run, in which form it wants their weights, and runs them.
 *
 * Backends are tried in the order of backends.def for every node, so one that lacks an operator falls back node by
 * node; the last one, `ref`, runs everything. */
#ifndef DS_RUNTIME_BACKEND_H
#define DS_RUNTIME_BACKEND_H

#include "base/pool.h"
#include "ir/op.h"

/* A form that weights are brought into when a program is made: dense floats, packed for a kernel, ... A weight of rank
 * 1 is [n, 1]. Forms are compared by address: one constant structure each. */
typedef struct ds__weight_form {
    const char *name;
    ds_dtype dtype; /* what the tensor of this form says it is; how it lies in memory is the backend's business */
    /* Bytes that a [rows, cols] weight takes in this form; false on overflow. */
    bool (*bytes)(size_t rows, size_t cols, size_t *bytes);
    /* Zeroes what `put` counts on to be zero. NULL: nothing. */
    void (*start)(size_t rows, size_t cols, void *out);
    /* Places `count` rows as rows first.. of the whole. Called for different rows at once. */
    void (*put)(const float *rows, size_t ld, size_t count, size_t cols, size_t first, void *out);
    /* The same from rows of 8-bit codes, dense, with a scale each. NULL: they come as floats, like every other type. */
    void (*put_codes)(const int8_t *codes, const float *scales, size_t count, size_t cols, size_t first, void *out);
} ds__weight_form;

/* As it is stored: dtype kept, no copy unless the file left it unaligned. */
extern const ds__weight_form ds__weight_form_raw;
/* Row-major floats: the file's own when they are F32. */
extern const ds__weight_form ds__weight_form_dense;

/* What a node's run may use besides its tensors. */
typedef struct ds__run {
    ds__pool *pool;
    int threads;           /* how many may work on the node: all of the pool, or only the one that calls */
    float *scratch;        /* worker w's part starts at scratch + w * scratch_floats; 64-byte aligned */
    size_t scratch_floats; /* of one worker: a multiple of 16, at least what the node asked for */
    int64_t first_row;     /* of the batch in this call's tensors; for messages */
} ds__run;

typedef struct ds__backend {
    const char *name;
    /* Whether it can run the node. */
    bool (*supports)(const ds_graph *graph, const ds__node *node);
    /* The form it wants input `input` in, which is a weight. */
    const ds__weight_form *(*weight_form)(const ds_graph *graph, const ds__node *node, int input);
    /* Floats of scratch that one worker needs for the node; false on overflow. NULL: none. */
    bool (*scratch)(const ds_graph *graph, const ds__node *node, size_t *floats);
    /* Runs one node. Fails only for data that is wrong (an id outside its table). */
    ds_status (*run)(const ds__call *call, const ds__run *run, ds_error *error);
    /* Its nodes may be given some of their rows, by several threads at once (ds__run.threads is 1 then, and its scratch
     * is the calling thread's). */
    bool runs_rows;
    /* Which of float32 and bfloat16 products are faster here; *why gets a sentence, a constant. NULL: float32. */
    ds__precision (*fastest)(const char **why);
} ds__backend;

#endif
