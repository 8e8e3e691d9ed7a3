/* Made by tools/gen_unicode.py from the answers of the `tokenizers` package 0.23.3; do not edit.
 * What the reference tokenizers think of every character; see unicode.h for how to ask. */
#ifndef DS_TOKENIZER_UNICODE_TABLES_H
#define DS_TOKENIZER_UNICODE_TABLES_H

#include <stdint.h>

enum {
    DS__UNI_CONTROL = 1 << 0, /* BertNormalizer's clean_text removes it */
    DS__UNI_SPACE = 1 << 1, /* white space, for every component */
    DS__UNI_HAN = 1 << 2, /* BertNormalizer puts spaces around it */
    DS__UNI_NONSPACING = 1 << 3, /* BertNormalizer's strip_accents removes it */
    DS__UNI_MARK = 1 << 4, /* StripAccents removes it */
    DS__UNI_PUNCTUATION = 1 << 5, /* BertPreTokenizer and Punctuation make it a word of its own */
    DS__UNI_LETTER = 1 << 6, /* \p{L} of the byte-level pattern */
    DS__UNI_NUMBER = 1 << 7, /* \p{N} of the byte-level pattern */
    DS__UNI_WORD = 1 << 8, /* \w of Whitespace and of single-word added tokens */
    DS__UNI_NORMALIZES = 1 << 9, /* has a decomposition or a combining class in the reference's Unicode version */
};

typedef struct ds__uni_class {
    uint16_t flags;
    int32_t lower; /* add it to the code point for the lower-case form */
} ds__uni_class;

enum { DS__UNI_PAGE = 128, DS__UNI_CODES = 0x110000 };
extern const uint8_t ds__uni_pages[DS__UNI_CODES / DS__UNI_PAGE];
extern const uint8_t ds__uni_page_classes[246][DS__UNI_PAGE];
extern const ds__uni_class ds__uni_classes[115];

#endif
