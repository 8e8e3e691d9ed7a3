/* What the tests of datasets have in common: a file in a scratch folder, opened and written down as one line. */
#ifndef DS_TESTS_TRAIN_DATASET_CASE_H
#define DS_TESTS_TRAIN_DATASET_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "support/scratch_folder.h"
#include "train/dataset.h"

static scratch_folder folder;
static ds__heap heap;
static ds__buffer warnings; /* each with a newline behind it */

static int open_folder(void **state) {
    scratch_create(&folder);
    ds__heap_init(&heap, NULL, 0);
    ds__buffer_init(&warnings, &heap);
    return 0;
}

static int close_folder(void **state) {
    ds__file_inject_read_fault(0, DS__READ_SHORT);
    scratch_destroy(&folder);
    ds__buffer_deinit(&warnings);
    return heap.bytes == 0 ? 0 : -1;
}

static void keep_warning(void *user, const char *sentence) {
    ds__buffer_text(user, sentence);
    ds__buffer_put(user, '\n');
}

static inline const char *warned(void) {
    const char *text = ds__buffer_cstr(&warnings);
    return text ? text : "";
}

static void put_info(ds__buffer *out, const ds__dataset_info *info) {
    static const char *const tasks[] = {"auto", "class", "multi", "value", "tagging", "embed"};
    ds__buffer_printf(out, "%s%s %zu+%zu [", tasks[info->task], info->has_pairs ? " pairs" : "", info->rows,
                      info->skipped);
    for (int32_t i = 0; info->label_names && i < info->labels; i++)
        ds__buffer_printf(out, "%s%s:%zu", i ? " " : "", info->label_names[i], info->label_rows[i]);
    ds__buffer_text(out, "]");
}

static void put_row(ds__buffer *out, const ds__dataset_info *info, const ds__data_row *row) {
    ds__buffer_text(out, " ");
    ds__buffer_append(out, row->text.data, row->text.size);
    if (row->pair.data) ds__buffer_put(out, '|');
    ds__buffer_append(out, row->pair.data, row->pair.size);
    ds__buffer_put(out, '=');
    if (info->task == DS_TRAIN_CLASSIFICATION)
        ds__buffer_printf(out, "%d;", row->label);
    else if (info->task != DS_TRAIN_MULTI_LABEL)
        ds__buffer_printf(out, "%g;", (double)row->value);
    for (int32_t i = 0; row->targets && i < info->labels; i++)
        ds__buffer_put(out, row->targets[i] == 1 ? '1' : row->targets[i] == 0 ? '0' : '?');
    if (row->targets) ds__buffer_put(out, ';');
}

/* The file as "task rows+skipped [labels and their rows] text|pair=label; ...", or "!STATUS sentence".  To be freed. */
static char *read_dataset(const ds__dataset_options *options) {
    ds__dataset *dataset;
    ds_error error = {DS_OK, ""};
    ds__buffer out;
    ds__buffer_init(&out, &heap);
    ds__buffer_clear(&warnings);
    ds_status status = ds__dataset_open(&heap, options, &dataset, &error);
    if (status == DS_OK) {
        const ds__dataset_info *info = ds__dataset_describe(dataset);
        put_info(&out, info);
        for (size_t i = 0; i < info->rows && status == DS_OK; i++) {
            ds__data_row row;
            status = ds__dataset_read(dataset, i, &row, &error);
            if (status == DS_OK) put_row(&out, info, &row);
        }
        ds__dataset_close(dataset);
    }
    assert_int_equal(status, error.status);
    if (status != DS_OK) ds__buffer_printf(&out, "!%s %s", ds_status_name(status), error.message);
    char *copy = calloc(out.size + 1, 1);
    if (out.size) memcpy(copy, out.data, out.size);
    ds__buffer_deinit(&out);
    return copy;
}

/* want: all of what read_dataset gives, or "!" and a part of the sentence, which must begin with the file's name. */
static void check_dataset(const char *name, ds__dataset_options options, ds__str content, const char *want) {
    scratch_write(&folder, name, content.size ? content.data : "", content.size);
    options.path = scratch_path(&folder, name);
    options.warn = keep_warning;
    options.user = &warnings;
    char *got = read_dataset(&options);
    const char *path = strstr(got, options.path);
    if (*want == '!' ? *got != '!' || !path || !strstr(path, want + 1) : strcmp(got, want) != 0)
        fail_msg("%.200s\n got: %s\nwant: %s", content.data, got, want);
    free(got);
}

#define LABELLED                                                                                                       \
    (ds__dataset_options) { .needs_labels = true }
#define TASK(kind)                                                                                                     \
    (ds__dataset_options) { .needs_labels = true, .task = (kind) }
#define CSV(content, want) check_dataset("t.csv", LABELLED, DS_STR(content), want)
#define TSV(content, want) check_dataset("t.tsv", LABELLED, DS_STR(content), want)
#define JSONL(content, want) check_dataset("t.jsonl", LABELLED, DS_STR(content), want)
#define CSV_AS(task, content, want) check_dataset("t.csv", TASK(task), DS_STR(content), want)
#define JSONL_AS(task, content, want) check_dataset("t.jsonl", TASK(task), DS_STR(content), want)

#endif
