/* The report as a page: its head, confusions, time and memory, tables. What comes from the log goes through
 * cli_html_put; numbers are our own text. */
#include "cli/report_page.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/report_style.h"

enum { MOST_PAIRS = 12 };

static const char *duration(double seconds, char out[32]) {
    if (!(seconds >= 0 && seconds < 1e9))
        snprintf(out, 32, "-");
    else if (seconds < 100)
        snprintf(out, 32, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(out, 32, "%.0fm %02.0fs", floor(seconds / 60), floor(fmod(seconds, 60)));
    else
        snprintf(out, 32, "%.0fh %02.0fm", floor(seconds / 3600), floor(fmod(seconds, 3600) / 60));
    return out;
}

static const char *bytes_text(double bytes, char out[32]) {
    if (bytes >= 0x1p40 || !(bytes >= 0))
        snprintf(out, 32, "%.3g GB", bytes / 0x1p30);
    else if (bytes >= 0x1p30)
        snprintf(out, 32, "%.2f GB", bytes / 0x1p30);
    else
        snprintf(out, 32, "%.1f MB", bytes / 0x1p20);
    return out;
}

/* ---- The head ---- */

static void put_tile(cli_page *p, const char *value, const char *name, const char *more) {
    ds__buffer_printf(p->out, "<div class=\"tile\"><b>%s</b><span>%s</span><span>%s</span></div>\n", value, name, more);
}

static void put_metric_tile(cli_page *p, int metric) {
    const cli_columns *c = &p->columns;
    const double *y = c->eval[metric];
    size_t last = 0, best = 0;
    char value[32], more[64];
    for (size_t i = 0; i < c->evals; i++) {
        if (!isfinite(y[i])) continue;
        last = i;
        if (!isfinite(y[best]) || y[i] > y[best]) best = i;
    }
    bool usual = fabs(y[last]) < 1e6 && fabs(y[best]) < 1e6;
    snprintf(value, sizeof value, usual ? "%.4f" : "%.3g", y[last]);
    snprintf(more, sizeof more, usual ? "best %.4f" : "best %.3g", y[best]);
    put_tile(p, value, cli_metric_name(metric), more);
}

static void put_loss_tile(cli_page *p) {
    const cli_columns *c = &p->columns;
    size_t first = 0, used = 0;
    double sum = 0;
    char value[32], more[64], text[32];
    while (first < c->steps && !isfinite(c->loss[first])) first++;
    for (size_t i = c->steps; i > 0 && used < 10; i--)
        if (isfinite(c->loss[i - 1])) sum += c->loss[i - 1], used++;
    if (!used) return;
    snprintf(more, sizeof more, "%s at first", cli_html_number(c->loss[first], text));
    put_tile(p, cli_html_number(sum / (double)used, value), used < 10 ? "Loss" : "Loss, last 10 steps", more);
}

static void put_tiles(cli_page *p) {
    const cli_log *log = p->log;
    const cli_log_step *last = log->step_count ? &log->steps[log->step_count - 1] : NULL;
    int metric = cli_page_main_metric(p);
    char a[32], b[32], more[64] = "";
    cli_page_put(p, "<div class=\"tiles\">\n");
    if (metric >= 0) put_metric_tile(p, metric);
    put_loss_tile(p);
    if (last && isfinite(last->epoch)) snprintf(more, sizeof more, "%s epochs", cli_html_number(last->epoch, b));
    if (last) put_tile(p, cli_html_number(last->step, a), "Steps", more);
    if (isfinite(log->seconds)) {
        more[0] = '\0';
        if (log->starts > 1) snprintf(more, sizeof more, "in %zu starts", log->starts);
        put_tile(p, duration(log->seconds, a), "Time", more);
    }
    double rate = isfinite(log->samples_per_s) ? log->samples_per_s : last ? last->samples_per_s : (double)NAN;
    if (isfinite(rate)) put_tile(p, cli_html_number(rate, a), "Texts a second", "");
    double planned = log->plan[CLI_LOG_PEAK];
    more[0] = '\0';
    if (isfinite(planned)) snprintf(more, sizeof more, "planned %s", bytes_text(planned, b));
    if (log->peak_rss_mb >= 0)
        put_tile(p, bytes_text(log->peak_rss_mb * 0x1p20, a), "Peak memory", more);
    else if (isfinite(planned))
        put_tile(p, bytes_text(planned, a), "Planned peak memory", "");
    cli_page_put(p, "</div>\n");
}

static void put_head(cli_page *p, ds__str run) {
    const cli_log *log = p->log;
    cli_page_put(
        p, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    cli_html_put(p->out, run);
    cli_page_put(p, " - training report</title>\n<style>\n");
    cli_page_put(p, report_page_style);
    cli_page_put(p, report_chart_style);
    cli_page_put(p, "</style></head>\n<body><main>\n<header><p class=\"soft\">Training run</p><h1><bdi>");
    cli_html_put(p->out, run);
    cli_page_put(p, "</bdi></h1>\n<p>");
    cli_page_put(p, log->ended ? "<span class=\"pill good\">finished</span>"
                               : "<span class=\"pill open\">not finished</span>");
    if (log->starts > 1)
        ds__buffer_printf(p->out, " <span class=\"pill open\">resumed %zu time%s</span>", log->starts - 1,
                          log->starts > 2 ? "s" : "");
    if (log->bad_count)
        ds__buffer_printf(p->out, " <span class=\"pill bad\">%zu unreadable line%s</span>", log->bad_count,
                          log->bad_count > 1 ? "s" : "");
    if (log->time.size) {
        cli_page_put(p, " <span class=\"soft\">started ");
        cli_html_put_cut(p->out, log->time, 40);
        cli_page_put(p, "</span>");
    }
    cli_page_put(p, "</p></header>\n");
}

/* ---- Confusions ---- */

typedef struct pair {
    size_t expected, predicted;
    uint32_t count;
} pair;

/* The cells off the diagonal with the largest counts, largest first. */
static size_t most_confused(const cli_matrix *m, pair *pairs) {
    size_t count = 0;
    for (size_t i = 0; i < m->labels * m->labels; i++) {
        pair next = {i / m->labels, i % m->labels, m->cells[i]};
        if (next.expected == next.predicted || !next.count) continue;
        if (count == MOST_PAIRS && next.count <= pairs[count - 1].count) continue;
        size_t place = count < MOST_PAIRS ? count++ : count - 1;
        for (; place > 0 && pairs[place - 1].count < next.count; place--) pairs[place] = pairs[place - 1];
        pairs[place] = next;
    }
    return count;
}

static void put_pairs(cli_page *p, const cli_matrix *m) {
    pair pairs[MOST_PAIRS];
    size_t count = most_confused(m, pairs);
    cli_page_put(p, "<div><p class=\"soft\">Most often confused</p><div class=\"scroll\"><table><tr><th>Expected</th>"
                    "<th>Predicted</th><th class=\"n\">Texts</th><th class=\"n\">Of expected</th></tr>\n");
    for (size_t i = 0; i < count; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < m->labels; k++) sum += m->cells[pairs[i].expected * m->labels + k];
        cli_page_put(p, "<tr><td><bdi>");
        cli_matrix_put_name(p->out, m, pairs[i].expected, 80);
        cli_page_put(p, "</bdi></td><td><bdi>");
        cli_matrix_put_name(p->out, m, pairs[i].predicted, 80);
        ds__buffer_printf(p->out, "</bdi></td><td class=\"n\">%" PRIu32 "</td><td class=\"n\">%.1f %%</td></tr>\n",
                          pairs[i].count, 100.0 * (double)pairs[i].count / (double)sum);
    }
    cli_page_put(p, "</table></div></div>");
}

static void put_confusion(cli_page *p) {
    const cli_log *log = p->log;
    cli_matrix m = {log->confusion, log->labels, log->confusion_labels, log->label_count};
    char step[32];
    if (!m.labels) return;
    cli_page_put(p, "<section class=\"wide\"><h2>Confusion matrix</h2><p class=\"soft\">At step ");
    cli_page_put(p, cli_html_number(log->confusion_step, step));
    cli_page_put(p, ": a row is what a text is, a column what it was taken for; blue is right, orange is wrong, and "
                    "the colour's strength is the share of the row.</p>\n");
    if (m.labels > CLI_MATRIX_NAMED) {
        cli_page_put(p, "<div class=\"grid\">");
        put_pairs(p, &m);
        cli_page_put(p, "<div>");
        cli_matrix_put(p->out, &m);
        cli_page_put(p, "</div></div>");
    } else {
        cli_matrix_put(p->out, &m);
    }
    cli_page_put(p, "</section>\n");
}

/* ---- Where time and memory went ---- */

static void put_time(cli_page *p) {
    static const char *const names[CLI_LOG_PHASES] = {"Forward", "Backward",   "Optimizer",
                                                      "Data",    "Evaluation", "Saving"};
    static const char *const colors[] = {"c1", "c2", "c3", "c4", "c5", "c6"};
    cli_part parts[CLI_LOG_PHASES + 1];
    double sum = 0;
    for (int i = 0; i < CLI_LOG_PHASES; i++) {
        parts[i] = (cli_part){.name = names[i], .color = colors[i], .value = p->log->phases[i]};
        duration(parts[i].value, parts[i].text);
        if (parts[i].value > 0) sum += parts[i].value;
    }
    if (!(sum > 0)) return;
    /* A bit of rest is rounding. */
    double rest = p->log->seconds - sum;
    parts[CLI_LOG_PHASES] =
        (cli_part){.name = "Everything else", .color = "c7", .value = rest > 0.001 * sum ? rest : 0};
    duration(parts[CLI_LOG_PHASES].value, parts[CLI_LOG_PHASES].text);
    cli_page_put(p, "<section><h2>Where time went</h2>\n");
    cli_bar_put(p->out, "time by what was done", parts, CLI_LOG_PHASES + 1);
    cli_page_put(p, "</section>\n");
}

static void put_memory(cli_page *p) {
    static const char *const names[] = {"Weights", "Gradients", "Optimizer", "Activations", "Scratch"};
    static const char *const colors[] = {"c1", "c2", "c3", "c4", "c5"};
    cli_part parts[CLI_LOG_PEAK];
    char text[32];
    bool any = false;
    for (int i = 0; i < CLI_LOG_PEAK; i++) {
        parts[i] = (cli_part){.name = names[i], .color = colors[i], .value = p->log->plan[i]};
        bytes_text(parts[i].value, parts[i].text);
        any = any || parts[i].value > 0;
    }
    if (!any) return;
    cli_page_put(p, "<section><h2>Where memory went, as planned</h2>\n");
    cli_bar_put(p->out, "planned memory by what it is for", parts, CLI_LOG_PEAK);
    if (p->log->plan[CLI_LOG_PEAK] > 0) {
        cli_page_put(p, "<p class=\"soft\">Together at most ");
        cli_page_put(p, bytes_text(p->log->plan[CLI_LOG_PEAK], text));
        cli_page_put(p, " at a time.</p>\n");
    }
    cli_page_put(p, "</section>\n");
}

/* ---- Tables ---- */

static void put_setting(cli_page *p, ds__json *json, ds__str key) {
    cli_page_put(p, "<tr><td class=\"k\"><bdi>");
    cli_html_put_cut(p->out, key, 80);
    cli_page_put(p, "</bdi></td><td><bdi>");
    if (ds__json_peek(json) == DS__JSON_STRING)
        cli_html_put_cut(p->out, ds__json_string(json, key), 400);
    else
        cli_html_put_cut(p->out, ds__json_raw(json), 400);
    cli_page_put(p, "</bdi></td></tr>\n");
}

static void put_settings(cli_page *p) {
    enum { MOST = 300 };
    ds__json json;
    size_t count = 0;
    if (!p->log->settings.size) return;
    cli_page_put(p, "<section class=\"wide\"><h2>Settings</h2><table class=\"two\">\n");
    ds__json_init(&json, cli_heap(), "settings", p->log->settings);
    for (ds__str key; ds__json_next_key(&json, &key) && count < MOST; count++) put_setting(p, &json, key);
    if (ds__json_finish(&json, NULL) == DS_OUT_OF_MEMORY) p->out->failed = true; /* the text itself was read before */
    cli_page_put(p, "</table></section>\n");
}

static void put_notes(cli_page *p) {
    const cli_log *log = p->log;
    size_t shown = log->warning_count < CLI_LOG_NOTES ? log->warning_count : CLI_LOG_NOTES;
    if (shown) {
        ds__buffer_printf(p->out, "<section class=\"wide\"><h2>Warnings (%zu)</h2><ul class=\"notes\">\n",
                          log->warning_count);
        for (size_t i = 0; i < shown; i++) {
            cli_page_put(p, "<li><bdi>");
            cli_html_put_cut(p->out, log->warnings[i], 1000);
            cli_page_put(p, "</bdi></li>\n");
        }
        cli_page_put(p, "</ul>");
        if (shown < log->warning_count) ds__buffer_printf(p->out, "<p class=\"soft\">The first %zu.</p>", shown);
        cli_page_put(p, "</section>\n");
    }
    shown = log->bad_count < CLI_LOG_BAD_LINES ? log->bad_count : CLI_LOG_BAD_LINES;
    if (!shown) return;
    ds__buffer_printf(
        p->out,
        "<section class=\"wide\"><h2>Lines of the log that are no events (%zu)</h2>"
        "<div class=\"scroll\"><table><tr><th class=\"n\">Line</th><th>What is wrong</th><th>Text</th></tr>\n",
        log->bad_count);
    for (size_t i = 0; i < shown; i++) {
        ds__buffer_printf(p->out, "<tr><td class=\"n\">%zu</td><td>", log->bad[i].number);
        cli_html_put_cut(p->out, log->bad[i].why, 200);
        cli_page_put(p, "</td><td><code><bdi>");
        cli_html_put(p->out, log->bad[i].text);
        cli_page_put(p, "</bdi></code></td></tr>\n");
    }
    cli_page_put(p, "</table></div>");
    if (shown < log->bad_count) ds__buffer_printf(p->out, "<p class=\"soft\">The first %zu.</p>", shown);
    cli_page_put(p, "</section>\n");
}

void cli_report_put_page(ds__buffer *out, const cli_log *log, ds__str run) {
    cli_page p = {.out = out, .log = log};
    if (!cli_page_take(&p)) {
        out->failed = true;
        return;
    }
    put_head(&p, run);
    put_tiles(&p);
    cli_page_put(&p, "<div class=\"grid\">\n");
    if (!log->step_count && !log->eval_count)
        cli_page_put(&p, "<section class=\"wide\"><p>The log holds no step yet.</p></section>\n");
    cli_page_put_loss(&p);
    cli_page_put_evaluations(&p);
    cli_page_put_step_charts(&p);
    put_confusion(&p);
    put_time(&p);
    put_memory(&p);
    put_settings(&p);
    put_notes(&p);
    cli_page_put(&p, "</div>\n</main></body></html>\n");
    cli_page_free(&p);
}
