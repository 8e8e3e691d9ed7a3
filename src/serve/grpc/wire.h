/* Protobuf's wire format: read where it lies, written into a buffer.
 *
 * One reader and one writer serve every message of protos/.  Nothing is unpacked into structures: a field is a number
 * or a borrowed run of bytes, so a hostile message of a million empty sub-messages costs no memory, and a tensor of 64
 * MB is used where the socket's bytes were put. */
#ifndef DS_SERVE_GRPC_WIRE_H
#define DS_SERVE_GRPC_WIRE_H

#include "base/buffer.h"
#include "base/error.h"

typedef enum ds__wire_type {
    DS__WIRE_VARINT = 0,
    DS__WIRE_I64 = 1,
    DS__WIRE_BYTES = 2,
    DS__WIRE_I32 = 5
} ds__wire_type;

/* A message being read.  The first failure sticks: ds__wire_next then says false, and `error` holds the sentence. */
typedef struct ds__wire {
    const unsigned char *at, *end;
    const char *message; /* its name, for sentences */
    ds_error *error;     /* of the whole request; its status is DS_OK until something fails */
    uint32_t field;      /* of the field that ds__wire_next came to */
    ds__wire_type type;
    uint64_t number; /* VARINT, I64, I32 */
    ds__str bytes;   /* BYTES */
} ds__wire;

ds__wire ds__wire_of(ds__str bytes, const char *message, ds_error *error);
/* Comes to the next field; false at the end and after a failure. */
bool ds__wire_next(ds__wire *wire);
static inline bool ds__wire_ok(const ds__wire *wire) { return wire->error->status == DS_OK; }
/* Notes a failure (unless there is one), and returns false. */
bool ds__wire_fail(ds__wire *wire, const char *format, ...) DS_PRINTF(2, 3);

/* The field as what it ought to be; another wire type is a failure that names the field. */
uint64_t ds__wire_uint(ds__wire *wire, const char *name);
bool ds__wire_bool(ds__wire *wire, const char *name);
ds__str ds__wire_bytes(ds__wire *wire, const char *name);
ds__str ds__wire_text(ds__wire *wire, const char *name); /* must be UTF-8, as proto3 asks */
/* The sub-message in this field. */
ds__wire ds__wire_inside(ds__wire *wire, const char *message);

/* A varint out of packed bytes: advances *at; false when it does not end before `end` or is longer than 10 bytes. */
bool ds__wire_varint(const unsigned char **at, const unsigned char *end, uint64_t *out);

/* Writing: proto3's defaults (0, empty) are left out, as its own writers do. */
void ds__wire_put_uint(ds__buffer *out, uint32_t field, uint64_t value);
void ds__wire_put_bytes(ds__buffer *out, uint32_t field, ds__str bytes);
void ds__wire_put_text(ds__buffer *out, uint32_t field, const char *text);
/* A repeated field's element stands even when it is empty. */
void ds__wire_put_element(ds__buffer *out, uint32_t field, ds__str bytes);
void ds__wire_put_i64s(ds__buffer *out, uint32_t field, const int64_t *values, size_t count); /* packed varints */
/* The head of a field of `size` bytes, which the caller appends. */
void ds__wire_put_head(ds__buffer *out, uint32_t field, size_t size);
/* A sub-message: what is written between the two calls. */
size_t ds__wire_open(ds__buffer *out, uint32_t field) DS_MUST_CHECK;
void ds__wire_close(ds__buffer *out, size_t opened);

#endif
