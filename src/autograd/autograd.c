/* The backward part, node by node; see the header. */
#include "autograd/autograd.h"

#include "base/context_internal.h"
#include "base/error.h"

typedef struct walk {
    ds_graph *graph;
    bool *needs;       /* [values]: the loss's gradient for it is needed */
    int32_t *gradient; /* [values]: -1: none yet */
} walk;

/* A parameter needs one, and so does everything that is made from something that does. */
static void mark(walk *w, const ds__differentiation *job) {
    for (size_t i = 0; i < job->count; i++) w->needs[job->parameters[i]] = true;
    for (size_t i = 0; i < job->forward; i++) {
        const ds__node *node = &w->graph->nodes[i];
        for (int32_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] >= 0 && w->needs[node->inputs[k]]) w->needs[node->outputs[0]] = true;
    }
}

static void give(walk *w, int32_t value, ds_value part) {
    int32_t *sum = &w->gradient[value];
    *sum = *sum < 0 ? part.index : ds__add(w->graph, (ds_value){*sum}, part).index;
}

static ds_status visit(walk *w, size_t index, ds_error *error) {
    const ds__node node = w->graph->nodes[index]; /* a copy: the list grows */
    const int32_t dy = w->gradient[node.outputs[0]];
    ds_value gives[DS__MAX_INPUTS];
    bool wanted[DS__MAX_INPUTS] = {false}, any = false;
    for (int32_t k = 0; k < node.input_count; k++) {
        gives[k] = DS_NO_VALUE;
        wanted[k] = node.inputs[k] >= 0 && w->needs[node.inputs[k]];
        any = any || wanted[k];
    }
    if (!any || dy < 0) return DS_OK;
    if (!node.op->gradient)
        return ds__fail(error, DS_UNSUPPORTED, "node %zu (%s): the operator has no gradient", index, node.op->name);
    node.op->gradient(w->graph, &node, (ds_value){dy}, wanted, gives);
    for (int32_t k = 0; k < node.input_count && ds__graph_ok(w->graph); k++)
        if (gives[k].index >= 0) give(w, node.inputs[k], gives[k]);
    if (ds__graph_ok(w->graph)) return DS_OK;
    return ds__fail(error, w->graph->error.status, "the gradient of node %zu (%s): %s", index, node.op->name,
                    w->graph->error.message);
}

ds_status ds__autograd(ds_graph *graph, ds__differentiation *job, ds_error *error) {
    if (!ds__graph_ok(graph)) return ds__fail(error, graph->error.status, "%s", graph->error.message);
    ds__heap *heap = &graph->context->heap;
    const size_t values = graph->value_count;
    walk w = {
        .graph = graph, .needs = ds__alloc_zeroed(heap, values), .gradient = ds__alloc(heap, values * sizeof(int32_t))};
    job->forward = graph->node_count;
    ds_status status = DS_OK;
    if (!w.needs || !w.gradient) {
        status = ds__alloc_failed(heap, values * sizeof(int32_t), "differentiating a graph", error);
    } else {
        for (size_t v = 0; v < values; v++) w.gradient[v] = -1;
        w.gradient[job->loss] = job->seed;
        mark(&w, job);
        for (size_t i = job->forward; i-- > 0 && status == DS_OK;) status = visit(&w, i, error);
        for (size_t i = 0; i < job->count; i++) job->gradients[i] = w.gradient[job->parameters[i]];
    }
    ds__free(heap, w.needs, values);
    ds__free(heap, w.gradient, values * sizeof(int32_t));
    return status;
}
