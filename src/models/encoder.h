/* The transformer encoder that BERT, RoBERTa and DistilBERT have in common (Vaswani et al. 2017, with the normalisation
 * behind each residual): they differ in what the weights are called. */
#ifndef DS_MODELS_ENCODER_H
#define DS_MODELS_ENCODER_H

#include "models/architecture.h"

/* Names of one layer's weights, between "LAYERS.3." and ".weight" or ".bias". */
typedef struct ds__layer_names {
    const char *layers; /* "encoder.layer" */
    const char *query, *key, *value, *attention_output, *attention_norm;
    bool keeps_attention_output;         /* nothing of it is dropped in training */
    const char *up, *down, *output_norm; /* of the feed-forward part: hidden -> intermediate -> hidden */
} ds__layer_names;

/* As BERT and RoBERTa call them. */
extern const ds__layer_names ds__bert_layer_names;

/* The sum of word, token type (where there are any) and position embeddings, normalised -> [T, hidden_size] */
ds_value ds__embed_tokens(ds__model_builder *builder);
/* x: [T, hidden_size] -> the last layer's output, of the same shape */
ds_value ds__encoder_layers(ds__model_builder *builder, ds_value x, const ds__layer_names *names);

/* x: [R, cols] -> x * weight^T + bias: [R, rows], with the weights NAME.weight and NAME.bias. */
ds_value ds__dense(ds__model_builder *builder, ds_value x, int32_t rows, int32_t cols, const char *name);

#endif
