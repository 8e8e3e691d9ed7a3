/* A request's body as it arrives: by length or in chunks, plain or compressed, into one run of bytes under a limit. */
#ifndef DS_SERVE_HTTP_HTTP_BODY_H
#define DS_SERVE_HTTP_HTTP_BODY_H

#include <zlib.h>

#include "base/buffer.h"
#include "serve/http/http_head.h"

typedef enum ds__chunk_state {
    DS__CHUNK_SIZE, /* in the line with the size */
    DS__CHUNK_DATA,
    DS__CHUNK_DATA_END, /* CR LF behind a chunk */
    DS__CHUNK_TRAILER,  /* lines behind the last one, which are ignored */
} ds__chunk_state;

typedef struct ds__http_body {
    ds__buffer bytes; /* what there is so far, decoded */
    size_t limit;     /* of `bytes`, so of what was inflated too */
    uint64_t left;    /* of the length, or of the chunk */
    bool is_chunked, is_done;
    ds__chunk_state state;
    char line[128]; /* a chunk's size, a trailer */
    size_t line_size, trailer_bytes;
    bool inflates, inflate_ended;
    z_stream inflate;
} ds__http_body;

void ds__http_body_init(ds__http_body *body, ds__heap *heap);
void ds__http_body_deinit(ds__http_body *body);
/* For a new request. 0, or the status to refuse it with (411, 413, 415) and a sentence. */
int ds__http_body_start(ds__http_body *body, const ds__http_head *head, size_t limit, ds_error *error);
/* Takes bytes of the connection; *used: how many were the body's. 0, or a status (400, 413, 503). */
int ds__http_body_add(ds__http_body *body, const char *data, size_t size, size_t *used, ds_error *error);
/* The request is answered: what was in it is wiped, and large memory given back. */
void ds__http_body_wipe(ds__http_body *body);

#endif
