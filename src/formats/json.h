/* JSON (RFC 8259): a pull reader that allocates only for strings with escapes, and a streaming writer.
 *
 * Reading is a walk: the caller asks for what it expects, and the first mistake sticks.  After an error every call is a
 * cheap no-op that returns false or an empty value, so a caller may check once, at the end, with ds__json_finish().
 *
 *     ds__json j;
 *     ds__json_init(&j, heap, path, text);
 *     for (ds__str key; ds__json_next_key(&j, &key);) {       // the first call also reads '{', the last one '}'
 *         if (ds__str_is(key, "vocab_size")) vocab_size = ds__json_int(&j, key, 1, 1 << 24);
 *         else ds__json_skip(&j);
 *     }
 *     status = ds__json_finish(&j, error);
 */
#ifndef DS_FORMATS_JSON_H
#define DS_FORMATS_JSON_H

#include "base/arena.h"
#include "base/buffer.h"
#include "deepseek/status.h"

enum { DS__JSON_MAX_DEPTH = 64 };

typedef enum ds__json_kind {
    DS__JSON_NULL,
    DS__JSON_BOOL,
    DS__JSON_NUMBER,
    DS__JSON_STRING,
    DS__JSON_ARRAY,
    DS__JSON_OBJECT,
    DS__JSON_END, /* nothing more, or an error happened */
} ds__json_kind;

typedef struct ds__json {
    const char *cursor, *end, *start;
    const char *name;  /* for messages: the file's path or what the text is; borrowed */
    ds__arena scratch; /* unescaped strings; they live until ds__json_finish */
    int depth;
    bool wants_value; /* at the start, behind a key, or at an item: a container begins here, none goes on */
    bool is_first[DS__JSON_MAX_DEPTH]; /* per open container: nothing has been read in it yet, so no comma is due */
    char closer[DS__JSON_MAX_DEPTH];   /* '}' or ']' */
    ds_error error;                    /* status DS_OK until something went wrong */
} ds__json;

/* text: borrowed until ds__json_finish; need not be NUL-terminated; a UTF-8 byte order mark is skipped. */
void ds__json_init(ds__json *json, ds__heap *heap, const char *name, ds__str text);
/* Checks that nothing but white space is left, frees the scratch memory, and reports the first error with the line it
 * is on ("config.json, line 3: ..."). Must be called once, whatever happened; strings read before become invalid. */
DS_MUST_CHECK ds_status ds__json_finish(ds__json *json, ds_error *error);
/* Records an error of the caller's own (a wrong value), unless one is there already; the position is added. */
void ds__json_fail(ds__json *json, ds_status status, const char *format, ...) DS_PRINTF(3, 4);
static inline bool ds__json_ok(const ds__json *json) { return json->error.status == DS_OK; }

/* What comes next, without consuming it. */
ds__json_kind ds__json_peek(ds__json *json);

/* In an object: the next key (unescaped). Reads the opening brace on the first call; false after the closing brace or
 * on an error (also when the value is not an object). The value must be consumed before the next call. */
bool ds__json_next_key(ds__json *json, ds__str *key);
/* In an array: true when an item follows. Same rules. */
bool ds__json_next_item(ds__json *json);
/* For containers, whose own functions know no field: whether an object or an array (kind) comes next; if not, the error
 * names the field and what is there instead. */
bool ds__json_expect(ds__json *json, ds__json_kind kind, ds__str field);
/* Consumes one value of any kind. */
void ds__json_skip(ds__json *json);

/* Values. `field` names the value in messages ("hidden_size is \"12\", expected an integer from 1 to 65536").
 * A string must be valid UTF-8 once unescaped, may contain NUL; it points into the text or into the scratch memory.
 * Half of a surrogate pair ("\\uD800" alone) stands for no character and is refused: replacing it would make two
 * different vocabulary entries one. */
ds__str ds__json_string(ds__json *json, ds__str field);
int64_t ds__json_int(ds__json *json, ds__str field, int64_t low, int64_t high);
/* The nearest double. Finite numbers only ("NaN" and "Infinity", which Python writes, are refused by name); out of
 * range is an error. */
double ds__json_number(ds__json *json, ds__str field, double low, double high);
bool ds__json_bool(ds__json *json, ds__str field);
/* Consumes a null and returns true, or leaves the value alone. */
bool ds__json_take_null(ds__json *json);
/* Consumes what Python writes for numbers that JSON does not have ("NaN", "Infinity", "-Infinity") and returns it, for
 * callers that say more about it; or leaves the value alone, and the size is 0. */
ds__str ds__json_take_not_finite(ds__json *json);
/* The raw text of the next value, consumed; for reading a part later or twice. */
ds__str ds__json_raw(ds__json *json);

/* Writing. Commas and colons are placed by the writer; the result is one line unless the caller adds newlines itself.
 * Invalid UTF-8 in strings is written as U+FFFD. Failure is the buffer's (sticky). */
typedef struct ds__json_writer {
    ds__buffer *out;
    bool needs_comma;
} ds__json_writer;

void ds__json_open_object(ds__json_writer *writer);
void ds__json_close_object(ds__json_writer *writer);
void ds__json_open_array(ds__json_writer *writer);
void ds__json_close_array(ds__json_writer *writer);
void ds__json_key(ds__json_writer *writer, const char *key);
void ds__json_put_string(ds__json_writer *writer, ds__str text);
void ds__json_put_int(ds__json_writer *writer, int64_t value);
/* The fewest digits that read back as the same float (9 at most), whatever the locale; NaN and infinities become null.
 */
void ds__json_put_f32(ds__json_writer *writer, float value);
/* `decimals` digits behind the point, for times and rates. */
void ds__json_put_fixed(ds__json_writer *writer, double value, int decimals);
void ds__json_put_bool(ds__json_writer *writer, bool value);
void ds__json_put_null(ds__json_writer *writer);
/* A value as JSON already: what ds__json_raw gave. */
void ds__json_put_raw(ds__json_writer *writer, ds__str value);

#endif
