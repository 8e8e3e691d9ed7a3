/* Labels: names to numbers and back, and cells that are numbers. */
#include <math.h>
#include <stdlib.h>

#include "formats/decimal.h"
#include "train/dataset_internal.h"

void ds__data_labels_init(ds__data_labels *labels, ds__heap *heap) {
    *labels = (ds__data_labels){.counts = NULL};
    ds__vocab_init(&labels->names, heap);
}

void ds__data_labels_deinit(ds__data_labels *labels) {
    ds__heap *heap = labels->names.heap;
    ds__free(heap, labels->counts, labels->capacity * sizeof *labels->counts);
    ds__vocab_deinit(&labels->names);
    ds__data_labels_init(labels, heap);
}

void ds__data_labels_clear(ds__data_labels *labels) {
    bool known = labels->known;
    if (!known) ds__data_labels_deinit(labels);
    for (size_t i = 0; i < labels->names.count; i++) labels->counts[i] = (struct ds__data_label_count){0, 0};
    labels->known = known;
}

/* A new name; its number is the count of those before it. */
static ds_status add(ds__data_labels *labels, ds__str name, ds_error *error) {
    ds__heap *heap = labels->names.heap;
    size_t label = labels->names.count;
    if (label > DS__MAX_ID)
        return ds__fail(error, DS_BAD_FORMAT,
                        "there are more than %d different labels, with \"%.*s\"; is the label's column the right one?",
                        DS__MAX_ID + 1, DS_SHOWN(name));
    if (!ds__grow(heap, (void **)&labels->counts, &labels->capacity, label + 1, sizeof *labels->counts) ||
        !ds__vocab_put(&labels->names, name, (int32_t)label))
        return ds__alloc_failed(heap, name.size + sizeof *labels->counts, "labels' names", error);
    labels->counts[label] = (struct ds__data_label_count){0, 0};
    return DS_OK;
}

ds_status ds__data_labels_take(ds__data_labels *labels, const char *const *names, int32_t count, ds_error *error) {
    labels->known = true;
    if (count < 1) return ds__fail(error, DS_INVALID_ARGUMENT, "%d labels are known, expected one at least", count);
    for (int32_t i = 0; i < count; i++) {
        ds__str name = ds__str_of(names[i]);
        if (ds__data_labels_find(labels, name) >= 0)
            return ds__fail(error, DS_INVALID_ARGUMENT,
                            "the known label %d is \"%.*s\", and so is label %d; give each another name", i,
                            DS_SHOWN(name), ds__data_labels_find(labels, name));
        DS_TRY(add(labels, name, error));
    }
    return DS_OK;
}

ds_status ds__data_labels_count(ds__data_labels *labels, ds__str name, size_t row, ds_error *error) {
    int32_t label = ds__data_labels_find(labels, name);
    if (label < 0) {
        label = (int32_t)labels->names.count;
        DS_TRY(add(labels, name, error));
    }
    struct ds__data_label_count *count = &labels->counts[label];
    count->rows += count->last_row != row;
    count->last_row = row;
    return DS_OK;
}

typedef struct found_label {
    ds__str name; /* in the arena, with a NUL behind it */
    size_t rows;
} found_label;

static int by_bytes(const void *a, const void *b) {
    const found_label *x = a, *y = b;
    size_t shorter = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = memcmp(x->name.data, y->name.data, shorter);
    return order ? order : x->name.size < y->name.size ? -1 : x->name.size > y->name.size;
}

ds_status ds__data_labels_finish(ds__data_labels *labels, ds__arena *arena, ds__dataset_info *info, ds_error *error) {
    ds__heap *heap = labels->names.heap;
    size_t count = labels->names.count;
    int32_t twice;
    bool ok = true;
    found_label *found = ds__arena_alloc(arena, count * sizeof *found);
    const char **names = ds__arena_alloc(arena, count * sizeof *names);
    size_t *rows = ds__arena_alloc(arena, count * sizeof *rows);
    if (!found || !names || !rows)
        return ds__alloc_failed(heap, count * (sizeof *found + sizeof *names + sizeof *rows), "labels", error);
    for (size_t i = 0; i < count; i++) {
        const ds__vocab_entry *entry = &labels->names.entries[i]; /* in the order of the numbers: see add() */
        ds__str name = ds__arena_copy(arena, (ds__str){labels->names.bytes + entry->offset, entry->size});
        if (!name.data) return ds__alloc_failed(heap, entry->size + 1, "a label's name", error);
        found[i] = (found_label){name, labels->counts[i].rows};
    }
    if (!labels->known && count) qsort(found, count, sizeof *found, by_bytes);
    for (size_t i = 0; i < count; i++) {
        names[i] = found[i].name.data;
        rows[i] = found[i].rows;
        /* It is there already: only its number changes. */
        ok = ok && ds__vocab_put(&labels->names, found[i].name, (int32_t)i);
    }
    if (!ok || !ds__vocab_sort(&labels->names, &twice))
        return ds__alloc_failed(heap, count * sizeof *found, "labels", error);
    info->labels = (int32_t)count;
    info->label_names = names;
    info->label_rows = rows;
    return DS_OK;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static ds__str trimmed(ds__str text) {
    while (text.size && is_space(text.data[text.size - 1])) text.size--;
    while (text.size && is_space(*text.data)) {
        text.data++;
        text.size--;
    }
    return text;
}

/* word: in small letters. */
static bool is_word(ds__str text, const char *word) {
    if (text.size != strlen(word)) return false;
    for (size_t i = 0; i < text.size; i++)
        if ((text.data[i] | 0x20) != word[i]) return false;
    return true;
}

static size_t digits(ds__str text, size_t *at) {
    size_t first = *at;
    while (*at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9') (*at)++;
    return *at - first;
}

/* Digits with at most one point, at least one digit, and an optional exponent. */
static bool is_decimal(ds__str text, bool *has_point) {
    size_t at = text.size && text.data[0] == '-', count = digits(text, &at);
    *has_point = at < text.size && text.data[at] == '.';
    if (*has_point) {
        at++;
        count += digits(text, &at);
    }
    if (!count) return false;
    if (at < text.size && (text.data[at] | 0x20) == 'e') {
        at++;
        at += at < text.size && (text.data[at] == '+' || text.data[at] == '-');
        if (!digits(text, &at)) return false;
    }
    return at == text.size;
}

ds__number_kind ds__dataset_number(ds__str cell, float *value, bool *has_point) {
    ds__str text = trimmed(cell), word;
    *has_point = false;
    if (text.size && *text.data == '+') text = (ds__str){text.data + 1, text.size - 1};
    if (!text.size || (text.data != trimmed(cell).data && *text.data == '-')) return DS__NUMBER_NONE;
    word = *text.data == '-' ? (ds__str){text.data + 1, text.size - 1} : text;
    if (is_word(word, "nan")) return DS__NUMBER_NAN;
    if (is_word(word, "inf") || is_word(word, "infinity")) return DS__NUMBER_INFINITE;
    if (!is_decimal(text, has_point)) return DS__NUMBER_NONE;
    *value = (float)ds__decimal_read(text);
    return isinf(*value) ? DS__NUMBER_INFINITE : DS__NUMBER_FINITE;
}
