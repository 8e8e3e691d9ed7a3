/* Which of a file's columns hold the text, the second text and the label; see dataset.h for what is taken unasked. */
#include <stdint.h>

#include "base/utf8.h"
#include "train/dataset_internal.h"

typedef struct header {
    ds__dataset *dataset;
    const ds__str *names;
    size_t count;
} header;

static size_t find(const header *h, const char *name) {
    for (size_t i = 0; i < h->count; i++)
        if (ds__str_is(h->names[i], name)) return i;
    return SIZE_MAX;
}

/* The columns' names in one line, as UTF-8 and cut where there are too many. */
static const char *list_names(const header *h, ds__buffer *out) {
    ds__buffer_init(out, h->dataset->heap);
    for (size_t i = 0; i < h->count; i++) {
        if (i) ds__buffer_text(out, ", ");
        if (out->size > 300) {
            ds__buffer_text(out, "...");
            break;
        }
        ds__str name = ds__dataset_shown(h->names[i]);
        ds__utf8_append_repaired(out, name.data, name.size);
    }
    const char *list = ds__buffer_cstr(out);
    return list ? list : "?";
}

/* Where the fields seem to be separated by something else than the file's ending says. */
static const char *other_separator(const header *h) {
    ds__str only = h->names[0];
    if (h->dataset->is_json || h->count != 1 || !only.size) return "";
    bool tabs = ds__str_ends(ds__str_of(h->dataset->path), DS_STR(".tsv"));
    if (!tabs && memchr(only.data, '\t', only.size)) return "; it seems to be separated by tabs: rename it to .tsv";
    if (tabs && memchr(only.data, ',', only.size)) return "; it seems to be separated by commas: rename it to .csv";
    return "";
}

static ds_status no_such_column(const header *h, const char *name, ds_error *error) {
    ds__buffer names;
    ds_status status =
        ds__fail(error, DS_NOT_FOUND, "%s, line %zu: has no column \"%s\"; its columns are: %s; name one of them%s",
                 h->dataset->path, ds__table_line(h->dataset->table), name, list_names(h, &names), other_separator(h));
    ds__buffer_deinit(&names);
    return status;
}

static ds_status no_column_for(const header *h, const char *what, ds_error *error) {
    ds__buffer names;
    ds_status status =
        ds__fail(error, DS_NOT_FOUND, "%s, line %zu: no column is left for %s; its columns are: %s; %s%s",
                 h->dataset->path, ds__table_line(h->dataset->table), what, list_names(h, &names),
                 "add one, or name the columns", other_separator(h));
    ds__buffer_deinit(&names);
    return status;
}

/* The name lives in the arena, since the record does not. */
static ds_status set(const header *h, ds__data_column *column, ds__str name, size_t at, ds_error *error) {
    column->name = ds__arena_copy(&h->dataset->arena, name);
    column->at = at;
    return column->name.data ? DS_OK : ds__alloc_failed(h->dataset->heap, name.size + 1, "a column's name", error);
}

static ds_status set_named(const header *h, ds__data_column *column, const char *name, ds_error *error) {
    size_t at = find(h, name);
    if (at == SIZE_MAX) return no_such_column(h, name, error);
    return set(h, column, h->names[at], at, error);
}

static ds_status choose_texts(const header *h, ds_error *error) {
    static const char *const usual[] = {"text", "sentence", "sentence1"};
    const ds__dataset_options *options = &h->dataset->options;
    const char *text = options->text_column, *pair = options->pair_column;
    for (int i = 0; i < 3 && !text; i++) {
        if (find(h, usual[i]) == SIZE_MAX) continue;
        text = usual[i];
        if (i == 2 && !pair && find(h, "sentence2") != SIZE_MAX) pair = "sentence2";
    }
    if (text)
        DS_TRY(set_named(h, &h->dataset->text, text, error));
    else
        DS_TRY(set(h, &h->dataset->text, h->names[0], 0, error));
    return pair ? set_named(h, &h->dataset->pair, pair, error) : DS_OK;
}

static ds_status choose_label(const header *h, ds_error *error) {
    ds__dataset *dataset = h->dataset;
    const ds__dataset_options *options = &dataset->options;
    const char *name = options->label_column;
    if (!name && find(h, "label") != SIZE_MAX) name = "label";
    if (!name && find(h, "category") != SIZE_MAX) name = "category";
    /* Rows that need no label are not given one by the last column, and JSON's first row may be one without. */
    if (!options->needs_labels && dataset->is_json && (!name || find(h, name) == SIZE_MAX))
        return set(h, &dataset->label, ds__str_of(name ? name : "label"), 0, error);
    if (!name && !options->needs_labels) return DS_OK;
    if (name)
        DS_TRY(set_named(h, &dataset->label, name, error));
    else
        DS_TRY(set(h, &dataset->label, h->names[h->count - 1], h->count - 1, error));
    if (dataset->label.at == dataset->text.at)
        return no_column_for(h, name ? "the text besides the label's" : "the label besides the text's", error);
    if (dataset->pair.name.data && dataset->label.at == dataset->pair.at)
        return no_column_for(h, "the label besides the texts'", error);
    return DS_OK;
}

ds_status ds__dataset_choose(ds__dataset *dataset, const ds__str *names, size_t count, ds_error *error) {
    header h = {dataset, names, count};
    DS_TRY(choose_texts(&h, error));
    DS_TRY(choose_label(&h, error));
    if (dataset->options.task == DS_TRAIN_EMBEDDING && dataset->options.needs_labels && !dataset->pair.name.data)
        return no_column_for(&h, "the second text of the pairs that a score is of", error);
    dataset->columns = count;
    dataset->info.has_pairs = dataset->pair.name.data != NULL;
    return DS_OK;
}
