/* The trainer: a model's parameters, the programs that run it forwards and backwards, and the optimiser's state. */
#ifndef DS_TRAIN_TRAINER_H
#define DS_TRAIN_TRAINER_H

#include "base/context_internal.h"
#include "runtime/program.h"
#include "train/optimizer.h"

/* Inputs that a training graph may have. */
typedef enum ds__slot {
    DS__SLOT_IDS,
    DS__SLOT_POSITIONS,
    DS__SLOT_TYPE_IDS,
    DS__SLOT_SEQ_START,
    DS__SLOT_RNG,
    DS__SLOT_LABELS,
    DS__SLOT_TARGETS,
    DS__SLOT_ROW_WEIGHTS, /* [R]: what each loss counts in the batch's, and so its gradient */
    DS__SLOT_SETTINGS,    /* [parameters, DS__UPDATE_COLUMNS]: of the step, where the graph updates its parameters */
    DS__SLOTS
} ds__slot;

typedef enum ds__train_program {
    DS__TRAIN_FIRST,    /* loss and gradients */
    DS__TRAIN_MORE,     /* the same, gradients added to those of the micro-batches before */
    DS__TRAIN_RESULT,   /* without dropout: the result alone */
    DS__TRAIN_MEASURED, /* result and loss */
    DS__TRAIN_PROGRAMS
} ds__train_program;

typedef struct ds__built {
    ds__program *program; /* NULL: not made yet */
    ds__execution *execution;
    int32_t place[DS__SLOTS]; /* in the list of inputs; -1: the graph has none of it */
    int32_t tokens_symbol, texts_symbol;
    size_t result, loss; /* outputs: SIZE_MAX for none; the gradients come behind */
    /* [output_count]: gradients point to their memory, and so do the lengths of those that are applied; result and loss
     * are set for each run */
    void **outputs;
    size_t output_count;
} ds__built;

struct ds_trainer {
    ds_context *context;
    ds__folder folder; /* its configuration is that of the model in training */
    ds_tokenizer *tokenizer;
    ds__arena arena;            /* copies of the options' texts */
    ds_trainer_options options; /* with every default filled in */
    ds_trainer_info info;
    ds_model_info model; /* info.model */
    ds__parameters parameters;
    ds__weight_store *store;
    const ds__backend *const *backends;
    size_t backend_count;
    ds__workspace workspace;
    ds__built built[DS__TRAIN_PROGRAMS];
    /* The program updates its parameters: a step is one micro-batch, and gradients have no memory of their own. */
    bool updates;
    float *settings; /* [parameters, DS__UPDATE_COLUMNS]; NULL where gradients are kept */
    float *lengths;  /* [parameters]: of their gradients in the last step; the same */
    int64_t step;
    uint32_t draw; /* of the next micro-batch's dropout */
    /* Of one micro-batch; arrays grow and stay. */
    int32_t *positions, *zeros, *starts;
    size_t token_capacity, zero_capacity, start_capacity;
    float *row_weights, *losses;
    size_t weight_capacity, loss_capacity;
    const void *inputs[DS__SLOTS];
    char *state; /* of the last checkpoint that was loaded */
    size_t state_bytes;
};

/* As in deepseek/train.h. backends: what the api layer hands in. */
ds_status ds__trainer_create(ds_context *context, const char *folder, const ds_trainer_options *options,
                             const ds__backend *const *backends, size_t backend_count, ds_trainer **out,
                             ds_error *error) DS_MUST_CHECK;
void ds__trainer_destroy(ds_trainer *trainer);
ds_status ds__trainer_step(ds_trainer *trainer, const ds_train_batch *batch, ds_train_step *step,
                           ds_error *error) DS_MUST_CHECK;
ds_status ds__trainer_evaluate(ds_trainer *trainer, const ds_train_batch *batch, float *out, double *loss,
                               ds_error *error) DS_MUST_CHECK;

/* A program of the trainer, made when it is first asked for. */
ds_status ds__trainer_program(ds_trainer *trainer, ds__train_program which, ds__built **out,
                              ds_error *error) DS_MUST_CHECK;
/* Gives back a program and what belongs to it; nothing where there is none. */
void ds__built_drop(ds__built *built, ds__heap *heap);
/* Whether the task's texts come in pairs. */
static inline bool ds__trainer_pairs(const ds_trainer *trainer) {
    return trainer->info.loss == DS_LOSS_COSINE || trainer->info.loss == DS_LOSS_IN_BATCH_NEGATIVES;
}

#endif
