/* The model builder: inputs, and weights by name out of the folder's tensors. */
#include <stdarg.h>
#include <stdio.h>

#include "models/architecture.h"

enum { NAME_SIZE = 160 }; /* with the prefix; the longest is about 60 */

void ds__model_builder_init(ds__model_builder *builder, ds_graph *graph, const ds__architecture *architecture,
                            const ds__model_config *config, const ds__weights *weights, bool *used) {
    *builder = (ds__model_builder){
        .graph = graph,
        .architecture = architecture,
        .config = config,
        .weights = weights,
        .type_ids = DS_NO_VALUE,
        .used = used,
    };
    ds_dim tokens = ds__graph_symbol(graph, "T"), bounds = ds__graph_symbol(graph, "B");
    bounds.base++;
    builder->ids = ds__graph_input(graph, "ids", DS_I32, 1, &tokens);
    builder->positions = ds__graph_input(graph, "positions", DS_I32, 1, &tokens);
    if (config->type_vocab_size) builder->type_ids = ds__graph_input(graph, "type_ids", DS_I32, 1, &tokens);
    builder->seq_start = ds__graph_input(graph, "seq_start", DS_I32, 1, &bounds);
}

/* Checkpoints converted from TensorFlow call a norm's weight and bias gamma and beta. false: it has no such name. */
static bool old_name(char out[NAME_SIZE], const char *name) {
    static const char *const pairs[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}};
    for (int i = 0; i < 2; i++) {
        size_t size = strlen(name), tail = strlen(pairs[i][0]);
        if (size < tail || strcmp(name + size - tail, pairs[i][0]) != 0) continue;
        snprintf(out, NAME_SIZE, "%.*s%s", (int)(size - tail), name, pairs[i][1]);
        return true;
    }
    return false;
}

/* With the prefix, else without. */
static const ds__tensor_entry *find_prefixed(const ds__model_builder *builder, const char *name) {
    char full[NAME_SIZE];
    snprintf(full, sizeof full, "%s%s", builder->architecture->weight_prefix, name);
    const ds__tensor_entry *entry = ds__weights_find(builder->weights, ds__str_of(full));
    return entry ? entry : ds__weights_find(builder->weights, ds__str_of(name));
}
