/* What an architecture is: how its configuration reads, what its weights are called, which graph it is.
 *
 * One file an architecture (bert.c, ...) with one const ds__architecture, one row in models.def. */
#ifndef DS_MODELS_ARCHITECTURE_H
#define DS_MODELS_ARCHITECTURE_H

#include "deepseek/model.h"
#include "formats/safetensors_index.h"
#include "ir/graph.h"

/* What "temperature" may be. Far outside of what calibration finds; beyond it scores are all equal, or all 0 and 1. */
#define DS__LEAST_TEMPERATURE 0.01
#define DS__MOST_TEMPERATURE 100.0

/* config.json with every default of the architecture filled in and every number checked. */
typedef struct ds__model_config {
    const char *path; /* of config.json, for messages */
    const char
        *architecture; /* architectures[0]: "BertForSequenceClassification"; NULL: see ds__model_config_find_head */
    const char *model_type; /* "bert" */
    int32_t vocab_size, hidden_size, layers, heads, intermediate_size;
    int32_t position_rows;   /* rows of the position table */
    int32_t first_position;  /* the table's row of a text's first token: 0, or pad_token_id + 1 in RoBERTa */
    int32_t type_vocab_size; /* 0: the architecture has no token types */
    int32_t pad_token_id;    /* -1: none; only for first_position and, in training, for the row without a gradient */
    float layer_norm_epsilon;
    ds__activation activation; /* of the feed-forward part */
    /* For training: what is dropped of embeddings and dense outputs, of attention's probabilities, in front of the
     * classifier; the standard deviation of new weights. */
    float hidden_dropout, attention_dropout, classifier_dropout, initializer_range;
    ds_head head;
    ds_problem problem; /* of a head on sequences */
    float temperature;  /* what the logits of a head on sequences are divided by for scores; 1: as they are */
    int32_t labels;     /* 0 without a head */
    const char *const *label_names; /* [labels] */
} ds__model_config;

/* How many positions a text may take. */
static inline int32_t ds__max_tokens(const ds__model_config *config) {
    return config->position_rows - config->first_position;
}

typedef struct ds__architecture ds__architecture;

/* What matrices that a folder stores in floats are brought to. A zeroed structure: nothing. */
typedef struct ds__precision_plan {
    ds__precision precision, otherwise; /* of matrices and tables; of those that `exclude` names */
    const char *const *exclude;         /* patterns of fnmatch(3) */
    size_t exclude_count;
} ds__precision_plan;

/* For training: where weights live, and what is done beside the forward pass. */
typedef struct ds__training_wish {
    void *own;
    /* Memory for the tensor saved under `name` ([shape] floats), filled; stored: what the folder has, NULL when it has
     * nothing (a new head).  NULL: failed, *error says why.  Called once for each time that a graph uses it. */
    float *(*parameter)(void *own, const char *name, const ds__safetensor *stored, int rank, const int64_t *shape,
                        ds_error *error);
    /* Rank and scale (alpha / rank) of low-rank adapters beside the dense layer called `name`; 0: none. May be NULL. */
    int32_t (*adapter)(void *own, const char *name, float *scale);
    bool drops;     /* dropout as the configuration says, drawn from the input "rng": int32 [3] */
    bool quantizes; /* matrices of the encoder and what they are multiplied with are rounded as int8 */
    bool new_head;  /* the head's stored weights are passed over */
    bool pairs;     /* the number of texts is 2 * P instead of B */
} ds__training_wish;

/* While a graph is being built. Sticky: errors are the graph's. */
typedef struct ds__model_builder {
    ds_graph *graph;
    const ds__architecture *architecture;
    const ds__model_config *config;
    const ds__weights *weights;
    /* Inputs of every encoder: ids, positions (table rows), type_ids: int32 [T]; seq_start: int32 [B+1]. type_ids
     * exists only where the configuration has token types. */
    ds_value ids, positions, type_ids, seq_start;
    bool *used;                        /* [tensors of the weights]: marked when a graph takes one; NULL: not recorded */
    ds__precision_plan plan;           /* of what is built next: heads have another one than the encoder */
    const ds__training_wish *training; /* NULL: weights are constants */
    bool in_head;                      /* what is built next belongs to the head */
    ds_value hidden;                   /* once it is built: the last hidden state, [T, hidden_size] */
    ds_value rng;                      /* DS_NO_VALUE where nothing is dropped */
    int32_t sites;                     /* dropouts so far */
} ds__model_builder;

/* The keys of config.json that architectures name differently. */
typedef enum ds__config_key {
    DS__KEY_VOCAB_SIZE,
    DS__KEY_HIDDEN_SIZE,
    DS__KEY_LAYERS,
    DS__KEY_HEADS,
    DS__KEY_INTERMEDIATE_SIZE,
    DS__KEY_POSITIONS,
    DS__KEY_ACTIVATION,
    DS__CONFIG_KEYS
} ds__config_key;

struct ds__architecture {
    const char *model_type;
    const char *class_name;            /* "Bert": what the names of its classes begin with */
    const char *weight_prefix;         /* "bert.": tensors are found with or without it */
    int32_t pad_token_id;              /* where config.json has no such key */
    const char *sequence_weight;       /* a tensor that, beside a classifier, only the head on sequences has */
    const char *keys[DS__CONFIG_KEYS]; /* NULL: the name that BERT has for it */
    const char *rate_keys[3];          /* of hidden_dropout, attention_dropout, classifier_dropout; NULL: BERT's name */
    /* Fills in and checks what the architecture derives from the keys already read. NULL: nothing. */
    ds_status (*configure)(ds__model_config *config, ds_error *error);
    ds_value (*encode)(ds__model_builder *builder);                    /* -> last hidden state [T, hidden_size] */
    ds_value (*classify)(ds__model_builder *builder, ds_value hidden); /* -> logits [B or T, labels] as the head says */
};

#define DS_ARCHITECTURE(name, about) extern const ds__architecture ds__architecture_##name;
#include "models/models.def"
#undef DS_ARCHITECTURE

/* The architecture of a model_type, or, for configurations older than that key, of a class name. NULL: none. */
const ds__architecture *ds__architecture_find(ds__str model_type);
const ds__architecture *ds__architecture_of_class(ds__str class_name);
/* "bert, roberta, distilbert" for messages. */
const char *ds__architecture_names(void);

/* Reads config.json in `folder`; texts go into the arena. Refuses by name what is not supported. A class without a head
 * that is known here (BertForMaskedLM) is read as one without a head. */
ds_status ds__model_config_read(ds__arena *arena, const char *folder, ds__model_config *config,
                                const ds__architecture **architecture, ds_error *error) DS_MUST_CHECK;
/* Where config.json names no class: tells head and class from the weights that are there. Else does nothing. */
ds_status ds__model_config_find_head(ds__arena *arena, ds__model_config *config, const ds__architecture *architecture,
                                     const ds__weights *weights, ds_error *error) DS_MUST_CHECK;

/* Starts a builder on an empty graph: makes the inputs. training: NULL for a graph that is only run. */
void ds__model_builder_init(ds__model_builder *builder, ds_graph *graph, const ds__architecture *architecture,
                            const ds__model_config *config, const ds__weights *weights, bool *used,
                            const ds__training_wish *training);
/* x with a share `rate` dropped in training; x itself otherwise. */
ds_value ds__model_dropout(ds__model_builder *builder, ds_value x, float rate);
/* The weight called `format` (printf-style name without the prefix), which must have this shape and be stored as F32,
 * F16 or BF16; a missing or misshapen tensor is the graph's error and names the file, the tensor and both shapes. */
ds_value ds__model_matrix(ds__model_builder *builder, int64_t rows, int64_t cols, const char *format, ...)
    DS_PRINTF(4, 5);
ds_value ds__model_vector(ds__model_builder *builder, int64_t size, const char *format, ...) DS_PRINTF(3, 4);

#endif
