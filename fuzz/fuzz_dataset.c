/* Arbitrary bytes as labelled rows of CSV, TSV and JSON lines.  The first byte chooses the format, the second the task
 * and the options; the rest is the file. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "train/dataset.h"

static const char *const endings[] = {".csv", ".tsv", ".jsonl"};
static const char *const names[] = {"x", "y", "0", "1"};

static void count_warning(void *user, const char *sentence) {
    FUZZ_CHECK(sentence[0] && strlen(sentence) < DS_ERROR_MESSAGE_SIZE);
    ++*(unsigned *)user;
}

/* What the header promises of a row that was found usable. */
static void check_row(const ds__dataset_info *info, const ds__dataset_options *options, const ds__data_row *row) {
    FUZZ_CHECK(row->text.size > 0 && (row->pair.data != NULL) == info->has_pairs);
    if (info->task == DS_TRAIN_CLASSIFICATION)
        FUZZ_CHECK(row->label >= (options->needs_labels ? 0 : -1) && row->label < info->labels && !row->targets);
    else if (info->task == DS_TRAIN_MULTI_LABEL)
        for (int32_t i = 0; i < info->labels; i++) FUZZ_CHECK(row->targets[i] == 0 || row->targets[i] == 1);
    else
        FUZZ_CHECK(isfinite(row->value) || (isnan(row->value) && !options->needs_labels));
}

static void check_info(const ds__dataset_info *info) {
    FUZZ_CHECK(info->task != DS_TRAIN_AUTO && info->rows > 0);
    for (int32_t i = 0; info->label_names && i < info->labels; i++) {
        FUZZ_CHECK(info->label_names[i][0] && info->label_rows[i] <= info->rows);
        FUZZ_CHECK(info->label_names == names || i == 0 || info->label_rows[i] == 0 ||
                   strcmp(info->label_names[i - 1], info->label_names[i]) != 0);
    }
}

/* Reads from the last row to the first, so that every one is found by its offset. */
static void read_all(ds__dataset *dataset, const ds__dataset_options *options) {
    const ds__dataset_info *info = ds__dataset_describe(dataset);
    size_t counts[4096] = {0};
    check_info(info);
    for (size_t i = info->rows; i-- > 0;) {
        ds__data_row row;
        FUZZ_CHECK(ds__dataset_read(dataset, i, &row, NULL) == DS_OK);
        check_row(info, options, &row);
        for (int32_t k = 0; k < info->labels && k < 4096; k++)
            counts[k] += row.targets ? row.targets[k] == 1 : row.label == k;
    }
    for (int32_t k = 0; info->label_rows && k < info->labels && k < 4096; k++)
        FUZZ_CHECK(counts[k] == info->label_rows[k]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const ds_train_task tasks[] = {DS_TRAIN_AUTO, DS_TRAIN_CLASSIFICATION, DS_TRAIN_MULTI_LABEL,
                                          DS_TRAIN_REGRESSION, DS_TRAIN_EMBEDDING};
    if (size < 2) return 0;
    char path[64], named[96];
    unsigned warnings = 0;
    int fd = fuzz_file(data + 2, size - 2, path);
    /* The ending tells the format: the memory's file under a name of its own. */
    snprintf(named, sizeof named, "/tmp/fuzz-dataset-%d%s", (int)getpid(), endings[data[0] % 3]);
    unlink(named);
    FUZZ_CHECK(symlink(path, named) == 0);
    const bool numbered = data[1] / 80 % 2;
    ds__heap heap;
    ds__heap_init(&heap, NULL, 64 << 20);
    ds__dataset_options options = {.path = named,
                                   .task = tasks[data[1] % 5],
                                   .needs_labels = data[1] / 5 % 2 == 0,
                                   .label_names = data[1] / 10 % 2 ? names : NULL,
                                   .labels = 4,
                                   .pair_column = !(data[1] / 20 % 2) ? NULL
                                                  : numbered          ? "2"
                                                                      : "b",
                                   .label_column = !(data[1] / 40 % 2) ? NULL
                                                   : numbered          ? "3"
                                                                       : "c",
                                   .no_header = numbered,
                                   .warn = count_warning,
                                   .user = &warnings};
    ds__dataset *dataset;
    ds_error error = {DS_OK, ""};
    if (ds__dataset_open(&heap, &options, &dataset, &error) == DS_OK) {
        FUZZ_CHECK(warnings == 0 || ds__dataset_describe(dataset)->skipped > 0);
        read_all(dataset, &options);
        ds__dataset_close(dataset);
    } else {
        FUZZ_CHECK(error.status != DS_INTERNAL && error.message[0]);
    }
    FUZZ_CHECK(warnings <= 21 && heap.bytes == 0);
    unlink(named);
    close(fd);
    return 0;
}
