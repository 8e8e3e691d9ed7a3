/* BERT (Devlin, Chang, Lee, Toutanova 2018). */
#include "models/encoder.h"
#include "ops/ops.h"

static ds_value encode(ds__model_builder *builder) {
    return ds__encoder_layers(builder, ds__embed_tokens(builder), &ds__bert_layer_names);
}

/* On sequences: classifier(tanh(pooler(first token))); on tokens: the classifier alone. */
static ds_value classify(ds__model_builder *builder, ds_value hidden) {
    int32_t size = builder->config->hidden_size, labels = builder->config->labels;
    ds_value x = hidden;
    if (builder->config->head == DS_HEAD_SEQUENCE) {
        x = ds__pool_rows(builder->graph, x, builder->seq_start, DS__POOL_FIRST);
        x = ds__dense(builder, x, size, size, "pooler.dense");
        x = ds__activate(builder->graph, x, DS__ACTIVATION_TANH);
    }
    x = ds__model_dropout(builder, x, builder->config->classifier_dropout);
    return ds__dense(builder, x, labels, size, "classifier");
}

const ds__architecture ds__architecture_bert = {
    .model_type = "bert",
    .class_name = "Bert",
    .weight_prefix = "bert.",
    .pad_token_id = 0,
    .sequence_weight = "pooler.dense.weight",
    .encode = encode,
    .classify = classify,
};
