/* An open model: the folder, its tokenizer, the weight store, and a compiled program for each kind of output. */
#ifndef DS_PIPELINE_MODEL_H
#define DS_PIPELINE_MODEL_H

#include <pthread.h>

#include "base/context_internal.h"
#include "pipeline/folder.h"
#include "runtime/program.h"

/* Which program: embeddings differ by pooling and normalisation. */
typedef enum ds__task {
    DS__TASK_HIDDEN,
    DS__TASK_LOGITS,
    DS__TASK_EMBED, /* + 2 * (pooling - DS_POOLING_MEAN) + normalize */
    DS__TASK_COUNT = DS__TASK_EMBED + 6,
} ds__task;

static inline ds__task ds__embed_task(ds_pooling pooling, bool normalize) {
    return (ds__task)(DS__TASK_EMBED + 2 * (pooling - DS_POOLING_MEAN) + normalize);
}

/* A program with the numbers of the graph's inputs and sizes; -1 for an input that the graph does not have. */
typedef struct ds__task_program {
    ds__program *program;                        /* NULL: not made yet */
    int32_t ids, positions, type_ids, seq_start; /* places in the list of inputs */
    int32_t tokens_symbol, texts_symbol;
} ds__task_program;

struct ds_model {
    ds_context *context;
    ds__folder folder;
    ds_tokenizer *tokenizer; /* NULL when opened without */
    ds__weight_store *store;
    const ds__backend *const *backends;
    size_t backend_count;
    ds_model_info info;
    ds__precision_plan plan; /* of the encoder's matrices */
    pthread_mutex_t lock;    /* of the programs, which are made when first asked for */
    ds__task_program programs[DS__TASK_COUNT];
};

/* backends: what the api layer hands in, since this layer does not know them. */
ds_status ds__model_open(ds_context *context, const char *folder, const ds_model_options *options,
                         const ds__backend *const *backends, size_t backend_count, ds_model **out,
                         ds_error *error) DS_MUST_CHECK;
void ds__model_close(ds_model *model);
/* The program of a task, made if need be; borrowed from the model. */
ds_status ds__model_program(ds_model *model, ds__task task, const ds__task_program **out,
                            ds_error *error) DS_MUST_CHECK;
ds_status ds__model_plan(ds_model *model, size_t tokens, size_t texts, ds_memory_plan *plan,
                         ds_error *error) DS_MUST_CHECK;
/* "LABEL_NAME" or NULL. */
const char *ds__model_label(const ds_model *model, int32_t label);
/* The program's symbols array for so many tokens and texts. */
void ds__task_symbols(const ds__task_program *program, int64_t tokens, int64_t texts, int64_t symbols[DS__MAX_SYMBOLS]);

#endif
