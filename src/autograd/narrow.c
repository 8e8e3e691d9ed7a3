/* Keeping values for the backward part in bfloat16; see autograd.h. */
#include "autograd/autograd.h"
#include "base/context_internal.h"
#include "base/error.h"

/* The node reads the value as the right factor of a product that rounds it to bfloat16, and in no other place. */
static bool reads_rounded(const ds__node *node, int32_t value) {
    for (int32_t k = 0; k < node->input_count; k++)
        if (node->inputs[k] == value && k != 1) return false;
    return node->op == &ds__op_matmul && !node->attributes.transpose_b &&
           node->attributes.precision == DS__PRECISION_BF16;
}

static bool reads(const ds__node *node, int32_t value) {
    for (int32_t k = 0; k < node->input_count; k++)
        if (node->inputs[k] == value) return true;
    return false;
}

/* Whether only such nodes read the value from node `forward` on, and some do. What is a view, or looked into by one,
 * keeps its memory anyway. */
static bool can_be_narrow(const ds_graph *graph, size_t forward, const ds__node *made) {
    const int32_t value = made->outputs[0];
    size_t readers = 0;
    if (made->op->view || graph->values[value].dtype != DS_F32 || graph->values[value].shape.rank != 2) return false;
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node *node = &graph->nodes[i];
        if (!reads(node, value)) continue;
        if (node->op->view || (i >= forward && !reads_rounded(node, value))) return false;
        readers += i >= forward;
    }
    for (size_t i = 0; i < graph->output_count; i++)
        if (graph->outputs[i].value == value) return false;
    return readers > 0;
}

ds_status ds__keep_narrow(ds_graph *graph, size_t forward, ds_error *error) {
    for (size_t i = 0; i < forward; i++) {
        if (!can_be_narrow(graph, forward, &graph->nodes[i])) continue;
        const int32_t value = graph->nodes[i].outputs[0];
        const ds__shape shape = graph->values[value].shape;
        const int32_t narrow = ds__graph_new_value(graph, DS_BF16, &shape);
        const ds__node node = {
            .op = &ds__op_narrow, .inputs = {value}, .input_count = 1, .outputs = {narrow}, .output_count = 1};
        for (size_t b = forward; b < graph->node_count; b++)
            if (reads(&graph->nodes[b], value)) graph->nodes[b].inputs[1] = narrow;
        if (narrow < 0 || !ds__graph_insert(graph, i + 1, node))
            return ds__alloc_failed(&graph->context->heap, sizeof node, "keeping values in bfloat16", error);
        forward++;
    }
    return DS_OK;
}
