/* Reading and writing tensors as JSON. */
#include "serve/routes/tensor_json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NESTING = DS__SERVE_MAX_RANK };

static void read_shape(ds__json *json, ds__json_input *out) {
    out->has_shape = true;
    out->tensor.rank = 0;
    while (ds__json_next_item(json)) {
        int64_t extent = ds__json_int(json, DS_STR("an extent of shape"), 0, (int64_t)1 << 40);
        if (out->tensor.rank == DS__SERVE_MAX_RANK) {
            ds__json_fail(json, DS_UNSUPPORTED, "shape has more than %d dimensions", DS__SERVE_MAX_RANK);
            return;
        }
        out->tensor.shape[out->tensor.rank++] = extent;
    }
}

static void read_input_parameters(ds__json *json, ds__json_input *out) {
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (!ds__str_is(key, "binary_data_size")) {
            ds__json_skip(json);
            continue;
        }
        out->has_binary = true;
        out->binary_size = (uint64_t)ds__json_int(json, key, 0, (int64_t)1 << 40);
    }
}

void ds__json_read_input(ds__http_call *call, ds__json *json, ds__arena *arena, ds__json_input *out) {
    *out = (ds__json_input){0};
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "name")) {
            out->tensor.name = ds__keep_text(call, arena, ds__json_string(json, key));
        } else if (ds__str_is(key, "shape")) {
            read_shape(json, out);
        } else if (ds__str_is(key, "datatype")) {
            ds__str name = ds__json_string(json, key);
            out->has_datatype = true;
            if (ds__json_ok(json) && !ds__serve_datatype_parse(name, &out->tensor.datatype))
                ds__json_fail(json, DS_BAD_FORMAT,
                              "datatype is \"%.*s\", expected BOOL, INT64, FP32, BYTES or another of "
                              "the protocol's",
                              DS_STR_ARG(name));
        } else if (ds__str_is(key, "parameters")) {
            read_input_parameters(json, out);
        } else if (ds__str_is(key, "data")) {
            if (ds__json_expect(json, DS__JSON_ARRAY, key)) out->data = ds__json_raw(json);
        } else {
            ds__json_skip(json);
        }
    }
    if (!ds__json_ok(json)) return;
    if (!out->tensor.name.size || !out->has_shape || !out->has_datatype)
        ds__json_fail(json, DS_BAD_FORMAT, "an input has no %s",
                      !out->tensor.name.size ? "name"
                      : !out->has_shape      ? "shape"
                                             : "datatype");
    else if (out->has_binary == (out->data.size > 0))
        ds__json_fail(json, DS_BAD_FORMAT, "the input \"%.*s\" has %s; it needs one of them",
                      DS_STR_ARG(out->tensor.name),
                      out->has_binary ? "both data and binary_data_size" : "neither data nor binary_data_size");
}

/* ---- elements ---- */

typedef struct elements {
    ds__http_call *call;
    ds__arena *arena;
    ds__serve_tensor *tensor;
    char *data;
    ds_text *texts;
    size_t count;
} elements;

/* Unsigned numbers above INT64_MAX, which the reader's own function does not take. */
static uint64_t read_uint64(ds__json *json, ds__str field) {
    ds__str text = ds__json_raw(json);
    uint64_t value = 0;
    bool good = text.size > 0;
    for (size_t i = 0; good && i < text.size; i++)
        good = text.data[i] >= '0' && text.data[i] <= '9' && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, (uint64_t)(text.data[i] - '0'), &value);
    if (!good && ds__json_ok(json))
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s is %.*s, expected an integer from 0 to 18446744073709551615",
                      DS_STR_ARG(field), DS_STR_ARG(text));
    return value;
}

static void read_integer(ds__json *json, ds__serve_datatype datatype, ds__str field, void *out) {
    static const struct {
        int64_t low, high;
    } ranges[DS__SERVE_DATATYPE_COUNT] = {
        [DS__SERVE_UINT8] = {0, UINT8_MAX},         [DS__SERVE_UINT16] = {0, UINT16_MAX},
        [DS__SERVE_UINT32] = {0, UINT32_MAX},       [DS__SERVE_INT8] = {INT8_MIN, INT8_MAX},
        [DS__SERVE_INT16] = {INT16_MIN, INT16_MAX}, [DS__SERVE_INT32] = {INT32_MIN, INT32_MAX},
        [DS__SERVE_INT64] = {INT64_MIN, INT64_MAX},
    };
    int64_t value = ds__json_int(json, field, ranges[datatype].low, ranges[datatype].high);
    memcpy(out, &value, ds__serve_datatype_size(datatype)); /* little endian, two's complement */
}

static void read_element(ds__json *json, elements *e) {
    ds__serve_datatype datatype = e->tensor->datatype;
    ds__str field = DS_STR("an element of data");
    if (e->count == e->tensor->elements) {
        ds__json_fail(json, DS_SHAPE_MISMATCH, "data has more elements than the %zu of its shape", e->tensor->elements);
        return;
    }
    char *out = e->data + e->count * ds__serve_datatype_size(datatype);
    if (datatype == DS__SERVE_BYTES) {
        ds__str text = ds__keep_text(e->call, e->arena, ds__json_string(json, field));
        if (!text.data && ds__json_ok(json)) ds__json_fail(json, DS_OUT_OF_MEMORY, "no memory is left for a text");
        e->texts[e->count] = (ds_text){text.data ? text.data : "", text.size};
    } else if (datatype == DS__SERVE_BOOL) {
        *out = (char)ds__json_bool(json, field);
    } else if (datatype == DS__SERVE_FP32) {
        float value = (float)ds__json_number(json, field, -FLT_MAX, FLT_MAX);
        memcpy(out, &value, sizeof value);
    } else if (datatype == DS__SERVE_FP64) {
        double value = ds__json_number(json, field, -DBL_MAX, DBL_MAX);
        memcpy(out, &value, sizeof value);
    } else if (datatype == DS__SERVE_UINT64) {
        uint64_t value = read_uint64(json, field);
        memcpy(out, &value, sizeof value);
    } else {
        read_integer(json, datatype, field, out);
    }
    e->count++;
}

static void read_nested(ds__json *json, elements *e, int depth) {
    while (ds__json_next_item(json)) {
        if (ds__json_peek(json) != DS__JSON_ARRAY)
            read_element(json, e);
        else if (depth == MAX_NESTING)
            ds__json_fail(json, DS_BAD_FORMAT, "data is nested deeper than %d arrays", MAX_NESTING);
        else
            read_nested(json, e, depth + 1);
    }
}

ds__serve_code ds__json_read_elements(ds__http_call *call, ds__json_input *input, ds__arena *arena, ds_error *error) {
    ds__serve_tensor *tensor = &input->tensor;
    error->status = DS_INVALID_ARGUMENT;
    if (tensor->datatype == DS__SERVE_FP16 || tensor->datatype == DS__SERVE_BF16) {
        snprintf(error->message, sizeof error->message, "the input \"%.*s\" is %s, which travels as binary data only",
                 DS_STR_ARG(tensor->name), ds__serve_datatype_name(tensor->datatype));
        return DS__SERVE_INVALID;
    }
    /* An element takes two bytes of JSON, so this bounds what a shape can make us allocate. */
    if (!ds__serve_shape_elements(tensor->shape, tensor->rank, &tensor->elements) ||
        tensor->elements > input->data.size / 2) {
        snprintf(error->message, sizeof error->message,
                 "the input \"%.*s\" has fewer elements in its data than its shape says", DS_STR_ARG(tensor->name));
        return DS__SERVE_INVALID;
    }
    bool is_bytes = tensor->datatype == DS__SERVE_BYTES;
    size_t size = is_bytes ? sizeof(ds_text) : ds__serve_datatype_size(tensor->datatype);
    void *memory = ds__arena_alloc(arena, tensor->elements * size);
    if (!memory) {
        snprintf(error->message, sizeof error->message, "no memory is left for the input \"%.*s\"",
                 DS_STR_ARG(tensor->name));
        return DS__SERVE_QUEUE_FULL;
    }
    elements e = {call, arena, tensor, is_bytes ? NULL : memory, is_bytes ? memory : NULL, 0};
    char name[96];
    snprintf(name, sizeof name, "the input \"%.*s\"", (int)(tensor->name.size > 64 ? 64 : tensor->name.size),
             tensor->name.data);
    ds__json json;
    ds__json_init(&json, call->heap, name, input->data);
    read_nested(&json, &e, 1);
    if (ds__json_ok(&json) && e.count < tensor->elements)
        ds__json_fail(&json, DS_SHAPE_MISMATCH, "data has %zu elements, but its shape says %zu", e.count,
                      tensor->elements);
    ds_status status = ds__json_finish(&json, error);
    tensor->data = e.data;
    tensor->texts = e.texts;
    return status == DS_OK                                           ? DS__SERVE_OK
           : status == DS_OUT_OF_MEMORY || status == DS_MEMORY_LIMIT ? DS__SERVE_QUEUE_FULL
                                                                     : DS__SERVE_INVALID;
}

/* ---- writing ---- */

/* The fewest digits that read back as the same number. */
static void put_double(ds__json_writer *json, double value) {
    char text[40];
    int size = 0;
    for (int digits = 15; digits <= 17; digits++) {
        size = snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    if (isfinite(value))
        ds__json_put_raw(json, (ds__str){text, (size_t)size});
    else
        ds__json_put_null(json);
}

static void put_element(ds__json_writer *json, ds__serve_datatype datatype, const char *at) {
    char text[64];
    int64_t integer = 0;
    uint64_t natural = 0;
    double real;
    float single;
    switch (datatype) {
    case DS__SERVE_BOOL: ds__json_put_bool(json, *at != 0); return;
    case DS__SERVE_UINT8: ds__json_put_int(json, (unsigned char)*at); return;
    case DS__SERVE_UINT16:
    case DS__SERVE_UINT32: memcpy(&integer, at, ds__serve_datatype_size(datatype)); break;
    case DS__SERVE_UINT64:
        memcpy(&natural, at, 8);
        ds__json_put_raw(json,
                         (ds__str){text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)natural)});
        return;
    case DS__SERVE_INT8: integer = (signed char)*at; break;
    case DS__SERVE_INT16: {
        int16_t value;
        memcpy(&value, at, 2);
        integer = value;
        break;
    }
    case DS__SERVE_INT32: {
        int32_t value;
        memcpy(&value, at, 4);
        integer = value;
        break;
    }
    case DS__SERVE_INT64: memcpy(&integer, at, 8); break;
    case DS__SERVE_FP32:
        memcpy(&single, at, 4);
        ds__json_put_f32(json, single);
        return;
    case DS__SERVE_FP64:
        memcpy(&real, at, 8);
        put_double(json, real);
        return;
    default: break;
    }
    ds__json_put_int(json, integer);
}

bool ds__json_put_elements(ds__json_writer *json, const ds__serve_tensor *tensor) {
    if (tensor->datatype == DS__SERVE_FP16 || tensor->datatype == DS__SERVE_BF16) return false;
    size_t size = ds__serve_datatype_size(tensor->datatype);
    ds__json_open_array(json);
    for (size_t i = 0; i < tensor->elements; i++) {
        if (tensor->texts)
            ds__json_put_string(json, (ds__str){tensor->texts[i].data, tensor->texts[i].size});
        else
            put_element(json, tensor->datatype, (const char *)tensor->data + i * size);
    }
    ds__json_close_array(json);
    return true;
}
