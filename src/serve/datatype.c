/* Outcomes, datatypes, and tensors in the raw form that both protocols share. */
#include <stdarg.h>
#include <stdio.h>

#include "serve/service_internal.h"

static const struct code {
    int http, grpc;
} codes[] = {
#define CODE(name, http, grpc) [DS__SERVE_##name] = {http, grpc},
    DS__SERVE_CODE_LIST(CODE)
#undef CODE
};

int ds__serve_http_status(ds__serve_code code) { return codes[code].http; }
int ds__serve_grpc_status(ds__serve_code code) { return codes[code].grpc; }

ds__serve_code ds__refuse(ds_error *error, ds__serve_code code, const char *format, ...) {
    va_list arguments;
    error->status = code == DS__SERVE_OK ? DS_OK : DS_INVALID_ARGUMENT;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return code;
}

static const struct datatype {
    const char *name;
    size_t bytes;
} datatypes[] = {
#define DATATYPE(name, bytes) [DS__SERVE_##name] = {#name, bytes},
    DS__SERVE_DATATYPE_LIST(DATATYPE)
#undef DATATYPE
};

const char *ds__serve_datatype_name(ds__serve_datatype datatype) { return datatypes[datatype].name; }
size_t ds__serve_datatype_size(ds__serve_datatype datatype) { return datatypes[datatype].bytes; }

bool ds__serve_datatype_parse(ds__str name, ds__serve_datatype *out) {
    for (int i = 0; i < DS__SERVE_DATATYPE_COUNT; i++)
        if (ds__str_is(name, datatypes[i].name)) {
            *out = (ds__serve_datatype)i;
            return true;
        }
    return false;
}

bool ds__serve_shape_elements(const int64_t *shape, int rank, size_t *out) {
    int64_t product = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0) return false;
        if (shape[i] == 0) empty = true; /* what follows must be sane all the same */
        if (__builtin_mul_overflow(product, shape[i] ? shape[i] : 1, &product) || product > (int64_t)1 << 40)
            return false;
    }
    *out = empty ? 0 : (size_t)product;
    return true;
}

/* The list of BYTES elements, each behind its 4-byte length. */
static ds__serve_code split_bytes(ds__serve_tensor *tensor, ds__str raw, ds__arena *arena, ds_error *error) {
    if (tensor->elements > raw.size / 4)
        return ds__refuse(error, DS__SERVE_INVALID,
                          "input \"%.*s\" has %zu bytes, too few for the 4-byte lengths of its %zu BYTES elements",
                          DS_STR_ARG(tensor->name), raw.size, tensor->elements);
    ds_text *texts = ds__arena_alloc(arena, tensor->elements * sizeof *texts);
    if (!texts) return ds__refuse(error, DS__SERVE_QUEUE_FULL, "out of memory for %zu elements", tensor->elements);
    size_t at = 0;
    for (size_t i = 0; i < tensor->elements; i++) {
        uint32_t size;
        if (raw.size - at < 4)
            return ds__refuse(
                error, DS__SERVE_INVALID,
                "input \"%.*s\" ends after %zu of its %zu BYTES elements; the shape and the data disagree",
                DS_STR_ARG(tensor->name), i, tensor->elements);
        memcpy(&size, raw.data + at, 4);
        at += 4;
        if (size > raw.size - at)
            return ds__refuse(error, DS__SERVE_INVALID,
                              "element %zu of input \"%.*s\" has a length of %u bytes, but only %zu are left", i,
                              DS_STR_ARG(tensor->name), size, raw.size - at);
        texts[i] = (ds_text){raw.data + at, size};
        at += size;
    }
    if (at != raw.size)
        return ds__refuse(error, DS__SERVE_INVALID,
                          "input \"%.*s\" has %zu bytes behind the last of its %zu BYTES elements",
                          DS_STR_ARG(tensor->name), raw.size - at, tensor->elements);
    tensor->texts = texts;
    return DS__SERVE_OK;
}

ds__serve_code ds__serve_tensor_from_raw(ds__serve_tensor *tensor, ds__str raw, ds__arena *arena, ds_error *error) {
    size_t bytes = ds__serve_datatype_size(tensor->datatype);
    tensor->data = NULL;
    tensor->texts = NULL;
    if (tensor->rank < 0 || tensor->rank > DS__SERVE_MAX_RANK ||
        !ds__serve_shape_elements(tensor->shape, tensor->rank, &tensor->elements))
        return ds__refuse(error, DS__SERVE_INVALID,
                          "input \"%.*s\" has a shape with a negative extent, or of more than 2^40 elements",
                          DS_STR_ARG(tensor->name));
    if (!bytes) return split_bytes(tensor, raw, arena, error);
    if (tensor->elements * bytes != raw.size)
        return ds__refuse(error, DS__SERVE_INVALID,
                          "input \"%.*s\" has %zu bytes of data, but its shape of %zu elements of %s needs %zu",
                          DS_STR_ARG(tensor->name), raw.size, tensor->elements, datatypes[tensor->datatype].name,
                          tensor->elements * bytes);
    tensor->data = raw.data;
    return DS__SERVE_OK;
}

size_t ds__serve_tensor_raw_size(const ds__serve_tensor *tensor) {
    size_t size = tensor->elements * datatypes[tensor->datatype].bytes;
    for (size_t i = 0; tensor->texts && i < tensor->elements; i++) size += 4 + tensor->texts[i].size;
    return size;
}

void ds__serve_tensor_to_raw(const ds__serve_tensor *tensor, void *out) {
    char *at = out;
    if (!tensor->texts) {
        size_t size = ds__serve_tensor_raw_size(tensor);
        if (size) memcpy(out, tensor->data, size);
        return;
    }
    for (size_t i = 0; i < tensor->elements; i++) {
        uint32_t size = (uint32_t)tensor->texts[i].size;
        memcpy(at, &size, 4);
        if (size) memcpy(at + 4, tensor->texts[i].data, size);
        at += 4 + size;
    }
}
