/* What the report draws over the steps: loss, evaluations, learning rate, gradient norm. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/report_page.h"

enum { WIDE = 1000, HALF = 480, MOST_EVALS = 60, MOST_SMOOTH = 2000 };

/* color NULL: in the table only, since it is better the smaller it is. */
static const struct {
    const char *name, *color;
} metrics[CLI_LOG_METRICS] = {
    [CLI_LOG_ACCURACY] = {"Accuracy", "c1"}, [CLI_LOG_F1] = {"F1", "c2"},
    [CLI_LOG_F1_MACRO] = {"Macro F1", "c3"}, [CLI_LOG_MCC] = {"MCC", "c4"},
    [CLI_LOG_PEARSON] = {"Pearson", "c1"},   [CLI_LOG_SPEARMAN] = {"Spearman", "c2"},
    [CLI_LOG_ECE] = {"ECE", NULL},
};

const char *cli_metric_name(int metric) { return metrics[metric].name; }

/* At up to MOST_SMOOTH places the mean of a fortieth of all steps to either side, as far on one side as on the other:
 * no lag, and the ends stay what they are. */
static void smooth(cli_columns *c) {
    size_t reach = c->steps < 80 ? 2 : c->steps / 40, last = c->steps ? c->steps - 1 : 0;
    c->smooths = c->steps < MOST_SMOOTH ? c->steps : MOST_SMOOTH;
    for (size_t n = 0; n < c->smooths; n++) {
        size_t i = last * n / (c->smooths > 1 ? c->smooths - 1 : 1), finite = 0;
        size_t room = i < last - i ? i : last - i, side = room < reach ? room : reach;
        double sum = 0;
        for (size_t k = i - side; k <= i + side; k++)
            if (isfinite(c->loss[k])) sum += c->loss[k], finite++;
        c->smooth[n] = finite ? sum / (double)finite : (double)NAN;
        c->smooth_step[n] = c->step[i];
    }
}

static bool take_columns(cli_page *p) {
    cli_columns *c = &p->columns;
    const cli_log *log = p->log;
    c->steps = log->step_count;
    c->evals = log->eval_count;
    c->bytes = (7 * c->steps + (2 + CLI_LOG_METRICS) * c->evals) * sizeof(double);
    double *at = c->block = ds__alloc(cli_heap(), c->bytes);
    if (!at) return false;
    double **parts[] = {&c->step, &c->loss, &c->rate, &c->norm, &c->scratch, &c->smooth, &c->smooth_step};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, at += c->steps) *parts[i] = at;
    c->eval_step = at;
    c->eval_loss = at + c->evals;
    for (size_t m = 0; m < CLI_LOG_METRICS; m++) c->eval[m] = at + (2 + m) * c->evals;
    for (size_t i = 0; i < c->steps; i++) {
        c->step[i] = log->steps[i].step;
        c->loss[i] = log->steps[i].loss;
        c->rate[i] = log->steps[i].learning_rate;
        c->norm[i] = log->steps[i].gradient_norm;
    }
    for (size_t i = 0; i < c->evals; i++) {
        c->eval_step[i] = log->evals[i].step;
        c->eval_loss[i] = log->evals[i].loss;
        for (size_t m = 0; m < CLI_LOG_METRICS; m++) c->eval[m][i] = log->evals[i].metrics[m];
    }
    smooth(c);
    return true;
}

/* Vertical lines where an epoch ends, unless they would be too many. */
static void take_marks(cli_page *p) {
    for (size_t i = 1; i < p->log->step_count; i++) {
        double before = floor(p->log->steps[i - 1].epoch), now = floor(p->log->steps[i].epoch);
        if (!(now > before) || !(now < 1e6)) continue;
        if (p->mark_count == CLI_CHART_LINES) {
            p->mark_count = 0;
            return;
        }
        cli_mark *mark = &p->marks[p->mark_count++];
        mark->x = p->log->steps[i].step;
        snprintf(mark->text, sizeof mark->text, "epoch %.0f", now);
    }
}

bool cli_page_take(cli_page *p) {
    if (!take_columns(p)) return false;
    take_marks(p);
    return true;
}

void cli_page_free(cli_page *p) { ds__free(cli_heap(), p->columns.block, p->columns.bytes); }

static bool has_any(const double *y, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (isfinite(y[i])) return true;
    return false;
}

static bool has_other_than_0(const double *y, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (isfinite(y[i]) && y[i] != 0) return true;
    return false;
}

int cli_page_main_metric(const cli_page *p) {
    static const int order[] = {CLI_LOG_ACCURACY, CLI_LOG_PEARSON,  CLI_LOG_SPEARMAN,
                                CLI_LOG_F1,       CLI_LOG_F1_MACRO, CLI_LOG_MCC};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (has_any(p->columns.eval[order[i]], p->columns.evals)) return order[i];
    return -1;
}

static void put_key(cli_page *p, const char *color, bool pale, const char *name) {
    ds__buffer_printf(p->out, "<span><i class=\"%s%s\"></i>%s</span>", color, pale ? " pale" : "", name);
}

static void put_chart(cli_page *p, const char *about, const cli_series *series, size_t count, double low, double high,
                      bool is_wide) {
    cli_chart_put(p->out, &(cli_chart){.about = about,
                                       .width = is_wide ? WIDE : HALF,
                                       .height = is_wide ? 320 : 220,
                                       .series = series,
                                       .count = count,
                                       .low = low,
                                       .high = high,
                                       .marks = p->marks,
                                       .mark_count = is_wide ? p->mark_count : 0});
}

void cli_page_put_loss(cli_page *p) {
    const cli_columns *c = &p->columns;
    bool has_eval = has_any(c->eval_loss, c->evals);
    double low, high;
    if (!has_any(c->loss, c->steps) && !has_eval) return;
    memcpy(c->scratch, c->loss, c->steps * sizeof *c->scratch);
    cli_chart_range(c->scratch, c->steps, &low, &high);
    for (size_t i = 0; i < c->evals && isfinite(low); i++)
        if (isfinite(c->eval_loss[i])) {
            if (c->eval_loss[i] > high) high = c->eval_loss[i] * 1.03;
            if (c->eval_loss[i] < low) low = c->eval_loss[i];
        }
    cli_series series[] = {{"c1", "faint", false, c->loss, c->step, c->steps, NULL},
                           {"c1", "", false, c->smooth, c->smooth_step, c->smooths, NULL},
                           {"c2", "", true, c->eval_loss, c->eval_step, c->evals, "evaluation loss"}};
    cli_page_put(p, "<section class=\"wide\"><h2>Loss</h2><p class=\"key\">");
    put_key(p, "c1", true, "each step");
    put_key(p, "c1", false, "smoothed");
    if (has_eval) put_key(p, "c2", false, "evaluation");
    cli_page_put(p, "</p>\n");
    put_chart(p, "loss by step", series, has_eval ? 3 : 2, low, high, true);
    cli_page_put(p, "</section>\n");
}

static void put_metric_chart(cli_page *p) {
    const cli_columns *c = &p->columns;
    cli_series series[CLI_LOG_METRICS];
    size_t count = 0;
    double low = INFINITY, high = -INFINITY;
    cli_page_put(p, "<p class=\"key\">");
    for (int m = 0; m < CLI_LOG_METRICS; m++) {
        if (!metrics[m].color || !has_any(c->eval[m], c->evals)) continue;
        for (size_t i = 0; i < c->evals; i++)
            if (isfinite(c->eval[m][i])) low = fmin(low, c->eval[m][i]), high = fmax(high, c->eval[m][i]);
        series[count++] = (cli_series){metrics[m].color, "", true, c->eval[m], c->eval_step, c->evals, metrics[m].name};
        put_key(p, metrics[m].color, false, metrics[m].name);
    }
    cli_page_put(p, "</p>\n");
    double margin = fmax((high - low) * 0.1, 0.01); /* a metric that stands still is no mountain range */
    put_chart(p, "metrics by step", series, count, low - margin, high <= 1 ? fmin(high + margin, 1.005) : high + margin,
              false);
}

static void put_cell(cli_page *p, double value, const char *format) {
    char text[32];
    cli_page_put(p, "<td class=\"n\">");
    if (isfinite(value) && fabs(value) < 1e6)
        ds__buffer_printf(p->out, format, value);
    else
        cli_page_put(p, cli_html_number(value, text));
    cli_page_put(p, "</td>");
}

static void put_metric_table(cli_page *p) {
    const cli_columns *c = &p->columns;
    bool has_loss = has_any(c->eval_loss, c->evals);
    size_t first = c->evals > MOST_EVALS ? c->evals - MOST_EVALS : 0;
    cli_page_put(p, "<div class=\"scroll\"><table><tr><th class=\"n\">Step</th><th class=\"n\">Epoch</th>");
    if (has_loss) cli_page_put(p, "<th class=\"n\">Loss</th>");
    for (int m = 0; m < CLI_LOG_METRICS; m++)
        if (has_any(c->eval[m], c->evals)) ds__buffer_printf(p->out, "<th class=\"n\">%s</th>", metrics[m].name);
    cli_page_put(p, "<th class=\"n\">Texts</th></tr>\n");
    for (size_t i = first; i < c->evals; i++) {
        cli_page_put(p, "<tr>");
        put_cell(p, c->eval_step[i], "%.0f");
        put_cell(p, p->log->evals[i].epoch, "%.2f");
        if (has_loss) put_cell(p, c->eval_loss[i], "%.4f");
        for (int m = 0; m < CLI_LOG_METRICS; m++)
            if (has_any(c->eval[m], c->evals)) put_cell(p, c->eval[m][i], "%.4f");
        put_cell(p, p->log->evals[i].count, "%.0f");
        cli_page_put(p, "</tr>\n");
    }
    cli_page_put(p, "</table></div>");
    if (first) ds__buffer_printf(p->out, "<p class=\"soft\">The last %d of %zu evaluations.</p>", MOST_EVALS, c->evals);
}

void cli_page_put_evaluations(cli_page *p) {
    if (!p->columns.evals) return;
    cli_page_put(p, "<section class=\"wide\"><h2>Evaluation</h2><div class=\"grid\"><div>");
    if (cli_page_main_metric(p) >= 0) put_metric_chart(p);
    cli_page_put(p, "</div><div>");
    put_metric_table(p);
    cli_page_put(p, "</div></div></section>\n");
}

void cli_page_put_step_charts(cli_page *p) {
    const cli_columns *c = &p->columns;
    if (has_any(c->rate, c->steps)) {
        cli_series series = {"c3", "", false, c->rate, c->step, c->steps, NULL};
        cli_page_put(p, "<section><h2>Learning rate</h2>\n");
        put_chart(p, "learning rate by step", &series, 1, 0, 0, false);
        cli_page_put(p, "</section>\n");
    }
    if (has_other_than_0(c->norm, c->steps)) {
        double low, high;
        cli_series series = {"c4", c->steps > 300 ? "thin" : "", false, c->norm, c->step, c->steps, NULL};
        memcpy(c->scratch, c->norm, c->steps * sizeof *c->scratch);
        cli_chart_range(c->scratch, c->steps, &low, &high);
        cli_page_put(p, "<section><h2>Gradient norm, before clipping</h2>\n");
        put_chart(p, "gradient norm by step", &series, 1, low, high, false);
        cli_page_put(p, "</section>\n");
    }
}
