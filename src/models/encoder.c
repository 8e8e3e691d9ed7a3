/* The encoder's layers.  H = hidden_size, I = intermediate_size, T = tokens of all texts. */
#include "models/encoder.h"

#include <stdio.h>

#include "ops/ops.h"

enum { NAME_SIZE = 128 }; /* the longest is "encoder.layer.1023.attention.output.LayerNorm" */

const ds__layer_names ds__bert_layer_names = {
    .layers = "encoder.layer",
    .query = "attention.self.query",
    .key = "attention.self.key",
    .value = "attention.self.value",
    .attention_output = "attention.output.dense",
    .attention_norm = "attention.output.LayerNorm",
    .up = "intermediate.dense",
    .down = "output.dense",
    .output_norm = "output.LayerNorm",
};

ds_value ds__dense(ds__model_builder *builder, ds_value x, int32_t rows, int32_t cols, const char *name) {
    ds_value weight = ds__model_matrix(builder, rows, cols, "%s.weight", name);
    ds_value bias = ds__model_vector(builder, rows, "%s.bias", name);
    return ds__linear(builder->graph, x, weight, bias);
}

static ds_value norm(ds__model_builder *builder, ds_value x, const char *name) {
    const ds__model_config *config = builder->config;
    ds_value gamma = ds__model_vector(builder, config->hidden_size, "%s.weight", name);
    ds_value beta = ds__model_vector(builder, config->hidden_size, "%s.bias", name);
    return ds__layer_norm(builder->graph, x, gamma, beta, config->layer_norm_epsilon);
}

static ds_value embedding(ds__model_builder *builder, int32_t rows, const char *name, ds_value ids) {
    return ds__gather(builder->graph, ds__model_matrix(builder, rows, builder->config->hidden_size, "%s.weight", name),
                      ids);
}

ds_value ds__embed_tokens(ds__model_builder *builder) {
    const ds__model_config *config = builder->config;
    ds_graph *graph = builder->graph;
    ds_value x = embedding(builder, config->vocab_size, "embeddings.word_embeddings", builder->ids);
    if (config->type_vocab_size)
        x = ds__add(graph, x,
                    embedding(builder, config->type_vocab_size, "embeddings.token_type_embeddings", builder->type_ids));
    x = ds__add(graph, x,
                embedding(builder, config->position_rows, "embeddings.position_embeddings", builder->positions));
    return norm(builder, x, "embeddings.LayerNorm");
}

/* The full name of a part of layer `layer`. */
static const char *part(char text[NAME_SIZE], const ds__layer_names *names, int32_t layer, const char *name) {
    snprintf(text, NAME_SIZE, "%s.%d.%s", names->layers, layer, name);
    return text;
}

/* norm(x + output(attention(query(x), key(x), value(x)))) */
static ds_value self_attention(ds__model_builder *builder, ds_value x, const ds__layer_names *names, int32_t layer) {
    int32_t hidden = builder->config->hidden_size;
    char text[NAME_SIZE];
    ds_value qkv[3] = {
        ds__dense(builder, x, hidden, hidden, part(text, names, layer, names->query)),
        ds__dense(builder, x, hidden, hidden, part(text, names, layer, names->key)),
        ds__dense(builder, x, hidden, hidden, part(text, names, layer, names->value)),
    };
    ds_value y =
        ds__attention(builder->graph, qkv, builder->seq_start, (ds_attention_config){.heads = builder->config->heads});
    y = ds__dense(builder, y, hidden, hidden, part(text, names, layer, names->attention_output));
    return norm(builder, ds__add(builder->graph, y, x), part(text, names, layer, names->attention_norm));
}

/* norm(x + down(activation(up(x)))) */
static ds_value feed_forward(ds__model_builder *builder, ds_value x, const ds__layer_names *names, int32_t layer) {
    int32_t hidden = builder->config->hidden_size, inner = builder->config->intermediate_size;
    char text[NAME_SIZE];
    ds_value y = ds__dense(builder, x, inner, hidden, part(text, names, layer, names->up)); /* [T, I] */
    y = ds__activate(builder->graph, y, builder->config->activation);
    y = ds__dense(builder, y, hidden, inner, part(text, names, layer, names->down));
    return norm(builder, ds__add(builder->graph, y, x), part(text, names, layer, names->output_norm));
}

ds_value ds__encoder_layers(ds__model_builder *builder, ds_value x, const ds__layer_names *names) {
    for (int32_t layer = 0; layer < builder->config->layers; layer++) {
        x = self_attention(builder, x, names, layer);
        x = feed_forward(builder, x, names, layer);
    }
    return x;
}
