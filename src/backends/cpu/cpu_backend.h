/* The CPU backend: binds operators to kernels and splits their work over the pool. Rows for operators in
 * cpu_backend.c. */
#ifndef DS_BACKENDS_CPU_CPU_BACKEND_H
#define DS_BACKENDS_CPU_CPU_BACKEND_H

#include "ops/op_shared.h"
#include "ops/ops.h"
#include "runtime/backend.h"

/* How one operator runs here. */
typedef struct ds__cpu_op {
    const ds__op *op;
    /* NULL: every node of the operator. */
    bool (*supports)(const ds_graph *graph, const ds__node *node);
    /* NULL: every weight dense. */
    const ds__weight_form *(*weight_form)(const ds_graph *graph, const ds__node *node, int input);
    bool (*scratch)(const ds_graph *graph, const ds__node *node, size_t *floats);
    ds_status (*run)(const ds__call *call, const ds__run *run, ds_error *error);
} ds__cpu_op;

extern const ds__cpu_op ds__cpu_linear, ds__cpu_attention, ds__cpu_gather, ds__cpu_pool;
extern const ds__cpu_op ds__cpu_layer_norm, ds__cpu_l2_normalize, ds__cpu_softmax, ds__cpu_activation, ds__cpu_add,
    ds__cpu_mul;
/* Training's. */
extern const ds__cpu_op ds__cpu_linear_dense, ds__cpu_matmul, ds__cpu_attention_train, ds__cpu_attention_grad,
    ds__cpu_activation_grad, ds__cpu_layer_norm_grad, ds__cpu_layer_norm_grad_gamma, ds__cpu_dropout, ds__cpu_sum_rows,
    ds__cpu_scatter_add, ds__cpu_fake_quantize, ds__cpu_update, ds__cpu_narrow, ds__cpu_widen;

/* See ds__backend. */
ds__precision ds__cpu_fastest(const char **why);

/* Cut `part` of `parts` of [0, size), in multiples of `unit`. */
static inline void ds__cpu_cut(size_t size, size_t unit, size_t part, size_t parts, size_t *first, size_t *last) {
    size_t units = (size + unit - 1) / unit;
    *first = units * part / parts * unit;
    *last = units * (part + 1) / parts * unit;
    if (*last > size) *last = size;
    if (*first > size) *first = size;
}

/* Calls fn for ranges of [0, count) that together cover it: in one piece when the work (in elements) is small. */
typedef void (*ds__range_fn)(const ds__call *call, int64_t first, int64_t last);
void ds__cpu_split(const ds__call *call, const ds__run *run, int64_t count, int64_t elements, ds__range_fn fn);

#endif
