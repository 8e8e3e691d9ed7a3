/* Asking about characters: what the reference tokenizers think of them (tables made by tools/gen_unicode.py), and
 * walking over UTF-8 that is known to be valid. */
#ifndef DS_TOKENIZER_UNICODE_H
#define DS_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>

#include "tokenizer/unicode_tables.h"

/* code: at most U+10FFFF, which is all that the UTF-8 decoders return. */
static inline const ds__uni_class *ds__uni_class_of(uint32_t code) {
    return &ds__uni_classes[ds__uni_page_classes[ds__uni_pages[code / DS__UNI_PAGE]][code % DS__UNI_PAGE]];
}

static inline uint32_t ds__uni_flags(uint32_t code) { return ds__uni_class_of(code)->flags; }

/* Lower case by the full mapping, which depends on nothing around the character; returns how many there are: 1, or 2
 * for U+0130 alone. */
static inline size_t ds__uni_lower(uint32_t code, uint32_t out[2]) {
    if (code == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)((int32_t)code + ds__uni_class_of(code)->lower);
    return 1;
}

/* The character at the start of valid UTF-8; returns its bytes. */
static inline uint32_t ds__uni_next(const char *text, uint32_t *code) {
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) {
        *code = s[0];
        return 1;
    }
    if (s[0] < 0xE0) {
        *code = (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
        return 2;
    }
    if (s[0] < 0xF0) {
        *code = (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
        return 3;
    }
    *code = (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    return 4;
}

static inline bool ds__uni_continues(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

/* The character that ends at text[end), end > 0, in valid UTF-8; returns where it begins. */
static inline size_t ds__uni_previous(const char *text, size_t end, uint32_t *code) {
    size_t start = end - 1;
    while (start > 0 && ds__uni_continues(text[start])) start--;
    ds__uni_next(text + start, code);
    return start;
}

static inline size_t ds__uni_count(const char *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += !ds__uni_continues(text[i]);
    return count;
}

#endif
