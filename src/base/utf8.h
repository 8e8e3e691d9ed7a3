/* UTF-8 (RFC 3629): decoding with replacement as the Encoding Standard and Python do it: each maximal invalid subpart
 * becomes one U+FFFD. */
#ifndef DS_BASE_UTF8_H
#define DS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum { DS__REPLACEMENT = 0xFFFD };

/* Decodes the character at text[0..size), size > 0; *code gets it (U+FFFD if invalid); returns the bytes consumed (>=
 * 1). */
size_t ds__utf8_decode(const char *text, size_t size, uint32_t *code);
/* Writes 1 to 4 bytes; a surrogate or a code over U+10FFFF is written as U+FFFD. */
size_t ds__utf8_encode(uint32_t code, char out[4]);
bool ds__utf8_valid(const char *text, size_t size);
/* Appends the text with every invalid subpart replaced. */
void ds__utf8_append_repaired(ds__buffer *out, const char *text, size_t size);

#endif
