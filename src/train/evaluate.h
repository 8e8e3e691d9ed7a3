/* How good results are against labelled rows: of a model that is run, and of one in training. */
#ifndef DS_TRAIN_EVALUATE_H
#define DS_TRAIN_EVALUATE_H

#include "pipeline/session.h"
#include "train/dataset.h"

/* Results and what was expected, collected text by text, and what they come to. */
typedef struct ds__scores {
    ds__heap *heap;
    ds_train_task task;
    int32_t labels;                /* columns of a result; of vectors their length */
    int32_t *predicted, *expected; /* [count]: classification */
    float *given, *wanted;         /* [count] values, or [count, labels] of 0 and 1 */
    size_t count;
    size_t capacity[4];
} ds__scores;

void ds__scores_init(ds__scores *scores, ds__heap *heap, ds_train_task task, int32_t labels);
void ds__scores_deinit(ds__scores *scores);
/* result: [labels] logits or scores; for pairs of vectors [2, labels]. */
ds_status ds__scores_add(ds__scores *scores, const ds__data_row *row, const float *result,
                         ds_error *error) DS_MUST_CHECK;
ds_status ds__scores_metrics(const ds__scores *scores, ds_metrics *out, ds_error *error) DS_MUST_CHECK;

/* See ds_evaluate. */
ds_status ds__evaluate(ds_session *session, const ds_evaluate_options *options, ds_metrics *out,
                       ds_error *error) DS_MUST_CHECK;

#endif
