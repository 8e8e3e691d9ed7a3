/* Sentences and figures of a training run; see the header. */
#include "cli/train_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { INTERVAL_MS = 100, SMOOTH_STEPS = 20 };

void cli_train_view_init(cli_train_view *view) { *view = (cli_train_view){.terminal = isatty(STDERR_FILENO) == 1}; }

void cli_train_view_clear(cli_train_view *view) {
    if (view->shown_ns) cli_progress_clear();
    view->shown_ns = 0;
}

static const char *task_name(ds_train_task task) {
    switch (task) {
    case DS_TRAIN_CLASSIFICATION: return "classification";
    case DS_TRAIN_MULTI_LABEL: return "multi-label classification";
    case DS_TRAIN_REGRESSION: return "regression";
    case DS_TRAIN_TAGGING: return "tagging";
    case DS_TRAIN_EMBEDDING: return "embedding";
    default: return "training";
    }
}

static const char *loss_name(ds_loss loss) {
    switch (loss) {
    case DS_LOSS_CROSS_ENTROPY: return "cross-entropy";
    case DS_LOSS_BINARY_CROSS_ENTROPY: return "binary cross-entropy";
    case DS_LOSS_SQUARED_ERROR: return "squared error";
    case DS_LOSS_COSINE: return "cosine";
    case DS_LOSS_IN_BATCH_NEGATIVES: return "in-batch negatives";
    case DS_LOSS_SOFT_LABELS: return "a teacher's probabilities";
    default: return "a loss";
    }
}

static void show_bytes(const char *what, uint64_t bytes) {
    fprintf(stderr, "  %-12s %9.1f MB\n", what, (double)bytes / (1 << 20)); /* as peak_rss_mb */
}

void cli_train_show_plan(const ds_trainer_info *info) {
    fprintf(stderr, "deepseek: %s by %s", task_name(info->task), loss_name(info->loss));
    if (info->task == DS_TRAIN_EMBEDDING)
        fprintf(stderr, ", vectors of %" PRId32 " values", info->labels);
    else
        fprintf(stderr, ", %" PRId32 " label%s%s", info->labels, info->labels == 1 ? "" : "s",
                info->new_head ? " (a new head)" : "");
    fprintf(stderr, "; %.2f of %.2f million parameters are trained\n", (double)info->trained_parameters / 1e6,
            (double)info->parameters / 1e6);
    fprintf(stderr, "deepseek: memory plan, for micro-batches of %zu tokens%s:\n", info->micro_batch_tokens,
            info->gradient_checkpointing ? " with gradient checkpointing" : "");
    show_bytes("weights", info->weights);
    show_bytes("gradients", info->gradients);
    show_bytes("optimizer", info->optimizer);
    show_bytes("activations", info->activations);
    show_bytes("scratch", info->scratch);
    show_bytes("peak", info->peak);
    if (info->plan_why && *info->plan_why) fprintf(stderr, "deepseek: %s\n", info->plan_why);
    fprintf(stderr, "deepseek: precision is %s: %s\n", ds_precision_name(info->precision),
            info->precision_why ? info->precision_why : "");
}

/* "1:05:09", "12:30", "45 s". */
static const char *duration(double seconds, char *out, size_t size) {
    int64_t s = seconds > 0 && seconds < 1e9 ? (int64_t)(seconds + 0.5) : 0;
    if (s < 60)
        snprintf(out, size, "%" PRId64 " s", s);
    else if (s < 3600)
        snprintf(out, size, "%" PRId64 ":%02d", s / 60, (int)(s % 60));
    else
        snprintf(out, size, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
    return out;
}

void cli_train_show_step(cli_train_view *view, const ds_fit_event *event) {
    const ds_train_step *step = &event->step;
    double share = view->steps < SMOOTH_STEPS ? 1.0 / (double)(view->steps + 1) : 1.0 / SMOOTH_STEPS;
    view->smooth_loss += share * (step->loss - view->smooth_loss);
    view->steps++;
    uint64_t now = view->terminal ? ds__clock_ns() : 0;
    bool last = step->step >= event->total_steps;
    if (!view->terminal || (!last && view->shown_ns && now - view->shown_ns < INTERVAL_MS * UINT64_C(1000000))) return;
    view->shown_ns = now;
    char text[256], left[32];
    snprintf(text, sizeof text, "%" PRId64 "/%" PRId64 ", epoch %.2f, loss %.3f, lr %.1e, %.0f/s, %s left", step->step,
             event->total_steps, event->epoch, view->smooth_loss, (double)step->learning_rate, event->samples_per_s,
             duration(event->seconds_left, left, sizeof left));
    cli_progress_draw(event->total_steps > 0 ? (double)step->step / (double)event->total_steps : 0, text);
}

static void put_metric(ds__buffer *out, const char *name, double value) {
    if (!isnan(value)) ds__buffer_printf(out, "%s%s %.4f", out->size ? ", " : "", name, value);
}

/* "loss 0.2134, accuracy 0.9321, ...": those that apply. */
static void put_metrics(ds__buffer *out, const ds_metrics *metrics) {
    put_metric(out, "loss", metrics->loss);
    put_metric(out, "accuracy", metrics->accuracy);
    put_metric(out, "F1", metrics->f1);
    put_metric(out, "macro F1", metrics->f1_macro);
    put_metric(out, "MCC", metrics->mcc);
    put_metric(out, "Pearson", metrics->pearson);
    put_metric(out, "Spearman", metrics->spearman);
    put_metric(out, "ECE", metrics->ece);
}

void cli_train_show_evaluation(cli_train_view *view, const ds_fit_event *event) {
    ds__buffer text;
    ds__buffer_init(&text, cli_heap());
    put_metrics(&text, &event->metrics);
    const char *metrics = ds__buffer_cstr(&text);
    cli_train_view_clear(view);
    fprintf(stderr, "deepseek: step %" PRId64 ", epoch %.2f: %s on %zu texts\n", event->step.step, event->epoch,
            metrics ? metrics : "", event->metrics.count);
    ds__buffer_deinit(&text);
}

void cli_train_show_saved(cli_train_view *view, const ds_fit_event *event) {
    cli_train_view_clear(view);
    fprintf(stderr, "deepseek: step %" PRId64 ": saved %s\n", event->step.step, event->path ? event->path : "");
}

void cli_train_show_warning(cli_train_view *view, const char *text) {
    cli_train_view_clear(view);
    fprintf(stderr, "deepseek: warning: %s\n", text ? text : "");
}

void cli_train_put_summary(const cli_train_options *options, ds_train_task task, const ds_fit_result *result,
                           ds__buffer *out) {
    char time[32];
    ds__buffer metrics;
    ds__buffer_init(&metrics, cli_heap());
    ds__buffer_printf(out, "%" PRId64 " steps in %s, %.1f texts/s\n", result->steps,
                      duration(result->train_s, time, sizeof time), result->samples_per_s);
    ds__buffer_printf(out, "loss        %.4f at first, %.4f at last\n", result->first_loss, result->last_loss);
    if (result->has_eval) {
        put_metrics(&metrics, &result->eval);
        ds__buffer_printf(out, "evaluation  %s", ds__buffer_cstr(&metrics) ? metrics.data : "");
        ds__buffer_printf(out, ", on %zu texts\n", result->eval.count);
    }
    if (result->calibration.rows) {
        ds__buffer_printf(out, "calibration temperature %.4f", (double)result->calibration.temperature);
        if (!isnan(result->calibration.ece_after))
            ds__buffer_printf(out, ", ECE %.4f before, %.4f after", result->calibration.ece_before,
                              result->calibration.ece_after);
        ds__buffer_printf(out, ", on %zu texts\n", result->calibration.rows);
    }
    if (result->skipped) ds__buffer_printf(out, "skipped     %zu rows that could not be used\n", result->skipped);
    ds__buffer_printf(out, "model       %s\n\nNext:\n", options->output);
    ds__buffer_printf(out, "  echo 'a text' | deepseek %s %s\n", task == DS_TRAIN_EMBEDDING ? "embed" : "classify",
                      options->output);
    ds__buffer_printf(out, "  deepseek report %s\n", options->output);
    ds__buffer_deinit(&metrics);
}

static void put_value(ds__json_writer *json, const char *key, double value, int decimals) {
    ds__json_key(json, key);
    ds__json_put_fixed(json, value, decimals);
}

void cli_train_put_json(const ds_fit_result *result, ds__buffer *out) {
    const ds_metrics *m = &result->eval;
    ds__json_writer json = {out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "steps");
    ds__json_put_int(&json, result->steps);
    put_value(&json, "samples_per_s", result->samples_per_s, 2);
    put_value(&json, "train_s", result->train_s, 3);
    put_value(&json, "first_loss", result->first_loss, 6);
    put_value(&json, "last_loss", result->last_loss, 6);
    put_value(&json, "eval_accuracy", result->has_eval ? m->accuracy : NAN, 6);
    put_value(&json, "peak_rss_mb", (double)cli_peak_rss_mb(), 0);
    const struct {
        const char *key;
        double value;
    } more[] = {{"eval_loss", m->loss}, {"eval_f1", m->f1},           {"eval_f1_macro", m->f1_macro},
                {"eval_mcc", m->mcc},   {"eval_pearson", m->pearson}, {"eval_spearman", m->spearman},
                {"eval_ece", m->ece}};
    for (size_t i = 0; result->has_eval && i < sizeof more / sizeof *more; i++)
        if (!isnan(more[i].value)) put_value(&json, more[i].key, more[i].value, 6);
    if (result->calibration.rows) {
        ds__json_key(&json, "temperature");
        ds__json_put_f32(&json, result->calibration.temperature);
    }
    ds__json_close_object(&json);
    ds__buffer_put(out, '\n');
}
