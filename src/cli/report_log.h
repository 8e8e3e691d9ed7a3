/* A training run's log (train/run_log.h says what its lines are) as the report needs it.
 *
 * The file may come from a run that was killed, or that still goes on, or from anywhere: a line that is no event is
 * counted, the first ones are kept with what is wrong with them, and the rest of the file is read. */
#ifndef DS_CLI_REPORT_LOG_H
#define DS_CLI_REPORT_LOG_H

#include "base/arena.h"
#include "cli/cli.h"

enum { CLI_LOG_BAD_LINES = 20, CLI_LOG_NOTES = 200, CLI_LOG_LABELS = 200 };

/* NAN: the line has no such number. */
typedef struct cli_log_step {
    double step, epoch, loss, gradient_norm, learning_rate, tokens, samples_per_s;
} cli_log_step;

typedef enum cli_log_metric {
    CLI_LOG_ACCURACY,
    CLI_LOG_F1,
    CLI_LOG_F1_MACRO,
    CLI_LOG_MCC,
    CLI_LOG_PEARSON,
    CLI_LOG_SPEARMAN,
    CLI_LOG_ECE,
    CLI_LOG_METRICS
} cli_log_metric;

typedef struct cli_log_eval {
    double step, epoch, loss, count, metrics[CLI_LOG_METRICS];
} cli_log_eval;

typedef enum cli_log_phase {
    CLI_LOG_FORWARD,
    CLI_LOG_BACKWARD,
    CLI_LOG_OPTIMIZER,
    CLI_LOG_DATA,
    CLI_LOG_EVAL,
    CLI_LOG_SAVE,
    CLI_LOG_PHASES
} cli_log_phase;

typedef enum cli_log_part {
    CLI_LOG_WEIGHTS,
    CLI_LOG_GRADIENTS,
    CLI_LOG_MOMENTS,
    CLI_LOG_ACTIVATIONS,
    CLI_LOG_SCRATCH,
    CLI_LOG_PEAK, /* of all of them together */
    CLI_LOG_PARTS
} cli_log_part;

typedef struct cli_log_bad_line {
    size_t number; /* from 1 */
    ds__str why, text;
} cli_log_bad_line;

/* Texts live in the arena. */
typedef struct cli_log {
    ds__arena arena;
    cli_log_step *steps; /* ascending, as evals are */
    cli_log_eval *evals;
    size_t step_count, step_capacity, eval_count, eval_capacity;
    ds__str time;                                       /* of the last start; .data NULL: there was none */
    ds__str settings;                                   /* JSON, an object; .data NULL: none */
    double plan[CLI_LOG_PARTS], phases[CLI_LOG_PHASES]; /* bytes; seconds, of all starts together. NAN: not told */
    ds__str labels[CLI_LOG_LABELS];                     /* [label_count] */
    size_t label_count;
    uint32_t *confusion;     /* [confusion_labels, confusion_labels] of the last evaluation that has one */
    size_t confusion_labels; /* 0: none has */
    double confusion_step;
    double seconds, samples_per_s, peak_rss_mb; /* of all starts together; of the last one; NAN: not told */
    bool ended;                                 /* the last start came to an end */
    size_t starts;
    ds__str warnings[CLI_LOG_NOTES];
    size_t warning_count; /* may be more than are kept */
    cli_log_bad_line bad[CLI_LOG_BAD_LINES];
    size_t bad_count; /* may be more than are kept */
} cli_log;

/* Reads the file. *out is to be given to cli_log_free, whatever the exit code is. */
int cli_log_read(const char *path, cli_log *out);
void cli_log_free(cli_log *log);

#endif
