/* Writing safetensors: the header; the data follow as they are. */
#include "formats/safetensors_header.h"

#include "base/error.h"
#include "formats/json.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 64 };

static void put_tensor(ds__json_writer *json, const ds__stored_tensor *tensor, size_t from) {
    ds__json_key(json, tensor->name);
    ds__json_open_object(json);
    ds__json_key(json, "dtype");
    ds__json_put_string(json, ds__str_of(tensor->dtype));
    ds__json_key(json, "shape");
    ds__json_open_array(json);
    for (int i = 0; i < tensor->rank; i++) ds__json_put_int(json, tensor->shape[i]);
    ds__json_close_array(json);
    ds__json_key(json, "data_offsets");
    ds__json_open_array(json);
    ds__json_put_int(json, (int64_t)from);
    ds__json_put_int(json, (int64_t)(from + tensor->bytes));
    ds__json_close_array(json);
    ds__json_close_object(json);
}

ds_status ds__safetensors_header(const ds__stored_tensor *tensors, size_t count, ds__buffer *out, ds_error *error) {
    static const char no_length[LENGTH_BYTES] = {0};
    const size_t start = out->size;
    size_t at = 0;
    ds__buffer_append(out, no_length, LENGTH_BYTES);
    ds__json_writer json = {out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "__metadata__");
    ds__json_open_object(&json);
    ds__json_key(&json, "format");
    ds__json_put_string(&json, DS_STR("pt"));
    ds__json_close_object(&json);
    for (size_t i = 0; i < count; i++) {
        put_tensor(&json, &tensors[i], at);
        if (!ds__size_add(at, tensors[i].bytes, &at) || at > INT64_MAX)
            return ds__fail(error, DS_INVALID_ARGUMENT, "%zu tensors exceed the address space together", count);
    }
    ds__json_close_object(&json);
    while ((out->size - start) % ALIGNMENT && !out->failed) ds__buffer_put(out, ' ');
    if (out->failed) return ds__alloc_failed(out->heap, out->size, "a header", error);
    uint64_t length = out->size - start - LENGTH_BYTES; /* little-endian, whatever the machine */
    for (int i = 0; i < LENGTH_BYTES; i++) out->data[start + (size_t)i] = (char)(length >> 8 * i & 0xff);
    return DS_OK;
}
