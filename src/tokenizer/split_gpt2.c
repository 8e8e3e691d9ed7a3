/* GPT-2's word pattern by hand, on the reference's own idea of letters, numbers and white space. */
#include "tokenizer/presplit.h"
#include "tokenizer/unicode.h"

enum { LETTER = DS__UNI_LETTER, NUMBER = DS__UNI_NUMBER, SPACE = DS__UNI_SPACE, KINDS = LETTER | NUMBER | SPACE };

/* The flags of KINDS for ASCII; 0 is everything else: punctuation, control characters. */
static uint32_t kind_of(const char *text, uint32_t *bytes) {
    unsigned char c = (unsigned char)*text;
    if (c < 0x80) {
        *bytes = 1;
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return LETTER;
        if (c >= '0' && c <= '9') return NUMBER;
        return c == ' ' || (c >= '\t' && c <= '\r') ? SPACE : 0;
    }
    uint32_t code;
    *bytes = ds__uni_next(text, &code);
    return ds__uni_flags(code) & KINDS;
}

/* The end of the run of one kind that begins at `at`. */
static uint32_t run_end(const char *text, uint32_t at, uint32_t end, uint32_t kind) {
    uint32_t bytes;
    while (at < end && kind_of(text + at, &bytes) == kind) at += bytes;
    return at;
}

/* The length of a contraction behind the apostrophe; 0 if there is none. */
static uint32_t contraction(const char *text, uint32_t left) {
    if (left == 0) return 0;
    switch (text[0]) {
    case 's':
    case 't':
    case 'm':
    case 'd': return 1;
    case 'r':
    case 'v': return left > 1 && text[1] == 'e' ? 2 : 0;
    case 'l': return left > 1 && text[1] == 'l' ? 2 : 0;
    default: return 0;
    }
}

uint32_t ds__gpt2_word_end(const char *text, uint32_t at, uint32_t end) {
    uint32_t bytes, kind = kind_of(text + at, &bytes);
    if (text[at] == '\'') {
        uint32_t more = contraction(text + at + 1, end - at - 1);
        if (more) return at + 1 + more;
    }
    if (kind != SPACE) return run_end(text, at, end, kind);
    if (text[at] == ' ' && at + 1 < end) {
        uint32_t next = kind_of(text + at + 1, &bytes);
        if (next != SPACE) return run_end(text, at + 1, end, next);
    }
    uint32_t behind = run_end(text, at, end, SPACE);
    if (behind == end) return end;
    /* \s+(?!\S): the last space belongs to what follows, unless it is the only one. */
    uint32_t code, last = (uint32_t)ds__uni_previous(text, behind, &code);
    return last > at ? last : behind;
}
