/* early_updates: nodes that update states move up to right behind the last node that reads those or makes what they
 * need, so that a gradient's memory is free again before the next one is made.
 *
 * Graphs are built with their updates at the end, where no other pass can move a reader behind one; this pass is the
 * last that moves nodes. */
#include "passes/pass.h"

static bool shares_state(const ds_graph *graph, int32_t a, int32_t b) {
    return a >= 0 && b >= 0 && graph->values[a].kind == DS__VALUE_STATE && graph->values[b].kind == DS__VALUE_STATE &&
           graph->values[a].data == graph->values[b].data;
}

/* Whether `node` must run before `update`: it makes one of its inputs, or reads a state that is written to. */
static bool comes_before(const ds_graph *graph, const ds__node *node, const ds__node *update) {
    for (int32_t k = 0; k < update->input_count; k++) {
        for (int32_t o = 0; o < node->output_count; o++)
            if (update->inputs[k] == node->outputs[o]) return true;
        for (int32_t i = 0; i < node->input_count; i++)
            if (shares_state(graph, node->inputs[i], update->inputs[k])) return true;
    }
    return false;
}

ds_status ds__pass_early_updates(ds_graph *graph, ds_error *error) {
    (void)error; /* nodes only change places */
    for (size_t i = 0; i < graph->node_count; i++) {
        const ds__node update = graph->nodes[i];
        if (!update.op->updates) continue;
        size_t place = i;
        while (place > 0 && !comes_before(graph, &graph->nodes[place - 1], &update)) place--;
        ds__graph_move_up(graph, i, place);
    }
    return DS_OK;
}
