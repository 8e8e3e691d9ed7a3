/* The verifier: what every pass may rely on and must leave behind. */
#include "base/context_internal.h"
#include "base/error.h"
#include "ir/op.h"

static ds_status verify_node(const ds_graph *graph, size_t index, const bool *defined, ds_error *error) {
    const ds__node *node = &graph->nodes[index];
    const ds__op *op = node->op;
    if (node->input_count < op->min_inputs || node->input_count > op->max_inputs)
        return ds__fail(error, DS_INTERNAL, "node %zu (%s) has %d inputs, expected %d to %d", index, op->name,
                        node->input_count, op->min_inputs, op->max_inputs);
    for (int32_t i = 0; i < node->input_count; i++) {
        int32_t value = node->inputs[i];
        if (value == -1 && i >= op->min_inputs) continue;
        if (value < 0 || (size_t)value >= graph->value_count)
            return ds__fail(error, DS_INTERNAL, "node %zu (%s): input %d is value %d of %zu", index, op->name, i, value,
                            graph->value_count);
        if (!defined[value] && graph->values[value].kind == DS__VALUE_STATE)
            return ds__fail(error, DS_INTERNAL, "node %zu (%s): input %d (%%%s) is a state that was updated before",
                            index, op->name, i, graph->values[value].name);
        if (!defined[value])
            return ds__fail(error, DS_INTERNAL, "node %zu (%s): input %d (%%%s) is used before it is made", index,
                            op->name, i, graph->values[value].name);
    }
    ds__op_result result;
    ds_status status = op->infer(graph, node, &result, error);
    if (status != DS_OK) return ds__fail_in(error, status, "node %zu (%s)", index, op->name);
    const ds__value *output = &graph->values[node->outputs[0]];
    if (output->dtype == result.dtype && ds__shape_equal(&output->shape, &result.shape)) return DS_OK;
    char has[128], gives[128];
    ds__shape_print(graph, &output->shape, has, sizeof has);
    ds__shape_print(graph, &result.shape, gives, sizeof gives);
    return ds__fail(error, DS_INTERNAL, "node %zu (%s): its output %%%s is %s%s, but its inputs give %s%s", index,
                    op->name, output->name, ds_dtype_name(output->dtype), has, ds_dtype_name(result.dtype), gives);
}

static bool is_state(const ds_graph *graph, int32_t value) {
    return value >= 0 && graph->values[value].kind == DS__VALUE_STATE;
}

/* States that the node has written to are not there for later nodes; two values of the same memory are one state. */
static void take_updated(const ds_graph *graph, const ds__node *node, bool *defined) {
    for (int32_t k = 0; k < node->input_count; k++)
        for (size_t v = 0; is_state(graph, node->inputs[k]) && v < graph->value_count; v++)
            if (is_state(graph, (int32_t)v) && graph->values[v].data == graph->values[node->inputs[k]].data)
                defined[v] = false;
}

static ds_status verify_nodes(const ds_graph *graph, bool *defined, ds_error *error) {
    for (size_t i = 0; i < graph->value_count; i++) defined[i] = graph->values[i].kind != DS__VALUE_TEMPORARY;
    for (size_t i = 0; i < graph->node_count; i++) {
        DS_TRY(verify_node(graph, i, defined, error));
        if (graph->nodes[i].op->updates) take_updated(graph, &graph->nodes[i], defined);
        for (int32_t k = 0; k < graph->nodes[i].output_count; k++) {
            int32_t output = graph->nodes[i].outputs[k];
            if (defined[output])
                return ds__fail(error, DS_INTERNAL, "node %zu (%s) makes %%%s a second time", i,
                                graph->nodes[i].op->name, graph->values[output].name);
            defined[output] = true;
        }
    }
    for (size_t i = 0; i < graph->output_count; i++)
        if (!defined[graph->outputs[i].value])
            return ds__fail(error, DS_INTERNAL, "output \"%s\" is %%%s, which no node makes", graph->outputs[i].name,
                            graph->values[graph->outputs[i].value].name);
    return DS_OK;
}

ds_status ds__graph_verify(const ds_graph *graph, ds_error *error) {
    if (!ds__graph_ok(graph)) return ds__fail(error, graph->error.status, "%s", graph->error.message);
    if (graph->output_count == 0) return ds__fail(error, DS_INVALID_ARGUMENT, "the graph has no output");
    ds__heap *heap = &graph->context->heap;
    bool *defined = ds__alloc(heap, graph->value_count);
    if (!defined) return ds__alloc_failed(heap, graph->value_count, "verifying a graph", error);
    ds_status status = verify_nodes(graph, defined, error);
    ds__free(heap, defined, graph->value_count);
    return status;
}
