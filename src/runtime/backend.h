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
    /* Floats that a [rows, cols] weight takes in this form; false on overflow. */
    bool (*floats)(size_t rows, size_t cols, size_t *floats);
    /* Places `count` rows as rows first.. of the whole; `out` was zeroed. */
    void (*put)(const float *rows, size_t ld, size_t count, size_t cols, size_t first, float *out);
} ds__weight_form;

/* As it is stored: dtype kept, no copy unless the file left it unaligned. */
extern const ds__weight_form ds__weight_form_raw;
/* Row-major floats: the file's own when they are F32. */
extern const ds__weight_form ds__weight_form_dense;

/* What a node's run may use besides its tensors. */
typedef struct ds__run {
    ds__pool *pool;
    float *scratch;        /* worker w's part starts at scratch + w * scratch_floats; 64-byte aligned */
    size_t scratch_floats; /* of one worker: a multiple of 16, at least what the node asked for */
} ds__run;

typedef struct ds__backend {
    const char *name;
    /* Whether it can run the node. */
    bool (*supports)(const ds_graph *graph, const ds__node *node);
    /* The form it wants input `input` in, which is a weight. */
    const ds__weight_form *(*weight_form)(const ds__node *node, int input);
    /* Floats of scratch that one worker needs for the node; false on overflow. NULL: none. */
    bool (*scratch)(const ds_graph *graph, const ds__node *node, size_t *floats);
    /* Runs one node. Fails only for data that is wrong (an id outside its table). */
    ds_status (*run)(const ds__call *call, const ds__run *run, ds_error *error);
} ds__backend;

#endif
