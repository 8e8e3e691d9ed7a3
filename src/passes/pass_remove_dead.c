/* remove_dead: from the end to the front, nodes whose results nobody reads go, but for those that update a state. */
#include "passes/pass.h"

ds_status ds__pass_remove_dead(ds_graph *graph, ds_error *error) {
    (void)error;
    for (size_t i = graph->node_count; i-- > 0;) {
        size_t uses = graph->nodes[i].op->updates;
        for (int32_t k = 0; k < graph->nodes[i].output_count; k++)
            uses += ds__graph_uses(graph, graph->nodes[i].outputs[k]);
        if (uses == 0) ds__graph_remove(graph, i);
    }
    return DS_OK;
}
