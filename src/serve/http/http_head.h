/* The head of an HTTP/1 request (RFC 9110, 9112), strictly: what two servers could read in two ways is refused. */
#ifndef DS_SERVE_HTTP_HTTP_HEAD_H
#define DS_SERVE_HTTP_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "deepseek/status.h"

enum {
    DS__HTTP_MAX_HEAD = 16 * 1024, /* bytes of request line and headers */
    DS__HTTP_MAX_TARGET = 4 * 1024,
    DS__HTTP_MAX_HEADERS = 64,
};

typedef struct ds__http_header {
    ds__str name, value; /* value without white space around it */
} ds__http_header;

typedef struct ds__http_head {
    ds__str method, path, query; /* path: as sent, begins with '/' */
    int minor;                   /* of HTTP/1.x */
    ds__http_header headers[DS__HTTP_MAX_HEADERS];
    size_t header_count;
    uint64_t content_length;
    bool has_length, is_chunked, keep_alive, expects_continue;
} ds__http_head;

/* text: up to and with the empty line; borrowed by what is found.  0, or the status to refuse it with (400, 414, 417,
 * 431, 501, 505) and a sentence. */
int ds__http_head_parse(ds__str text, ds__http_head *head, ds_error *error);
/* The value of the first header of this name; .data NULL: there is none. */
ds__str ds__http_header_value(const ds__http_head *head, const char *name);
bool ds__http_name_is(ds__str text, const char *name);
/* A decimal number of digits alone; false when it is none, or over 2^62. */
bool ds__http_number(ds__str text, uint64_t *out);
/* "%2F" and so on, in place; false for what is no escape, or makes a NUL. */
bool ds__http_unescape(char *text, size_t *size);

#endif
