/* How good results are against labelled rows: of a model that is run, and of one in training. */
#ifndef DS_TRAIN_EVALUATE_H
#define DS_TRAIN_EVALUATE_H

#include "pipeline/session.h"
#include "train/dataset.h"
#include "train/metrics.h"

/* Results and what was expected, collected text by text, and what they come to. */
typedef struct ds__scores {
    ds__heap *heap;
    ds_train_task task;
    int32_t labels;                /* columns of a result; of vectors their length */
    int32_t *predicted, *expected; /* [count]: classification */
    float *given, *wanted;         /* [count] values, or [count, labels] of 0 and 1 */
    size_t count;
    double temperature;   /* of classification's scores */
    ds__reliability bins; /* classification: of the predicted labels' scores */
    size_t capacity[4];
} ds__scores;

/* temperature: that the logits are to be divided by for scores; 1 unless the model has been calibrated. */
void ds__scores_init(ds__scores *scores, ds__heap *heap, ds_train_task task, int32_t labels, double temperature);
void ds__scores_deinit(ds__scores *scores);
/* result: [labels] logits or values; for pairs of vectors [2, labels]. */
ds_status ds__scores_add(ds__scores *scores, const ds__data_row *row, const float *result,
                         ds_error *error) DS_MUST_CHECK;
ds_status ds__scores_metrics(const ds__scores *scores, ds_metrics *out, ds_error *error) DS_MUST_CHECK;

/* A model on the rows of a file: what ds_evaluate and ds_calibrate are made of. */
typedef struct ds__labelled {
    ds_session *session;
    ds__dataset *data;
    int32_t max_tokens; /* 0: as the job on texts has it */
    ds_train_task task; /* that the model's head is for */
    int32_t columns;    /* of a result; of vectors their length */
} ds__labelled;

ds_train_task ds__labelled_task(const ds_model_info *info);
/* Opens the file of `options` with the model's own labels; to be closed with ds__dataset_close(out->data). */
ds_status ds__labelled_open(ds_session *session, const ds_evaluate_options *options, ds__labelled *out,
                            ds_error *error) DS_MUST_CHECK;
/* Gets one row after the other: row[number], without its texts, and result: [columns] logits or values, for pairs of
 * vectors [2, columns]. Both are borrowed until it returns. */
typedef ds_status (*ds__labelled_take)(void *own, size_t number, const ds__data_row *row, const float *result,
                                       ds_error *error);
/* Runs `count` rows: those that `rows` numbers, or, where that is NULL, the first ones. */
ds_status ds__labelled_run(const ds__labelled *labelled, const uint32_t *rows, size_t count, ds__labelled_take take,
                           void *own, ds_error *error) DS_MUST_CHECK;

/* See ds_evaluate. */
ds_status ds__evaluate(ds_session *session, const ds_evaluate_options *options, ds_metrics *out,
                       ds_error *error) DS_MUST_CHECK;

#endif
