/* The report of a training run: one HTML page that needs nothing else.
 *
 * report_page.c puts it together; report_curves.c has what is drawn over the steps. */
#ifndef DS_CLI_REPORT_PAGE_H
#define DS_CLI_REPORT_PAGE_H

#include "cli/report_chart.h"
#include "cli/report_log.h"

/* Appends the page. run: what it is called in the title, a folder's name. */
void cli_report_put_page(ds__buffer *out, const cli_log *log, ds__str run);

/* The columns of the log that charts draw. Each is [count], one behind the other in one block. */
typedef struct cli_columns {
    double *block;
    double *step, *loss, *rate, *norm, *scratch, *smooth, *smooth_step; /* smooth: [smooths] */
    double *eval_step, *eval_loss, *eval[CLI_LOG_METRICS];
    size_t steps, evals, smooths, bytes;
} cli_columns;

typedef struct cli_page {
    ds__buffer *out;
    const cli_log *log;
    cli_columns columns;
    cli_mark marks[CLI_CHART_LINES]; /* where epochs end */
    size_t mark_count;
} cli_page;

static inline void cli_page_put(cli_page *page, const char *text) { ds__buffer_text(page->out, text); }

/* false: out of memory. */
bool cli_page_take(cli_page *page);
void cli_page_free(cli_page *page);
/* Sections: none when there is nothing to show. */
void cli_page_put_loss(cli_page *page);
void cli_page_put_evaluations(cli_page *page);
void cli_page_put_step_charts(cli_page *page);
/* The metric that a run is judged by, the first one that evaluations have; -1: none. */
int cli_page_main_metric(const cli_page *page);
const char *cli_metric_name(int metric);

#endif
