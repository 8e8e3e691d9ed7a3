/* The reference backend: every operator by its own definition, on one thread.  Slow and right; everything else is
 * compared with it, and what a faster backend lacks falls back to it. */
#include "ops/ops.h"
#include "runtime/backend.h"

static bool supports(const ds_graph *graph, const ds__node *node) {
    (void)graph;
    return node->op->reference != NULL;
}

/* Precisions below float32 are a permission, not a duty. */
static const ds__weight_form *weight_form(const ds_graph *graph, const ds__node *node, int input) {
    bool codes = graph->values[node->inputs[input]].dtype == DS_I8;
    return node->op == &ds__op_gather && input == 0 && !codes ? &ds__weight_form_raw : &ds__weight_form_dense;
}

static ds_status run(const ds__call *call, const ds__run *unused, ds_error *error) {
    (void)unused;
    return call->node->op->reference(call, error);
}

const ds__backend ds__backend_ref = {
    .name = "ref",
    .supports = supports,
    .weight_form = weight_form,
    .run = run,
};
