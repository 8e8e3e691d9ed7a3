/* The streaming writer of json.h. Numbers are written without the locale's decimal point. */
#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "formats/decimal.h"
#include "formats/json.h"

/* A comma if a value stands before; afterwards one does. */
static void separate(ds__json_writer *writer) {
    if (writer->needs_comma) ds__buffer_put(writer->out, ',');
    writer->needs_comma = true;
}

static void open_container(ds__json_writer *writer, char bracket) {
    separate(writer);
    ds__buffer_put(writer->out, bracket);
    writer->needs_comma = false;
}

static void close_container(ds__json_writer *writer, char bracket) {
    ds__buffer_put(writer->out, bracket);
    writer->needs_comma = true;
}

void ds__json_open_object(ds__json_writer *writer) { open_container(writer, '{'); }
void ds__json_close_object(ds__json_writer *writer) { close_container(writer, '}'); }
void ds__json_open_array(ds__json_writer *writer) { open_container(writer, '['); }
void ds__json_close_array(ds__json_writer *writer) { close_container(writer, ']'); }

static void put_quoted(ds__buffer *out, ds__str text) {
    ds__buffer_put(out, '"');
    size_t plain = 0;
    for (size_t i = 0; i < text.size;) {
        unsigned char c = (unsigned char)text.data[i];
        uint32_t code;
        size_t length = c < 0x80 ? 1 : ds__utf8_decode(text.data + i, text.size - i, &code);
        bool escape = c < 0x20 || c == '"' || c == '\\' || (c >= 0x80 && code == DS__REPLACEMENT);
        if (escape) {
            ds__buffer_append(out, text.data + plain, i - plain);
            if (c == '"' || c == '\\')
                ds__buffer_printf(out, "\\%c", c);
            else if (c == '\n')
                ds__buffer_text(out, "\\n");
            else if (c == '\t')
                ds__buffer_text(out, "\\t");
            else if (c < 0x20)
                ds__buffer_printf(out, "\\u%04x", c);
            else
                ds__buffer_text(out, "\xEF\xBF\xBD");
            plain = i + length;
        }
        i += length;
    }
    if (plain < text.size) ds__buffer_append(out, text.data + plain, text.size - plain);
    ds__buffer_put(out, '"');
}

void ds__json_key(ds__json_writer *writer, const char *key) {
    separate(writer);
    put_quoted(writer->out, ds__str_of(key));
    ds__buffer_put(writer->out, ':');
    writer->needs_comma = false;
}

void ds__json_put_string(ds__json_writer *writer, ds__str text) {
    separate(writer);
    put_quoted(writer->out, text);
}

void ds__json_put_int(ds__json_writer *writer, int64_t value) {
    separate(writer);
    ds__buffer_printf(writer->out, "%lld", (long long)value);
}

void ds__json_put_f32(ds__json_writer *writer, float value) {
    char text[DS__DECIMAL_F32_SIZE];
    separate(writer);
    if (isfinite(value))
        ds__buffer_append(writer->out, text, ds__decimal_write_f32(value, text));
    else
        ds__buffer_text(writer->out, "null");
}

void ds__json_put_fixed(ds__json_writer *writer, double value, int decimals) {
    char text[400];
    separate(writer);
    if (!isfinite(value)) {
        ds__buffer_text(writer->out, "null");
        return;
    }
    snprintf(text, sizeof text, "%.*f", decimals, value);
    for (const char *c = text; *c;) { /* the locale's decimal point may be another, of more than one byte */
        bool kept = (*c >= '0' && *c <= '9') || *c == '-';
        ds__buffer_put(writer->out, kept ? *c++ : '.');
        if (!kept)
            while (*c && !(*c >= '0' && *c <= '9')) c++;
    }
}

void ds__json_put_bool(ds__json_writer *writer, bool value) {
    separate(writer);
    ds__buffer_text(writer->out, value ? "true" : "false");
}

void ds__json_put_raw(ds__json_writer *writer, ds__str value) {
    separate(writer);
    ds__buffer_append(writer->out, value.data, value.size);
}

void ds__json_put_null(ds__json_writer *writer) {
    separate(writer);
    ds__buffer_text(writer->out, "null");
}
