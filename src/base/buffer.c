/* Growable byte string. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>

void ds__buffer_init(ds__buffer *buffer, ds__heap *heap) { *buffer = (ds__buffer){.heap = heap}; }

void ds__buffer_deinit(ds__buffer *buffer) {
    ds__free(buffer->heap, buffer->data, buffer->capacity);
    *buffer = (ds__buffer){.heap = buffer->heap};
}

void ds__buffer_clear(ds__buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
}

bool ds__buffer_reserve(ds__buffer *buffer, size_t bytes) {
    size_t wanted;
    if (buffer->failed) return false;
    if (!ds__size_add(buffer->size, bytes, &wanted) ||
        !ds__grow(buffer->heap, (void **)&buffer->data, &buffer->capacity, wanted, 1))
        buffer->failed = true;
    return !buffer->failed;
}

void ds__buffer_append(ds__buffer *buffer, const void *bytes, size_t size) {
    if (!size || !ds__buffer_reserve(buffer, size)) return;
    memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
}

void ds__buffer_put(ds__buffer *buffer, char byte) { ds__buffer_append(buffer, &byte, 1); }

void ds__buffer_text(ds__buffer *buffer, const char *text) { ds__buffer_append(buffer, text, strlen(text)); }

void ds__buffer_printf(ds__buffer *buffer, const char *format, ...) {
    char stack[512];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(stack, sizeof stack, format, arguments);
    va_end(arguments);
    if (size >= 0 && (size_t)size < sizeof stack) {
        ds__buffer_append(buffer, stack, (size_t)size);
    } else if (size >= 0 && ds__buffer_reserve(buffer, (size_t)size + 1)) {
        vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, again);
        buffer->size += (size_t)size;
    } else {
        buffer->failed = true;
    }
    va_end(again);
}

const char *ds__buffer_cstr(ds__buffer *buffer) {
    if (!ds__buffer_reserve(buffer, 1)) return NULL;
    buffer->data[buffer->size] = '\0';
    return buffer->data;
}
