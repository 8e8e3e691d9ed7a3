/* The rows of a run from files: which are trained on, which are evaluated on, and in which order.
 *
 * An epoch's order is a function of the seed and the epoch alone, so what a step reads needs no state to be saved. */
#ifndef DS_TRAIN_FIT_ROWS_H
#define DS_TRAIN_FIT_ROWS_H

#include "train/fit.h"

typedef struct ds__fit_rows {
    ds__heap *heap;
    const ds_fit_options *options;
    uint64_t seed;
    ds__dataset *train, *eval; /* eval: NULL where a split or nothing is evaluated */
    ds__dataset *kept;         /* texts without labels beside the rows; NULL: none */
    uint32_t *kept_order;      /* [rows of kept]: in the present round through them */
    int64_t kept_round;        /* -1: none yet */
    uint32_t *order;           /* [all_count]: of the present epoch, of the rows that are trained on */
    uint32_t *all;             /* [all_count]: the rows that are trained on; behind them those that are evaluated on,
                                * then those to calibrate with */
    size_t all_count, trained, held_out, calibration_count;
    int64_t ordered_epoch; /* -1: none yet */
    size_t of_step;        /* rows that one step has */
    int64_t steps_of_epoch;
} ds__fit_rows;

/* Opens the files, whose warnings go to `warn`, and splits their rows; *how learns task and labels from them. To be
 * closed also where it fails; `rows` is zeroed before. */
ds_status ds__fit_rows_open(ds__fit_rows *rows, ds__heap *heap, const ds_fit_options *options, ds_trainer_options *how,
                            void (*warn)(void *user, const char *sentence), void *user, ds_error *error) DS_MUST_CHECK;
/* How many rows a step and steps an epoch have, and into *how micro-batches and steps where they were left open.
 * `batch` is used to measure a sample of rows. */
ds_status ds__fit_rows_plan(ds__fit_rows *rows, const ds__batch_rule *rule, ds__fit_batch *batch,
                            ds_trainer_options *how, ds_error *error) DS_MUST_CHECK;
/* The rows of a step, in its epoch's order, and the kept texts beside them. */
ds_status ds__fit_rows_fill(ds__fit_rows *rows, const ds__batch_rule *rule, int64_t step, ds__fit_batch *batch,
                            ds_error *error) DS_MUST_CHECK;
void ds__fit_rows_close(ds__fit_rows *rows);

#endif
