/* The graph as text: symbols, inputs and weights first, then a node a line, then the outputs. */
#include "ir/op.h"

static void print_type(const ds_graph *graph, const ds__value *value, ds__buffer *out) {
    char shape[160];
    ds__shape_print(graph, &value->shape, shape, sizeof shape);
    ds__buffer_printf(out, "%s%s", ds_dtype_name(value->dtype), shape);
}

static void print_leaf(const ds_graph *graph, const ds__value *value, ds__buffer *out) {
    ds__buffer_printf(out, "  %%%s: %s ", value->name, ds__value_kind_name(value->kind));
    print_type(graph, value, out);
    if (value->precision) ds__buffer_text(out, value->precision == DS__PRECISION_INT8 ? " in int8" : " in bfloat16");
    for (int32_t i = 0; i < value->part_count; i++)
        ds__buffer_printf(out, "%s%%%s", i ? ", " : " = rows of ", graph->values[value->parts[i]].name);
    ds__buffer_put(out, '\n');
}

static void print_node(const ds_graph *graph, const ds__node *node, ds__buffer *out) {
    const ds__value *output = &graph->values[node->outputs[0]];
    ds__buffer_printf(out, "  %%%s = %s(", output->name, node->op->name);
    for (int32_t i = 0; i < node->input_count; i++) {
        if (i) ds__buffer_text(out, ", ");
        if (node->inputs[i] < 0)
            ds__buffer_text(out, "-");
        else
            ds__buffer_printf(out, "%%%s", graph->values[node->inputs[i]].name);
    }
    ds__buffer_put(out, ')');
    if (node->op->print) node->op->print(node, out);
    ds__buffer_text(out, " : ");
    print_type(graph, output, out);
    ds__buffer_put(out, '\n');
}

void ds__graph_print(const ds_graph *graph, ds__buffer *out) {
    ds__buffer_text(out, "graph(");
    for (int32_t i = 0; i < graph->symbol_count; i++) ds__buffer_printf(out, "%s%s", i ? ", " : "", graph->symbols[i]);
    ds__buffer_text(out, ")\n");
    for (size_t i = 0; i < graph->value_count; i++)
        if (graph->values[i].kind != DS__VALUE_TEMPORARY && ds__graph_uses(graph, (int32_t)i))
            print_leaf(graph, &graph->values[i], out);
    for (size_t i = 0; i < graph->node_count; i++) print_node(graph, &graph->nodes[i], out);
    for (size_t i = 0; i < graph->output_count; i++)
        ds__buffer_printf(out, "  output \"%s\": %%%s\n", graph->outputs[i].name,
                          graph->values[graph->outputs[i].value].name);
}
