/* The checkpoints of a run in their folder: listing, the best one, and removing old ones. */
#include <dirent.h>
#include <errno.h>

#include "base/error.h"
#include "base/file.h"
#include "base/save.h"
#include "train/checkpoint.h"

static const char PREFIX[] = "checkpoint-";
enum { MAX_BEST_BYTES = 64 };

typedef struct step_list {
    int64_t *items;
    size_t count, capacity;
} step_list;

/* "checkpoint-313" -> 313; -1: not such a name. One number has one spelling. */
static int64_t step_of(ds__str name) {
    const size_t prefix = sizeof PREFIX - 1;
    int64_t step = 0;
    if (!ds__str_starts(name, DS_STR(PREFIX)) || name.size == prefix) return -1;
    if (name.data[prefix] == '0' && name.size > prefix + 1) return -1;
    for (size_t i = prefix; i < name.size; i++) {
        int digit = name.data[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(step, 10, &step) ||
            __builtin_add_overflow(step, digit, &step))
            return -1;
    }
    return step;
}

/* Keeps the list in order, newest first; runs have few checkpoints. */
static bool insert(ds__heap *heap, step_list *list, int64_t step) {
    if (!ds__grow(heap, (void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items)) return false;
    size_t at = list->count++;
    for (; at > 0 && list->items[at - 1] < step; at--) list->items[at] = list->items[at - 1];
    list->items[at] = step;
    return true;
}

/* One name of the folder: a checkpoint, a leftover of one, or something else. */
static ds_status look_at(ds__heap *heap, const char *path, const char *name, step_list *list, ds_error *error) {
    ds__str whole = ds__str_of(name), stem = {name, ds__save_ending(whole)};
    const int64_t step = step_of(stem);
    if (step < 0) return DS_OK;
    if (stem.size != whole.size) {
        ds__save_clean(path);
        return DS_OK;
    }
    if (!ds__folder_exists(path) || insert(heap, list, step)) return DS_OK;
    return ds__alloc_failed(heap, (list->count + 1) * sizeof *list->items, "a list of checkpoints", error);
}

/* The list is to be freed also on failure. */
static ds_status scan(ds__heap *heap, const char *folder, step_list *list, ds_error *error) {
    DIR *directory = opendir(folder);
    if (!directory) return errno == ENOENT ? DS_OK : ds__file_failed(folder, "list", error);
    ds__buffer path;
    ds__buffer_init(&path, heap);
    ds_status status = DS_OK;
    for (struct dirent *entry; status == DS_OK && (entry = readdir(directory));) {
        const char *inside = ds__path_join(&path, folder, entry->d_name);
        status = inside ? look_at(heap, inside, entry->d_name, list, error)
                        : ds__alloc_failed(heap, strlen(folder) + 32, "a file's path", error);
    }
    closedir(directory);
    ds__buffer_deinit(&path);
    return status;
}

static void free_list(ds__heap *heap, step_list *list) {
    ds__free(heap, list->items, list->capacity * sizeof *list->items);
}

ds_status ds__checkpoint_list(ds__heap *heap, const char *folder, int64_t *steps, size_t most, size_t *count,
                              ds_error *error) {
    step_list list = {NULL, 0, 0};
    *count = 0;
    ds_status status = scan(heap, folder, &list, error);
    for (; status == DS_OK && *count < most && *count < list.count; ++*count) steps[*count] = list.items[*count];
    free_list(heap, &list);
    return status;
}

const char *ds__checkpoint_path(ds__buffer *out, const char *folder, int64_t step) {
    if (!ds__path_join(out, folder, PREFIX)) return NULL;
    ds__buffer_printf(out, "%lld", (long long)step);
    return ds__buffer_cstr(out);
}

/* "FOLDER/best" into `out`. */
static ds_status best_path(ds__buffer *out, ds__heap *heap, const char *folder, ds_error *error) {
    ds__buffer_init(out, heap);
    if (ds__path_join(out, folder, "best")) return DS_OK;
    ds__buffer_deinit(out);
    return ds__alloc_failed(heap, strlen(folder) + 8, "a file's path", error);
}

ds_status ds__checkpoint_mark_best(ds__heap *heap, const char *folder, int64_t step, ds_error *error) {
    ds__buffer path, text;
    DS_TRY(best_path(&path, heap, folder, error));
    ds__buffer_init(&text, heap);
    ds__buffer_printf(&text, "%s%lld\n", PREFIX, (long long)step);
    ds_status status = text.failed ? ds__alloc_failed(heap, MAX_BEST_BYTES, "a checkpoint's name", error)
                                   : ds__save_file(heap, path.data, ds__buffer_str(&text), error);
    ds__buffer_deinit(&text);
    ds__buffer_deinit(&path);
    return status;
}

static ds_status read_best(const char *path, ds__buffer *text, int64_t *step, ds_error *error) {
    ds_status status = ds__file_read(path, MAX_BEST_BYTES, text, error);
    if (status != DS_OK) return status;
    ds__str name = ds__buffer_str(text);
    if (name.size && name.data[name.size - 1] == '\n') name.size--;
    *step = step_of(name);
    if (*step >= 0) return DS_OK;
    return ds__fail(error, DS_BAD_FORMAT, "%s: is \"%.*s\", expected \"checkpoint-\" and a step; remove the file", path,
                    DS_STR_ARG(name));
}

ds_status ds__checkpoint_best(ds__heap *heap, const char *folder, int64_t *step, ds_error *error) {
    ds__buffer path, text;
    *step = -1;
    DS_TRY(best_path(&path, heap, folder, error));
    ds__buffer_init(&text, heap);
    ds_status status = ds__file_exists(path.data) ? read_best(path.data, &text, step, error) : DS_OK;
    ds__buffer_deinit(&text);
    ds__buffer_deinit(&path);
    return status;
}

ds_status ds__checkpoint_prune(ds__heap *heap, const char *folder, size_t keep, ds_error *error) {
    int64_t best;
    step_list list = {NULL, 0, 0};
    ds__buffer path;
    DS_TRY(ds__checkpoint_best(heap, folder, &best, error));
    ds__buffer_init(&path, heap);
    ds_status status = scan(heap, folder, &list, error);
    for (size_t i = keep; status == DS_OK && i < list.count; i++) {
        if (list.items[i] == best) continue;
        const char *old = ds__checkpoint_path(&path, folder, list.items[i]);
        status = old ? ds__save_remove(heap, old, error)
                     : ds__alloc_failed(heap, strlen(folder) + 32, "a checkpoint's path", error);
    }
    ds__buffer_deinit(&path);
    free_list(heap, &list);
    return status;
}
