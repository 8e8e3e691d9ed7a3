/* One record taken apart: the cells of CSV and TSV by place, the values of a JSON object by name. */
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"
#include "formats/json.h"
#include "train/dataset_internal.h"

enum { SHOWN_BYTES = 60 };

ds__str ds__dataset_shown(ds__str text) {
    if (text.size <= SHOWN_BYTES) return text;
    text.size = SHOWN_BYTES;
    while (text.size && ((unsigned char)text.data[text.size] & 0xC0) == 0x80) text.size--; /* no half characters */
    return text;
}

bool ds__dataset_is_blank(ds__str text) {
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] != ' ' && text.data[i] != '\t' && text.data[i] != '\r' && text.data[i] != '\n') return false;
    return true;
}

bool ds__dataset_next_label(const ds__data_cells *cells, size_t *at, ds__str *label) {
    char separator = cells->is_list ? '\0' : '|';
    while (*at < cells->label.size) {
        const char *first = cells->label.data + *at, *end = memchr(first, separator, cells->label.size - *at);
        *label = (ds__str){first, end ? (size_t)(end - first) : cells->label.size - *at};
        *at += label->size + 1;
        if (!ds__dataset_is_blank(*label)) return true;
    }
    return false;
}

void ds__dataset_skip(ds__dataset *dataset, const char *format, ...) {
    char reason[DS_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    ds__fail(&dataset->unusable, DS_BAD_FORMAT, "%s, line %zu: %s", dataset->path, ds__table_line(dataset->table),
             reason);
}

static void skip_bytes(ds__dataset *dataset, const char *what) {
    ds__dataset_skip(dataset, "%s has bytes that are not UTF-8; the row is skipped: save the file as UTF-8", what);
}

/* Texts that are there and not blank. */
static void check_texts(ds__dataset *dataset, const ds__data_cells *cells) {
    const ds__data_column *empty = ds__dataset_is_blank(cells->text)                              ? &dataset->text
                                   : dataset->pair.name.data && ds__dataset_is_blank(cells->pair) ? &dataset->pair
                                                                                                  : NULL;
    if (empty)
        ds__dataset_skip(dataset, "\"%.*s\" is empty, expected a text; the row is skipped: write one or remove the row",
                         DS_SHOWN(empty->name));
}

/* ---- CSV and TSV ---- */

/* What has told how many columns there are. */
static const char *first_line(const ds__dataset *dataset) {
    return dataset->options.no_header ? "first line" : "header";
}

static bool has_cell(ds__dataset *dataset, const ds__data_column *column) {
    size_t count = ds__table_field_count(dataset->table);
    if (column->at < count) return true;
    ds__dataset_skip(dataset,
                     "has %zu of the %s's %zu columns, and \"%.*s\" is number %zu; the row is skipped: complete "
                     "it, and check its quotes",
                     count, first_line(dataset), dataset->columns, DS_SHOWN(column->name), column->at + 1);
    return false;
}

/* More cells than there are columns, but for empty ones at the end: a separator in a text that needs quotes, which
 * would put a piece of the text where the label is looked for. */
static bool has_surplus(ds__dataset *dataset) {
    size_t count = ds__table_field_count(dataset->table);
    while (count > dataset->columns && ds__table_field(dataset->table, count - 1).size == 0) count--;
    if (count <= dataset->columns) return false;
    ds__dataset_skip(dataset,
                     "has %zu columns, and the %s has %zu; the row is skipped: put texts that hold the separator "
                     "in quotes%s",
                     count, first_line(dataset), dataset->columns,
                     dataset->options.no_header ? "" : ", or name the column in the header");
    return true;
}

static void table_cells(ds__dataset *dataset, ds__data_cells *out, bool *bytes_bad) {
    const ds__data_column *columns[] = {&dataset->text, &dataset->pair, &dataset->label};
    ds__str *cells[] = {&out->text, &out->pair, &out->label};
    if (has_surplus(dataset)) return;
    for (int i = 0; i < 3; i++) {
        const ds__data_column *column = columns[i];
        bool may_lack = column == &dataset->label && !dataset->options.needs_labels;
        if (!column->name.data || (may_lack && column->at >= ds__table_field_count(dataset->table))) continue;
        if (!has_cell(dataset, column)) return;
        *cells[i] = ds__table_field(dataset->table, column->at);
        if (ds__utf8_valid(cells[i]->data, cells[i]->size)) continue;
        *bytes_bad = true;
        skip_bytes(dataset, "the line");
        return;
    }
}

/* ---- JSON lines ---- */

/* A string in the scratch buffer, which may still move. */
typedef struct piece {
    size_t first, size;
    bool is_there;
} piece;

typedef struct object_row {
    piece text, pair, label;
    bool is_list, not_finite;
} object_row;

static piece keep(ds__dataset *dataset, ds__str text) {
    piece kept = {dataset->scratch.size, text.size, true};
    ds__buffer_append(&dataset->scratch, text.data, text.size);
    return kept;
}

static ds__str piece_text(const ds__dataset *dataset, piece kept) {
    if (!kept.is_there) return (ds__str){NULL, 0};
    return kept.size ? (ds__str){dataset->scratch.data + kept.first, kept.size} : DS_STR("");
}

/* Python writes NaN for what is missing, also in columns that nobody reads. */
static void pass_over(ds__json *json) {
    if (!ds__json_take_not_finite(json).size) ds__json_skip(json);
}

static ds__str text_or_null(ds__json *json, ds__str field) {
    return ds__json_take_null(json) ? DS_STR("") : ds__json_string(json, field);
}

static piece keep_list(ds__dataset *dataset, ds__json *json) {
    piece kept = keep(dataset, DS_STR(""));
    while (ds__json_next_item(json)) {
        ds__str item = ds__json_string(json, dataset->label.name);
        if (item.size && memchr(item.data, '\0', item.size))
            ds__json_fail(json, DS_BAD_FORMAT, "a label has a zero byte in it");
        ds__buffer_append(&dataset->scratch, item.data, item.size);
        ds__buffer_put(&dataset->scratch, '\0');
    }
    kept.size = dataset->scratch.size - kept.first;
    return kept;
}

static void take_label(ds__dataset *dataset, ds__json *json, object_row *row) {
    ds__str word = ds__json_take_not_finite(json);
    row->not_finite = word.size > 0;
    row->is_list = false;
    if (row->not_finite) {
        row->label = keep(dataset, word);
        return;
    }
    switch (ds__json_peek(json)) {
    case DS__JSON_NUMBER:
    case DS__JSON_BOOL: row->label = keep(dataset, ds__json_raw(json)); break;
    case DS__JSON_ARRAY:
        row->label = keep_list(dataset, json);
        row->is_list = true;
        break;
    default: row->label = keep(dataset, text_or_null(json, dataset->label.name)); break;
    }
}

/* Of a key that is there twice the last value counts, as in every reader of JSON. */
static void take_values(ds__dataset *dataset, ds__json *json, object_row *row) {
    const ds__data_column *label = &dataset->label, *pair = &dataset->pair;
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_equal(key, dataset->text.name))
            row->text = keep(dataset, text_or_null(json, key));
        else if (pair->name.data && ds__str_equal(key, pair->name))
            row->pair = keep(dataset, text_or_null(json, key));
        else if (label->name.data && ds__str_equal(key, label->name))
            take_label(dataset, json, row);
        else
            pass_over(json);
    }
}

/* Ends the reading of a line: a mistake in it makes the row unusable, but for want of memory. */
static ds_status finish_line(ds__dataset *dataset, ds__json *json, ds_error *error) {
    ds_error mistake;
    ds_status status = ds__json_finish(json, &mistake);
    if (status == DS_OK) return DS_OK;
    if (status != DS_BAD_FORMAT) return ds__fail(error, status, "%s", mistake.message);
    const char *reason = strstr(mistake.message, ": "); /* behind the place, which would be line 1 of one line */
    ds__dataset_skip(dataset,
                     "%s; the row is skipped: each line must hold one JSON object, such as "
                     "{\"text\": \"...\", \"label\": \"...\"}",
                     reason ? reason + 2 : mistake.message);
    return DS_OK;
}

/* The first object's keys are the columns. */
static ds_status choose_from(ds__dataset *dataset, ds__str line, ds_error *error) {
    ds__json json;
    ds__str *names = NULL;
    size_t count = 0, capacity = 0;
    bool grown = true;
    ds_status status = DS_OK;
    ds__json_init(&json, dataset->heap, "a line", line);
    for (ds__str key; grown && ds__json_next_key(&json, &key);) {
        grown = ds__grow(dataset->heap, (void **)&names, &capacity, count + 1, sizeof *names);
        if (grown) names[count++] = key;
        pass_over(&json);
    }
    if (!grown) status = ds__alloc_failed(dataset->heap, (count + 1) * sizeof *names, "columns' names", error);
    if (status == DS_OK && ds__json_ok(&json) && count) status = ds__dataset_choose(dataset, names, count, error);
    if (status == DS_OK) {
        status = finish_line(dataset, &json, error);
    } else {
        ds_status ignored = ds__json_finish(&json, NULL); /* the other failure came first */
        (void)ignored;
    }
    ds__free(dataset->heap, names, capacity * sizeof *names);
    if (status == DS_OK && !count && !ds__dataset_skipped(dataset))
        ds__dataset_skip(dataset, "the object is empty, expected a text and a label; the row is skipped: remove it");
    return status;
}

static ds_status object_cells(ds__dataset *dataset, ds__data_cells *out, bool *bytes_bad, ds_error *error) {
    ds__json json;
    object_row row = {.is_list = false};
    ds__str line = ds__table_field(dataset->table, 0);
    *bytes_bad = !ds__utf8_valid(line.data, line.size);
    if (*bytes_bad) {
        skip_bytes(dataset, "the line");
        return DS_OK;
    }
    if (!dataset->columns) DS_TRY(choose_from(dataset, line, error));
    if (ds__dataset_skipped(dataset)) return DS_OK;
    ds__buffer_clear(&dataset->scratch);
    ds__json_init(&json, dataset->heap, "a line", line);
    take_values(dataset, &json, &row);
    DS_TRY(finish_line(dataset, &json, error));
    if (dataset->scratch.failed) return ds__alloc_failed(dataset->heap, line.size, "a row", error);
    *out = (ds__data_cells){piece_text(dataset, row.text), piece_text(dataset, row.pair),
                            piece_text(dataset, row.label), row.is_list, row.not_finite};
    const ds__data_column *absent = !row.text.is_there                                     ? &dataset->text
                                    : dataset->pair.name.data && !row.pair.is_there        ? &dataset->pair
                                    : dataset->options.needs_labels && !row.label.is_there ? &dataset->label
                                                                                           : NULL;
    if (absent && !ds__dataset_skipped(dataset))
        ds__dataset_skip(dataset, "the object has no \"%.*s\"; the row is skipped: add it or remove the row",
                         DS_SHOWN(absent->name));
    return DS_OK;
}

ds_status ds__dataset_next(ds__dataset *dataset, ds__data_cells *out, bool *end, bool *bytes_bad, ds_error *error) {
    *out = (ds__data_cells){.is_list = false};
    *bytes_bad = false;
    dataset->unusable.status = DS_OK;
    do {
        DS_TRY(ds__table_next_record(dataset->table, end, error));
        if (*end) return DS_OK;
    } while (dataset->is_json && ds__dataset_is_blank(ds__table_field(dataset->table, 0)));
    if (dataset->is_json)
        DS_TRY(object_cells(dataset, out, bytes_bad, error));
    else
        table_cells(dataset, out, bytes_bad);
    if (!ds__dataset_skipped(dataset)) check_texts(dataset, out);
    return DS_OK;
}
