/* Reading one safetensors file. Everything in the header is hostile until checked. */
#include "formats/safetensors.h"

#include <stdlib.h>

#include "base/error.h"
#include "formats/json.h"

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100 * 1000 * 1000, MAX_TENSORS = 1 << 20 };

struct ds__safetensors {
    ds__heap *heap;
    ds__arena arena; /* names, path */
    const char *path;
    ds__file_map map;
    size_t data_start;
    ds__safetensor *tensors; /* sorted by name */
    size_t count, capacity;
};

static const struct {
    const char *name;
    ds_dtype dtype;
    size_t bytes;
} dtypes[] = {
    {"F32", DS_F32, 4}, {"F16", DS_F16, 2}, {"BF16", DS_BF16, 2}, {"F64", DS_F64, 8}, {"I64", DS_I64, 8},
    {"I32", DS_I32, 4}, {"I16", DS_I16, 2}, {"I8", DS_I8, 1},     {"U8", DS_U8, 1},   {"BOOL", DS_BOOL, 1},
};

size_t ds__safetensors_count(const ds__safetensors *file) { return file->count; }
const ds__safetensor *ds__safetensors_at(const ds__safetensors *file, size_t index) { return &file->tensors[index]; }
const ds__file_map *ds__safetensors_map(const ds__safetensors *file) { return &file->map; }
const char *ds__safetensors_path(const ds__safetensors *file) { return file->path; }

int ds__safetensors_compare(ds__str a, ds__str b) {
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

void ds__safetensors_replace(ds__safetensors *file, size_t index, const ds__safetensor *tensor) {
    file->tensors[index] = *tensor;
}

const ds__safetensor *ds__safetensors_find(const ds__safetensors *file, ds__str name) {
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = ds__safetensors_compare(file->tensors[middle].name, name);
        if (order == 0) return &file->tensors[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void ds__safetensors_close(ds__safetensors *file) {
    if (!file) return;
    ds__heap *heap = file->heap;
    ds__file_map_close(&file->map);
    ds__free(heap, file->tensors, file->capacity * sizeof *file->tensors);
    ds__arena_deinit(&file->arena);
    ds__free(heap, file, sizeof *file);
}

/* One entry while it is being read. */
typedef struct entry {
    ds__safetensor tensor;
    uint64_t begin, end; /* bytes behind the header */
    bool has_dtype, has_shape, has_offsets;
} entry;

static void no_memory(const ds__safetensors *file, ds__json *json, const char *what, size_t bytes) {
    ds_error problem;
    ds_status status = ds__alloc_failed(file->heap, bytes, what, &problem);
    ds__json_fail(json, status, "%s", problem.message);
}

static void read_dtype(ds__safetensors *file, ds__json *json, ds__str key, entry *e) {
    e->tensor.dtype_name = ds__arena_copy(&file->arena, ds__json_string(json, key));
    e->has_dtype = true;
    if (!e->tensor.dtype_name.data) {
        no_memory(file, json, "the names of tensors", file->arena.block_bytes + key.size);
        return;
    }
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (ds__str_is(e->tensor.dtype_name, dtypes[i].name)) {
            e->tensor.known_dtype = true;
            e->tensor.dtype = dtypes[i].dtype;
        }
}

static void read_shape(ds__json *json, entry *e) {
    e->has_shape = true;
    while (ds__json_next_item(json)) {
        if (e->tensor.rank == DS_MAX_RANK) {
            ds__json_fail(json, DS_UNSUPPORTED, "tensor \"%.*s\": its shape has more than %d dimensions",
                          DS_STR_ARG(e->tensor.name), DS_MAX_RANK);
            return;
        }
        e->tensor.shape[e->tensor.rank++] = ds__json_int(json, DS_STR("shape"), 0, INT64_MAX);
    }
}

static void read_offsets(ds__json *json, entry *e) {
    uint64_t values[2] = {0, 0};
    int count = 0;
    while (ds__json_next_item(json)) {
        int64_t value = ds__json_int(json, DS_STR("data_offsets"), 0, INT64_MAX);
        if (count < 2) values[count] = (uint64_t)value;
        count++;
    }
    e->has_offsets = true;
    e->begin = values[0];
    e->end = values[1];
    if (ds__json_ok(json) && count != 2)
        ds__json_fail(json, DS_BAD_FORMAT, "tensor \"%.*s\": data_offsets has %d numbers, expected 2",
                      DS_STR_ARG(e->tensor.name), count);
}

/* The size that shape and type give must be the one that the offsets give, and lie in the file. */
static void check_entry(const ds__safetensors *file, ds__json *json, entry *e) {
    ds__safetensor *tensor = &e->tensor;
    size_t room = file->map.size - file->data_start, bytes = 1;
    if (!e->has_dtype || !e->has_shape || !e->has_offsets) {
        ds__json_fail(json, DS_BAD_FORMAT, "tensor \"%.*s\" has no %s", DS_STR_ARG(tensor->name),
                      !e->has_dtype   ? "dtype"
                      : !e->has_shape ? "shape"
                                      : "data_offsets");
        return;
    }
    if (e->begin > e->end || e->end > room) {
        ds__json_fail(json, DS_BAD_FORMAT,
                      "tensor \"%.*s\": data_offsets are [%llu, %llu], but the file has %zu bytes of data",
                      DS_STR_ARG(tensor->name), (unsigned long long)e->begin, (unsigned long long)e->end, room);
        return;
    }
    tensor->data = file->map.data + file->data_start + e->begin;
    tensor->bytes = (size_t)(e->end - e->begin);
    if (!tensor->known_dtype) return;
    bool fits = true;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == tensor->dtype) bytes = dtypes[i].bytes;
    for (int i = 0; i < tensor->rank; i++) fits = fits && ds__size_mul(bytes, (size_t)tensor->shape[i], &bytes);
    if (!fits)
        ds__json_fail(json, DS_BAD_FORMAT, "tensor \"%.*s\": its shape has more elements than can be addressed",
                      DS_STR_ARG(tensor->name));
    else if (bytes != tensor->bytes)
        ds__json_fail(json, DS_SHAPE_MISMATCH,
                      "tensor \"%.*s\": its shape of %s takes %zu bytes, but data_offsets [%llu, %llu] hold %zu",
                      DS_STR_ARG(tensor->name), tensor->dtype_name.data, bytes, (unsigned long long)e->begin,
                      (unsigned long long)e->end, tensor->bytes);
}

static void read_entry(ds__safetensors *file, ds__json *json, ds__str name) {
    entry e = {.tensor.path = file->path};
    e.tensor.name = ds__arena_copy(&file->arena, name);
    if (file->count == MAX_TENSORS) {
        ds__json_fail(json, DS_UNSUPPORTED, "has more than %d tensors", MAX_TENSORS);
        return;
    }
    if (!e.tensor.name.data ||
        !ds__grow(file->heap, (void **)&file->tensors, &file->capacity, file->count + 1, sizeof *file->tensors)) {
        no_memory(file, json, "the list of tensors", (2 * file->capacity + 8) * sizeof *file->tensors);
        return;
    }
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "dtype") && !e.has_dtype)
            read_dtype(file, json, key, &e);
        else if (ds__str_is(key, "shape") && !e.has_shape)
            read_shape(json, &e);
        else if (ds__str_is(key, "data_offsets") && !e.has_offsets)
            read_offsets(json, &e);
        else
            ds__json_fail(json, DS_BAD_FORMAT,
                          "tensor \"%.*s\" has the field \"%.*s\", expected dtype, shape and "
                          "data_offsets, each once",
                          DS_STR_ARG(e.tensor.name), DS_STR_ARG(key));
    }
    if (ds__json_ok(json)) check_entry(file, json, &e);
    if (ds__json_ok(json)) file->tensors[file->count++] = e.tensor;
}

static int by_name(const void *a, const void *b) {
    return ds__safetensors_compare(((const ds__safetensor *)a)->name, ((const ds__safetensor *)b)->name);
}

static int by_place(const void *a, const void *b) {
    const ds__safetensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Tensors must follow each other without overlap or gap, up to the end of the file; names must differ. */
static ds_status check_layout(ds__safetensors *file, ds_error *error) {
    const unsigned char *start = file->map.data + file->data_start, *at = start;
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_place);
    for (size_t i = 0; i < file->count; at = file->tensors[i].data + file->tensors[i].bytes, i++) {
        const ds__safetensor *tensor = &file->tensors[i];
        if (tensor->data != at)
            return ds__fail(error, DS_BAD_FORMAT,
                            "%s: tensor \"%.*s\" begins at byte %zu of the data, but %s ends at %zu: %s", file->path,
                            DS_STR_ARG(tensor->name), (size_t)(tensor->data - start),
                            i ? "the one before it" : "the header", (size_t)(at - start),
                            tensor->data < at ? "they overlap" : "there is a gap");
    }
    if (at != file->map.data + file->map.size)
        return ds__fail(error, DS_BAD_FORMAT, "%s: the tensors end at byte %zu of the data, but the file has %zu",
                        file->path, (size_t)(at - start), file->map.size - file->data_start);
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    for (size_t i = 1; i < file->count; i++)
        if (ds__str_equal(file->tensors[i - 1].name, file->tensors[i].name))
            return ds__fail(error, DS_BAD_FORMAT, "%s: there are two tensors \"%.*s\"", file->path,
                            DS_STR_ARG(file->tensors[i].name));
    return DS_OK;
}

static ds_status read_header(ds__safetensors *file, ds_error *error) {
    uint64_t length = 0;
    if (file->map.size < LENGTH_BYTES)
        return ds__fail(error, DS_BAD_FORMAT, "%s: has %zu bytes, a safetensors file has at least %d", file->path,
                        file->map.size, LENGTH_BYTES);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | file->map.data[i];
    if (length > MAX_HEADER_BYTES || length > file->map.size - LENGTH_BYTES)
        return ds__fail(error, DS_BAD_FORMAT,
                        "%s: its header is said to have %llu bytes, but the file has %zu behind its "
                        "length, and at most %d are read",
                        file->path, (unsigned long long)length, file->map.size - LENGTH_BYTES, MAX_HEADER_BYTES);
    file->data_start = LENGTH_BYTES + (size_t)length;
    ds__json json;
    ds__json_init(&json, file->heap, file->path,
                  (ds__str){(const char *)file->map.data + LENGTH_BYTES, (size_t)length});
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__str_is(key, "__metadata__"))
            ds__json_skip(&json);
        else
            read_entry(file, &json, key);
    }
    DS_TRY(ds__json_finish(&json, error));
    return check_layout(file, error);
}

ds_status ds__safetensors_open(ds__heap *heap, const char *path, ds__safetensors **out, ds_error *error) {
    ds__safetensors *file = ds__alloc_zeroed(heap, sizeof *file);
    if (!file) return ds__alloc_failed(heap, sizeof *file, path, error);
    file->heap = heap;
    ds__arena_init(&file->arena, heap, 0);
    file->path = ds__arena_copy(&file->arena, ds__str_of(path)).data;
    ds_status status = file->path ? ds__file_map_open(path, &file->map, error)
                                  : ds__alloc_failed(heap, file->arena.block_bytes, path, error);
    if (status == DS_OK) status = read_header(file, error);
    if (status != DS_OK) {
        ds__safetensors_close(file);
        return status;
    }
    *out = file;
    return DS_OK;
}
