/* The pull reader of json.h: one pass over the bytes, no tree; a string without escapes is a piece of the text itself.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "base/utf8.h"
#include "formats/decimal.h"
#include "formats/json.h"

void ds__json_init(ds__json *json, ds__heap *heap, const char *name, ds__str text) {
    *json = (ds__json){.start = text.data, .cursor = text.data, .end = text.data, .name = name, .wants_value = true};
    if (text.size) json->end += text.size;
    ds__arena_init(&json->scratch, heap, 0);
    if (text.size >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) json->cursor += 3;
}

static size_t line_of(const ds__json *json) {
    size_t line = 1;
    for (const char *c = json->start; c < json->cursor; c++) line += *c == '\n';
    return line;
}

void ds__json_fail(ds__json *json, ds_status status, const char *format, ...) {
    if (!ds__json_ok(json)) return;
    char message[DS_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    ds__fail(&json->error, status, "%s, line %zu: %s", json->name, line_of(json), message);
    json->cursor = json->end; /* so that every later call finds nothing */
}

static void skip_space(ds__json *json) {
    const char *c = json->cursor;
    while (c < json->end && (*c == ' ' || *c == '\n' || *c == '\r' || *c == '\t')) c++;
    json->cursor = c;
}

ds_status ds__json_finish(ds__json *json, ds_error *error) {
    skip_space(json);
    if (json->cursor != json->end) ds__json_fail(json, DS_BAD_FORMAT, "there is more text behind the JSON value");
    if (json->depth) ds__json_fail(json, DS_BAD_FORMAT, "the text ends inside of %d open brackets", json->depth);
    ds__arena_deinit(&json->scratch);
    return ds__json_ok(json) ? DS_OK : ds__fail(error, json->error.status, "%s", json->error.message);
}

/* Says what stands where something else was expected. */
static void unexpected(ds__json *json, const char *expected) {
    if (json->cursor >= json->end) {
        ds__json_fail(json, DS_BAD_FORMAT, "the text ends where %s is expected", expected);
        return;
    }
    unsigned char c = (unsigned char)*json->cursor;
    if (c > 0x20 && c < 0x7f)
        ds__json_fail(json, DS_BAD_FORMAT, "'%c' where %s is expected", c, expected);
    else
        ds__json_fail(json, DS_BAD_FORMAT, "byte 0x%02X where %s is expected", c, expected);
}

ds__json_kind ds__json_peek(ds__json *json) {
    skip_space(json);
    if (json->cursor >= json->end) return DS__JSON_END;
    switch (*json->cursor) {
    case '{': return DS__JSON_OBJECT;
    case '[': return DS__JSON_ARRAY;
    case '"': return DS__JSON_STRING;
    case 't':
    case 'f': return DS__JSON_BOOL;
    case 'n': return DS__JSON_NULL;
    default: return DS__JSON_NUMBER; /* or a mistake, which reading the number names */
    }
}

/* Four hexadecimal digits at `c`; -1 if they are not there. */
static int32_t hex4(const char *c, const char *end) {
    int32_t value = 0;
    if (end - c < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = c[i] >= '0' && c[i] <= '9'   ? c[i] - '0'
                    : c[i] >= 'a' && c[i] <= 'f' ? c[i] - 'a' + 10
                    : c[i] >= 'A' && c[i] <= 'F' ? c[i] - 'A' + 10
                                                 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Decodes the escape at *c (behind the backslash), moves *c behind it; the bytes written, 0 on an error. */
static size_t unescape(ds__json *json, const char **c, const char *end, char out[4]) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *simple = **c ? strchr(from, **c) : NULL;
    if (simple) {
        (*c)++;
        out[0] = to[simple - from];
        return 1;
    }
    int32_t code = **c == 'u' ? hex4(*c + 1, end) : -1;
    if (code < 0) {
        ds__json_fail(json, DS_BAD_FORMAT, "a string has an escape that JSON does not know");
        return 0;
    }
    *c += 5;
    if (code >= 0xD800 && code <= 0xDBFF && end - *c >= 6 && (*c)[0] == '\\' && (*c)[1] == 'u') {
        int32_t low = hex4(*c + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            *c += 6;
        }
    }
    if (code >= 0xD800 && code <= 0xDFFF) {
        ds__json_fail(json, DS_BAD_FORMAT, "a string has half of a surrogate pair: \\u%04X", (unsigned)code);
        return 0;
    }
    return ds__utf8_encode((uint32_t)code, out);
}

/* The end of the string whose content begins at `c`: its closing quote, or NULL. *escaped: whether it has escapes. */
static const char *find_quote(ds__json *json, const char *c, bool *escaped, bool *wide) {
    *escaped = *wide = false;
    for (; c < json->end; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '"') return c;
        if (byte == '\\') {
            *escaped = true;
            if (++c == json->end) break;
        } else if (byte >= 0x80) {
            *wide = true;
        } else if (byte < 0x20) {
            json->cursor = c;
            ds__json_fail(json, DS_BAD_FORMAT, "a string has the control character 0x%02X, which must be escaped",
                          byte);
            return NULL;
        }
    }
    ds__json_fail(json, DS_BAD_FORMAT, "a string is not closed");
    return NULL;
}

/* Reads a string whose opening quote is at the cursor. */
static ds__str read_string(ds__json *json) {
    bool escaped, wide;
    const char *first = json->cursor + 1, *quote = find_quote(json, first, &escaped, &wide);
    if (!quote) return (ds__str){"", 0};
    ds__str text = {first, (size_t)(quote - first)};
    if (wide && !ds__utf8_valid(text.data, text.size)) {
        ds__json_fail(json, DS_BAD_FORMAT, "a string is not valid UTF-8");
        return (ds__str){"", 0};
    }
    if (escaped) {
        char *copy = ds__arena_alloc(&json->scratch, text.size); /* escapes only shrink */
        if (!copy) {
            ds__alloc_failed(json->scratch.heap, json->scratch.block_bytes + text.size, json->name, &json->error);
            json->cursor = json->end;
            return (ds__str){"", 0};
        }
        size_t size = 0;
        for (const char *c = first; c < quote;) {
            if (*c != '\\') {
                copy[size++] = *c++;
                continue;
            }
            c++;
            size_t wrote = unescape(json, &c, quote, copy + size);
            if (!wrote) return (ds__str){"", 0};
            size += wrote;
        }
        text = (ds__str){copy, size};
    }
    json->cursor = quote + 1;
    return text;
}

/* Enters a container, or takes the comma before its next entry. false: it was closed, or an error. */
static bool next_entry(ds__json *json, char open, char close, const char *what) {
    skip_space(json);
    if (!ds__json_ok(json)) return false;
    if (json->wants_value) {
        if (json->cursor >= json->end || *json->cursor != open) {
            unexpected(json, what);
            return false;
        }
        if (json->depth == DS__JSON_MAX_DEPTH) {
            ds__json_fail(json, DS_BAD_FORMAT, "brackets are nested deeper than %d", DS__JSON_MAX_DEPTH);
            return false;
        }
        json->cursor++;
        json->is_first[json->depth] = true;
        json->closer[json->depth++] = close;
        json->wants_value = false;
        skip_space(json);
    } else if (json->depth == 0 || json->closer[json->depth - 1] != close) {
        ds__json_fail(json, DS_INTERNAL, "a container is read that is not open");
        return false;
    }
    bool first = json->is_first[json->depth - 1];
    json->is_first[json->depth - 1] = false;
    if (json->cursor < json->end && *json->cursor == close) {
        json->cursor++;
        json->depth--;
        return false;
    }
    if (first) return true;
    if (json->cursor >= json->end || *json->cursor != ',') {
        unexpected(json, close == '}' ? "',' or '}'" : "',' or ']'");
        return false;
    }
    json->cursor++;
    skip_space(json);
    return true;
}

bool ds__json_next_key(ds__json *json, ds__str *key) {
    if (!next_entry(json, '{', '}', "an object")) return false;
    if (json->cursor >= json->end || *json->cursor != '"') {
        unexpected(json, "a key in quotes");
        return false;
    }
    *key = read_string(json);
    skip_space(json);
    if (!ds__json_ok(json)) return false;
    if (json->cursor >= json->end || *json->cursor != ':') {
        unexpected(json, "':'");
        return false;
    }
    json->cursor++;
    json->wants_value = true;
    return true;
}

bool ds__json_next_item(ds__json *json) {
    if (!next_entry(json, '[', ']', "an array")) return false;
    if (json->cursor >= json->end) {
        unexpected(json, "a value");
        return false;
    }
    json->wants_value = true;
    return true;
}

/* Consumes the word if it stands here. */
static bool take_word(ds__json *json, const char *word) {
    size_t size = strlen(word);
    skip_space(json);
    if ((size_t)(json->end - json->cursor) < size || memcmp(json->cursor, word, size) != 0) return false;
    json->cursor += size;
    json->wants_value = false;
    return true;
}

bool ds__json_take_null(ds__json *json) { return ds__json_peek(json) == DS__JSON_NULL && take_word(json, "null"); }

/* Names a value of the wrong kind with what it is. */
static void wrong_kind(ds__json *json, ds__str field, const char *expected) {
    static const char *const kinds[] = {"null",     "a truth value", "a number", "a text",
                                        "an array", "an object",     "missing"};
    if (!ds__json_ok(json)) return;
    ds__json_kind kind = ds__json_peek(json);
    if (kind == DS__JSON_STRING) {
        ds__str text = read_string(json);
        if (text.size > 60) text.size = 60;
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s is \"%.*s\", expected %s", DS_STR_ARG(field), DS_STR_ARG(text),
                      expected);
        return;
    }
    if (kind == DS__JSON_NUMBER || kind == DS__JSON_BOOL) { /* its text, up to where it can end */
        const char *c = json->cursor;
        while (c < json->end && c - json->cursor < 40 && !strchr(",]} \t\r\n", *c)) c++;
        ds__str text = {json->cursor, (size_t)(c - json->cursor)};
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s is %.*s, expected %s", DS_STR_ARG(field), DS_STR_ARG(text), expected);
        return;
    }
    ds__json_fail(json, DS_BAD_FORMAT, "%.*s is %s, expected %s", DS_STR_ARG(field), kinds[kind], expected);
}

bool ds__json_expect(ds__json *json, ds__json_kind kind, ds__str field) {
    if (ds__json_peek(json) == kind) return true;
    wrong_kind(json, field, kind == DS__JSON_OBJECT ? "an object" : "an array");
    return false;
}

ds__str ds__json_string(ds__json *json, ds__str field) {
    if (ds__json_peek(json) != DS__JSON_STRING) {
        wrong_kind(json, field, "a text");
        return (ds__str){"", 0};
    }
    json->wants_value = false;
    return read_string(json);
}

bool ds__json_bool(ds__json *json, ds__str field) {
    if (take_word(json, "true")) return true;
    if (!take_word(json, "false")) wrong_kind(json, field, "true or false");
    return false;
}

static bool is_digit(const char *c, const char *end) { return c < end && *c >= '0' && *c <= '9'; }

/* The extent of the number at the cursor by RFC 8259's grammar; size 0 if there is none. *whole: no fraction, no
 * exponent. */
static ds__str number_extent(const ds__json *json, bool *whole) {
    const char *c = json->cursor, *end = json->end;
    *whole = true;
    c += c < end && *c == '-';
    if (!is_digit(c, end)) return (ds__str){c, 0};
    if (*c == '0' && is_digit(c + 1, end)) return (ds__str){c, 0};
    while (is_digit(c, end)) c++;
    if (c < end && *c == '.') {
        if (!is_digit(++c, end)) return (ds__str){c, 0};
        while (is_digit(c, end)) c++;
        *whole = false;
    }
    if (c < end && (*c == 'e' || *c == 'E')) {
        c++;
        c += c < end && (*c == '+' || *c == '-');
        if (!is_digit(c, end)) return (ds__str){c, 0};
        while (is_digit(c, end)) c++;
        *whole = false;
    }
    return (ds__str){json->cursor, (size_t)(c - json->cursor)};
}

/* The number's text, consumed; size 0 if there is none, and nothing is consumed. */
static ds__str take_number(ds__json *json, bool *whole) {
    ds__str text = {"", 0};
    if (ds__json_peek(json) != DS__JSON_NUMBER) return text;
    text = number_extent(json, whole);
    if (!text.size) return text;
    json->cursor += text.size;
    json->wants_value = false;
    return text;
}

ds__str ds__json_take_not_finite(ds__json *json) {
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (int i = 0; i < 3; i++)
        if (take_word(json, words[i])) return ds__str_of(words[i]);
    return (ds__str){"", 0};
}

/* Says why there was no number to take. */
static void no_number(ds__json *json, ds__str field, const char *expected) {
    ds__json_kind kind = ds__json_peek(json);
    ds__str word = ds__json_take_not_finite(json);
    if (word.size)
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s is %s, expected %s", DS_STR_ARG(field), word.data, expected);
    if (kind != DS__JSON_NUMBER)
        wrong_kind(json, field, expected);
    else
        unexpected(json, "a JSON value");
}

int64_t ds__json_int(ds__json *json, ds__str field, int64_t low, int64_t high) {
    bool whole = false;
    ds__str text = take_number(json, &whole);
    bool negative = text.size && text.data[0] == '-', fits = text.size && whole;
    int64_t value = 0;
    for (size_t i = negative; i < text.size && fits; i++) {
        int digit = text.data[i] - '0';
        fits = !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, negative ? -digit : digit, &value);
    }
    if (fits && value >= low && value <= high) return value;
    char expected[80]; /* made only now: printing would cost many times what reading does */
    snprintf(expected, sizeof expected, "an integer from %lld to %lld", (long long)low, (long long)high);
    if (text.size)
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s is %.*s, expected %s", DS_STR_ARG(field), DS_STR_ARG(text), expected);
    else
        no_number(json, field, expected);
    return low;
}

double ds__json_number(ds__json *json, ds__str field, double low, double high) {
    bool whole;
    ds__str text = take_number(json, &whole);
    double value = text.size ? ds__decimal_read(text) : NAN;
    if (isfinite(value) && value >= low && value <= high) return value;
    char expected[80];
    snprintf(expected, sizeof expected, "a number from %g to %g", low, high);
    if (text.size)
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s is %.*s, expected %s", DS_STR_ARG(field), DS_STR_ARG(text), expected);
    else
        no_number(json, field, expected);
    return low;
}

/* One scalar, consumed. */
static void skip_scalar(ds__json *json) {
    bool whole;
    switch (ds__json_peek(json)) {
    case DS__JSON_STRING: ds__json_string(json, DS_STR("a value")); break;
    case DS__JSON_BOOL: ds__json_bool(json, DS_STR("a value")); break;
    case DS__JSON_NULL:
        if (!take_word(json, "null")) unexpected(json, "a JSON value");
        break;
    default:
        if (!take_number(json, &whole).size) no_number(json, DS_STR("a value"), "a JSON value");
        break;
    }
}

void ds__json_skip(ds__json *json) {
    int depth = json->depth;
    if (!json->wants_value) ds__json_fail(json, DS_INTERNAL, "a value is skipped where none is due");
    while (ds__json_ok(json) && (json->depth > depth || json->wants_value)) {
        ds__json_kind kind = ds__json_peek(json);
        if (json->wants_value && kind != DS__JSON_OBJECT && kind != DS__JSON_ARRAY) {
            skip_scalar(json);
        } else {
            ds__str key;
            bool object = json->wants_value ? kind == DS__JSON_OBJECT : json->closer[json->depth - 1] == '}';
            if (object)
                ds__json_next_key(json, &key);
            else
                ds__json_next_item(json);
        }
    }
}

ds__str ds__json_raw(ds__json *json) {
    skip_space(json);
    const char *first = json->cursor;
    ds__json_skip(json);
    return ds__json_ok(json) ? (ds__str){first, (size_t)(json->cursor - first)} : (ds__str){"", 0};
}
