/* What an architecture is: how its configuration reads, what its weights are called, which graph it is.
 *
 * One file an architecture (bert.c, ...) with one const ds__architecture, one row in models.def. */
#ifndef DS_MODELS_ARCHITECTURE_H
#define DS_MODELS_ARCHITECTURE_H

#include "deepseek/model.h"
#include "formats/safetensors_index.h"
#include "ir/graph.h"

/* config.json with every default of the architecture filled in and every number checked. */
typedef struct ds__model_config {
    const char *path;         /* of config.json, for messages */
    const char *architecture; /* architectures[0]: "BertForSequenceClassification" */
    const char *model_type;   /* "bert" */
    int32_t vocab_size, hidden_size, layers, heads, intermediate_size;
    int32_t position_rows;    /* rows of the position table */
    int32_t first_position;   /* the table's row of a text's first token: 0, or pad_token_id + 1 in RoBERTa */
    int32_t type_vocab_size;  /* 0: the architecture has no token types */
    float layer_norm_epsilon;
    ds__activation activation; /* of the feed-forward part */
    ds_head head;
    ds_problem problem;
    int32_t labels; /* 0 without a head */
    const char *const *label_names; /* [labels] */
} ds__model_config;

/* How many positions a text may take. */
static inline int32_t ds__max_tokens(const ds__model_config *config) {
    return config->position_rows - config->first_position;
}

/* While a graph is being built. Sticky: errors are the graph's. */
typedef struct ds__model_builder {
    ds_graph *graph;
    const ds__model_config *config;
    const ds__weights *weights;
    /* Inputs of every encoder: ids, positions (table rows), type_ids: int32 [T]; seq_start: int32 [B+1]. type_ids exists
     * only where the configuration has token types. */
    ds_value ids, positions, type_ids, seq_start;
    bool *used; /* [tensors of the weights]: marked when a graph takes one; NULL: not recorded */
} ds__model_builder;

typedef struct ds__architecture {
    const char *model_type;
    const char *weight_prefix; /* "bert.": tensors are found with or without it */
    /* Keys that are called otherwise, defaults, what is refused. Called with the generic keys already read. */
    ds_status (*configure)(ds__model_config *config, ds_error *error);
    ds_value (*encode)(ds__model_builder *builder);                /* -> last hidden state [T, hidden_size] */
    ds_value (*classify)(ds__model_builder *builder, ds_value hidden); /* -> logits [B or T, labels] as the head says */
} ds__architecture;

#define DS_ARCHITECTURE(name, about) extern const ds__architecture ds__architecture_##name;
#include "models/models.def"
#undef DS_ARCHITECTURE

/* NULL when no architecture is called so. */
const ds__architecture *ds__architecture_find(ds__str model_type);
/* "bert, roberta, distilbert" for messages. */
const char *ds__architecture_names(void);

/* Reads config.json in `folder`; texts go into the arena. Refuses by name what is not supported. */
ds_status ds__model_config_read(ds__arena *arena, const char *folder, ds__model_config *config,
                                const ds__architecture **architecture, ds_error *error) DS_MUST_CHECK;

/* Starts a builder on an empty graph: makes the inputs. */
void ds__model_builder_init(ds__model_builder *builder, ds_graph *graph, const ds__model_config *config,
                            const ds__weights *weights, bool *used);
/* The weight called `format` (printf-style name without the prefix), which must have this shape and be stored as F32, F16
 * or BF16; a missing or misshapen tensor is the graph's error and names the file, the tensor and both shapes. */
ds_value ds__model_matrix(ds__model_builder *builder, const ds__architecture *architecture, int64_t rows, int64_t cols,
                          const char *format, ...) DS_PRINTF(5, 6);
ds_value ds__model_vector(ds__model_builder *builder, const ds__architecture *architecture, int64_t size,
                          const char *format, ...) DS_PRINTF(4, 5);

#endif
