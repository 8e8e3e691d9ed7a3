/* Protobuf messages as short texts, wrong ones included, independent of the server's own writer:
 *
 *     1:abc      field 1, the bytes "abc" (up to a blank)        2=7       field 2, a varint
 *     7#00ff     field 7, bytes in hexadecimal                   3[2,-1]   field 3, packed varints
 *     5{1:x}     field 5, a sub-message                          !0aff     these bytes as they are */
#ifndef DS_TESTS_SERVER_PROTO_TEXT_H
#define DS_TESTS_SERVER_PROTO_TEXT_H

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static inline size_t proto_varint(unsigned char *out, unsigned long long value) {
    size_t size = 0;
    for (; value >= 128; value >>= 7) out[size++] = (unsigned char)(value | 128);
    out[size++] = (unsigned char)value;
    return size;
}

static inline size_t proto_hex(unsigned char *out, const char **at) {
    size_t size = 0;
    for (; isxdigit((unsigned char)(*at)[0]) && isxdigit((unsigned char)(*at)[1]); *at += 2) {
        char pair[3] = {(*at)[0], (*at)[1], 0};
        out[size++] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return size;
}

/* Up to the text's end or a closing brace; returns the bytes written. */
static inline size_t proto_pack(unsigned char *out, const char **at) {
    size_t size = 0;
    while (**at && **at != '}') {
        unsigned char inner[8192];
        size_t length = 0;
        if (**at == ' ') {
            ++*at;
            continue;
        }
        if (**at == '!') {
            ++*at;
            size += proto_hex(out + size, at);
            continue;
        }
        unsigned long field = strtoul(*at, (char **)at, 10);
        char kind = *(*at)++;
        if (kind == '=') {
            size += proto_varint(out + size, field << 3);
            size += proto_varint(out + size, strtoull(*at, (char **)at, 10));
            continue;
        }
        if (kind == ':') {
            while (**at && **at != ' ' && **at != '}') inner[length++] = (unsigned char)*(*at)++;
        } else if (kind == '#') {
            length = proto_hex(inner, at);
        } else if (kind == '[') {
            while (**at && **at != ']') {
                length += proto_varint(inner + length, (unsigned long long)strtoll(*at, (char **)at, 10));
                if (**at == ',') ++*at;
            }
            ++*at;
        } else if (kind == '{') {
            length = proto_pack(inner, at);
            ++*at;
        } else {
            abort(); /* a mistake in the test */
        }
        size += proto_varint(out + size, field << 3 | 2);
        size += proto_varint(out + size, length);
        memcpy(out + size, inner, length);
        size += length;
    }
    return size;
}

#endif
