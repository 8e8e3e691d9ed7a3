/* Reading and checking the labels of a classification head. */
#include "models/labels.h"

#include <stdio.h>

#include "base/error.h"
#include "models/config_file.h"

enum { MAX_LABELS = 1 << 16 };

struct ds__label_entry {
    ds__label_entry *next;
    const char *key, *name;
};

static const struct problem_name {
    const char *name;
    ds_problem problem;
} problem_names[] = {
    {"single_label_classification", DS_PROBLEM_SINGLE_LABEL},
    {"multi_label_classification", DS_PROBLEM_MULTI_LABEL},
    {"regression", DS_PROBLEM_REGRESSION},
};

/* The value of id2label["3"]: a text, or a number or truth value that stands for itself. */
static ds__str read_name(ds__json *json, ds__str key) {
    switch (ds__json_peek(json)) {
    case DS__JSON_NUMBER:
    case DS__JSON_BOOL: return ds__json_raw(json);
    default: return ds__json_string(json, key);
    }
}

static void read_names(ds__label_keys *keys, ds__json *json) {
    if (ds__json_take_null(json)) return;
    if (ds__json_peek(json) != DS__JSON_OBJECT) {
        ds__json_fail(json, DS_BAD_FORMAT, "id2label is not an object, expected {\"0\": \"name\", ...}");
        return;
    }
    keys->has_names = true;
    keys->entries = NULL;
    keys->entry_count = 0;
    for (ds__str key; ds__json_next_key(json, &key);) {
        char field[32];
        snprintf(field, sizeof field, "id2label[\"%.*s\"]", key.size > 8 ? 8 : (int)key.size, key.data);
        ds__label_entry *entry = ds__arena_alloc(keys->arena, sizeof *entry);
        if (entry) {
            entry->next = keys->entries;
            entry->key = ds__arena_copy(keys->arena, key).data;
            entry->name = ds__arena_copy(keys->arena, read_name(json, ds__str_of(field))).data;
        }
        if (!entry || !entry->key || !entry->name) {
            ds__json_out_of_memory(json, sizeof *entry + key.size, "the label names");
            return;
        }
        keys->entries = entry;
        if (++keys->entry_count > MAX_LABELS) {
            ds__json_fail(json, DS_UNSUPPORTED, "id2label has more than %d entries", MAX_LABELS);
            return;
        }
    }
}

static void read_problem(ds__label_keys *keys, ds__json *json, ds__str key) {
    if (ds__json_take_null(json)) return;
    ds__str name = ds__json_string(json, key);
    for (size_t i = 0; i < sizeof problem_names / sizeof *problem_names; i++) {
        if (!ds__str_is(name, problem_names[i].name)) continue;
        keys->has_problem = true;
        keys->problem = problem_names[i].problem;
        return;
    }
    ds__json_fail(
        json, DS_UNSUPPORTED,
        "problem_type is \"%.*s\", expected single_label_classification, multi_label_classification or regression",
        DS_STR_ARG(name));
}

bool ds__label_keys_read(ds__label_keys *keys, ds__json *json, ds__str key) {
    if (ds__str_is(key, "id2label"))
        read_names(keys, json);
    else if (ds__str_is(key, "problem_type"))
        read_problem(keys, json, key);
    else if (!ds__str_is(key, "num_labels"))
        return false;
    else if (!ds__json_take_null(json))
        keys->num_labels = (int32_t)ds__json_int(json, key, 1, MAX_LABELS);
    return true;
}

/* A label's number as JSON objects spell it: digits, no leading zero; -1: it is not one, or over MAX_LABELS. */
static int32_t key_number(const char *key) {
    int32_t number = 0;
    if (!*key || (*key == '0' && key[1])) return -1;
    for (; *key; key++) {
        if (*key < '0' || *key > '9' || number > MAX_LABELS) return -1;
        number = number * 10 + (*key - '0');
    }
    return number;
}

/* names: [entry_count], NULL where nothing was put yet. With no key twice and none too large, there is no hole either.
 */
static ds_status place_names(const ds__label_keys *keys, const char *path, const char **names, ds_error *error) {
    for (const ds__label_entry *entry = keys->entries; entry; entry = entry->next) {
        int32_t number = key_number(entry->key);
        if (number < 0 || (size_t)number >= keys->entry_count)
            return ds__fail(error, DS_BAD_FORMAT,
                            "%s: id2label has %zu entries and the key \"%.40s\", expected \"0\" to "
                            "\"%zu\"",
                            path, keys->entry_count, entry->key, keys->entry_count - 1);
        if (names[number])
            return ds__fail(error, DS_BAD_FORMAT, "%s: id2label has the key \"%d\" twice, for \"%.40s\" and \"%.40s\"",
                            path, number, entry->name, names[number]);
        names[number] = entry->name;
    }
    return DS_OK;
}

/* "LABEL_0", "LABEL_1", ...; false: out of memory. */
static bool make_names(ds__arena *arena, int32_t count, const char **names) {
    for (int32_t i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof name, "LABEL_%d", i);
        names[i] = ds__arena_copy(arena, ds__str_of(name)).data;
        if (!names[i]) return false;
    }
    return true;
}

static ds_status settle_problem(const ds__label_keys *keys, ds__model_config *config, ds_error *error) {
    config->problem = keys->has_problem     ? keys->problem
                      : config->labels == 1 ? DS_PROBLEM_REGRESSION
                                            : DS_PROBLEM_SINGLE_LABEL;
    if (config->head == DS_HEAD_TOKEN) config->problem = DS_PROBLEM_SINGLE_LABEL;
    if (config->head == DS_HEAD_SEQUENCE && config->problem == DS_PROBLEM_SINGLE_LABEL && config->labels == 1)
        return ds__fail(
            error, DS_BAD_FORMAT,
            "%s: problem_type is \"single_label_classification\", but there is 1 label, expected at least 2 (or "
            "\"regression\")",
            config->path);
    return DS_OK;
}

ds_status ds__labels_settle(const ds__label_keys *keys, ds__model_config *config, ds_error *error) {
    if (keys->has_names && keys->entry_count == 0)
        return ds__fail(error, DS_BAD_FORMAT, "%s: id2label is empty, expected a name for each label", config->path);
    config->labels = keys->has_names ? (int32_t)keys->entry_count : keys->num_labels ? keys->num_labels : 2;
    const char **names = ds__arena_zeroed(keys->arena, (size_t)config->labels * sizeof *names);
    if (!names || (!keys->has_names && !make_names(keys->arena, config->labels, names)))
        return ds__alloc_failed(keys->arena->heap, (size_t)config->labels * sizeof *names, "the label names", error);
    if (keys->has_names) DS_TRY(place_names(keys, config->path, names, error));
    config->label_names = names;
    return settle_problem(keys, config, error);
}
