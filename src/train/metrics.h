/* How good predictions are; the public functions of deepseek/train.h (ds_metrics_*) are these.
 *
 * All of them count in integers or sum in double in the order of the texts, so results do not depend on threads.  What
 * does not apply is NAN, `loss` always, since it is the trainer's to know. */
#ifndef DS_TRAIN_METRICS_H
#define DS_TRAIN_METRICS_H

#include "base/alloc.h"
#include "deepseek/train.h"

/* predicted, expected: [count], from 0 to labels - 1, others are refused.  f1_macro is the mean over the labels that
 * occur in either list; a label without a right prediction has an F1 of 0; mcc is 0 where one list has one label only
 * (all as scikit-learn). Needs 24 bytes a label. */
ds_status ds__metrics_labels(ds__heap *heap, const int32_t *predicted, const int32_t *expected, size_t count,
                             int32_t labels, ds_metrics *out, ds_error *error) DS_MUST_CHECK;
/* predicted, expected: [count, labels] of 0 and 1, others are refused.  accuracy: all labels of a text right; f1: over
 * all decisions; f1_macro: the mean over all labels, those that never occur with 0. */
ds_status ds__metrics_multilabel(ds__heap *heap, const float *predicted, const float *expected, size_t count,
                                 int32_t labels, ds_metrics *out, ds_error *error) DS_MUST_CHECK;
/* predicted, expected: [count], finite.  Pearson's and Spearman's coefficients are NAN for fewer than two values and
 * where one list has one value only. Needs 24 bytes a value. */
ds_status ds__metrics_values(ds__heap *heap, const float *predicted, const float *expected, size_t count,
                             ds_metrics *out, ds_error *error) DS_MUST_CHECK;

/* Scores of best labels in bins of equal width, and how often they were right (Naeini et al. 2015). Zeroed: empty. */
enum { DS__RELIABILITY_BINS = 15 };
typedef struct ds__reliability {
    uint64_t count[DS__RELIABILITY_BINS], right[DS__RELIABILITY_BINS];
    double sum[DS__RELIABILITY_BINS]; /* of the scores */
} ds__reliability;
void ds__reliability_add(ds__reliability *bins, double confidence, bool right);
/* The expected calibration error; NAN without any score. */
double ds__reliability_error(const ds__reliability *bins);

/* matrix: [labels, labels], the row is what was expected, the column what was predicted; the caller's, overwritten. */
ds_status ds__metrics_confusion(const int32_t *predicted, const int32_t *expected, size_t count, int32_t labels,
                                uint32_t *matrix, ds_error *error) DS_MUST_CHECK;

#endif
