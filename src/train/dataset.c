/* Opening a file of labelled rows, reading a row of it again, and the order of an epoch. */
#include "train/dataset.h"

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/random.h"
#include "train/dataset_internal.h"

const ds__dataset_info *ds__dataset_describe(const ds__dataset *dataset) { return &dataset->info; }

void ds__dataset_close(ds__dataset *dataset) {
    if (!dataset) return;
    ds__heap *heap = dataset->heap;
    ds__table_close(dataset->table);
    ds__data_labels_deinit(&dataset->labels);
    ds__free(heap, dataset->rows, dataset->row_capacity * sizeof *dataset->rows);
    ds__free(heap, dataset->targets, (size_t)dataset->info.labels * sizeof *dataset->targets);
    ds__buffer_deinit(&dataset->scratch);
    ds__arena_deinit(&dataset->arena);
    ds__free(heap, dataset, sizeof *dataset);
}

/* Objects name their members. */
static ds_status check_header(const ds__dataset *dataset, ds_error *error) {
    if (!dataset->is_json || !dataset->options.no_header) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT,
                    "%s: is read as JSON lines, which have no header in any case; no_header is for .csv and .tsv",
                    dataset->path);
}

static ds_status format_of(ds__dataset *dataset, ds__table_format *format, ds_error *error) {
    ds__str path = ds__str_of(dataset->path);
    dataset->is_json = ds__str_ends(path, DS_STR(".jsonl")) || ds__str_ends(path, DS_STR(".json"));
    if (dataset->is_json)
        *format = DS__TABLE_LINES;
    else if (ds__str_ends(path, DS_STR(".csv")))
        *format = DS__TABLE_COMMA;
    else if (ds__str_ends(path, DS_STR(".tsv")))
        *format = DS__TABLE_TAB;
    else
        return ds__fail(error, DS_UNSUPPORTED,
                        "%s: the name ends in none of .csv, .tsv, .jsonl and .json, which say how a file of labelled "
                        "texts is read; give it the ending of its format",
                        dataset->path);
    return DS_OK;
}

/* A FIFO in a file's place must not block, and rows are read again. What cannot be looked at fails when it is opened.
 */
static ds_status check_regular(const char *path, ds_error *error) {
    struct stat info;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) return DS_OK;
    return ds__fail(error, DS_IO, "%s: is not a regular file, and rows are read more than once; write it to a file",
                    path);
}

static ds_status check_task(const ds__dataset *dataset, ds_error *error) {
    if (dataset->options.task != DS_TRAIN_TAGGING) return DS_OK;
    return ds__fail(error, DS_UNSUPPORTED,
                    "%s: tagging needs a label for each token, and a file of labelled texts has one for each row; use "
                    "another task, or bring batches of your own (ds_trainer_step)",
                    dataset->path);
}

static ds_status check_encoding(const ds__dataset *dataset, ds__str first, ds_error *error) {
    bool little = ds__str_starts(first, DS_STR("\xFF\xFE")), big = ds__str_starts(first, DS_STR("\xFE\xFF"));
    if (!little && !big) return DS_OK;
    return ds__fail(error, DS_BAD_FORMAT,
                    "%s: is UTF-16 (its first bytes are %s), expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8",
                    dataset->path, little ? "FF FE" : "FE FF");
}

/* Without a header a column's name is its number from 1. */
static ds_status number_columns(ds__dataset *dataset, ds__str *names, size_t count, ds_error *error) {
    for (size_t i = 0; i < count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i + 1);
        names[i] = ds__arena_copy(&dataset->arena, ds__str_of(number));
        if (!names[i].data) return ds__alloc_failed(dataset->heap, sizeof number, "columns' numbers", error);
    }
    return DS_OK;
}

/* CSV and TSV: the first record names the columns; without a header it tells how many there are, and is read again. */
static ds_status read_columns(ds__dataset *dataset, ds_error *error) {
    ds__table *table = dataset->table;
    const bool numbered = dataset->options.no_header;
    bool end;
    DS_TRY(ds__table_next_record(table, &end, error));
    if (end)
        return ds__fail(error, DS_BAD_FORMAT, "%s: is empty, expected %s", dataset->path,
                        numbered ? "rows of a text and its label" : "a header line with the columns' names");
    DS_TRY(check_encoding(dataset, ds__table_field(table, 0), error));
    size_t count = ds__table_field_count(table);
    ds__str *names = ds__alloc(dataset->heap, count * sizeof *names);
    if (!names) return ds__alloc_failed(dataset->heap, count * sizeof *names, "columns' names", error);
    for (size_t i = 0; i < count; i++) names[i] = ds__table_field(table, i);
    ds_status status = numbered ? number_columns(dataset, names, count, error) : DS_OK;
    if (status == DS_OK) status = ds__dataset_choose(dataset, names, count, error);
    ds__free(dataset->heap, names, count * sizeof *names);
    DS_TRY(status);
    return numbered ? ds__table_seek(table, ds__table_offset(table), ds__table_line(table), error) : DS_OK;
}

/* JSON lines: there is no header; the first object names the columns when the scan comes to it. */
static ds_status read_mark(ds__dataset *dataset, ds_error *error) {
    bool end;
    DS_TRY(ds__table_next_record(dataset->table, &end, error));
    if (end) return DS_OK;
    DS_TRY(check_encoding(dataset, ds__table_field(dataset->table, 0), error));
    return ds__table_seek(dataset->table, 0, 1, error);
}

static ds_status open_dataset(ds__dataset *dataset, ds_error *error) {
    const ds__dataset_options *options = &dataset->options;
    ds__table_options wanted = {.path = NULL};
    dataset->path = ds__arena_copy(&dataset->arena, ds__str_of(options->path)).data;
    if (!dataset->path) return ds__alloc_failed(dataset->heap, strlen(options->path) + 1, "a file's name", error);
    wanted.path = dataset->path;
    DS_TRY(format_of(dataset, &wanted.format, error));
    DS_TRY(check_header(dataset, error));
    DS_TRY(check_task(dataset, error));
    DS_TRY(check_regular(dataset->path, error));
    if (options->label_names)
        DS_TRY(ds__data_labels_take(&dataset->labels, options->label_names, options->labels, error));
    DS_TRY(ds__table_open(dataset->heap, &wanted, &dataset->table, error));
    DS_TRY(ds__table_look(dataset->table, &dataset->stamp, error));
    DS_TRY(dataset->is_json ? read_mark(dataset, error) : read_columns(dataset, error));
    DS_TRY(ds__dataset_scan(dataset, error));
    if (dataset->info.task == DS_TRAIN_MULTI_LABEL) {
        size_t bytes = (size_t)dataset->info.labels * sizeof *dataset->targets;
        dataset->targets = ds__alloc(dataset->heap, bytes);
        if (!dataset->targets) return ds__alloc_failed(dataset->heap, bytes, "a row's labels", error);
    }
    return DS_OK;
}

ds_status ds__dataset_open(ds__heap *heap, const ds__dataset_options *options, ds__dataset **out, ds_error *error) {
    ds__dataset *dataset = ds__alloc_zeroed(heap, sizeof *dataset);
    if (!dataset) return ds__alloc_failed(heap, sizeof *dataset, "a dataset", error);
    dataset->heap = heap;
    dataset->options = *options;
    ds__arena_init(&dataset->arena, heap, 4096);
    ds__buffer_init(&dataset->scratch, heap);
    ds__data_labels_init(&dataset->labels, heap);
    ds_status status = open_dataset(dataset, error);
    if (status != DS_OK) {
        ds__dataset_close(dataset);
        return status;
    }
    *out = dataset;
    return DS_OK;
}

static bool same_stamp(const ds__table_stamp *a, const ds__table_stamp *b) {
    return a->bytes == b->bytes && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

static ds_status check_unchanged(ds__dataset *dataset, ds_error *error) {
    ds__table_stamp now;
    DS_TRY(ds__table_look(dataset->table, &now, error));
    if (same_stamp(&now, &dataset->stamp)) return DS_OK;
    if (now.bytes != dataset->stamp.bytes)
        return ds__fail(error, DS_IO,
                        "%s: has changed since it was opened: it had %llu bytes and has %llu; leave it alone while it "
                        "is used, and start again",
                        dataset->path, (unsigned long long)dataset->stamp.bytes, (unsigned long long)now.bytes);
    return ds__fail(error, DS_IO,
                    "%s: has changed since it was opened: it was written %lld s after 1970 then and %lld s now; leave "
                    "it alone while it is used, and start again",
                    dataset->path, (long long)dataset->stamp.seconds, (long long)now.seconds);
}

/* Fills in the label of a row that the scan has found usable. false: it is not what it was. */
static bool resolve_label(ds__dataset *dataset, const ds__data_cells *cells, ds__data_row *out) {
    size_t at = 0;
    bool has_point;
    ds__str name;
    switch (dataset->info.task) {
    case DS_TRAIN_CLASSIFICATION:
        if (ds__dataset_is_blank(cells->label)) return true;
        out->label = ds__data_labels_find(&dataset->labels, cells->label);
        return out->label >= 0;
    case DS_TRAIN_MULTI_LABEL:
        for (int32_t i = 0; i < dataset->info.labels; i++) dataset->targets[i] = 0;
        while (ds__dataset_next_label(cells, &at, &name)) {
            int32_t label = ds__data_labels_find(&dataset->labels, name);
            if (label < 0) return false;
            dataset->targets[label] = 1;
        }
        out->targets = dataset->targets;
        return true;
    default:
        out->value = NAN;
        return ds__dataset_is_blank(cells->label) ||
               ds__dataset_number(cells->label, &out->value, &has_point) == DS__NUMBER_FINITE;
    }
}

static ds_status read_row(ds__dataset *dataset, size_t index, ds__data_row *out, ds_error *error) {
    ds__data_cells cells;
    bool end = false, bytes_bad = false;
    DS_TRY(ds__table_seek(dataset->table, dataset->rows[index], 0, error));
    DS_TRY(ds__dataset_next(dataset, &cells, &end, &bytes_bad, error));
    if (end || ds__dataset_skipped(dataset)) return DS_BAD_FORMAT;
    *out = (ds__data_row){.text = cells.text, .pair = cells.pair, .label = -1};
    return resolve_label(dataset, &cells, out) ? DS_OK : DS_BAD_FORMAT;
}

ds_status ds__dataset_read(ds__dataset *dataset, size_t index, ds__data_row *out, ds_error *error) {
    if (index >= dataset->row_count)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: row %zu is asked for, and it has %zu, counted from 0",
                        dataset->path, index, dataset->row_count);
    DS_TRY(check_unchanged(dataset, error));
    ds_status status = read_row(dataset, index, out, error);
    if (status != DS_BAD_FORMAT) return status;
    /* Within the clock's step a change of the same size cannot be seen; that a row is none any more can. */
    return ds__fail(error, DS_IO,
                    "%s: has changed since it was opened: row %zu, counted from 0, was usable then and is not now; "
                    "leave it alone while it is used, and start again",
                    dataset->path, index);
}

void ds__shuffle(uint64_t seed, uint64_t epoch, uint32_t *order, size_t count) {
    ds__random random = {seed};
    random.state = ds__random_u64(&random) ^ epoch;
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        uint32_t other = ds__random_below(&random, (uint32_t)i), kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}
