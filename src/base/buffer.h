/* A growable byte string: output being written, a line being read.  The first failure sticks; look at it once. */
#ifndef DS_BASE_BUFFER_H
#define DS_BASE_BUFFER_H

#include "base/alloc.h"
#include "base/str.h"

typedef struct ds__buffer {
    ds__heap *heap;
    char *data; /* not NUL-terminated; see ds__buffer_cstr */
    size_t size, capacity;
    bool failed; /* memory ran out: content is incomplete, further appends are no-ops */
} ds__buffer;

void ds__buffer_init(ds__buffer *buffer, ds__heap *heap);
void ds__buffer_deinit(ds__buffer *buffer);
/* Keeps the capacity, forgets the content and the failure. */
void ds__buffer_clear(ds__buffer *buffer);
/* Room for `bytes` more. false: out of memory. */
bool ds__buffer_reserve(ds__buffer *buffer, size_t bytes);
void ds__buffer_append(ds__buffer *buffer, const void *bytes, size_t size);
void ds__buffer_put(ds__buffer *buffer, char byte);
void ds__buffer_text(ds__buffer *buffer, const char *text);
void ds__buffer_printf(ds__buffer *buffer, const char *format, ...) DS_PRINTF(2, 3);
/* The content with a NUL behind it, borrowed until the next append; NULL when failed. */
const char *ds__buffer_cstr(ds__buffer *buffer);
static inline ds__str ds__buffer_str(const ds__buffer *buffer) { return (ds__str){buffer->data, buffer->size}; }

#endif
