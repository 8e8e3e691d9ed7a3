/* What `deepseek train` says: the plan, a line that moves, evaluations, the end.  Only the summary is for standard
 * output. */
#ifndef DS_CLI_TRAIN_VIEW_H
#define DS_CLI_TRAIN_VIEW_H

#include "cli/train_options.h"

typedef struct cli_train_view {
    bool terminal; /* standard error is one: a line shows where training is */
    uint64_t shown_ns;
    double smooth_loss; /* a mean that forgets, over about the last 20 steps */
    int64_t steps;      /* that it was made from */
} cli_train_view;

void cli_train_view_init(cli_train_view *view);
/* The memory plan and the precision, with their reasons. */
void cli_train_show_plan(const ds_trainer_info *info);
void cli_train_show_step(cli_train_view *view, const ds_fit_event *event);
void cli_train_show_evaluation(cli_train_view *view, const ds_fit_event *event);
void cli_train_show_saved(cli_train_view *view, const ds_fit_event *event);
void cli_train_show_warning(cli_train_view *view, const char *text);
/* Takes the moving line away, so that another may be written. */
void cli_train_view_clear(cli_train_view *view);

/* The summary, for people or as the one line of JSON. */
void cli_train_put_summary(const cli_train_options *options, ds_train_task task, const ds_fit_result *result,
                           ds__buffer *out);
void cli_train_put_json(const ds_fit_result *result, ds__buffer *out);

#endif
