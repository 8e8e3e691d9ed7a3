/* The whole job of training from files; see ds_fit. */
#ifndef DS_TRAIN_FIT_H
#define DS_TRAIN_FIT_H

#include "train/evaluate.h"
#include "train/run_log.h"
#include "train/trainer.h"

/* What is trained, and the backends that the api layer hands in. */
typedef struct ds__fit_subject {
    ds_context *context;
    const char *folder;
    const ds__backend *const *backends;
    size_t backend_count;
} ds__fit_subject;

ds_status ds__fit(const ds__fit_subject *subject, const ds_trainer_options *how, const ds_fit_options *options,
                  ds_fit_result *result, ds_error *error) DS_MUST_CHECK;

/* Rows of a dataset as one packed batch with what is expected of them. */
typedef struct ds__fit_batch {
    ds__heap *heap;
    ds_encoding *encoding;
    int32_t *ids, *type_ids, *starts, *labels;
    float *targets;
    size_t tokens, texts, rows;
    size_t id_capacity, type_capacity, start_capacity, label_capacity, target_capacity;
    ds__arena copies; /* of the texts, for a teacher */
    ds_text *kept;    /* [texts]; NULL where nobody asks for them */
    size_t kept_capacity;
} ds__fit_batch;

/* How rows become a batch. */
typedef struct ds__batch_rule {
    const ds_tokenizer *tokenizer;
    ds_train_task task;
    bool pairs;     /* two texts a row (embedding); else a second text goes behind the first one */
    bool keeps;     /* texts are kept for a teacher, and nothing is expected yet */
    int32_t labels; /* columns of targets */
    int32_t max_tokens;
} ds__batch_rule;

ds_status ds__fit_batch_init(ds__fit_batch *batch, ds_context *context, ds_error *error) DS_MUST_CHECK;
void ds__fit_batch_deinit(ds__fit_batch *batch);
void ds__fit_batch_clear(ds__fit_batch *batch);
ds_status ds__fit_batch_add(ds__fit_batch *batch, const ds__batch_rule *rule, const ds__data_row *row,
                            ds_error *error) DS_MUST_CHECK;
/* Room for `columns` targets of each text. */
ds_status ds__fit_batch_reserve(ds__fit_batch *batch, size_t columns, ds_error *error) DS_MUST_CHECK;
/* What is expected of a row; without its texts. */
ds__data_row ds__fit_batch_expected(const ds__fit_batch *batch, const ds__batch_rule *rule, size_t row);
/* A view for the trainer; borrowed. */
ds_train_batch ds__fit_batch_view(const ds__fit_batch *batch);

#endif
