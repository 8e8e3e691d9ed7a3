/* Collecting results, and a model on labelled data; see the header. */
#include "train/evaluate.h"

#include <math.h>

#include "base/error.h"
#include "train/metrics.h"

void ds__scores_init(ds__scores *scores, ds__heap *heap, ds_train_task task, int32_t labels) {
    *scores = (ds__scores){.heap = heap, .task = task, .labels = labels};
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
        scores->predicted[at] = best_of(result, scores->labels);
        scores->expected[at] = row->label;
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
    if (scores->task == DS_TRAIN_CLASSIFICATION)
        return ds__metrics_labels(scores->heap, scores->predicted, scores->expected, scores->count, scores->labels, out,
                                  error);
    if (scores->task == DS_TRAIN_MULTI_LABEL)
        return ds__metrics_multilabel(scores->heap, scores->given, scores->wanted, scores->count, scores->labels, out,
                                      error);
    return ds__metrics_values(scores->heap, scores->given, scores->wanted, scores->count, out, error);
}

/* Rows that are run together; their texts are kept here, since the dataset hands them out one by one. */
enum { AT_ONCE = 128 };

typedef struct job {
    ds_session *session;
    const ds_evaluate_options *options;
    ds__dataset *data;
    ds__scores scores;
    ds__arena texts;
    float *results; /* [2 * AT_ONCE, labels] */
} job;

static ds_train_task task_of(const ds_model_info *info) {
    if (info->head == DS_HEAD_NONE) return DS_TRAIN_EMBEDDING;
    return info->problem == DS_PROBLEM_REGRESSION    ? DS_TRAIN_REGRESSION
           : info->problem == DS_PROBLEM_MULTI_LABEL ? DS_TRAIN_MULTI_LABEL
                                                     : DS_TRAIN_CLASSIFICATION;
}

static ds_text keep(job *j, ds__str text) {
    ds__str copy = ds__arena_copy(&j->texts, text);
    return (ds_text){copy.data, copy.size};
}

/* The row without its texts; the dataset's targets last until the next read only. */
static ds_status keep_expected(job *j, const ds__data_row *row, ds__data_row *out, ds_error *error) {
    *out = (ds__data_row){.label = row->label, .value = row->value};
    if (!row->targets) return DS_OK;
    const size_t bytes = (size_t)j->scores.labels * sizeof *row->targets;
    float *copy = ds__arena_alloc(&j->texts, bytes);
    if (!copy) return ds__alloc_failed(j->scores.heap, bytes, "labels to evaluate", error);
    memcpy(copy, row->targets, bytes);
    out->targets = copy;
    return DS_OK;
}

/* Rows [first, first + count): read, run, added to the scores. */
static ds_status run_rows(job *j, size_t first, size_t count, ds_error *error) {
    const bool pairs = j->scores.task == DS_TRAIN_EMBEDDING;
    ds_text texts[2 * AT_ONCE], seconds[AT_ONCE];
    ds__data_row row, rows[AT_ONCE];
    bool has_seconds = false;
    for (size_t i = 0; i < count; i++) {
        DS_TRY(ds__dataset_read(j->data, first + i, &row, error));
        DS_TRY(keep_expected(j, &row, &rows[i], error));
        const ds_text text = keep(j, row.text), pair = row.pair.data ? keep(j, row.pair) : (ds_text){NULL, 0};
        if (!text.data || (row.pair.data && !pair.data))
            return ds__alloc_failed(j->scores.heap, row.text.size + row.pair.size, "texts to evaluate", error);
        texts[pairs ? 2 * i : i] = text;
        if (pairs)
            texts[2 * i + 1] = pair;
        else
            seconds[i] = pair;
        has_seconds = has_seconds || (!pairs && pair.data);
    }
    if (pairs) {
        const ds_embed_options how = {.max_tokens = j->options->max_tokens};
        DS_TRY(ds__embed(j->session, texts, 2 * count, &how, j->results, NULL, error));
    } else {
        const ds_classify_options how = {.logits = true, .max_tokens = j->options->max_tokens};
        DS_TRY(ds__classify(j->session, texts, has_seconds ? seconds : NULL, count, &how, j->results, NULL, error));
    }
    for (size_t i = 0; i < count; i++) {
        const float *result = j->results + (pairs ? 2 * i : i) * (size_t)j->scores.labels;
        DS_TRY(ds__scores_add(&j->scores, &rows[i], result, error));
        if (!j->options->each) continue;
        const bool classes = j->scores.task == DS_TRAIN_CLASSIFICATION;
        const size_t at = j->scores.count - 1;
        j->options->each(j->options->user, first + i, classes ? rows[i].label : -1,
                         classes ? j->scores.predicted[at] : -1,
                         classes || j->scores.task == DS_TRAIN_MULTI_LABEL ? result[0] : j->scores.given[at]);
    }
    ds__arena_reset(&j->texts);
    return DS_OK;
}

ds_status ds__evaluate(ds_session *session, const ds_evaluate_options *options, ds_metrics *out, ds_error *error) {
    const ds_model *model = session->model;
    ds__heap *heap = &model->context->heap;
    const ds_train_task task = task_of(&model->info);
    const bool named = task == DS_TRAIN_CLASSIFICATION || task == DS_TRAIN_MULTI_LABEL;
    if (model->info.head == DS_HEAD_TOKEN)
        return ds__fail(error, DS_UNSUPPORTED, "%s: a head on tokens cannot be evaluated on texts with labels",
                        model->folder.path);
    job j = {.session = session, .options = options};
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
    DS_TRY(ds__dataset_open(heap, &how, &j.data, error));
    const int32_t columns = task == DS_TRAIN_EMBEDDING ? model->info.hidden_size : model->info.labels;
    const size_t bytes = 2 * AT_ONCE * (size_t)columns * sizeof *j.results;
    ds__arena_init(&j.texts, heap, 0);
    ds__scores_init(&j.scores, heap, task, columns);
    j.results = ds__alloc(heap, bytes);
    const size_t rows = ds__dataset_describe(j.data)->rows;
    ds_status status = j.results ? DS_OK : ds__alloc_failed(heap, bytes, "results to measure", error);
    if (status == DS_OK && task == DS_TRAIN_EMBEDDING && !ds__dataset_describe(j.data)->has_pairs)
        status =
            ds__fail(error, DS_INVALID_ARGUMENT,
                     "%s: a model without a head is evaluated on pairs of texts with scores; name the second text's "
                     "column",
                     options->data);
    for (size_t first = 0; first < rows && status == DS_OK; first += AT_ONCE)
        status = run_rows(&j, first, rows - first < AT_ONCE ? rows - first : AT_ONCE, error);
    if (status == DS_OK) status = ds__scores_metrics(&j.scores, out, error);
    if (j.results) ds__free(heap, j.results, bytes);
    ds__scores_deinit(&j.scores);
    ds__arena_deinit(&j.texts);
    ds__dataset_close(j.data);
    return status;
}
