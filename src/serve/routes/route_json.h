/* Shorthands for writing answers and reading bodies. */
#ifndef DS_SERVE_ROUTES_ROUTE_JSON_H
#define DS_SERVE_ROUTES_ROUTE_JSON_H

#include "serve/http/http_call.h"

/* JSON schemas that several routes' structures speak of. */
#define DS__SCHEMA_ERROR                                                                                               \
    "{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"anyOf\":[{\"type\":\"string\"},"       \
    "{\"type\":\"object\"}]}}}"
#define DS__SCHEMA_MODEL_VERSION                                                                                       \
    "{\"type\":\"object\",\"required\":[\"model\"],\"properties\":{\"model\":{\"type\":\"string\"},"                   \
    "\"version\":{\"type\":\"integer\"}}}"

static inline void ds__put_text(ds__json_writer *json, const char *key, ds__str value) {
    ds__json_key(json, key);
    ds__json_put_string(json, value);
}

static inline void ds__put_number(ds__json_writer *json, const char *key, int64_t value) {
    ds__json_key(json, key);
    ds__json_put_int(json, value);
}

/* A version as the protocol writes it: a number in a string. */
void ds__put_version(ds__json_writer *json, const char *key, int64_t version);

/* A string of the body that must outlive the reader: one with escapes lies in the reader's own memory and is copied. */
ds__str ds__keep_text(ds__http_call *call, ds__arena *arena, ds__str text);

/* A whole number of at most 2^53, also where it is written as 7.0, which JSON Schema calls an integer too. */
int64_t ds__read_integer(ds__json *json, ds__str field, int64_t low, int64_t high);

/* Ends reading; false: the body was wrong, and that is answered. */
bool ds__finish_body(ds__http_call *call, ds__json *json);

#endif
