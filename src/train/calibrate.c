/* Calibrating a folder; see the header. */
#include "train/calibrate.h"

#include <math.h>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/copy_folder.h"
#include "train/temperature.h"

enum { MAX_CONFIG_BYTES = 64 << 20 };

/* ---- Logits ---- */

typedef struct rows {
    ds__heap *heap;
    size_t labels, count, capacity; /* of rows */
    bool many;                      /* several labels a row */
    float *logits, *targets;        /* [capacity, labels]; targets: where a row has several labels */
    int32_t *expected;              /* [capacity]: where it has one */
} rows;

static ds_status reserve(rows *r, size_t count, ds_error *error) {
    size_t cells, bytes;
    if (!ds__size_mul(count, r->labels, &cells) || !ds__size_mul(cells, sizeof(float), &bytes))
        return ds__fail(error, DS_INVALID_ARGUMENT, "%zu rows of %zu labels exceed the address space", count,
                        r->labels);
    r->capacity = count;
    r->logits = ds__alloc(r->heap, bytes);
    if (r->many)
        r->targets = ds__alloc(r->heap, bytes);
    else
        r->expected = ds__alloc(r->heap, count * sizeof *r->expected);
    if (r->logits && (r->many ? (void *)r->targets : (void *)r->expected)) return DS_OK;
    return ds__alloc_failed(r->heap, bytes, "logits to calibrate with", error);
}

static void release(rows *r) {
    const size_t bytes = r->capacity * r->labels * sizeof(float);
    ds__free(r->heap, r->logits, r->logits ? bytes : 0);
    ds__free(r->heap, r->targets, r->targets ? bytes : 0);
    ds__free(r->heap, r->expected, r->expected ? r->capacity * sizeof *r->expected : 0);
}

static ds_status add_row(void *own, size_t number, const ds__data_row *row, const float *result, ds_error *error) {
    (void)number, (void)error;
    rows *r = own;
    const size_t bytes = r->labels * sizeof(float);
    if (r->many ? !row->targets : row->label < 0) return DS_OK;
    memcpy(r->logits + r->count * r->labels, result, bytes);
    if (r->many)
        memcpy(r->targets + r->count * r->labels, row->targets, bytes);
    else
        r->expected[r->count] = row->label;
    r->count++;
    return DS_OK;
}

/* ---- config.json ---- */

static bool is_replaced(void *user, ds__str key) {
    (void)user;
    return ds__str_is(key, "temperature");
}

static void add_temperature(void *user, ds__json_writer *json) {
    ds__json_key(json, "temperature");
    ds__json_put_f32(json, *(const float *)user);
}

static ds_status write_temperature(ds__heap *heap, const char *path, float temperature, ds_error *error) {
    ds__buffer text, out;
    ds__buffer_init(&text, heap);
    ds__buffer_init(&out, heap);
    ds__folder_copy how = {.replaces = is_replaced, .add = add_temperature, .user = &temperature};
    ds_status status = ds__file_read(path, MAX_CONFIG_BYTES, &text, error);
    if (status == DS_OK) status = ds__folder_copy_config(&how, path, ds__buffer_str(&text), &out, error);
    if (status == DS_OK) status = ds__save_file(heap, path, ds__buffer_str(&out), error);
    ds__buffer_deinit(&text);
    ds__buffer_deinit(&out);
    return status;
}

/* ---- The job ---- */

ds_status ds__calibrate_check_task(ds_train_task task, const char *what, ds_error *error) {
    if (task == DS_TRAIN_CLASSIFICATION || task == DS_TRAIN_MULTI_LABEL) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT,
                    "%s: there are no scores to calibrate; classes have them, and this is %s", what,
                    task == DS_TRAIN_REGRESSION ? "regression" : "a model of vectors");
}

static ds_status fit(const ds_model *model, const rows *r, ds_calibration *out, ds_error *error) {
    const double before = (double)model->info.temperature;
    const ds__logit_rows view = {r->logits, r->expected, r->targets, r->count, r->labels};
    double temperature;
    if (r->count == 0) return ds__fail(error, DS_INVALID_ARGUMENT, "calibration: none of the rows has a label");
    if (!ds__temperature_fit(&view, &temperature))
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "calibration: no temperature from %g to %g makes the labels of the %zu rows likeliest: all of "
                        "them are answered right, or the answers are no better than chance; use more rows that were "
                        "not trained on",
                        DS__LEAST_TEMPERATURE, DS__MOST_TEMPERATURE, r->count);
    *out = (ds_calibration){.rows = r->count, .temperature = (float)temperature};
    out->loss_before = ds__temperature_loss(&view, before);
    out->loss_after = ds__temperature_loss(&view, (double)out->temperature);
    out->ece_before = ds__temperature_ece(&view, before);
    out->ece_after = ds__temperature_ece(&view, (double)out->temperature);
    return DS_OK;
}

ds_status ds__calibrate_rows(const ds__labelled *labelled, const uint32_t *numbers, size_t count, ds_calibration *out,
                             ds_error *error) {
    const ds_model *model = labelled->session->model;
    rows r = {.heap = &model->context->heap,
              .labels = (size_t)labelled->columns,
              .many = labelled->task == DS_TRAIN_MULTI_LABEL};
    *out = (ds_calibration){.rows = 0};
    ds_status status = reserve(&r, count, error);
    if (status == DS_OK) status = ds__labelled_run(labelled, numbers, count, add_row, &r, error);
    if (status == DS_OK) status = fit(model, &r, out, error);
    if (status == DS_OK) status = write_temperature(r.heap, model->folder.config.path, out->temperature, error);
    release(&r);
    return status;
}

/* The rows that a split leaves out of training are the last ones of the shuffled order; see split_rows in fit.c. */
static ds_status calibrate_split(const ds__labelled *labelled, const ds_calibrate_options *options, ds_calibration *out,
                                 ds_error *error) {
    ds__heap *heap = &labelled->session->model->context->heap;
    const size_t total = ds__dataset_describe(labelled->data)->rows;
    if (options->split == 0) return ds__calibrate_rows(labelled, NULL, total, out, error);
    if (total > UINT32_MAX)
        return ds__fail(error, DS_UNSUPPORTED, "%s: has %zu rows, at most %u are possible", options->data, total,
                        UINT32_MAX);
    const size_t count = (size_t)llround(options->split * (double)total);
    if (count == 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: a split of %g leaves none of %zu rows to calibrate with",
                        options->data, options->split, total);
    uint32_t *order = ds__alloc(heap, total * sizeof *order);
    if (!order) return ds__alloc_failed(heap, total * sizeof *order, "the order of the rows", error);
    ds__shuffle(options->seed, UINT64_MAX, order, total);
    ds_status status = ds__calibrate_rows(labelled, order + (total - count), count, out, error);
    ds__free(heap, order, total * sizeof *order);
    return status;
}

ds_status ds__calibrate(ds_session *session, const ds_calibrate_options *options, ds_calibration *out,
                        ds_error *error) {
    const ds_model *model = session->model;
    const ds_evaluate_options data = {.data = options->data,
                                      .text_column = options->text_column,
                                      .pair_column = options->pair_column,
                                      .label_column = options->label_column,
                                      .max_tokens = options->max_tokens};
    ds__labelled labelled;
    if (!(options->split >= 0 && options->split < 1))
        return ds__fail(error, DS_INVALID_ARGUMENT, "split is %g, expected 0 to less than 1", options->split);
    DS_TRY(ds__calibrate_check_task(ds__labelled_task(&model->info), model->folder.path, error));
    DS_TRY(ds__labelled_open(session, &data, &labelled, error));
    ds_status status = calibrate_split(&labelled, options, out, error);
    ds__dataset_close(labelled.data);
    return status;
}
