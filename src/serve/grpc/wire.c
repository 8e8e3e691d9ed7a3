/* Protobuf's wire format. */
#include "serve/grpc/wire.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

enum { MAX_VARINT = 10, LAST_FIELD = (1 << 29) - 1 };

ds__wire ds__wire_of(ds__str bytes, const char *message, ds_error *error) {
    const unsigned char *data = (const unsigned char *)bytes.data;
    return (ds__wire){.at = data, .end = bytes.size ? data + bytes.size : data, .message = message, .error = error};
}

bool ds__wire_fail(ds__wire *wire, const char *format, ...) {
    wire->at = wire->end;
    if (!ds__wire_ok(wire)) return false;
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)ds__fail(wire->error, DS_BAD_FORMAT, "%s: %s", wire->message, text);
    return false;
}

bool ds__wire_varint(const unsigned char **at, const unsigned char *end, uint64_t *out) {
    const unsigned char *byte = *at;
    uint64_t value = 0;
    for (int i = 0; i < MAX_VARINT && byte < end; i++) {
        value |= (uint64_t)(*byte & 0x7f) << (7 * i);
        if (*byte++ < 0x80) {
            *at = byte;
            *out = value;
            return true;
        }
    }
    return false;
}

static bool read_fixed(ds__wire *wire, size_t size) {
    if ((size_t)(wire->end - wire->at) < size)
        return ds__wire_fail(wire, "field %" PRIu32 " is a number of %zu bytes, but %zu are left", wire->field, size,
                             (size_t)(wire->end - wire->at));
    wire->number = 0;
    for (size_t i = 0; i < size; i++) wire->number |= (uint64_t)wire->at[i] << (8 * i);
    wire->at += size;
    return true;
}

static bool read_bytes(ds__wire *wire) {
    uint64_t size;
    if (!ds__wire_varint(&wire->at, wire->end, &size))
        return ds__wire_fail(wire, "field %" PRIu32 " has a length that does not end", wire->field);
    if (size > (size_t)(wire->end - wire->at))
        return ds__wire_fail(wire, "field %" PRIu32 " says that it has %" PRIu64 " bytes, but %zu are left",
                             wire->field, size, (size_t)(wire->end - wire->at));
    wire->bytes = (ds__str){(const char *)wire->at, (size_t)size};
    wire->at += size;
    return true;
}

bool ds__wire_next(ds__wire *wire) {
    uint64_t tag;
    if (wire->at == wire->end || !ds__wire_ok(wire)) return false;
    if (!ds__wire_varint(&wire->at, wire->end, &tag)) return ds__wire_fail(wire, "a field's number does not end");
    if (tag >> 3 == 0 || tag >> 3 > LAST_FIELD)
        return ds__wire_fail(wire, "field number %" PRIu64 " is outside 1..%d", tag >> 3, LAST_FIELD);
    wire->field = (uint32_t)(tag >> 3);
    wire->type = (ds__wire_type)(tag & 7);
    switch (tag & 7) {
    case DS__WIRE_VARINT:
        return ds__wire_varint(&wire->at, wire->end, &wire->number) ||
               ds__wire_fail(wire, "field %" PRIu32 " has a number that does not end", wire->field);
    case DS__WIRE_I64: return read_fixed(wire, 8);
    case DS__WIRE_I32: return read_fixed(wire, 4);
    case DS__WIRE_BYTES: return read_bytes(wire);
    default:
        return ds__wire_fail(wire, "field %" PRIu32 " has wire type %d; 0, 1, 2 and 5 are known", wire->field,
                             (int)(tag & 7));
    }
}

static bool is_type(ds__wire *wire, ds__wire_type type, const char *name) {
    if (wire->type == type) return true;
    return ds__wire_fail(wire, "%s (field %" PRIu32 ") has wire type %d, expected %d", name, wire->field,
                         (int)wire->type, (int)type);
}

uint64_t ds__wire_uint(ds__wire *wire, const char *name) {
    return is_type(wire, DS__WIRE_VARINT, name) ? wire->number : 0;
}

bool ds__wire_bool(ds__wire *wire, const char *name) { return ds__wire_uint(wire, name) != 0; }

ds__str ds__wire_bytes(ds__wire *wire, const char *name) {
    return is_type(wire, DS__WIRE_BYTES, name) ? wire->bytes : (ds__str){"", 0};
}

ds__str ds__wire_text(ds__wire *wire, const char *name) {
    ds__str text = ds__wire_bytes(wire, name);
    if (ds__utf8_valid(text.data, text.size)) return text;
    ds__wire_fail(wire, "%s (field %" PRIu32 ", %zu bytes) is not UTF-8", name, wire->field, text.size);
    return (ds__str){"", 0};
}

ds__wire ds__wire_inside(ds__wire *wire, const char *message) {
    return ds__wire_of(ds__wire_bytes(wire, message), message, wire->error);
}

static void put_varint(ds__buffer *out, uint64_t value) {
    char bytes[MAX_VARINT];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) bytes[size++] = (char)(value | 0x80);
    bytes[size++] = (char)value;
    ds__buffer_append(out, bytes, size);
}

static size_t varint_size(uint64_t value) {
    size_t size = 1;
    while (value >>= 7) size++;
    return size;
}

void ds__wire_put_uint(ds__buffer *out, uint32_t field, uint64_t value) {
    if (!value) return;
    put_varint(out, (uint64_t)field << 3 | DS__WIRE_VARINT);
    put_varint(out, value);
}

void ds__wire_put_head(ds__buffer *out, uint32_t field, size_t size) {
    put_varint(out, (uint64_t)field << 3 | DS__WIRE_BYTES);
    put_varint(out, size);
}

void ds__wire_put_element(ds__buffer *out, uint32_t field, ds__str bytes) {
    ds__wire_put_head(out, field, bytes.size);
    ds__buffer_append(out, bytes.data, bytes.size);
}

void ds__wire_put_bytes(ds__buffer *out, uint32_t field, ds__str bytes) {
    if (bytes.size) ds__wire_put_element(out, field, bytes);
}

void ds__wire_put_text(ds__buffer *out, uint32_t field, const char *text) {
    ds__wire_put_bytes(out, field, ds__str_of(text));
}

void ds__wire_put_i64s(ds__buffer *out, uint32_t field, const int64_t *values, size_t count) {
    if (!count) return;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) size += varint_size((uint64_t)values[i]);
    ds__wire_put_head(out, field, size);
    for (size_t i = 0; i < count; i++) put_varint(out, (uint64_t)values[i]);
}

size_t ds__wire_open(ds__buffer *out, uint32_t field) {
    put_varint(out, (uint64_t)field << 3 | DS__WIRE_BYTES);
    ds__buffer_put(out, 0); /* the length of most: one byte; longer ones move what was written */
    return out->size;
}

void ds__wire_close(ds__buffer *out, size_t opened) {
    if (out->failed) return;
    size_t size = out->size - opened, more = varint_size(size) - 1;
    if (!ds__buffer_reserve(out, more)) return;
    memmove(out->data + opened + more, out->data + opened, size);
    out->size = opened - 1;
    put_varint(out, size);
    out->size += size;
}
