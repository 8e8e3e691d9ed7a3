/* UTF-8 decoding as a small table of lead bytes; the second byte's range excludes overlong forms, surrogates and codes
 * over U+10FFFF (Unicode Standard, table 3-7). */
#include "base/utf8.h"

size_t ds__utf8_decode(const char *text, size_t size, uint32_t *code) {
    const unsigned char *s = (const unsigned char *)text;
    unsigned char lead = s[0];
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    *code = DS__REPLACEMENT;
    if (lead < 0xC2 || lead > 0xF4) return 1;
    size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    uint32_t value = lead & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (i >= size || s[i] < low || s[i] > high) return i; /* the maximal valid prefix is one replacement */
        value = value << 6 | (s[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *code = value;
    return length;
}

size_t ds__utf8_encode(uint32_t code, char out[4]) {
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = DS__REPLACEMENT;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(leads[length] | code);
    return length;
}

/* The length of the leading run of ASCII, eight bytes at a time. */
static size_t ascii_run(const char *text, size_t size) {
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, 8);
        if (word & 0x8080808080808080u) break;
    }
    while (i < size && (unsigned char)text[i] < 0x80) i++;
    return i;
}

/* Bytes of the leading valid part. */
static size_t valid_run(const char *text, size_t size) {
    size_t i = 0;
    while (i < size) {
        i += ascii_run(text + i, size - i);
        if (i == size) break;
        uint32_t code;
        size_t length = ds__utf8_decode(text + i, size - i, &code);
        bool is_written_replacement = length == 3 && memcmp(text + i, "\xEF\xBF\xBD", 3) == 0;
        if (code == DS__REPLACEMENT && !is_written_replacement) break;
        i += length;
    }
    return i;
}

bool ds__utf8_valid(const char *text, size_t size) { return valid_run(text, size) == size; }

void ds__utf8_append_repaired(ds__buffer *out, const char *text, size_t size) {
    while (size) {
        size_t valid = valid_run(text, size);
        ds__buffer_append(out, text, valid);
        text += valid;
        size -= valid;
        if (!size) break;
        uint32_t code;
        size_t bad = ds__utf8_decode(text, size, &code);
        ds__buffer_append(out, "\xEF\xBF\xBD", 3);
        text += bad;
        size -= bad;
    }
}
