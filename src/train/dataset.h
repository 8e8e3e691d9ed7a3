/* Labelled rows from CSV, TSV or JSON lines, read from the disk when they are needed: files larger than memory work.
 *
 * Opening scans the file once: where each usable row begins (8 bytes a row stay in memory), what its label is, and
 * which rows cannot be used.  (For DS_TRAIN_AUTO it starts over where a row shows another task than those before it;
 * most files show theirs in the first row.)  Reading a row seeks and parses it again.  For one thread at a time. */
#ifndef DS_TRAIN_DATASET_H
#define DS_TRAIN_DATASET_H

#include "base/arena.h"
#include "deepseek/train.h"

typedef struct ds__dataset ds__dataset;

typedef struct ds__dataset_options {
    const char *path; /* the format is told by the ending: .csv .tsv .jsonl (or .json with a value a line) */
    /* NULL: text, else sentence, else sentence1 with sentence2 as the pair, else the first column; label, else
     * category, else the last column (where labels are needed). The columns of JSON lines are the first object's keys.
     */
    const char *text_column, *pair_column, *label_column;
    bool no_header;     /* .csv, .tsv: the first line is a row like the others, and columns are numbers from 1 */
    ds_train_task task; /* AUTO: regression where every label is a number and one at least has a decimal point (or
                         * embedding, where there are pairs), multi-label where cells hold several labels split by '|',
                         * else classification */
    /* The labels that are known, in their order (evaluation data, a model's own); others are skipped and counted. NULL:
     * found here and sorted bytewise. */
    const char *const *label_names;
    int32_t labels;
    bool needs_labels; /* false: rows for distillation may have none; one without has label -1, value NAN */
    /* Called for rows that are skipped, at most 20 times, then once with the count. May be NULL. */
    void (*warn)(void *user, const char *sentence);
    void *user;
} ds__dataset_options;

typedef struct ds__dataset_info {
    ds_train_task task; /* never AUTO */
    bool has_pairs;
    size_t rows, skipped;
    int32_t labels;                 /* classification, multi-label; 1 for values */
    const char *const *label_names; /* [labels]; NULL for values */
    const size_t *label_rows;       /* [labels]: rows that have it; NULL for values */
} ds__dataset_info;

/* Refused with a sentence that names the file, the line and what to do: a missing column (with those that are there),
 * no usable row, one class only (classification whose labels were found here), a label that is NaN or infinite
 * (values), a quote that is never closed, a line over 16 MiB, bytes that are not UTF-8 in most rows (another encoding:
 * UTF-16 is named as such).  Skipped with its line and a count: an empty text, an empty or unknown label, a row with
 * too few columns or more than the header has (a separator outside of quotes), single lines that are not UTF-8, JSON
 * that does not parse, a value that is no number.  A label is its bytes: spaces count.  For multi-label an empty cell
 * is "no label" where the task was given, and so is an empty list of JSON always. */
ds_status ds__dataset_open(ds__heap *heap, const ds__dataset_options *options, ds__dataset **out,
                           ds_error *error) DS_MUST_CHECK;
void ds__dataset_close(ds__dataset *dataset); /* NULL is allowed */
const ds__dataset_info *ds__dataset_describe(const ds__dataset *dataset);

typedef struct ds__data_row {
    ds__str text, pair;   /* pair.data NULL: none. Borrowed until the next read */
    int32_t label;        /* classification; -1: none */
    float value;          /* regression, embedding; NAN: none */
    const float *targets; /* [labels] of 0 and 1, multi-label; else NULL */
} ds__data_row;
/* index: 0 .. rows-1 in the file's order. A file that has changed since it was opened is refused. */
ds_status ds__dataset_read(ds__dataset *dataset, size_t index, ds__data_row *out, ds_error *error) DS_MUST_CHECK;

/* A seeded order of [0, count): Fisher-Yates by SplitMix64 from (seed, epoch). order: [count], fewer than 2^32.  The
 * generator's state is the first draw from state `seed`, xor `epoch`; for i = count - 1 down to 1 item i is swapped
 * with item ((draw >> 32) * (i + 1)) >> 32. */
void ds__shuffle(uint64_t seed, uint64_t epoch, uint32_t *order, size_t count);

#endif
