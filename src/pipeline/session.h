/* One thread's use of a model: packing texts into batches, running programs, reading the results. */
#ifndef DS_PIPELINE_SESSION_H
#define DS_PIPELINE_SESSION_H

#include "pipeline/model.h"

enum {
    /* A batch is run when it has so many tokens (or the next text would exceed that): enough rows to keep products at
     * full speed, few enough that activations stay in the cache. */
    DS__BATCH_TOKENS = 1024,
    DS__BATCH_TEXTS = 512,
};

/* Texts one behind the other. Arrays grow and stay. */
typedef struct ds__batch {
    int32_t *ids, *positions, *type_ids; /* [tokens] */
    int32_t *words, *offsets;            /* [tokens], [tokens][2]: of each token in its text */
    int32_t *seq_start;                  /* [texts + 1] */
    size_t tokens, texts;
    size_t token_capacity, text_capacity;
} ds__batch;

struct ds_session {
    ds_model *model;
    ds_encoding *encoding;
    ds__workspace workspace;
    ds__execution *executions[DS__TASK_COUNT]; /* NULL: not used yet */
    const ds__execution *last;                 /* of the last run; NULL before the first */
    ds__batch batch;
    float *logits; /* of one batch, for tagging */
    size_t logit_capacity;
    ds_tag_span *spans; /* of the last ds_tag, text by text */
    size_t span_count, span_capacity;
    size_t *span_start; /* [texts + 1] */
    size_t span_texts, span_start_capacity;
};

ds_status ds__session_create(ds_model *model, ds_session **out, ds_error *error) DS_MUST_CHECK;
void ds__session_destroy(ds_session *session);

/* Runs the packed batch in one piece. out: as DS_OUTPUT_* of the task. */
ds_status ds__session_run(ds_session *session, ds__task task, const ds__batch *batch, float *out,
                          ds_error *error) DS_MUST_CHECK;
ds_status ds__session_forward(ds_session *session, const ds_packed_batch *batch, ds_output output, float *out,
                              ds_error *error) DS_MUST_CHECK;

/* A job over many texts: they are encoded, packed and run batch by batch; `done` gets each batch after it ran.
 * out points to the first result row of the batch's first text (row_floats floats a text), or is NULL when row_floats
 * is 0 and the job keeps its results itself. */
typedef struct ds__text_job {
    ds__task task;
    const ds_text *texts, *pairs; /* pairs: NULL for single texts */
    size_t count;
    int32_t max_tokens;
    size_t row_floats;
    float *out; /* [count, row_floats]; with row_floats 0: results go to session->logits */
    ds_status (*done)(ds_session *session, const struct ds__text_job *job, size_t first,
                      ds_error *error); /* may be NULL */
} ds__text_job;
ds_status ds__session_texts(ds_session *session, const ds__text_job *job, ds_run_stats *stats,
                            ds_error *error) DS_MUST_CHECK;

/* The three jobs. */
ds_status ds__embed(ds_session *session, const ds_text *texts, size_t count, const ds_embed_options *options,
                    float *out, ds_run_stats *stats, ds_error *error) DS_MUST_CHECK;
ds_status ds__classify(ds_session *session, const ds_text *texts, const ds_text *pairs, size_t count,
                       const ds_classify_options *options, float *scores, ds_run_stats *stats,
                       ds_error *error) DS_MUST_CHECK;
ds_status ds__tag(ds_session *session, const ds_text *texts, size_t count, const ds_tag_options *options,
                  ds_run_stats *stats, ds_error *error) DS_MUST_CHECK;

#endif
