/* A training run's log: JSON lines in OUTPUT/train_log.jsonl, one event a line, flushed as they come.
 *
 *   {"event":"start","time":"2026-11-25T11:00:00Z","settings":{...},"plan":{"weights":..,"gradients":..,"optimizer":..,
 *    "activations":..,"scratch":..,"peak":..},"labels":[...],"resumed_at":0}
 *   {"event":"step","step":1,"epoch":0.003,"loss":4.3,"gradient_norm":2.1,"learning_rate":1e-4,"tokens":412,
 *    "samples_per_s":101.2,"seconds":0.32}
 *   {"event":"eval","step":313,"epoch":1.0,"loss":..,"accuracy":..,"f1":..,"f1_macro":..,"mcc":..,"pearson":..,
 *    "spearman":..,"ece":..,"count":..,"confusion":[[..]]}              metrics that do not apply are absent
 *   {"event":"time","forward_s":..,"backward_s":..,"optimizer_s":..,"data_s":..,"eval_s":..,"save_s":..}
 *   {"event":"warning","text":".."}   {"event":"saved","path":"checkpoint-313","step":313}
 *   {"event":"calibrated","rows":..,"temperature":..,"loss_before":..,"loss_after":..,"ece_before":..,"ece_after":..}
 *   {"event":"end","steps":..,"seconds":..,"samples_per_s":..,"peak_rss_mb":..} */
#ifndef DS_TRAIN_RUN_LOG_H
#define DS_TRAIN_RUN_LOG_H

#include "base/buffer.h"
#include "deepseek/train.h"

typedef struct ds__run_log ds__run_log;

/* Appends to the file (a resumed run goes on in it; lines of steps after `from_step` are dropped first, by rewriting
 * under a temporary name). */
ds_status ds__run_log_open(ds__heap *heap, const char *path, int64_t from_step, ds__run_log **out,
                           ds_error *error) DS_MUST_CHECK;
void ds__run_log_close(ds__run_log *log); /* NULL is allowed */
/* One line; the text is a JSON object without newlines. A full disk is reported once and then ignored: *error untouched
 * and DS_OK afterwards, since a log must not stop a run. */
ds_status ds__run_log_put(ds__run_log *log, const ds__buffer *line, ds_error *error) DS_MUST_CHECK;

/* Lines of the kinds above, appended to `out` (cleared first). settings, labels as given. */
void ds__run_log_step(ds__buffer *out, const ds_fit_event *event);
/* confusion: [labels, labels] counts, row expected, column predicted; NULL or labels over 200: left out. */
void ds__run_log_eval(ds__buffer *out, const ds_fit_event *event, const uint32_t *confusion, int32_t labels);
void ds__run_log_calibration(ds__buffer *out, const ds_calibration *calibration);
void ds__run_log_text(ds__buffer *out, const char *event, const char *key, const char *text);

#endif
