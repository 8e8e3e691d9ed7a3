/* Models as Hugging Face stores them: open a folder, embed, classify, tag.
 *
 * A ds_model is immutable once open and may be used by many threads; each thread runs it through a ds_session of its
 * own, which holds the activations.  A session's memory grows to the largest batch it has seen and then stays.
 *
 *     ds_context *context;  ds_model *model;  ds_session *session;  ds_error error;
 *     ds_context_create(NULL, &context, &error);
 *     ds_model_open(context, "all-MiniLM-L6-v2", NULL, &model, &error);
 *     ds_session_create(model, &session, &error);
 *     ds_embed(session, texts, count, NULL, vectors, NULL, &error);          // vectors: [count, hidden_size] */
#ifndef DEEPSEEK_MODEL_H
#define DEEPSEEK_MODEL_H

#include <stdbool.h>

#include "deepseek/context.h"
#include "deepseek/tensor.h"
#include "deepseek/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ds_model ds_model;
typedef struct ds_session ds_session;

/* What a model computes in.  AUTO: the faster one of the two here, and ds_model_info says which and why.  bfloat16
 * keeps 8 bits of a weight, and of what is multiplied with it where the CPU has such products; sums, norms, softmax and
 * activations stay in float32. */
typedef enum ds_precision { DS_PRECISION_FLOAT32, DS_PRECISION_BFLOAT16, DS_PRECISION_AUTO } ds_precision;
/* "float32", "bfloat16", "auto". */
DS_API const char *ds_precision_name(ds_precision precision);
/* AUTO: what the folder stores in int8 is computed so, everything else in the precision.  INT8: the layers' matrices
 * and the embedding tables are brought to int8 when the model is opened (one scale a row), and tokens are quantised on
 * the way; heads keep the precision. */
typedef enum ds_quantization { DS_QUANTIZATION_AUTO, DS_QUANTIZATION_INT8 } ds_quantization;
typedef enum ds_head { DS_HEAD_NONE, DS_HEAD_SEQUENCE, DS_HEAD_TOKEN } ds_head;
typedef enum ds_problem { DS_PROBLEM_SINGLE_LABEL, DS_PROBLEM_MULTI_LABEL, DS_PROBLEM_REGRESSION } ds_problem;
typedef enum ds_pooling { DS_POOLING_AUTO, DS_POOLING_MEAN, DS_POOLING_CLS, DS_POOLING_MAX } ds_pooling;
typedef enum ds_switch { DS_SWITCH_AUTO, DS_SWITCH_YES, DS_SWITCH_NO } ds_switch;

/* A zeroed structure means the defaults. */
typedef struct ds_model_options {
    ds_precision precision;
    ds_quantization quantization;
    /* Weights that INT8 leaves in the precision: patterns of their names, as a shell's ("encoder.layer.0.*"). */
    const char *const *exclude;
    size_t exclude_count;
    /* A folder with adapters of LoRA as peft stores them (adapter_config.json, adapter_model.safetensors), made for the
     * folder that is opened: merged into its weights. NULL: none. */
    const char *adapter;
    bool without_tokenizer; /* only ds_forward will be used: the tokenizer's files are not read */
} ds_model_options;

/* What config.json, modules.json and the weights say.  Texts live as long as the model. */
typedef struct ds_model_info {
    const char *folder;
    const char *architecture; /* "BertForSequenceClassification" */
    const char *model_type;   /* "bert" */
    int64_t parameters;       /* elements of all tensors stored */
    int32_t layers, hidden_size, heads, intermediate_size, vocab_size;
    int32_t max_tokens; /* positions that the model has for a text, special tokens included */
    ds_head head;
    ds_problem problem;        /* where there is a head */
    int32_t labels;            /* 0 without a head */
    float temperature;         /* what logits are divided by for scores (config.json, "temperature"); 1: nothing */
    ds_pooling pooling;        /* what DS_POOLING_AUTO means here */
    bool normalize;            /* what DS_SWITCH_AUTO means here */
    int32_t embed_max_tokens;  /* where ds_embed truncates */
    ds_precision precision;    /* what it computes in where it is not int8; never AUTO */
    const char *precision_why; /* one sentence */
    int32_t int8_weights;      /* matrices and tables in int8; 0: none */
} ds_model_info;

/* folder: config.json, model.safetensors (or shards with an index), and the tokenizer's files.  The weights are mapped;
 * those that products need are packed for this CPU, and the file's pages are given back. */
DS_API DS_MUST_CHECK ds_status ds_model_open(ds_context *context, const char *folder, const ds_model_options *options,
                                             ds_model **out, ds_error *error);
/* Its sessions must be gone. NULL is allowed. */
DS_API void ds_model_close(ds_model *model);
DS_API const ds_model_info *ds_model_describe(const ds_model *model);
/* id2label's text, "LABEL_3" where the configuration has none; NULL outside 0..labels-1. */
DS_API const char *ds_model_label(const ds_model *model, int32_t label);
/* NULL when opened without one. Borrowed. */
DS_API const ds_tokenizer *ds_model_tokenizer(const ds_model *model);

/* Writing a folder whose layers and tables are stored in int8, as DS_QUANTIZATION_INT8 would bring them to it. */
typedef struct ds_quantized_tensor {
    const char *name;
    int64_t rows, cols;
    double relative_error; /* |w - quantised w| / |w|, Frobenius norms */
} ds_quantized_tensor;

typedef struct ds_quantize_options {
    const char *const *exclude; /* as in ds_model_options: these keep what they are stored in */
    size_t exclude_count;
    /* Called for each tensor that is quantised, as it is done; count: of all of them. May be NULL. */
    void (*each)(void *user, const ds_quantized_tensor *tensor, size_t count);
    void *user;
} ds_quantize_options;

typedef struct ds_quantize_stats {
    size_t quantized; /* tensors */
    uint64_t bytes_before, bytes_after;
} ds_quantize_stats;

/* output: a folder that does not exist, or is empty; it appears whole or not at all.  The weights go into one
 * model.safetensors, a matrix X as I8 with its scales (F32, one a row) as X_scale; config.json gets a member
 * "quantization_config"; other files of up to 64 MiB (tokenizer, modules), of the folder and its sub-folders, are
 * copied.  options: NULL means none. */
DS_API DS_MUST_CHECK ds_status ds_model_quantize(ds_context *context, const char *folder, const char *output,
                                                 const ds_quantize_options *options, ds_quantize_stats *stats,
                                                 ds_error *error);

/* Writing a folder with fewer tokens of a WordPiece vocabulary: what texts of one kind do not need is left out. */
typedef struct ds_prune_options {
    size_t tokens;          /* of the new vocabulary */
    const uint64_t *counts; /* [count_size]: how often each id occurs in such texts */
    size_t count_size;      /* ds_tokenizer_size of the folder's tokenizer */
} ds_prune_options;

typedef struct ds_prune_stats {
    size_t tokens_before, tokens_after; /* rows of the embedding table */
    uint64_t bytes_before, bytes_after; /* of all weights */
} ds_prune_stats;

/* output: as for ds_model_quantize.  Kept are special and added tokens and every single character (which all must fit),
 * then the tokens that occur, frequent ones first, then others by rising id.  Ids are numbered anew in the old order;
 * the tables' rows are the old ones, int8 folders included.  A text all of whose tokens are kept gives the same result
 * to the bit; other words fall apart into kept pieces and never become unknown: a vocabulary of which that cannot be
 * promised is refused. */
DS_API DS_MUST_CHECK ds_status ds_model_prune(ds_context *context, const char *folder, const char *output,
                                              const ds_prune_options *options, ds_prune_stats *stats, ds_error *error);

/* Where memory goes, in bytes, for batches of at most `tokens` tokens in `texts` texts. */
typedef struct ds_memory_plan {
    uint64_t
        packed_weights; /* allocated: weights of products in the kernels' order, others that could not stay as stored */
    uint64_t
        mapped_weights; /* size of the mapped files; pages of packed weights are given back, of others read on demand */
    uint64_t activations;           /* one buffer, planned by liveness */
    uint64_t activations_unplanned; /* what the same values would take side by side */
    uint64_t scratch;               /* of all threads */
} ds_memory_plan;
DS_API DS_MUST_CHECK ds_status ds_model_plan(const ds_model *model, size_t tokens, size_t texts, ds_memory_plan *plan,
                                             ds_error *error);

DS_API DS_MUST_CHECK ds_status ds_session_create(ds_model *model, ds_session **out, ds_error *error);
DS_API void ds_session_destroy(ds_session *session);

/* What a call did; any pointer to it may be NULL. */
typedef struct ds_run_stats {
    size_t tokens;    /* computed, special ones included */
    size_t truncated; /* texts that were cut */
} ds_run_stats;

/* A zeroed structure (or NULL) means the defaults. */
typedef struct ds_embed_options {
    ds_pooling pooling;
    ds_switch normalize;
    int32_t max_tokens; /* 0: info.embed_max_tokens; more than info.max_tokens is refused */
} ds_embed_options;

/* out: [count, hidden_size], row i for texts[i]. A batch is split as the memory limit asks; a row does not depend on
 * it. */
DS_API DS_MUST_CHECK ds_status ds_embed(ds_session *session, const ds_text *texts, size_t count,
                                        const ds_embed_options *options, float *out, ds_run_stats *stats,
                                        ds_error *error);

/* The answer to a text that no label fits. */
enum { DS_LABEL_UNKNOWN = -1 };

typedef struct ds_classify_options {
    bool logits;        /* the head's raw outputs instead of scores */
    int32_t max_tokens; /* 0: info.max_tokens */
    /* [count] or NULL: gets each text's best label, or DS_LABEL_UNKNOWN where its score is under `threshold` (0 to 1).
     * For scores only: refused together with logits, and for regression. */
    int32_t *answers;
    float threshold;
} ds_classify_options;

/* For models with a head on sequences.  pairs: NULL, or the second text of each.  scores: [count, labels]; softmax of
 * logits / info.temperature for single-label, their sigmoids for multi-label, the raw value for regression. */
DS_API DS_MUST_CHECK ds_status ds_classify(ds_session *session, const ds_text *texts, const ds_text *pairs,
                                           size_t count, const ds_classify_options *options, float *scores,
                                           ds_run_stats *stats, ds_error *error);

/* One word with its label: the word's first piece decides (label and score). Bytes of the text: [start, end). */
typedef struct ds_tag_span {
    int32_t label;
    float score; /* softmax probability of the label */
    size_t start, end;
} ds_tag_span;

typedef struct ds_tag_options {
    int32_t max_tokens; /* 0: info.max_tokens; words beyond it get no tag */
} ds_tag_options;

/* For models with a head on tokens. The spans are read with ds_session_tags. */
DS_API DS_MUST_CHECK ds_status ds_tag(ds_session *session, const ds_text *texts, size_t count,
                                      const ds_tag_options *options, ds_run_stats *stats, ds_error *error);
/* The spans of texts[index] of the last ds_tag, in the order of the text; borrowed until the session's next call. */
DS_API const ds_tag_span *ds_session_tags(const ds_session *session, size_t index, size_t *count);

/* Token ids of several texts, one behind the other, without padding. */
typedef struct ds_packed_batch {
    const int32_t *ids;       /* [tokens] */
    const int32_t *type_ids;  /* [tokens] or NULL for zeros */
    const int32_t *seq_start; /* [texts + 1]; seq_start[0] == 0, increasing, the last one == tokens */
    size_t texts;
} ds_packed_batch;

typedef enum ds_output {
    DS_OUTPUT_HIDDEN,    /* [tokens, hidden_size]: the last hidden state */
    DS_OUTPUT_EMBEDDING, /* [texts, hidden_size]: pooled and normalised as the folder says */
    DS_OUTPUT_LOGITS,    /* [texts, labels] or, for a head on tokens, [tokens, labels] */
} ds_output;

/* The model alone, without tokenizer. Runs the batch in one piece. */
DS_API DS_MUST_CHECK ds_status ds_forward(ds_session *session, const ds_packed_batch *batch, ds_output output,
                                          float *out, ds_error *error);

/* Floating-point operations of the session's last batch (a multiply-add is two); 0 before the first. For measuring. */
DS_API double ds_session_flops(const ds_session *session);

#ifdef __cplusplus
}
#endif
#endif
