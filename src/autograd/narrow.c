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

/* The node reads the value as what an activation was applied to, and in no other place: it is widened in front of it.
 */
static bool reads_widened(const ds__node *node, int32_t value) {
    return node->op == &ds__op_activation_grad && node->inputs[0] == value && node->inputs[1] != value;
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
        if (node->op->view || (i >= forward && !reads_rounded(node, value) && !reads_widened(node, value)))
            return false;
        readers += i >= forward;
    }
    for (size_t i = 0; i < graph->output_count; i++)
        if (graph->outputs[i].value == value) return false;
    return readers > 0;
}

/* A node in front of `position` that makes another form of `value`; what it makes, -1: out of memory. */
static int32_t insert(ds_graph *graph, size_t position, const ds__op *op, int32_t value, ds_dtype dtype) {
    const ds__shape shape = graph->values[value].shape;
    const int32_t made = ds__graph_new_value(graph, dtype, &shape);
    const ds__node node = {.op = op, .inputs = {value}, .input_count = 1, .outputs = {made}, .output_count = 1};
    return made >= 0 && ds__graph_insert(graph, position, node) ? made : -1;
}

/* Makes the readers of `value` from node `forward` on read `narrow`; false: out of memory. */
static bool read_narrow(ds_graph *graph, size_t forward, int32_t value, int32_t narrow) {
    for (size_t i = forward; i < graph->node_count; i++) {
        if (reads_rounded(&graph->nodes[i], value) && reads(&graph->nodes[i], value)) {
            graph->nodes[i].inputs[1] = narrow;
        } else if (reads_widened(&graph->nodes[i], value)) {
            const int32_t wide = insert(graph, i, &ds__op_widen, narrow, DS_F32);
            if (wide < 0) return false;
            graph->nodes[++i].inputs[0] = wide;
        }
    }
    return true;
}

ds_status ds__keep_narrow(ds_graph *graph, size_t forward, ds_error *error) {
    for (size_t i = 0; i < forward; i++) {
        if (!can_be_narrow(graph, forward, &graph->nodes[i])) continue;
        const int32_t value = graph->nodes[i].outputs[0];
        const int32_t narrow = insert(graph, i + 1, &ds__op_narrow, value, DS_BF16);
        if (narrow < 0 || !read_narrow(graph, ++forward, value, narrow))
            return ds__alloc_failed(&graph->context->heap, sizeof(ds__node), "keeping values in bfloat16", error);
    }
    return DS_OK;
}
