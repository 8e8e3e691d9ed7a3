/* Collecting results, and a model on labelled data; see the header. */
#include "train/evaluate.h"

#include <math.h>

#include "base/error.h"
#include "train/temperature.h"

void ds__scores_init(ds__scores *scores, ds__heap *heap, ds_train_task task, int32_t labels, double temperature) {
    *scores = (ds__scores){.heap = heap, .task = task, .labels = labels, .temperature = temperature};
}

void ds__scores_deinit(ds__scores *scores) {
    ds__free(scores->heap, scores->predicted, scores->capacity[0] * sizeof(int32_t));
    ds__free(scores->heap, scores->expected, scores->capacity[1] * sizeof(int32_t));
    ds__free(scores->heap, scores->given, scores->capacity[2] * sizeof(float));
    ds__free(scores->heap, scores->wanted, scores->capacity[3] * sizeof(float));
}

static int32_t best_of(const float *result, int32_t labels) {
    int32_t best = 0;
    for (int32_t i = 1; i < labels; i++)
        if (result[i] > result[best]) best = i;
    return best;
}

static float cosine(const float *a, const float *b, int32_t n) {
    double dot = 0, left = 0, right = 0;
    for (int32_t i = 0; i < n; i++) {
        dot += (double)a[i] * (double)b[i];
        left += (double)a[i] * (double)a[i];
        right += (double)b[i] * (double)b[i];
    }
    return left > 0 && right > 0 ? (float)(dot / sqrt(left) / sqrt(right)) : 0;
}

ds_status ds__scores_add(ds__scores *scores, const ds__data_row *row, const float *result, ds_error *error) {
    const bool many = scores->task == DS_TRAIN_MULTI_LABEL;
    const size_t labels = (size_t)scores->labels, width = many ? labels : 1, at = scores->count;
    const bool classes = scores->task == DS_TRAIN_CLASSIFICATION;
    ds__heap *heap = scores->heap;
    if (classes ? !ds__grow(heap, (void **)&scores->predicted, &scores->capacity[0], at + 1, sizeof(int32_t)) ||
                      !ds__grow(heap, (void **)&scores->expected, &scores->capacity[1], at + 1, sizeof(int32_t))
                : !ds__grow(heap, (void **)&scores->given, &scores->capacity[2], (at + 1) * width, sizeof(float)) ||
                      !ds__grow(heap, (void **)&scores->wanted, &scores->capacity[3], (at + 1) * width, sizeof(float)))
        return ds__alloc_failed(heap, (at + 1) * width * sizeof(float), "results to measure", error);
    if (classes) {
        const int32_t best = best_of(result, scores->labels);
        scores->predicted[at] = best;
        scores->expected[at] = row->label;
        ds__reliability_add(&scores->bins, ds__confidence(result, labels, (size_t)best, scores->temperature),
                            best == row->label);
    } else if (many) {
        for (size_t i = 0; i < labels; i++) {
            scores->given[at * labels + i] = result[i] > 0 ? 1.0f : 0.0f; /* a logit: more likely than not */
            scores->wanted[at * labels + i] = row->targets[i];
        }
    } else {
        scores->given[at] =
            scores->task == DS_TRAIN_EMBEDDING ? cosine(result, result + labels, scores->labels) : result[0];
        scores->wanted[at] = row->value;
    }
    scores->count++;
    return DS_OK;
}

ds_status ds__scores_metrics(const ds__scores *scores, ds_metrics *out, ds_error *error) {
    if (scores->task == DS_TRAIN_CLASSIFICATION) {
        DS_TRY(ds__metrics_labels(scores->heap, scores->predicted, scores->expected, scores->count, scores->labels, out,
                                  error));
        out->ece = ds__reliability_error(&scores->bins);
        return DS_OK;
    }
    if (scores->task == DS_TRAIN_MULTI_LABEL)
        return ds__metrics_multilabel(scores->heap, scores->given, scores->wanted, scores->count, scores->labels, out,
                                      error);
    return ds__metrics_values(scores->heap, scores->given, scores->wanted, scores->count, out, error);
}

/* ---- A model on rows ---- */

/* Rows that are run together; their texts are kept here, since the dataset hands them out one by one. */
enum { AT_ONCE = 128 };

typedef struct run {
    const ds__labelled *labelled;
    ds__heap *heap;
    ds__arena texts;
    float *results; /* [2 * AT_ONCE, columns] */
    ds_text first[2 * AT_ONCE], second[AT_ONCE];
    ds__data_row rows[AT_ONCE];
    bool has_seconds;
} run;

ds_train_task ds__labelled_task(const ds_model_info *info) {
    if (info->head == DS_HEAD_NONE) return DS_TRAIN_EMBEDDING;
    return info->problem == DS_PROBLEM_REGRESSION    ? DS_TRAIN_REGRESSION
           : info->problem == DS_PROBLEM_MULTI_LABEL ? DS_TRAIN_MULTI_LABEL
                                                     : DS_TRAIN_CLASSIFICATION;
}

static ds_text keep(run *r, ds__str text) {
    ds__str copy = ds__arena_copy(&r->texts, text);
    return (ds_text){copy.data, copy.size};
}

/* The row without its texts; the dataset's targets last until the next read only. */
static ds_status keep_expected(run *r, const ds__data_row *row, ds__data_row *out, ds_error *error) {
    *out = (ds__data_row){.label = row->label, .value = row->value};
    if (!row->targets) return DS_OK;
    const size_t bytes = (size_t)r->labelled->columns * sizeof *row->targets;
    float *copy = ds__arena_alloc(&r->texts, bytes);
    if (!copy) return ds__alloc_failed(r->heap, bytes, "labels to evaluate", error);
    memcpy(copy, row->targets, bytes);
    out->targets = copy;
    return DS_OK;
}

/* Reads a row into place i. */
static ds_status read_row(run *r, size_t number, size_t i, ds_error *error) {
    const bool pairs = r->labelled->task == DS_TRAIN_EMBEDDING;
    ds__data_row row;
    DS_TRY(ds__dataset_read(r->labelled->data, number, &row, error));
    DS_TRY(keep_expected(r, &row, &r->rows[i], error));
    const ds_text text = keep(r, row.text), pair = row.pair.data ? keep(r, row.pair) : (ds_text){NULL, 0};
    if (!text.data || (row.pair.data && !pair.data))
        return ds__alloc_failed(r->heap, row.text.size + row.pair.size, "texts to evaluate", error);
    r->first[pairs ? 2 * i : i] = text;
    if (pairs)
        r->first[2 * i + 1] = pair;
    else
        r->second[i] = pair;
    r->has_seconds = r->has_seconds || (!pairs && pair.data);
    return DS_OK;
}

static ds_status run_texts(run *r, size_t count, ds_error *error) {
    const ds__labelled *l = r->labelled;
    if (l->task == DS_TRAIN_EMBEDDING) {
        const ds_embed_options how = {.max_tokens = l->max_tokens};
        return ds__embed(l->session, r->first, 2 * count, &how, r->results, NULL, error);
    }
    const ds_classify_options how = {.logits = true, .max_tokens = l->max_tokens};
    return ds__classify(l->session, r->first, r->has_seconds ? r->second : NULL, count, &how, r->results, NULL, error);
}

ds_status ds__labelled_run(const ds__labelled *labelled, const uint32_t *rows, size_t count, ds__labelled_take take,
                           void *own, ds_error *error) {
    run r = {.labelled = labelled, .heap = &labelled->session->model->context->heap};
    const size_t width = (size_t)labelled->columns * (labelled->task == DS_TRAIN_EMBEDDING ? 2 : 1);
    const size_t bytes = AT_ONCE * width * sizeof *r.results;
    r.results = ds__alloc(r.heap, bytes);
    if (!r.results) return ds__alloc_failed(r.heap, bytes, "results to measure", error);
    ds__arena_init(&r.texts, r.heap, 0);
    ds_status status = DS_OK;
    for (size_t first = 0, some; first < count && status == DS_OK; first += some) {
        some = count - first < AT_ONCE ? count - first : AT_ONCE;
        r.has_seconds = false;
        for (size_t i = 0; i < some && status == DS_OK; i++)
            status = read_row(&r, rows ? rows[first + i] : first + i, i, error);
        if (status == DS_OK) status = run_texts(&r, some, error);
        for (size_t i = 0; i < some && status == DS_OK; i++)
            status = take(own, rows ? rows[first + i] : first + i, &r.rows[i], r.results + i * width, error);
        ds__arena_reset(&r.texts);
    }
    ds__arena_deinit(&r.texts);
    ds__free(r.heap, r.results, bytes);
    return status;
}

ds_status ds__labelled_open(ds_session *session, const ds_evaluate_options *options, ds__labelled *out,
                            ds_error *error) {
    const ds_model *model = session->model;
    const ds_train_task task = ds__labelled_task(&model->info);
    const bool named = task == DS_TRAIN_CLASSIFICATION || task == DS_TRAIN_MULTI_LABEL;
    if (model->info.head == DS_HEAD_TOKEN)
        return ds__fail(error, DS_UNSUPPORTED, "%s: a head on tokens cannot be evaluated on texts with labels",
                        model->folder.path);
    const ds__dataset_options how = {
        .path = options->data,
        .text_column = options->text_column,
        .pair_column = options->pair_column,
        .label_column = options->label_column,
        .no_header = options->no_header,
        .task = task,
        .label_names = named ? model->folder.config.label_names : NULL,
        .labels = named ? model->info.labels : 0,
        .needs_labels = true,
    };
    *out = (ds__labelled){.session = session, .max_tokens = options->max_tokens, .task = task};
    out->columns = task == DS_TRAIN_EMBEDDING ? model->info.hidden_size : model->info.labels;
    DS_TRY(ds__dataset_open(&model->context->heap, &how, &out->data, error));
    if (task != DS_TRAIN_EMBEDDING || ds__dataset_describe(out->data)->has_pairs) return DS_OK;
    ds__dataset_close(out->data);
    return ds__fail(error, DS_INVALID_ARGUMENT,
                    "%s: a model without a head is evaluated on pairs of texts with scores; name the second text's "
                    "column",
                    options->data);
}

typedef struct job {
    const ds_evaluate_options *options;
    ds__scores scores;
} job;

static ds_status add_row(void *own, size_t number, const ds__data_row *row, const float *result, ds_error *error) {
    job *j = own;
    DS_TRY(ds__scores_add(&j->scores, row, result, error));
    if (!j->options->each) return DS_OK;
    const bool classes = j->scores.task == DS_TRAIN_CLASSIFICATION;
    const size_t at = j->scores.count - 1;
    j->options->each(j->options->user, number, classes ? row->label : -1, classes ? j->scores.predicted[at] : -1,
                     classes || j->scores.task == DS_TRAIN_MULTI_LABEL ? result[0] : j->scores.given[at]);
    return DS_OK;
}

ds_status ds__evaluate(ds_session *session, const ds_evaluate_options *options, ds_metrics *out, ds_error *error) {
    const ds_model *model = session->model;
    ds__labelled labelled;
    job j = {.options = options};
    DS_TRY(ds__labelled_open(session, options, &labelled, error));
    ds__scores_init(&j.scores, &model->context->heap, labelled.task, labelled.columns, (double)model->info.temperature);
    ds_status status = ds__labelled_run(&labelled, NULL, ds__dataset_describe(labelled.data)->rows, add_row, &j, error);
    if (status == DS_OK) status = ds__scores_metrics(&j.scores, out, error);
    ds__scores_deinit(&j.scores);
    ds__dataset_close(labelled.data);
    return status;
}
