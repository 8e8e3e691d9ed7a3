/* Training from files: the steps, and after which of them the model is evaluated and saved.
 *
 * Where a run stands is its step alone: the rows of a step follow from the seed (fit_rows.h), so a resumed run goes on
 * with the same ones. */
#include "train/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/save.h"
#include "train/calibrate.h"
#include "train/checkpoint.h"
#include "train/finish.h"
#include "train/fit_rows.h"
#include "train/metrics.h"
#include "train/teacher.h"
#include "train/trainer_checkpoint.h"

enum { LAST_LOSSES = 10, EVAL_ROWS = 64, MAX_CHECKPOINTS = 64 };

typedef struct fit {
    ds_context *context;
    const ds_fit_options *options;
    ds_trainer_options how;
    ds__fit_rows rows;
    ds_tokenizer *tokenizer;
    ds_trainer *trainer;
    ds__teacher *teacher; /* NULL: none */
    ds__batch_rule rule;
    ds__fit_batch batch;
    ds__run_log *log;
    ds__buffer line;
    ds_fit_event event;
    ds_fit_result *result;
    uint64_t started_ns;
    int64_t first_step; /* of this process */
    size_t samples;     /* in this process */
    double busy;        /* seconds of steps and of reading their rows, in this process */
    double losses[LAST_LOSSES];
    double best; /* the best evaluation so far; NAN: none */
    int64_t saved_step;
    bool stopped;
    ds__finish_times times;
} fit;

static double seconds_since(uint64_t ns) { return (double)(ds__clock_ns() - ns) * 1e-9; }

/* Tells the host; false is its wish to stop. */
static void tell(fit *f, ds_fit_event_kind kind) {
    f->event.kind = kind;
    f->event.total_steps = f->how.total_steps;
    f->event.info = f->trainer ? &f->trainer->info : NULL;
    f->event.seconds = seconds_since(f->started_ns);
    if (f->options->on_event && !f->options->on_event(f->options->user, &f->event)) f->stopped = true;
}

static ds_status put_line(fit *f, ds_error *error) { return ds__run_log_put(f->log, &f->line, error); }

static void warn(void *user, const char *sentence) {
    fit *f = user;
    f->event.text = sentence;
    tell(f, DS_FIT_WARNING);
    if (!f->log) return;
    ds_error ignored;
    ds__run_log_text(&f->line, "warning", "text", sentence);
    if (put_line(f, &ignored) != DS_OK) return; /* a log must not stop a run */
}

/* ---- Evaluation ---- */

/* Labels are no teacher's probabilities, and negatives depend on what else is in the batch. */
static bool loss_is_known(const fit *f) {
    if (f->how.keep_vectors > 0) return true;
    return !f->teacher && f->trainer->info.loss != DS_LOSS_IN_BATCH_NEGATIVES;
}

static ds_status evaluate_rows(fit *f, ds__scores *scores, size_t first, size_t count, float *results, double *loss,
                               ds_error *error) {
    ds__dataset *data = f->rows.eval ? f->rows.eval : f->rows.train;
    ds__batch_rule rule = f->rule;
    const bool measures = loss_is_known(f);
    ds__data_row row;
    rule.keeps = false;
    rule.pairs = f->rule.task == DS_TRAIN_EMBEDDING;
    ds__fit_batch_clear(&f->batch);
    for (size_t i = first; i < first + count; i++) {
        DS_TRY(ds__dataset_read(data, f->rows.eval ? i : f->rows.all[f->rows.trained + i], &row, error));
        DS_TRY(ds__fit_batch_add(&f->batch, &rule, &row, error));
    }
    const ds_train_batch view = ds__fit_batch_view(&f->batch);
    double mean = 0;
    DS_TRY(ds__trainer_evaluate(f->trainer, &view, results, measures ? &mean : NULL, error));
    *loss += mean * (double)count;
    for (size_t i = 0; i < count; i++) {
        const size_t width = (size_t)scores->labels * (rule.pairs ? 2 : 1);
        row = ds__fit_batch_expected(&f->batch, &rule, i);
        DS_TRY(ds__scores_add(scores, &row, results + i * width, error));
    }
    return DS_OK;
}

/* What is better the larger it is. */
static double quality(const ds_metrics *metrics) {
    return !isnan(metrics->accuracy)   ? metrics->accuracy
           : !isnan(metrics->spearman) ? metrics->spearman
                                       : -metrics->loss;
}

static ds_status log_evaluation(fit *f, const ds__scores *scores, ds_error *error) {
    const size_t labels = (size_t)scores->labels, bytes = labels * labels * sizeof(uint32_t);
    uint32_t *confusion = NULL;
    const bool draws = scores->task == DS_TRAIN_CLASSIFICATION && labels <= 200;
    if (draws) confusion = ds__alloc(&f->context->heap, bytes);
    if (draws && !confusion) return ds__alloc_failed(&f->context->heap, bytes, "a confusion matrix", error);
    ds_status status = DS_OK;
    if (confusion)
        status =
            ds__metrics_confusion(scores->predicted, scores->expected, scores->count, scores->labels, confusion, error);
    if (status == DS_OK) {
        ds__run_log_eval(&f->line, &f->event, confusion, scores->labels);
        status = put_line(f, error);
    }
    ds__free(&f->context->heap, confusion, confusion ? bytes : 0);
    return status;
}

static ds_status evaluate(fit *f, ds_error *error) {
    const size_t rows = f->rows.eval ? ds__dataset_describe(f->rows.eval)->rows : f->rows.held_out;
    if (rows == 0) return DS_OK;
    const uint64_t start = ds__clock_ns();
    ds__heap *heap = &f->context->heap;
    ds__scores scores;
    ds__scores_init(&scores, heap, f->rule.task, f->trainer->info.labels, 1);
    const size_t bytes = 2 * EVAL_ROWS * (size_t)scores.labels * sizeof(float);
    float *results = ds__alloc(heap, bytes);
    ds_status status = results ? DS_OK : ds__alloc_failed(heap, bytes, "results to measure", error);
    double loss = 0;
    for (size_t first = 0; first < rows && status == DS_OK; first += EVAL_ROWS)
        status = evaluate_rows(f, &scores, first, rows - first < EVAL_ROWS ? rows - first : EVAL_ROWS, results, &loss,
                               error);
    if (status == DS_OK) status = ds__scores_metrics(&scores, &f->event.metrics, error);
    if (status == DS_OK) {
        f->event.metrics.loss = loss_is_known(f) ? loss / (double)rows : NAN;
        f->result->eval = f->event.metrics;
        f->result->has_eval = true;
        status = log_evaluation(f, &scores, error);
        tell(f, DS_FIT_EVALUATED);
    }
    if (results) ds__free(heap, results, bytes);
    ds__scores_deinit(&scores);
    f->times.evaluation += seconds_since(start);
    return status;
}

/* ---- Saving and going on ---- */

static ds_status save(fit *f, bool is_best, ds_error *error) {
    const int64_t step = f->trainer->step;
    const uint64_t start = ds__clock_ns();
    ds__heap *heap = &f->context->heap;
    if (step == f->saved_step) return DS_OK;
    ds__buffer path;
    ds__buffer_init(&path, heap);
    const char *name = ds__checkpoint_path(&path, f->options->output, step);
    char state[64];
    snprintf(state, sizeof state, "%.17g %.17g", f->best, f->options->calibrate);
    ds_status status = name ? DS_OK : ds__alloc_failed(heap, 256, "a checkpoint's path", error);
    if (status == DS_OK && ds__folder_exists(name)) /* one that was found torn */
        status = ds__save_remove(heap, name, error);
    if (status == DS_OK) status = ds__trainer_save_checkpoint(f->trainer, name, state, error);
    if (status == DS_OK) {
        f->saved_step = step;
        f->event.path = name;
        tell(f, DS_FIT_SAVED);
        ds__run_log_text(&f->line, "saved", "path", name);
        status = put_line(f, error);
    }
    if (status == DS_OK && is_best) status = ds__checkpoint_mark_best(heap, f->options->output, step, error);
    if (status == DS_OK)
        status = ds__checkpoint_prune(heap, f->options->output, f->options->keep ? f->options->keep : 2, error);
    ds__buffer_deinit(&path);
    f->event.path = NULL;
    f->times.saving += seconds_since(start);
    return status;
}

/* The state of a checkpoint: the best evaluation, and the share of rows that is kept to calibrate with.  With another
 * share some of those rows would have been trained on. */
static ds_status take_state(fit *f, const char *name, const char *state, ds_error *error) {
    char *end;
    f->best = strtod(state, &end);
    const double share = strtod(end, NULL);
    if (share == f->options->calibrate) return DS_OK;
    return ds__fail(
        error, DS_INVALID_ARGUMENT,
        "%s: is of a run that kept a share of %g of the rows to calibrate with, this one keeps %g; give the "
        "options that it was made with, or start anew in another folder",
        name, share, f->options->calibrate);
}

/* The newest checkpoint that is whole; those that are not are told and passed over. */
static ds_status resume(fit *f, ds_error *error) {
    ds__heap *heap = &f->context->heap;
    int64_t steps[MAX_CHECKPOINTS];
    size_t count = 0;
    DS_TRY(ds__checkpoint_list(heap, f->options->output, steps, MAX_CHECKPOINTS, &count, error));
    for (size_t i = 0; i < count; i++) {
        ds__buffer path;
        ds_error reason;
        const char *state = NULL;
        ds__buffer_init(&path, heap);
        const char *name = ds__checkpoint_path(&path, f->options->output, steps[i]);
        ds_status status = name ? ds__trainer_load_checkpoint(f->trainer, name, &state, &reason) : DS_OUT_OF_MEMORY;
        if (status == DS_OK) status = take_state(f, name, state, &reason);
        ds__buffer_deinit(&path);
        if (status == DS_OK) {
            f->first_step = f->saved_step = f->trainer->step;
            return DS_OK;
        }
        if (status != DS_NOT_FOUND && status != DS_BAD_FORMAT)
            return name ? ds__fail(error, status, "%s", reason.message)
                        : ds__alloc_failed(heap, 256, "a checkpoint's path", error);
        warn(f, reason.message);
    }
    return DS_OK;
}

/* ---- The loop ---- */

static ds_status one_step(fit *f, ds_error *error) {
    const int64_t step = f->trainer->step;
    const uint64_t start = ds__clock_ns();
    DS_TRY(ds__fit_rows_fill(&f->rows, &f->rule, step, &f->batch, error));
    if (f->teacher) DS_TRY(ds__teacher_fill(f->teacher, &f->batch, error));
    f->times.data += seconds_since(start);
    const ds_train_batch view = ds__fit_batch_view(&f->batch);
    ds_status status = ds__trainer_step(f->trainer, &view, &f->event.step, error);
    if (status == DS_DIVERGED && f->saved_step > 0)
        return ds__fail_in(error, status, "the last good checkpoint is %s/checkpoint-%lld", f->options->output,
                           (long long)f->saved_step);
    DS_TRY(status);
    f->busy += seconds_since(start);
    f->times.forward += f->event.step.forward_s;
    f->times.backward += f->event.step.backward_s;
    f->times.optimizer += f->event.step.optimizer_s;
    f->samples += f->batch.rows;
    f->losses[step % LAST_LOSSES] = f->event.step.loss;
    if (step == f->first_step) f->result->first_loss = f->event.step.loss;
    f->event.epoch = (double)(step + 1) / (double)f->rows.steps_of_epoch;
    f->event.samples_per_s = (double)f->samples / f->busy;
    f->event.seconds_left = f->busy / (double)(step + 1 - f->first_step) * (double)(f->how.total_steps - step - 1);
    tell(f, DS_FIT_STEP);
    ds__run_log_step(&f->line, &f->event);
    return put_line(f, error);
}

/* After a step: evaluation and checkpoint where they are due. */
static ds_status after_step(fit *f, ds_error *error) {
    const int64_t step = f->trainer->step,
                  every = f->options->save_steps > 0 ? f->options->save_steps : f->rows.steps_of_epoch;
    const bool epoch_ends = step % f->rows.steps_of_epoch == 0 || step == f->how.total_steps;
    bool is_best = false;
    if (epoch_ends) {
        DS_TRY(evaluate(f, error));
        if (f->result->has_eval && !(quality(&f->result->eval) <= f->best)) {
            f->best = quality(&f->result->eval);
            is_best = true;
        }
    }
    if (step % every == 0 || is_best || step == f->how.total_steps || f->stopped) return save(f, is_best, error);
    return DS_OK;
}

static ds_status train(fit *f, ds_error *error) {
    if (f->options->eval_on_start && f->trainer->step == 0) DS_TRY(evaluate(f, error));
    while (f->trainer->step < f->how.total_steps && !f->stopped) {
        DS_TRY(one_step(f, error));
        DS_TRY(after_step(f, error));
    }
    const int64_t made = f->trainer->step - f->first_step, last = made < LAST_LOSSES ? made : LAST_LOSSES;
    for (int64_t i = 0; i < last; i++) f->result->last_loss += f->losses[(f->trainer->step - 1 - i) % LAST_LOSSES];
    f->result->last_loss /= last > 0 ? (double)last : 1;
    f->result->steps = f->trainer->step;
    f->result->train_s = f->busy;
    f->result->samples_per_s = made > 0 ? (double)f->samples / f->result->train_s : 0;
    if (!f->stopped || f->trainer->step == f->how.total_steps) return DS_OK;
    DS_TRY(save(f, false, error));
    DS_TRY(ds__finish_put_times(&f->context->heap, &f->times, f->log, error));
    if (f->trainer->step == 0) return ds__fail(error, DS_STOPPED, "stopped before the first step");
    return ds__fail(error, DS_STOPPED, "stopped after step %lld of %lld; the checkpoint is %s/checkpoint-%lld",
                    (long long)f->trainer->step, (long long)f->how.total_steps, f->options->output,
                    (long long)f->saved_step);
}

static ds_status prepare(fit *f, const ds__fit_subject *subject, ds_error *error) {
    const ds_fit_options *o = f->options;
    DS_TRY(ds__finish_check_output(&f->context->heap, o->output, o->resume, error));
    DS_TRY(ds__fit_rows_open(&f->rows, &f->context->heap, o, &f->how, warn, f, error));
    f->result->skipped = ds__dataset_describe(f->rows.train)->skipped;
    if (!(o->keep_weights >= 0 && o->keep_weights < 1) || (o->keep_weights > 0 && f->how.lora_rank))
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "keep_weights is %g, expected 0 to less than 1, and 0 with adapters", (double)o->keep_weights);
    if (o->load_best && !o->eval && !(o->eval_split > 0))
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "load_best is asked for, but nothing is evaluated; name rows to evaluate on, or a share");
    if (o->calibrate > 0) DS_TRY(ds__calibrate_check_task(f->how.task, o->train, error));
    if (o->calibrate > 0 && o->save.adapters)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "calibrate is %g, but adapters alone are saved; a temperature needs a config.json",
                        o->calibrate);
    DS_TRY(ds__fit_batch_init(&f->batch, f->context, error));
    f->rule = (ds__batch_rule){.task = f->how.task, .labels = f->how.labels, .max_tokens = f->how.max_tokens};
    f->rule.pairs = f->how.task == DS_TRAIN_EMBEDDING && ds__dataset_describe(f->rows.train)->has_pairs && !o->teacher;
    f->rule.keeps = o->teacher != NULL;
    if (f->how.keep_vectors > 0 && !o->teacher)
        return ds__fail(error, DS_INVALID_ARGUMENT, "keep_vectors is %g, but there is no teacher whose vectors to keep",
                        (double)f->how.keep_vectors);
    if (o->teacher && !(f->how.keep_vectors > 0))
        f->how.loss = f->how.task == DS_TRAIN_EMBEDDING ? DS_LOSS_SQUARED_ERROR : DS_LOSS_SOFT_LABELS;
    DS_TRY(ds_tokenizer_open(f->context, subject->folder, &f->tokenizer, error));
    f->rule.tokenizer = f->tokenizer;
    DS_TRY(ds__fit_rows_plan(&f->rows, &f->rule, &f->batch, &f->how, error));
    DS_TRY(ds__trainer_create(f->context, subject->folder, &f->how, subject->backends, subject->backend_count,
                              &f->trainer, error));
    f->rule.max_tokens = f->trainer->options.max_tokens;
    if (o->teacher) DS_TRY(ds__teacher_open(o->teacher, f->trainer, &f->teacher, error));
    f->best = NAN;
    if (o->resume) DS_TRY(resume(f, error));
    return ds__finish_start_log(f->trainer, o, f->how.total_steps, f->first_step, &f->log, error);
}

/* ---- The result ---- */

static void close_trainer(fit *f) {
    ds__teacher_close(f->teacher);
    ds__trainer_destroy(f->trainer);
    f->teacher = NULL;
    f->trainer = NULL;
}

static ds_status calibrate_session(fit *f, ds_session *session, ds_error *error) {
    const ds_model_info *info = &session->model->info;
    const ds__labelled labelled = {session, f->rows.train, f->rule.max_tokens, f->rule.task, info->labels};
    ds_calibration *out = &f->result->calibration;
    ds_error reason;
    ds_status status = ds__calibrate_rows(&labelled, f->rows.all + f->rows.trained + f->rows.held_out,
                                          f->rows.calibration_count, out, &reason);
    if (status == DS_INVALID_ARGUMENT) { /* no temperature was found: the model is as good as without one */
        warn(f, reason.message);
        return DS_OK;
    }
    if (status != DS_OK) return ds__fail(error, status, "%s", reason.message);
    ds__run_log_calibration(&f->line, out);
    return put_line(f, error);
}

/* What is calibrated is the folder as it was saved, int8 or not, and as everybody will run it. The trainer's memory is
 * given back first, so that this needs no more than training did. */
static ds_status calibrate(fit *f, const ds__fit_subject *subject, ds_error *error) {
    static const ds_model_options defaults;
    ds__buffer path;
    ds_model *model = NULL;
    ds_session *session = NULL;
    close_trainer(f);
    ds__buffer_init(&path, &f->context->heap);
    const char *folder = ds__path_join(&path, f->options->output, DS__FINISH_FOLDER);
    ds_status status =
        folder ? ds__model_open(f->context, folder, &defaults, subject->backends, subject->backend_count, &model, error)
               : ds__alloc_failed(&f->context->heap, 256, "a path", error);
    if (status == DS_OK) status = ds__session_create(model, &session, error);
    if (status == DS_OK) status = calibrate_session(f, session, error);
    ds__session_destroy(session);
    ds__model_close(model);
    ds__buffer_deinit(&path);
    return status;
}

/* The weights of the checkpoint that is marked best, where that is not the last step's. */
static ds_status load_best(fit *f, bool *is_other, ds_error *error) {
    ds__heap *heap = &f->context->heap;
    int64_t best;
    DS_TRY(ds__checkpoint_best(heap, f->options->output, &best, error));
    *is_other = best >= 0 && best != f->trainer->step;
    if (!*is_other) return DS_OK;
    ds__buffer path;
    const char *state;
    ds__buffer_init(&path, heap);
    const char *name = ds__checkpoint_path(&path, f->options->output, best);
    ds_status status = name ? ds__trainer_load_checkpoint(f->trainer, name, &state, error)
                            : ds__alloc_failed(heap, 256, "a checkpoint's path", error);
    ds__buffer_deinit(&path);
    f->event.step.step = best;
    f->event.epoch = (double)best / (double)f->rows.steps_of_epoch;
    return status;
}

static ds_status finish(fit *f, const ds__fit_subject *subject, ds_error *error) {
    bool is_other = false;
    if (f->options->load_best) DS_TRY(load_best(f, &is_other, error));
    if (f->options->keep_weights > 0)
        DS_TRY(ds__parameters_interpolate(&f->trainer->parameters, f->options->keep_weights, error));
    if (is_other || f->options->keep_weights > 0) DS_TRY(evaluate(f, error));
    DS_TRY(ds__finish_save(f->trainer, f->options, f->result, error));
    if (f->rows.calibration_count > 0) DS_TRY(calibrate(f, subject, error));
    DS_TRY(ds__finish_appear(&f->context->heap, f->options->output, error));
    return ds__finish_log(f->result, &f->times, f->log, seconds_since(f->started_ns), &f->context->heap, error);
}

static void close_all(fit *f) {
    ds__run_log_close(f->log);
    close_trainer(f);
    if (f->tokenizer) ds_tokenizer_close(f->tokenizer);
    if (f->batch.heap) ds__fit_batch_deinit(&f->batch);
    ds__fit_rows_close(&f->rows);
    ds__buffer_deinit(&f->line);
}

ds_status ds__fit(const ds__fit_subject *subject, const ds_trainer_options *how, const ds_fit_options *options,
                  ds_fit_result *result, ds_error *error) {
    static const ds_trainer_options defaults;
    fit f = {.context = subject->context, .options = options, .how = how ? *how : defaults, .result = result};
    *result = (ds_fit_result){.steps = 0};
    if (!options->train || !options->output)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s is missing", options->train ? "output" : "train");
    ds__buffer_init(&f.line, &subject->context->heap);
    f.started_ns = ds__clock_ns();
    ds_status status = prepare(&f, subject, error);
    if (status == DS_OK) {
        tell(&f, DS_FIT_PLANNED);
        status = train(&f, error);
    }
    if (status == DS_OK) status = finish(&f, subject, error);
    close_all(&f);
    return status;
}
