/* RoBERTa (Liu et al. 2019): BERT's encoder; positions are counted from behind the padding token's number, and the head
 * on sequences has a layer of its own in place of the pooler. */
#include "models/encoder.h"
#include "ops/ops.h"

enum { DEFAULT_PAD_TOKEN = 1 };

static ds_status configure(ds__model_config *config, ds_error *error) {
    (void)error;
    if (config->pad_token_id < 0) config->pad_token_id = DEFAULT_PAD_TOKEN;
    config->first_position = config->pad_token_id + 1;
    return DS_OK;
}

static ds_value encode(ds__model_builder *builder) {
    return ds__encoder_layers(builder, ds__embed_tokens(builder), &ds__bert_layer_names);
}

/* On sequences: out_proj(tanh(dense(first token))); on tokens: the classifier alone. */
static ds_value classify(ds__model_builder *builder, ds_value hidden) {
    int32_t size = builder->config->hidden_size, labels = builder->config->labels;
    const float rate = builder->config->classifier_dropout;
    if (builder->config->head == DS_HEAD_TOKEN)
        return ds__dense(builder, ds__model_dropout(builder, hidden, rate), labels, size, "classifier");
    ds_value x = ds__pool_rows(builder->graph, hidden, builder->seq_start, DS__POOL_FIRST);
    x = ds__model_dropout(builder, x, rate);
    x = ds__dense(builder, x, size, size, "classifier.dense");
    x = ds__model_dropout(builder, ds__activate(builder->graph, x, DS__ACTIVATION_TANH), rate);
    return ds__dense(builder, x, labels, size, "classifier.out_proj");
}

const ds__architecture ds__architecture_roberta = {
    .model_type = "roberta",
    .class_name = "Roberta",
    .weight_prefix = "roberta.",
    .pad_token_id = DEFAULT_PAD_TOKEN,
    .sequence_weight = "classifier.out_proj.weight",
    .configure = configure,
    .encode = encode,
    .classify = classify,
};
