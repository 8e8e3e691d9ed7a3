/* modules.json: the list of modules that a sentence-transformers model runs one after the other. */
#include "pipeline/modules.h"

#include "base/error.h"
#include "formats/json.h"
#include "models/config_file.h"

/* The modules that are supported, in the only order that is. */
typedef enum module_kind { TRANSFORMER, POOLING, NORMALIZE, KINDS } module_kind;
static const char *const kind_names[KINDS] = {"Transformer", "Pooling", "Normalize"};

/* "sentence_transformers.models.Pooling", or the longer dotted names of version 6, -> POOLING; KINDS: something else.
 */
static module_kind kind_of(ds__str type) {
    size_t start = type.size;
    while (start > 0 && type.data[start - 1] != '.') start--;
    ds__str name = {type.data + start, type.size - start};
    if (!ds__str_starts(type, DS_STR("sentence_transformers."))) return KINDS;
    for (int i = 0; i < KINDS; i++)
        if (ds__str_is(name, kind_names[i])) return (module_kind)i;
    return KINDS;
}

/* A relative path without "..", which therefore stays inside the folder (links that somebody put there aside). */
static bool stays_inside(ds__str path) {
    if (path.size > 0 && path.data[0] == '/') return false;
    for (size_t start = 0; start < path.size;) {
        size_t end = start;
        while (end < path.size && path.data[end] != '/') end++;
        if (end - start == 2 && memcmp(path.data + start, "..", 2) == 0) return false;
        start = end + 1;
    }
    return !memchr(path.data ? path.data : "", '\0', path.size);
}

/* One module. *next: the first kind that may still come. */
static void add_module(ds__modules *modules, ds__arena *arena, ds__json *json, int index, ds__str type, ds__str path,
                       module_kind *next) {
    module_kind kind = kind_of(type);
    if (kind == KINDS) {
        ds__json_fail(
            json, DS_UNSUPPORTED,
            "module %d is a \"%.*s\", this version runs Transformer, Pooling and Normalize of sentence_transformers; "
            "without modules.json the model can be opened, and gives the mean of its hidden states",
            index, DS_STR_ARG(type));
    } else if (kind < *next || (kind != TRANSFORMER && *next == TRANSFORMER) ||
               (kind == NORMALIZE && *next == POOLING)) {
        ds__json_fail(json, DS_UNSUPPORTED,
                      "module %d is a \"%.*s\", expected one Transformer, one Pooling and at most one "
                      "Normalize, in this order",
                      index, DS_STR_ARG(type));
    } else if (!stays_inside(path)) {
        ds__json_fail(json, DS_BAD_FORMAT, "path of module %d is \"%.*s\", which leaves the folder", index,
                      DS_STR_ARG(path));
    } else if (kind == TRANSFORMER && path.size > 0) {
        ds__json_fail(json, DS_UNSUPPORTED,
                      "path of module %d is \"%.*s\", expected \"\": this version wants config.json, the "
                      "weights and the tokenizer beside modules.json; move them there",
                      index, DS_STR_ARG(path));
    } else if (kind == POOLING && path.size == 0) {
        ds__json_fail(json, DS_BAD_FORMAT,
                      "path of module %d is \"\", expected the folder of the Pooling module's config.json", index);
    }
    if (!ds__json_ok(json)) return;
    *next = (module_kind)(kind + 1);
    modules->normalize = kind == NORMALIZE;
    if (kind != POOLING) return;
    modules->present = true;
    modules->pooling_at = ds__arena_copy(arena, path).data;
    if (!modules->pooling_at) ds__json_out_of_memory(json, path.size, "a module's path");
}

/* The list of {"idx": 0, "name": "0", "path": "", "type": "..."}; as in sentence-transformers, its order counts, not
 * idx. */
static void read_list(ds__modules *modules, ds__arena *arena, ds__json *json) {
    module_kind next = TRANSFORMER;
    int index = 0;
    if (ds__json_peek(json) != DS__JSON_ARRAY) {
        ds__json_fail(json, DS_BAD_FORMAT,
                      "is not a list, expected [{\"path\": \"\", \"type\": \"sentence_transformers."
                      "models.Transformer\"}, ...]");
        return;
    }
    for (; ds__json_next_item(json); index++) {
        ds__str type = {NULL, 0}, path = {NULL, 0};
        bool has_path = false;
        for (ds__str key; ds__json_next_key(json, &key);) {
            if (ds__str_is(key, "type")) {
                type = ds__json_string(json, key);
            } else if (ds__str_is(key, "path")) {
                path = ds__json_string(json, key);
                has_path = true;
            } else {
                ds__json_skip(json);
            }
        }
        if (!type.size) ds__json_fail(json, DS_BAD_FORMAT, "module %d has no type", index);
        if (!has_path) ds__json_fail(json, DS_BAD_FORMAT, "module %d has no path", index);
        add_module(modules, arena, json, index, type, path, &next);
    }
    if (index == 0) ds__json_fail(json, DS_BAD_FORMAT, "lists no modules, expected at least a Transformer");
}

ds_status ds__modules_read(ds__arena *arena, const char *folder, ds__modules *modules, ds_error *error) {
    *modules = (ds__modules){.pooling = DS_POOLING_MEAN};
    bool exists;
    DS_TRY(ds__config_file_exists(arena->heap, folder, "modules.json", &exists, error));
    if (!exists) return DS_OK;
    ds__config_file file;
    DS_TRY(ds__config_file_open(&file, arena->heap, folder, "modules.json", error));
    ds__json json;
    ds__json_init(&json, arena->heap, file.path, file.text);
    read_list(modules, arena, &json);
    ds_status status = ds__json_finish(&json, error);
    ds__config_file_close(&file);
    return status;
}
