/* Temperature scaling (Guo, Pleiss, Sun, Weinberger 2017): the T by which logits are divided so that labels are
 * likeliest.  All in double, in the order of the rows: the same bits on every machine and with any number of threads.
 */
#ifndef DS_TRAIN_TEMPERATURE_H
#define DS_TRAIN_TEMPERATURE_H

#include "train/metrics.h"

/* Logits of rows, and what was expected of them. */
typedef struct ds__logit_rows {
    const float *logits;     /* [count, labels] */
    const int32_t *expected; /* [count] labels, or NULL for several labels a row */
    const float *targets;    /* [count, labels] of 0 and 1, or NULL for one label a row */
    size_t count, labels;
} ds__logit_rows;

/* exp(z[best] / T) / sum of all: the best label's score. */
double ds__confidence(const float *logits, size_t labels, size_t best, double temperature);
/* The mean negative log-likelihood of what was expected; of several labels the mean over them. */
double ds__temperature_loss(const ds__logit_rows *rows, double temperature);
/* The expected calibration error; NAN for several labels a row. */
double ds__temperature_ece(const ds__logit_rows *rows, double temperature);
/* The T with the least loss. Returns false where there is none inside the bounds that config.json may hold: every row
 * is right, so that a smaller T is always better, or the logits tell nothing about the labels. */
bool ds__temperature_fit(const ds__logit_rows *rows, double *temperature);

#endif
