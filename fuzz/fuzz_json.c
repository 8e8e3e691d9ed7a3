/* Arbitrary text through the JSON reader in four ways, which must agree on what JSON is; what was read is then written
 * and read again. */
#include "base/utf8.h"
#include "formats/json.h"
#include "fuzz.h"

static const char name[] = "input";

/* Copies one value to the writer, each kind by its own reading function. */
static void copy_value(ds__json *json, ds__json_writer *writer) {
    switch (ds__json_peek(json)) {
    case DS__JSON_OBJECT:
        ds__json_open_object(writer);
        for (ds__str key; ds__json_next_key(json, &key);) {
            FUZZ_CHECK(ds__utf8_valid(key.data, key.size));
            ds__json_key(writer, "key");
            copy_value(json, writer);
        }
        ds__json_close_object(writer);
        break;
    case DS__JSON_ARRAY:
        ds__json_open_array(writer);
        while (ds__json_next_item(json)) copy_value(json, writer);
        ds__json_close_array(writer);
        break;
    case DS__JSON_STRING: {
        ds__str text = ds__json_string(json, DS_STR("text"));
        FUZZ_CHECK(ds__utf8_valid(text.data, text.size));
        ds__json_put_string(writer, text);
        break;
    }
    case DS__JSON_BOOL: ds__json_put_bool(writer, ds__json_bool(json, DS_STR("truth"))); break;
    case DS__JSON_NULL:
        if (!ds__json_take_null(json)) ds__json_skip(json);
        ds__json_put_null(writer);
        break;
    default: {
        double value = ds__json_number(json, DS_STR("number"), -1e30, 1e30);
        FUZZ_CHECK(value >= -1e30 && value <= 1e30);
        ds__json_put_f32(writer, (float)value);
        break;
    }
    }
}

static ds_status skip_all(ds__heap *heap, ds__str text) {
    ds__json json;
    ds__json_init(&json, heap, name, text);
    ds__json_skip(&json);
    return ds__json_finish(&json, NULL);
}

static ds_status raw_all(ds__heap *heap, ds__str text) {
    ds__json json;
    ds__json_init(&json, heap, name, text);
    ds__str raw = ds__json_raw(&json);
    if (ds__json_ok(&json)) {
        FUZZ_CHECK(raw.size > 0 && raw.data >= text.data && raw.data + raw.size <= text.data + text.size);
        FUZZ_CHECK(skip_all(heap, raw) == DS_OK);
    }
    return ds__json_finish(&json, NULL);
}

/* Asks for integers where numbers are, and for the wrong kind now and then: must fail, and stay failed. */
static void read_wrongly(ds__heap *heap, ds__str text) {
    ds__json json;
    ds__json_init(&json, heap, name, text);
    for (ds__str key; ds__json_next_key(&json, &key);) {
        unsigned char choice = key.size ? (unsigned char)key.data[0] : 0;
        int64_t value = 0;
        if (choice % 5 == 0)
            value = ds__json_int(&json, key, INT64_MIN, INT64_MAX);
        else if (choice % 5 == 1)
            ds__json_string(&json, key);
        else if (choice % 5 == 2)
            ds__json_bool(&json, key);
        else if (choice % 5 == 3)
            value = ds__json_int(&json, key, -5, 5);
        else
            while (ds__json_next_item(&json)) ds__json_skip(&json);
        if (choice % 5 == 3) FUZZ_CHECK(value >= -5 && value <= 5);
    }
    ds_error error = {DS_OK, ""};
    bool failed = !ds__json_ok(&json);
    ds_status status = ds__json_finish(&json, &error);
    FUZZ_CHECK(!failed || status != DS_OK);
    FUZZ_CHECK(status == error.status && status != DS_INTERNAL && (status == DS_OK || error.message[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 64 << 20);
    ds__str text = {(const char *)data, size};
    ds_status skipped = skip_all(&heap, text);
    FUZZ_CHECK(raw_all(&heap, text) == skipped);
    read_wrongly(&heap, text);

    ds__buffer out;
    ds__buffer_init(&out, &heap);
    ds__json_writer writer = {&out, false};
    ds__json json;
    ds__json_init(&json, &heap, name, text);
    copy_value(&json, &writer);
    ds_status copied = ds__json_finish(&json, NULL);
    FUZZ_CHECK(skipped == DS_OK || copied != DS_OK);
    if (copied == DS_OK) FUZZ_CHECK(skipped == DS_OK && skip_all(&heap, ds__buffer_str(&out)) == DS_OK);
    ds__buffer_deinit(&out);
    FUZZ_CHECK(heap.bytes == 0);
    return 0;
}
