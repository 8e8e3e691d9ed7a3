/* The scan: which rows can be used, where they begin, and what kind of labels they have.
 *
 * DS_TRAIN_AUTO guesses.  As long as labels are numbers without a decimal point they are counted as classes; the first
 * point makes them values, the first name leaves them classes, and a cell of several labels makes it multi-label. Where
 * rows before that would count in another way, the scan starts again with the better guess; most files show their kind
 * in the first rows, and nothing is read twice. */
#include <stdint.h>
#include <stdio.h>

#include "train/dataset_internal.h"

enum { MAX_WARNINGS = 20 };

typedef struct scan {
    ds__dataset *dataset;
    bool guesses; /* the task was not given */
    bool open;    /* all labels so far are numbers without a point, and the task is still classification */
    bool again;   /* the guess was wrong, and another one is made */
    size_t seen;  /* rows, usable or not */
    size_t skipped, bytes_bad;
    ds_error first;      /* why the first skipped row was */
    ds_error not_finite; /* the first label that is NaN or infinite, while the task is a guess */
    /* These outlive another start: */
    size_t warnings, warned_line; /* the last line that was warned of */
    uint64_t first_offset;        /* where the first row begins */
    size_t first_line;
} scan;

static const char *const task_names[] = {
    [DS_TRAIN_CLASSIFICATION] = "classification",
    [DS_TRAIN_MULTI_LABEL] = "multi-label classification",
    [DS_TRAIN_REGRESSION] = "regression",
    [DS_TRAIN_EMBEDDING] = "training embeddings",
};

static bool has_values(const ds__dataset *dataset) {
    return dataset->info.task == DS_TRAIN_REGRESSION || dataset->info.task == DS_TRAIN_EMBEDDING;
}

/* Another start. */
static ds_status guess(scan *s, ds_train_task task) {
    s->dataset->info.task = task;
    s->open = false;
    s->again = true;
    return DS_OK;
}

/* Whether rows may be without a label, and this one may be so. */
static void check_absent(scan *s, const ds__data_cells *cells) {
    ds__dataset *dataset = s->dataset;
    bool none_of_many = dataset->info.task == DS_TRAIN_MULTI_LABEL && (!s->guesses || cells->is_list);
    if (!dataset->options.needs_labels || none_of_many) return;
    ds__dataset_skip(dataset, "\"%.*s\" is empty, expected a label; the row is skipped: write one or remove the row",
                     DS_SHOWN(dataset->label.name));
}

static ds_status not_finite(scan *s, ds__str cell, ds__number_kind kind, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    return ds__fail(
        error, DS_BAD_FORMAT,
        "%s, line %zu: \"%.*s\" is %.*s, which is %s, expected a finite number; correct it or remove the row",
        dataset->path, ds__table_line(dataset->table), DS_SHOWN(dataset->label.name), DS_SHOWN(cell),
        kind == DS__NUMBER_NAN ? "not a number" : "infinite as a float");
}

static ds_status take_value(scan *s, const ds__data_cells *cells, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    float value;
    bool has_point;
    ds__number_kind kind = cells->is_list ? DS__NUMBER_NONE : ds__dataset_number(cells->label, &value, &has_point);
    if (kind == DS__NUMBER_NAN || kind == DS__NUMBER_INFINITE) {
        if (!s->guesses) return not_finite(s, cells->label, kind, error);
        if (s->not_finite.status == DS_OK) not_finite(s, cells->label, kind, &s->not_finite);
        return DS_OK;
    }
    if (kind == DS__NUMBER_FINITE) return DS_OK;
    if (s->guesses) return guess(s, DS_TRAIN_CLASSIFICATION);
    ds__dataset_skip(dataset,
                     "\"%.*s\" is %s%.*s%s, expected a number for %s; the row is skipped: correct it or remove the row",
                     DS_SHOWN(dataset->label.name), cells->is_list ? "a list" : "\"",
                     DS_SHOWN(cells->is_list ? DS_STR("") : cells->label), cells->is_list ? "" : "\"",
                     task_names[dataset->info.task]);
    return DS_OK;
}

/* One name of a row's. false: the row is skipped. */
static bool check_name(scan *s, ds__str name) {
    ds__dataset *dataset = s->dataset;
    if (name.size > DS__MAX_TOKEN_BYTES)
        ds__dataset_skip(dataset,
                         "\"%.*s\" has %zu bytes, expected a label of at most %d; the row is skipped: check "
                         "which column the label is in",
                         DS_SHOWN(dataset->label.name), name.size, DS__MAX_TOKEN_BYTES);
    else if (memchr(name.data, '\0', name.size))
        ds__dataset_skip(dataset,
                         "\"%.*s\" has a zero byte in it, expected a label's name; the row is skipped: "
                         "remove the byte",
                         DS_SHOWN(dataset->label.name));
    else if (dataset->labels.known && ds__data_labels_find(&dataset->labels, name) < 0)
        ds__dataset_skip(dataset,
                         "\"%.*s\" is \"%.*s\", which is none of the %zu known labels (the first is \"%.*s\"); the "
                         "row is skipped: correct it or remove the row",
                         DS_SHOWN(dataset->label.name), DS_SHOWN(name), dataset->labels.names.count,
                         DS_SHOWN(ds__str_of(dataset->options.label_names[0])));
    else
        return true;
    return false;
}

static ds_status take_name(scan *s, const ds__data_cells *cells, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    if (cells->is_list)
        ds__dataset_skip(dataset,
                         "\"%.*s\" is a list, expected one label for classification; the row is skipped: "
                         "write one label, or train with several (multi-label)",
                         DS_SHOWN(dataset->label.name));
    else if (check_name(s, cells->label))
        return ds__data_labels_count(&dataset->labels, cells->label, dataset->row_count + 1, error);
    return DS_OK;
}

/* Counts nothing before all of the row's names are known to be good. */
static ds_status take_names(scan *s, const ds__data_cells *cells, ds_error *error) {
    ds__str name;
    for (size_t at = 0; ds__dataset_next_label(cells, &at, &name);)
        if (!check_name(s, name)) return DS_OK;
    for (size_t at = 0; ds__dataset_next_label(cells, &at, &name);)
        DS_TRY(ds__data_labels_count(&s->dataset->labels, name, s->dataset->row_count + 1, error));
    return DS_OK;
}

/* A label while all of them were numbers without a point. */
static ds_status take_open(scan *s, const ds__data_cells *cells, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    float value;
    bool has_point;
    switch (ds__dataset_number(cells->label, &value, &has_point)) {
    case DS__NUMBER_FINITE:
        if (!has_point) return take_name(s, cells, error);
        if (dataset->labels.known) return guess(s, DS_TRAIN_REGRESSION); /* unknown names may have been skipped */
        s->open = false;
        dataset->info.task = DS_TRAIN_REGRESSION;
        ds__data_labels_clear(&dataset->labels);
        return DS_OK;
    case DS__NUMBER_NONE:
        if (s->not_finite.status != DS_OK) return guess(s, DS_TRAIN_CLASSIFICATION); /* "nan" was a name */
        s->open = false;
        return take_name(s, cells, error);
    default: return take_value(s, cells, error);
    }
}

static ds_status take_label(scan *s, const ds__data_cells *cells, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    ds_train_task task = dataset->info.task;
    size_t at = 0;
    ds__str name;
    bool several = cells->is_list || (cells->label.size && memchr(cells->label.data, '|', cells->label.size));
    if (s->guesses && several && task != DS_TRAIN_MULTI_LABEL) return guess(s, DS_TRAIN_MULTI_LABEL);
    if (ds__dataset_is_blank(cells->label) ||
        (task == DS_TRAIN_MULTI_LABEL && !ds__dataset_next_label(cells, &at, &name))) {
        check_absent(s, cells);
        return DS_OK;
    }
    if (s->open) return take_open(s, cells, error);
    if (has_values(dataset)) return take_value(s, cells, error);
    if (!cells->not_finite)
        return task == DS_TRAIN_MULTI_LABEL ? take_names(s, cells, error) : take_name(s, cells, error);
    ds__dataset_skip(dataset,
                     "\"%.*s\" is %.*s, expected a label for %s; the row is skipped: write one or remove the row",
                     DS_SHOWN(dataset->label.name), DS_SHOWN(cells->label), task_names[task]);
    return DS_OK;
}

static void warn(const scan *s, const char *sentence) {
    const ds__dataset_options *options = &s->dataset->options;
    if (options->warn) options->warn(options->user, sentence);
}

static void count_skipped(scan *s) {
    const ds__dataset *dataset = s->dataset;
    size_t line = ds__table_line(dataset->table);
    if (s->skipped++ == 0) s->first = dataset->unusable;
    if (s->warnings == MAX_WARNINGS || line <= s->warned_line) return;
    s->warnings++;
    s->warned_line = line;
    warn(s, dataset->unusable.message);
}

/* One row. *end: there is none. */
static ds_status scan_row(scan *s, bool *end, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    ds__data_cells cells;
    bool bytes_bad;
    DS_TRY(ds__dataset_next(dataset, &cells, end, &bytes_bad, error));
    if (*end) return DS_OK;
    if (!s->seen) {
        s->first_offset = ds__table_offset(dataset->table);
        s->first_line = ds__table_line(dataset->table);
    }
    if (!ds__dataset_skipped(dataset)) DS_TRY(take_label(s, &cells, error));
    if (s->again) return DS_OK;
    s->seen++;
    s->bytes_bad += bytes_bad;
    if (ds__dataset_skipped(dataset)) {
        count_skipped(s);
        return DS_OK;
    }
    if (!ds__grow(dataset->heap, (void **)&dataset->rows, &dataset->row_capacity, dataset->row_count + 1,
                  sizeof *dataset->rows))
        return ds__alloc_failed(dataset->heap, (dataset->row_count + 1) * sizeof *dataset->rows, "the rows' places",
                                error);
    dataset->rows[dataset->row_count++] = ds__table_offset(dataset->table);
    return DS_OK;
}

/* What a guess becomes when all of the file was seen. */
static ds_status settle_guess(scan *s, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    if (s->open && s->not_finite.status != DS_OK) return guess(s, DS_TRAIN_CLASSIFICATION); /* "nan" is a name */
    if (!s->guesses || !has_values(dataset)) return DS_OK;
    if (s->not_finite.status != DS_OK) return ds__fail(error, s->not_finite.status, "%s", s->not_finite.message);
    if (dataset->info.has_pairs) dataset->info.task = DS_TRAIN_EMBEDDING;
    return DS_OK;
}

static ds_status scan_once(scan *s, ds_error *error) {
    ds__dataset *dataset = s->dataset;
    bool end = false;
    s->again = false;
    s->seen = s->skipped = s->bytes_bad = 0;
    s->not_finite.status = DS_OK;
    dataset->row_count = 0;
    ds__data_labels_clear(&dataset->labels);
    while (!end && !s->again) DS_TRY(scan_row(s, &end, error));
    return s->again ? DS_OK : settle_guess(s, error);
}

/* What no row by itself shows. */
static ds_status check_whole(const scan *s, ds_error *error) {
    const ds__dataset *dataset = s->dataset;
    size_t labels = dataset->labels.names.count;
    if (s->bytes_bad > s->seen - s->bytes_bad)
        return ds__fail(error, DS_BAD_FORMAT,
                        "%s: %zu of %zu rows have bytes that are not UTF-8; the file is in another encoding: convert "
                        "it (iconv -f ENCODING -t UTF-8)",
                        dataset->path, s->bytes_bad, s->seen);
    if (!dataset->row_count && s->seen)
        return ds__fail(error, DS_BAD_FORMAT, "%s: none of %zu rows can be used; correct them, beginning with: %s",
                        dataset->path, s->seen, s->first.message);
    if (!dataset->row_count)
        return ds__fail(error, DS_BAD_FORMAT, "%s: has no rows%s; write labelled texts into it", dataset->path,
                        dataset->is_json ? "" : " behind its header");
    if (!dataset->options.needs_labels || dataset->labels.known) return DS_OK;
    if (dataset->info.task == DS_TRAIN_CLASSIFICATION && labels == 1)
        return ds__fail(error, DS_BAD_FORMAT,
                        "%s: \"%.*s\" is \"%.*s\" in all of its %zu rows, expected two labels at least; add rows of "
                        "another label, or name the label's column",
                        dataset->path, DS_SHOWN(dataset->label.name),
                        DS_SHOWN(((ds__str){dataset->labels.names.bytes, dataset->labels.names.byte_count})),
                        dataset->row_count);
    if (dataset->info.task == DS_TRAIN_MULTI_LABEL && !labels)
        return ds__fail(error, DS_BAD_FORMAT,
                        "%s: \"%.*s\" is empty in all of its %zu rows, expected a label in one at least; write labels, "
                        "or name the label's column",
                        dataset->path, DS_SHOWN(dataset->label.name), dataset->row_count);
    return DS_OK;
}

static void warn_of_all(const scan *s) {
    char sentence[DS_ERROR_MESSAGE_SIZE];
    if (!s->skipped) return;
    snprintf(sentence, sizeof sentence, "%s: %zu of %zu rows are skipped; correct them to use them", s->dataset->path,
             s->skipped, s->seen);
    warn(s, sentence);
}

/* Gives back what the array of rows has grown too far. */
static ds_status fit_rows(ds__dataset *dataset, ds_error *error) {
    size_t bytes = dataset->row_count * sizeof *dataset->rows;
    uint64_t *rows = ds__resize(dataset->heap, dataset->rows, dataset->row_capacity * sizeof *rows, bytes);
    if (!rows) return ds__alloc_failed(dataset->heap, bytes, "the rows' places", error);
    dataset->rows = rows;
    dataset->row_capacity = dataset->row_count;
    return DS_OK;
}

ds_status ds__dataset_scan(ds__dataset *dataset, ds_error *error) {
    bool guesses = dataset->options.task == DS_TRAIN_AUTO;
    scan s = {.dataset = dataset, .guesses = guesses, .open = guesses};
    dataset->info.task = guesses ? DS_TRAIN_CLASSIFICATION : dataset->options.task;
    DS_TRY(scan_once(&s, error));
    while (s.again) {
        DS_TRY(ds__table_seek(dataset->table, s.first_offset, s.first_line, error));
        DS_TRY(scan_once(&s, error));
    }
    DS_TRY(check_whole(&s, error));
    DS_TRY(fit_rows(dataset, error));
    dataset->info.rows = dataset->row_count;
    dataset->info.skipped = s.skipped;
    if (has_values(dataset))
        dataset->info.labels = 1;
    else
        DS_TRY(ds__data_labels_finish(&dataset->labels, &dataset->arena, &dataset->info, error));
    warn_of_all(&s);
    return DS_OK;
}
