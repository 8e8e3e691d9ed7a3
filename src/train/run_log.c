/* The log of a training run: see run_log.h for the lines. */
#include "train/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"

enum { MOST_LABELS = 200 }; /* of a confusion matrix: a line of up to 40,000 numbers */

struct ds__run_log {
    ds__heap *heap;
    ds__buffer path, line; /* line: the present one with its newline, so that one write takes both */
    int fd;
    bool torn;     /* the last write ended within a line */
    bool reported; /* a failure was told once */
};

/* The "step" of a line; -1 where it has none, or is no JSON object. */
static int64_t step_of(ds__heap *heap, ds__str line) {
    ds__json json;
    int64_t step = -1;
    ds__json_init(&json, heap, "a line", line);
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__str_is(key, "step"))
            step = ds__json_int(&json, key, 0, INT64_MAX);
        else
            ds__json_skip(&json);
    }
    return ds__json_finish(&json, NULL) == DS_OK ? step : -1;
}

/* How many bytes of the log belong to what a run that goes on behind `from_step` has done. Lines are in the order of
 * time, so that all from the first later step on is of a future that will not be; so is a line without its end, which
 * a killed process leaves. */
static size_t bytes_to_keep(ds__heap *heap, const ds__file_map *map, int64_t from_step) {
    const char *text = (const char *)map->data;
    size_t kept = 0;
    if (from_step <= 0) return 0;
    while (kept < map->size) {
        const char *end = memchr(text + kept, '\n', map->size - kept);
        if (!end) break;
        size_t size = (size_t)(end - text) - kept;
        if (step_of(heap, (ds__str){text + kept, size}) > from_step) break;
        kept += size + 1;
    }
    return kept;
}

static ds_status drop_later_lines(ds__heap *heap, const char *path, int64_t from_step, ds_error *error) {
    ds__file_map map;
    if (!ds__file_exists(path)) return DS_OK;
    DS_TRY(ds__file_map_open(path, &map, error));
    size_t kept = bytes_to_keep(heap, &map, from_step);
    ds_status status = kept < map.size ? ds__file_replace(path, map.data, kept, error) : DS_OK;
    ds__file_map_close(&map);
    return status;
}

ds_status ds__run_log_open(ds__heap *heap, const char *path, int64_t from_step, ds__run_log **out, ds_error *error) {
    DS_TRY(drop_later_lines(heap, path, from_step, error));
    ds__run_log *log = ds__alloc_zeroed(heap, sizeof *log);
    if (!log) return ds__alloc_failed(heap, sizeof *log, "a training log", error);
    log->heap = heap;
    ds__buffer_init(&log->path, heap);
    ds__buffer_init(&log->line, heap);
    ds__buffer_text(&log->path, path);
    const char *name = ds__buffer_cstr(&log->path);
    ds_status status = name ? DS_OK : ds__alloc_failed(heap, strlen(path) + 1, "a training log's path", error);
    log->fd = name ? open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (name && log->fd < 0) status = ds__file_failed(name, "write", error);
    if (status == DS_OK)
        *out = log;
    else
        ds__run_log_close(log);
    return status;
}

void ds__run_log_close(ds__run_log *log) {
    if (!log) return;
    if (log->fd >= 0) close(log->fd);
    ds__buffer_deinit(&log->path);
    ds__buffer_deinit(&log->line);
    ds__free(log->heap, log, sizeof *log);
}

ds_status ds__run_log_put(ds__run_log *log, const ds__buffer *line, ds_error *error) {
    ds__buffer_clear(&log->line);
    if (log->torn) ds__buffer_put(&log->line, '\n'); /* so that only the torn line is lost */
    ds__buffer_append(&log->line, line->data, line->size);
    ds__buffer_put(&log->line, '\n');
    bool complete = !line->failed && !log->line.failed;
    if (complete && ds__file_write_all(log->fd, log->line.data, log->line.size)) {
        log->torn = false;
        return DS_OK;
    }
    int code = errno; /* before anything else may change it */
    log->torn = log->torn || complete;
    if (log->reported) return DS_OK;
    log->reported = true;
    if (!complete) return ds__alloc_failed(log->heap, line->size + 2, "a line of the training log", error);
    errno = code;
    return ds__file_failed(log->path.data, "write", error);
}

static void put_value(ds__json_writer *json, const char *key, double value) {
    ds__json_key(json, key);
    ds__json_put_f32(json, (float)value);
}

/* A metric that does not apply is NAN, and left out. */
static void put_metric(ds__json_writer *json, const char *key, double value) {
    if (!isnan(value)) put_value(json, key, value);
}

static ds__json_writer open_line(ds__buffer *out, const char *event) {
    ds__buffer_clear(out);
    ds__json_writer json = {out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "event");
    ds__json_put_string(&json, ds__str_of(event));
    return json;
}

static void put_place(ds__json_writer *json, const ds_fit_event *event) {
    ds__json_key(json, "step");
    ds__json_put_int(json, event->step.step);
    put_value(json, "epoch", event->epoch);
}

void ds__run_log_step(ds__buffer *out, const ds_fit_event *event) {
    ds__json_writer json = open_line(out, "step");
    put_place(&json, event);
    put_value(&json, "loss", event->step.loss);
    put_value(&json, "gradient_norm", event->step.gradient_norm);
    put_value(&json, "learning_rate", (double)event->step.learning_rate);
    ds__json_key(&json, "tokens");
    ds__json_put_int(&json, (int64_t)event->step.tokens);
    ds__json_key(&json, "samples_per_s");
    ds__json_put_fixed(&json, event->samples_per_s, 2);
    ds__json_key(&json, "seconds");
    ds__json_put_fixed(&json, event->seconds, 3);
    ds__json_close_object(&json);
}

void ds__run_log_eval(ds__buffer *out, const ds_fit_event *event, const uint32_t *confusion, int32_t labels) {
    const ds_metrics *m = &event->metrics;
    ds__json_writer json = open_line(out, "eval");
    put_place(&json, event);
    put_metric(&json, "loss", m->loss);
    put_metric(&json, "accuracy", m->accuracy);
    put_metric(&json, "f1", m->f1);
    put_metric(&json, "f1_macro", m->f1_macro);
    put_metric(&json, "mcc", m->mcc);
    put_metric(&json, "pearson", m->pearson);
    put_metric(&json, "spearman", m->spearman);
    put_metric(&json, "ece", m->ece);
    ds__json_key(&json, "count");
    ds__json_put_int(&json, (int64_t)m->count);
    if (confusion && labels > 0 && labels <= MOST_LABELS) {
        ds__json_key(&json, "confusion");
        ds__json_open_array(&json);
        for (int32_t row = 0; row < labels; row++) {
            ds__json_open_array(&json);
            for (int32_t column = 0; column < labels; column++)
                ds__json_put_int(&json, (int64_t)confusion[(size_t)row * (size_t)labels + (size_t)column]);
            ds__json_close_array(&json);
        }
        ds__json_close_array(&json);
    }
    ds__json_close_object(&json);
}

void ds__run_log_calibration(ds__buffer *out, const ds_calibration *calibration) {
    ds__json_writer json = open_line(out, "calibrated");
    ds__json_key(&json, "rows");
    ds__json_put_int(&json, (int64_t)calibration->rows);
    put_value(&json, "temperature", (double)calibration->temperature);
    put_value(&json, "loss_before", calibration->loss_before);
    put_value(&json, "loss_after", calibration->loss_after);
    put_metric(&json, "ece_before", calibration->ece_before);
    put_metric(&json, "ece_after", calibration->ece_after);
    ds__json_close_object(&json);
}

void ds__run_log_text(ds__buffer *out, const char *event, const char *key, const char *text) {
    ds__json_writer json = open_line(out, event);
    ds__json_key(&json, key);
    ds__json_put_string(&json, ds__str_of(text));
    ds__json_close_object(&json);
}
