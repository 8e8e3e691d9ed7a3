/* The ends of ds_fit: what the output's folder must look like before, the log's first lines, the result's folder. */
#ifndef DS_TRAIN_FINISH_H
#define DS_TRAIN_FINISH_H

#include "train/run_log.h"
#include "train/trainer.h"

/* Seconds that went into the parts of a run. */
typedef struct ds__finish_times {
    double data, forward, backward, optimizer, evaluation, saving;
} ds__finish_times;

/* Makes the folder. Without `resume` it must hold neither a model nor checkpoints. */
ds_status ds__finish_check_output(ds__heap *heap, const char *output, bool resume, ds_error *error) DS_MUST_CHECK;
/* Opens OUTPUT/train_log.jsonl and writes what the run is. */
ds_status ds__finish_start_log(const ds_trainer *trainer, const ds_fit_options *options, int64_t total_steps,
                               int64_t first_step, ds__run_log **log, ds_error *error) DS_MUST_CHECK;
/* The log's line of where time went. */
ds_status ds__finish_put_times(ds__heap *heap, const ds__finish_times *times, ds__run_log *log,
                               ds_error *error) DS_MUST_CHECK;
/* Writes the model into a folder in OUTPUT. */
#define DS__FINISH_FOLDER "model.partial"
ds_status ds__finish_save(ds_trainer *trainer, const ds_fit_options *options, const ds_fit_result *result,
                          ds_error *error) DS_MUST_CHECK;
/* Moves what is in that folder into OUTPUT itself: config.json last, so that a folder with it is whole. */
ds_status ds__finish_appear(ds__heap *heap, const char *output, ds_error *error) DS_MUST_CHECK;
/* The log's last lines. */
ds_status ds__finish_log(const ds_fit_result *result, const ds__finish_times *times, ds__run_log *log, double seconds,
                         ds__heap *heap, ds_error *error) DS_MUST_CHECK;

#endif
