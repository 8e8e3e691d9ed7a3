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

/* Low-rank adapters (Hu et al. 2021) beside a dense layer: y + scale * (x * A^T) * B^T, A: [rank, cols], B: [rows,
 * rank]. */
static ds_value adapted(ds__model_builder *builder, ds_value x, ds_value weight, ds_value y, const char *name) {
    const ds__training_wish *training = builder->training;
    ds_graph *graph = builder->graph;
    float scale = 1;
    const int32_t rank = training->adapter ? training->adapter(training->own, name, &scale) : 0;
    if (rank == 0 || !ds__graph_ok(graph)) return y;
    const ds_dim *size = graph->values[weight.index].shape.dims;
    const int64_t shapes[2][2] = {{rank, size[1].base}, {size[0].base, rank}};
    const char *full = graph->values[weight.index].name;
    ds_value low = x;
    for (int i = 0; i < 2; i++) {
        char tensor[NAME_SIZE + 64];
        ds_error error;
        snprintf(tensor, sizeof tensor, "%.*s.lora_%c.weight", (int)(strlen(full) - strlen(".weight")), full, "AB"[i]);
        float *data = training->parameter(training->own, tensor, NULL, 2, shapes[i], &error);
        if (!data) return ds__graph_fail(graph, error.status, "%s", error.message);
        low = ds__linear(graph, low, ds__graph_state(graph, tensor, 2, shapes[i], data), DS_NO_VALUE);
    }
    return ds__add(graph, y, ds__scale(graph, low, scale));
}

/* Heads keep their floats, as in the int8 engine; so do adapters, which are merged before anything is quantised. */
static ds_value train_dense(ds__model_builder *builder, ds_value x, ds_value weight, ds_value bias, const char *name) {
    const bool rounds = builder->training->quantizes && !builder->in_head;
    ds_value left = rounds ? ds__fake_quantize(builder->graph, x, false) : x;
    ds_value right = rounds ? ds__fake_quantize(builder->graph, weight, true) : weight;
    ds_value y = ds__linear(builder->graph, left, right, bias);
    return adapted(builder, x, weight, y, name);
}

ds_value ds__dense(ds__model_builder *builder, ds_value x, int32_t rows, int32_t cols, const char *name) {
    ds_value weight = ds__model_matrix(builder, rows, cols, "%s.weight", name);
    ds_value bias = ds__model_vector(builder, rows, "%s.bias", name);
    if (builder->training) return train_dense(builder, x, weight, bias, name);
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

/* In training the padding token's row has no gradient, as torch.nn.Embedding(padding_idx) gives it none.  RoBERTa's
 * table of positions needs no such thing: no token is at the padding token's position. */
static ds_value embed_words(ds__model_builder *builder) {
    const ds__model_config *config = builder->config;
    const bool skips = builder->training && config->pad_token_id < config->vocab_size;
    const ds_value inputs[] = {
        ds__model_matrix(builder, config->vocab_size, config->hidden_size, "%s.weight", "embeddings.word_embeddings"),
        builder->ids};
    return ds__graph_add(builder->graph, &ds__op_gather, inputs, 2,
                         (ds__attributes){.skipped = skips ? (int64_t)config->pad_token_id + 1 : 0});
}

ds_value ds__embed_tokens(ds__model_builder *builder) {
    const ds__model_config *config = builder->config;
    ds_graph *graph = builder->graph;
    ds_value x = embed_words(builder);
    if (config->type_vocab_size)
        x = ds__add(graph, x,
                    embedding(builder, config->type_vocab_size, "embeddings.token_type_embeddings", builder->type_ids));
    x = ds__add(graph, x,
                embedding(builder, config->position_rows, "embeddings.position_embeddings", builder->positions));
    return ds__model_dropout(builder, norm(builder, x, "embeddings.LayerNorm"), config->hidden_dropout);
}

/* The full name of a part of layer `layer`. */
static const char *part(char text[NAME_SIZE], const ds__layer_names *names, int32_t layer, const char *name) {
    snprintf(text, NAME_SIZE, "%s.%d.%s", names->layers, layer, name);
    return text;
}

static ds_value attend(ds__model_builder *builder, const ds_value qkv[3]) {
    const float rate = builder->config->attention_dropout;
    if (builder->rng.index < 0 || rate == 0)
        return ds__attention(builder->graph, qkv, builder->seq_start,
                             (ds_attention_config){.heads = builder->config->heads});
    ds_value inputs[] = {qkv[0], qkv[1], qkv[2], builder->seq_start, builder->rng};
    return ds__graph_add(builder->graph, &ds__op_attention, inputs, 5,
                         (ds__attributes){.heads = builder->config->heads, .dropout = rate, .site = builder->sites++});
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
    ds_value y = attend(builder, qkv);
    y = ds__dense(builder, y, hidden, hidden, part(text, names, layer, names->attention_output));
    if (!names->keeps_attention_output) y = ds__model_dropout(builder, y, builder->config->hidden_dropout);
    return norm(builder, ds__add(builder->graph, y, x), part(text, names, layer, names->attention_norm));
}

/* norm(x + down(activation(up(x)))) */
static ds_value feed_forward(ds__model_builder *builder, ds_value x, const ds__layer_names *names, int32_t layer) {
    int32_t hidden = builder->config->hidden_size, inner = builder->config->intermediate_size;
    char text[NAME_SIZE];
    ds_value y = ds__dense(builder, x, inner, hidden, part(text, names, layer, names->up)); /* [T, I] */
    y = ds__activate(builder->graph, y, builder->config->activation);
    y = ds__dense(builder, y, hidden, inner, part(text, names, layer, names->down));
    y = ds__model_dropout(builder, y, builder->config->hidden_dropout);
    return norm(builder, ds__add(builder->graph, y, x), part(text, names, layer, names->output_norm));
}

ds_value ds__encoder_layers(ds__model_builder *builder, ds_value x, const ds__layer_names *names) {
    for (int32_t layer = 0; layer < builder->config->layers; layer++) {
        x = self_attention(builder, x, names, layer);
        x = feed_forward(builder, x, names, layer);
    }
    return x;
}
