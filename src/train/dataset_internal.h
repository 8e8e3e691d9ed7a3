/* What the files of the dataset share: a row as it stands in the file, the table of labels, and the scan.
 *
 * dataset.c opens, closes and reads; dataset_columns.c finds the columns; dataset_row.c takes a record apart;
 * dataset_labels.c knows names and numbers; dataset_scan.c goes through the file once. */
#ifndef DS_TRAIN_DATASET_INTERNAL_H
#define DS_TRAIN_DATASET_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "formats/table.h"
#include "tokenizer/vocab.h"
#include "train/dataset.h"

/* A label's name as a text that fits into a sentence. */
ds__str ds__dataset_shown(ds__str text);
#define DS_SHOWN(text) DS_STR_ARG(ds__dataset_shown(text))

/* A column that is read. name.data NULL: there is none. */
typedef struct ds__data_column {
    ds__str name;
    size_t at; /* of CSV and TSV: its place from 0; JSON is read by name */
} ds__data_column;

/* Names to numbers and back.  The table of the vocabulary is one of names in general; its limits are ours too. */
typedef struct ds__data_labels {
    ds__vocab names;
    struct ds__data_label_count {
        size_t rows, last_row; /* last_row: the row counted last, from 1; a row names a label once */
    } * counts;
    size_t capacity;
    bool known; /* the caller's: others are unknown, and the order stays */
} ds__data_labels;

/* A row as it stands in the file.  Pieces are borrowed until the next record. */
typedef struct ds__data_cells {
    ds__str text, pair, label; /* label.data NULL: the row has none */
    bool is_list;              /* a JSON array: its items, each followed by a zero byte; else one cell */
    bool not_finite;           /* NaN or Infinity where JSON has a number */
} ds__data_cells;

struct ds__dataset {
    ds__heap *heap;
    const char *path;            /* in the arena */
    ds__dataset_options options; /* as given; its pointers are of use while the file is opened only */
    ds__arena arena;             /* names */
    ds__table *table;
    ds__table_stamp stamp; /* of the file as it was scanned */
    bool is_json;
    ds__data_column text, pair, label;
    size_t columns; /* of the header; 0 until JSON's first object is seen */
    ds__data_labels labels;
    uint64_t *rows; /* where each usable row begins */
    size_t row_count, row_capacity;
    float *targets;     /* [info.labels] for multi-label, else NULL */
    ds__buffer scratch; /* strings of a JSON row */
    /* Why the present row cannot be used; status DS_OK: it can. */
    ds_error unusable;
    ds__dataset_info info; /* its task is a guess while the file is scanned for DS_TRAIN_AUTO */
};

/* ---- dataset_columns.c ---- */

/* Chooses the columns among those of a header or of the first JSON object. */
ds_status ds__dataset_choose(ds__dataset *dataset, const ds__str *names, size_t count, ds_error *error) DS_MUST_CHECK;

/* ---- dataset_row.c ---- */

/* The sentence for a row that is skipped, with file and line in front. */
void ds__dataset_skip(ds__dataset *dataset, const char *format, ...) DS_PRINTF(2, 3);
static inline bool ds__dataset_skipped(const ds__dataset *dataset) { return dataset->unusable.status != DS_OK; }
/* The next record's cells; texts are checked, the label is not. *end: there is none. Rows that cannot be used are DS_OK
 * and `unusable`; *bytes_bad: since they are not UTF-8. */
ds_status ds__dataset_next(ds__dataset *dataset, ds__data_cells *out, bool *end, bool *bytes_bad,
                           ds_error *error) DS_MUST_CHECK;
/* The next of a cell's labels: split at '|', or a list's items; empty ones are passed over. at: 0 to begin with. */
bool ds__dataset_next_label(const ds__data_cells *cells, size_t *at, ds__str *label);
/* A line without anything but white space. */
bool ds__dataset_is_blank(ds__str text);

/* ---- dataset_labels.c ---- */

void ds__data_labels_init(ds__data_labels *labels, ds__heap *heap);
void ds__data_labels_deinit(ds__data_labels *labels);
/* The caller's names, in their order. */
ds_status ds__data_labels_take(ds__data_labels *labels, const char *const *names, int32_t count,
                               ds_error *error) DS_MUST_CHECK;
/* For another start: forgets what was found and counted, but not the caller's names. */
void ds__data_labels_clear(ds__data_labels *labels);
static inline int32_t ds__data_labels_find(const ds__data_labels *labels, ds__str name) {
    return ds__vocab_find(&labels->names, name);
}
/* Counts the label for the row (numbered from 1), once; an unknown name is added. */
ds_status ds__data_labels_count(ds__data_labels *labels, ds__str name, size_t row, ds_error *error) DS_MUST_CHECK;
/* Sorts what was found here bytewise and hands out names and counts in the arena. */
ds_status ds__data_labels_finish(ds__data_labels *labels, ds__arena *arena, ds__dataset_info *info,
                                 ds_error *error) DS_MUST_CHECK;

typedef enum ds__number_kind {
    DS__NUMBER_NONE,
    DS__NUMBER_FINITE,
    DS__NUMBER_NAN,
    DS__NUMBER_INFINITE
} ds__number_kind;
/* A cell as a float: decimal digits with an optional sign, point and exponent, or a spelling of NaN or infinity; spaces
 * around it do not count. *has_point: it has a decimal point. */
ds__number_kind ds__dataset_number(ds__str cell, float *value, bool *has_point);

/* ---- dataset_scan.c ---- */

/* Goes through the file from the record that comes next: fills rows, labels and info. */
ds_status ds__dataset_scan(ds__dataset *dataset, ds_error *error) DS_MUST_CHECK;

#endif
