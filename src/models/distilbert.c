/* DistilBERT (Sanh, Debut, Chaumond, Wolf 2019): BERT with half the layers, no token types, no pooler, and names of its
 * own for everything. */
#include "models/encoder.h"
#include "ops/ops.h"

static const ds__layer_names layer_names = {
    .layers = "transformer.layer",
    .query = "attention.q_lin",
    .key = "attention.k_lin",
    .value = "attention.v_lin",
    .attention_output = "attention.out_lin",
    .attention_norm = "sa_layer_norm",
    .keeps_attention_output = true,
    .up = "ffn.lin1",
    .down = "ffn.lin2",
    .output_norm = "output_layer_norm",
};

/* The configuration has no say in these: token types do not exist, and the norms' epsilon is a constant of the model.
 */
static ds_status configure(ds__model_config *config, ds_error *error) {
    (void)error;
    config->type_vocab_size = 0;
    config->layer_norm_epsilon = 1e-12f;
    return DS_OK;
}

static ds_value encode(ds__model_builder *builder) {
    return ds__encoder_layers(builder, ds__embed_tokens(builder), &layer_names);
}

/* On sequences: classifier(relu(pre_classifier(first token))); on tokens: the classifier alone. */
static ds_value classify(ds__model_builder *builder, ds_value hidden) {
    int32_t size = builder->config->hidden_size, labels = builder->config->labels;
    ds_value x = hidden;
    if (builder->config->head == DS_HEAD_SEQUENCE) {
        x = ds__pool_rows(builder->graph, x, builder->seq_start, DS__POOL_FIRST);
        x = ds__dense(builder, x, size, size, "pre_classifier");
        x = ds__activate(builder->graph, x, DS__ACTIVATION_RELU);
    }
    x = ds__model_dropout(builder, x,
                          builder->config->head == DS_HEAD_SEQUENCE ? builder->config->classifier_dropout
                                                                    : builder->config->hidden_dropout);
    return ds__dense(builder, x, labels, size, "classifier");
}

const ds__architecture ds__architecture_distilbert = {
    .model_type = "distilbert",
    .class_name = "DistilBert",
    .weight_prefix = "distilbert.",
    .pad_token_id = 0,
    .sequence_weight = "pre_classifier.weight",
    .keys =
        {
            [DS__KEY_HIDDEN_SIZE] = "dim",
            [DS__KEY_LAYERS] = "n_layers",
            [DS__KEY_HEADS] = "n_heads",
            [DS__KEY_INTERMEDIATE_SIZE] = "hidden_dim",
            [DS__KEY_ACTIVATION] = "activation",
        },
    .rate_keys = {"dropout", "attention_dropout", "seq_classif_dropout"},
    .configure = configure,
    .encode = encode,
    .classify = classify,
};
