/* Fine-tuning: a model folder goes in, a better folder comes out, and the same library runs it.
 *
 * Two levels.  ds_fit takes files and does the whole job: data, epochs, evaluation, checkpoints, the log, the result.
 * ds_trainer is what it is made of, for hosts that bring their own loop: one call is one optimiser step over a packed
 * batch of tokens.  All arithmetic is deterministic: the same data, options and instruction set give the same bits,
 * whatever the number of threads.
 *
 *     ds_trainer_options how = {.labels = 77, .learning_rate = 1e-4f, .total_steps = 939};
 *     ds_trainer_create(context, "all-MiniLM-L6-v2", &how, &trainer, &error);
 *     ds_trainer_step(trainer, &batch, &step, &error);                        // as often as there are batches
 *     ds_trainer_save(trainer, "intents", NULL, &error); */
#ifndef DEEPSEEK_TRAIN_H
#define DEEPSEEK_TRAIN_H

#include "deepseek/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ds_trainer ds_trainer;

typedef enum ds_train_task {
    DS_TRAIN_AUTO, /* ds_trainer: what the folder's head says, classification without one; ds_fit: what the labels say
                    */
    DS_TRAIN_CLASSIFICATION,
    DS_TRAIN_MULTI_LABEL,
    DS_TRAIN_REGRESSION,
    DS_TRAIN_TAGGING,   /* a label for each token */
    DS_TRAIN_EMBEDDING, /* pairs of texts; pooled and normalised as the folder says */
} ds_train_task;

typedef enum ds_loss {
    DS_LOSS_AUTO,                 /* by the task, in the order below */
    DS_LOSS_CROSS_ENTROPY,        /* classification, tagging */
    DS_LOSS_BINARY_CROSS_ENTROPY, /* multi-label; mean over the labels of a text */
    DS_LOSS_SQUARED_ERROR,        /* regression; embedding: to a teacher's vectors, mean over the elements */
    DS_LOSS_COSINE,               /* embedding: (cos(a, b) - score)^2 of a pair (Reimers and Gurevych 2019) */
    DS_LOSS_IN_BATCH_NEGATIVES, /* embedding: the other pairs' second texts are wrong answers (Henderson et al. 2017) */
    DS_LOSS_SOFT_LABELS,        /* classification: cross-entropy with a teacher's probabilities (Hinton et al. 2015) */
} ds_loss;

typedef enum ds_optimizer { DS_OPTIMIZER_ADAMW, DS_OPTIMIZER_SGD } ds_optimizer;
typedef enum ds_schedule { DS_SCHEDULE_LINEAR, DS_SCHEDULE_COSINE, DS_SCHEDULE_CONSTANT } ds_schedule;

/* A zeroed structure means the defaults.  Where 0 is a sensible value, the field says how to ask for it. */
typedef struct ds_trainer_options {
    ds_train_task task;
    ds_loss loss;
    const char *adapter; /* merged into the weights first, as in ds_model_options; NULL: none */
    /* Of the head; 0: the folder's, where it has one.  A head of another size (or none) is replaced by a new one, drawn
     * from the seed with the configuration's initializer_range, and info says so. */
    int32_t labels;
    const char *const *label_names; /* [labels] or NULL: "LABEL_0", ...; the folder's, when its head is kept */
    ds_optimizer optimizer;         /* AdamW (Loshchilov and Hutter 2019) or SGD with momentum, as PyTorch has them */
    float learning_rate;            /* 0: 5e-5 */
    float weight_decay;             /* never of biases and norms; negative means none; 0: 0.01 */
    float beta1, beta2, epsilon;    /* 0: 0.9, 0.999, 1e-8 */
    float momentum;                 /* of SGD; 0: none */
    float max_grad_norm;            /* 0: 1.0; negative: no clipping */
    ds_schedule schedule;
    int64_t total_steps; /* where the schedule ends; needed unless it is constant */
    int64_t warmup_steps;
    float label_smoothing;
    const float *class_weights;  /* [labels] or NULL; cross-entropy without smoothing only */
    uint64_t seed;               /* of new weights and of dropout */
    float dropout;               /* 0: as config.json says; negative: none */
    ds_precision precision;      /* of products and of what is stored for the backward pass; weights stay float32 */
    bool quantization_aware;     /* the forward pass rounds as the int8 engine will (straight-through gradients) */
    bool gradient_checkpointing; /* activations are computed again in the backward pass instead of kept */
    /* The smallest plan: that, and micro-batches of one longest text; or, where nothing is clipped and it takes less,
     * the whole batch as one micro-batch (micro_batch_tokens is then what it is planned for, and a larger batch takes
     * more), with each weight updated as soon as its gradient is known and no gradients kept: the
     * same bits as keeping them. */
    bool memory_efficient;
    int32_t lora_rank;               /* 0: all weights are trained */
    float lora_alpha;                /* 0: lora_rank */
    const char *const *lora_targets; /* patterns of module names ("*.query"); NULL: query and value, as peft has it */
    size_t lora_target_count;
    const char *const *freeze; /* patterns of tensors' names, as a shell's, that are not trained */
    size_t freeze_count;
    float keep_vectors;        /* classification: this times the squared distance between a text's vector and the one
                                * in targets counts beside its label's loss, so that the model still embeds; 0: not */
    float layer_decay;         /* each layer's rate is this times the next one's above; 0: 1 */
    size_t micro_batch_tokens; /* a step's batch is run in parts of at most so many tokens; 0: 4096 (ds_fit: what
                                * the data's rows have, at most that), fewer where a memory limit asks */
    int32_t max_tokens;        /* longest text; 0, or more than the model has positions for: as many as it has */
} ds_trainer_options;

typedef struct ds_trainer_info {
    ds_train_task task;        /* never AUTO */
    ds_loss loss;              /* never AUTO */
    int32_t labels;            /* columns of a result; hidden_size for embeddings */
    ds_precision precision;    /* never AUTO */
    const char *precision_why; /* one sentence */
    int64_t parameters, trained_parameters;
    bool new_head;
    const ds_model_info *model;
    /* The plan in bytes, for micro-batches of micro_batch_tokens. gradients: 0 where none are kept; the largest one is
     * then among the activations. */
    uint64_t weights, gradients, optimizer, activations, scratch, peak;
    size_t micro_batch_tokens;
    bool gradient_checkpointing;
    const char *plan_why; /* what the memory limit or memory_efficient made it choose; "" without them */
} ds_trainer_info;

/* folder: as for ds_model_open, int8 folders too.  Weights are read into float32 masters that the trainer owns. */
DS_API DS_MUST_CHECK ds_status ds_trainer_create(ds_context *context, const char *folder,
                                                 const ds_trainer_options *options, ds_trainer **out, ds_error *error);
DS_API void ds_trainer_destroy(ds_trainer *trainer); /* NULL is allowed */
DS_API const ds_trainer_info *ds_trainer_describe(const ds_trainer *trainer);
DS_API const ds_tokenizer *ds_trainer_tokenizer(const ds_trainer *trainer);
DS_API const char *ds_trainer_label(const ds_trainer *trainer, int32_t label);

/* What one optimiser step, or one evaluation, sees.  For pairs of DS_TRAIN_EMBEDDING texts 2i and 2i+1 belong together;
 * pairs of the other tasks are one text with type_ids. */
typedef struct ds_train_batch {
    ds_packed_batch tokens;
    const int32_t *labels; /* classification: [texts], with keep_vectors -1 where there is none; tagging: [tokens], -100
                              where there is none; else NULL */
    /* multi-label: [texts, labels] of 0 and 1; regression: [texts, labels]; soft labels: [texts, labels] probabilities;
     * cosine: [texts / 2]; squared error of embeddings, and keep_vectors: [texts, hidden_size]; else NULL */
    const float *targets;
} ds_train_batch;

typedef struct ds_train_step {
    double loss;          /* the batch's mean, before the step */
    double gradient_norm; /* before clipping; of all trained weights */
    float learning_rate;  /* that the step was made with */
    int64_t step;         /* steps made so far, this one included */
    size_t tokens;
    /* Seconds. What gradient checkpointing computes again counts as backward; clipping as the optimiser's. */
    double forward_s, backward_s, optimizer_s;
} ds_train_step;

/* Forward, backward and update.  The batch is cut into micro-batches at text boundaries; its loss is the mean over all
 * of it.  A loss or a gradient that is not finite is DS_DIVERGED and leaves the weights as they were; but where no
 * gradients are kept (info.gradients is 0), a gradient that is not finite is seen only when others have been applied:
 * the weights are then no good, and a checkpoint has to be loaded.  ds_fit stops and names its last one either way. */
DS_API DS_MUST_CHECK ds_status ds_trainer_step(ds_trainer *trainer, const ds_train_batch *batch, ds_train_step *step,
                                               ds_error *error);
/* Without dropout and without an update.  out: [texts or tokens, labels] logits, or [texts, hidden_size] vectors; may
 * be NULL.  *loss: the mean; may be NULL, and then labels and targets may be. */
DS_API DS_MUST_CHECK ds_status ds_trainer_evaluate(ds_trainer *trainer, const ds_train_batch *batch, float *out,
                                                   double *loss, ds_error *error);

/* The trained and frozen tensors under the names they are saved by. Pointers live as long as the trainer; data may be
 * read and written between calls. */
typedef struct ds_train_tensor {
    const char *name;
    int rank;
    int64_t shape[DS_MAX_RANK];
    float *data;
    const float *gradient; /* of the last step, before clipping; NULL: frozen, or no gradients are kept */
} ds_train_tensor;
DS_API size_t ds_trainer_tensor_count(const ds_trainer *trainer);
DS_API DS_MUST_CHECK ds_status ds_trainer_tensor(ds_trainer *trainer, size_t index, ds_train_tensor *out,
                                                 ds_error *error);

typedef enum ds_save_dtype { DS_SAVE_FLOAT32, DS_SAVE_FLOAT16, DS_SAVE_BFLOAT16, DS_SAVE_INT8 } ds_save_dtype;
typedef struct ds_save_options {
    ds_save_dtype dtype;
    bool adapters;    /* LoRA: only adapter_config.json and adapter_model.safetensors, as peft has them; else merged */
    const char *card; /* the text of README.md; NULL: none is written */
} ds_save_options;
/* folder: does not exist, or is empty; it appears whole or not at all. */
DS_API DS_MUST_CHECK ds_status ds_trainer_save(ds_trainer *trainer, const char *folder, const ds_save_options *options,
                                               ds_error *error);

/* Everything that the next step depends on: weights, optimiser, step, and `state`, a text of the host's own (position
 * in the data).  Loading refuses a checkpoint of another model or of other options by name, and a torn one. */
DS_API DS_MUST_CHECK ds_status ds_trainer_save_checkpoint(ds_trainer *trainer, const char *folder, const char *state,
                                                          ds_error *error);
/* *state: borrowed until the next load or the end of the trainer. */
DS_API DS_MUST_CHECK ds_status ds_trainer_load_checkpoint(ds_trainer *trainer, const char *folder, const char **state,
                                                          ds_error *error);

/* ---- Metrics ---- */

typedef struct ds_metrics {
    size_t count;
    double loss;
    double accuracy, f1, f1_macro,
        mcc;                  /* classification; f1: of label 1 where there are two, else macro; NAN elsewhere */
    double pearson, spearman; /* regression, embedding; NAN elsewhere */
    /* Expected calibration error (Naeini et al. 2015), 0 to 1: how far the best label's score is from how often it is
     * right, over 15 bins of scores of equal width.  Classification by ds_fit and ds_evaluate; NAN elsewhere. */
    double ece;
} ds_metrics;
/* predicted, expected: [count] labels from 0 to labels-1.  Matthews' coefficient is Gorodkin's for several classes. */
DS_API DS_MUST_CHECK ds_status ds_metrics_labels(ds_context *context, const int32_t *predicted, const int32_t *expected,
                                                 size_t count, int32_t labels, ds_metrics *out, ds_error *error);
/* predicted, expected: [count, labels] of 0 and 1; accuracy: all labels of a text right; f1: over all decisions. */
DS_API DS_MUST_CHECK ds_status ds_metrics_multilabel(ds_context *context, const float *predicted, const float *expected,
                                                     size_t count, int32_t labels, ds_metrics *out, ds_error *error);
/* Values; ties in Spearman get their mean rank. */
DS_API DS_MUST_CHECK ds_status ds_metrics_values(ds_context *context, const float *predicted, const float *expected,
                                                 size_t count, ds_metrics *out, ds_error *error);

/* ---- The whole job ---- */

typedef enum ds_fit_event_kind {
    DS_FIT_PLANNED,   /* before the first step: info is filled in */
    DS_FIT_STEP,      /* after each step */
    DS_FIT_EVALUATED, /* metrics are filled in */
    DS_FIT_SAVED,     /* a checkpoint was written: path */
    DS_FIT_WARNING,   /* text */
} ds_fit_event_kind;

typedef struct ds_fit_event {
    ds_fit_event_kind kind;
    const ds_trainer_info *info; /* NULL before the plan is made, and while the result is calibrated */
    ds_train_step step;          /* of the last step */
    int64_t total_steps;
    double epoch; /* epochs done, with the part of the present one */
    double samples_per_s, seconds, seconds_left;
    ds_metrics metrics;
    const char *path, *text;
} ds_fit_event;

/* A zeroed structure means the defaults, but for train and output, which must be given. */
typedef struct ds_fit_options {
    const char *train, *eval; /* .csv, .tsv, .jsonl; eval may be NULL */
    bool eval_on_start;       /* evaluate before the first step, too */
    double eval_split;        /* this share of the training rows, drawn by the seed, is held out; 0: none */
    /* This share, drawn by the seed, is never trained on: behind the last step the saved folder is calibrated on it,
     * as ds_calibrate does. 0: none. */
    double calibrate;
    const char *text_column, *pair_column, *label_column; /* NULL: see docs/training.md */
    bool no_header;      /* of .csv and .tsv, train and eval: columns are numbers from 1 ("2") */
    double epochs;       /* 0: 3 */
    int64_t max_steps;   /* 0: as the epochs say */
    size_t batch_size;   /* texts of a micro-batch; 0: 32 */
    size_t batch_tokens; /* instead: as many texts as have so many tokens; 0: not used */
    size_t accumulation; /* micro-batches of a step; 0: 1 */
    double warmup_ratio;
    const char *teacher;    /* a folder: soft labels or vectors to learn from, or with how->keep_vectors to keep to */
    const char *keep_texts; /* with keep_vectors: texts without labels, as many in a batch as rows, whose vectors are
                             * kept, too; NULL: none */
    /* The result is this share of the weights that training began with and the rest of those it came to, heads apart
     * (Wortsman et al. 2022, WiSE-FT): less of what the rows say, more of what the model could before.  0: none. */
    float keep_weights;
    bool load_best;     /* the result is the checkpoint whose evaluation was best, not the last one */
    const char *output; /* the result's folder; checkpoints lie in it until the end */
    int64_t save_steps; /* 0: at the end of each epoch */
    size_t keep;        /* checkpoints to keep; 0: 2 */
    bool resume;        /* go on from the last good checkpoint in output, if there is one */
    ds_save_options save;
    /* May be NULL. Returns false to stop: a checkpoint is written, and ds_fit returns DS_STOPPED. */
    bool (*on_event)(void *user, const ds_fit_event *event);
    void *user;
} ds_fit_options;

/* What fitting a temperature came to. */
typedef struct ds_calibration {
    size_t rows; /* that it was fitted on; 0: it was not */
    float temperature;
    double loss_before, loss_after; /* mean negative log-likelihood of the rows, in natural units */
    double ece_before, ece_after;   /* as in ds_metrics; NAN for multi-label */
} ds_calibration;

typedef struct ds_fit_result {
    int64_t steps;
    double samples_per_s, train_s, first_loss, last_loss; /* last_loss: mean of the last ten steps */
    bool has_eval;
    ds_metrics eval;
    size_t skipped; /* rows of the data that could not be used */
    ds_calibration calibration;
} ds_fit_result;

/* how->labels, label_names, task AUTO, total_steps and warmup_steps are found out from the data. */
DS_API DS_MUST_CHECK ds_status ds_fit(ds_context *context, const char *folder, const ds_trainer_options *how,
                                      const ds_fit_options *options, ds_fit_result *result, ds_error *error);

/* A model on labelled data. expected as in training: the model's labels by name; for folders without a head pairs with
 * scores. */
typedef struct ds_evaluate_options {
    const char *data, *text_column, *pair_column, *label_column;
    bool no_header; /* as in ds_fit_options */
    int32_t max_tokens;
    /* May be NULL: called for each text (text: its number in the file's order from 0). label -1: not of that kind. */
    void (*each)(void *user, size_t text, int32_t expected, int32_t predicted, float score);
    void *user;
} ds_evaluate_options;
DS_API DS_MUST_CHECK ds_status ds_evaluate(ds_session *session, const ds_evaluate_options *options, ds_metrics *out,
                                           ds_error *error);

/* Scores that mean what they say: finds the temperature T by which the head's logits are divided before softmax (or
 * sigmoids) so that the rows' labels are likeliest (Guo et al. 2017), and writes it into the folder's config.json as
 * "temperature"; models opened from then on use it.  The best label stays the same.  The session's model is run as it
 * was opened, so an int8 folder is calibrated as int8.  For heads on sequences that have labels. */
typedef struct ds_calibrate_options {
    const char *data, *text_column, *pair_column, *label_column; /* rows that the model was not trained on */
    /* Only those rows of the file that ds_fit holds back where its `calibrate` (or `eval_split`) is this share and its
     * seed this one; 0: all. */
    double split;
    uint64_t seed;
    int32_t max_tokens; /* 0: info.max_tokens */
} ds_calibrate_options;
DS_API DS_MUST_CHECK ds_status ds_calibrate(ds_session *session, const ds_calibrate_options *options,
                                            ds_calibration *out, ds_error *error);

#ifdef __cplusplus
}
#endif
#endif
