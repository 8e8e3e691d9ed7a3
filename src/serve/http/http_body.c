/* Bodies: lengths, chunks (RFC 9112, 7.1), gzip and deflate. */
#include "serve/http/http_body.h"

#include <stdio.h>

#include "base/error.h"
#include "serve/foreign_memory.h"

enum { KEPT_BYTES = 64 * 1024, MAX_TRAILER_BYTES = 8 * 1024 };

static int refuse(ds_error *error, int status, const char *sentence) {
    ds_status ignored = ds__fail(error, DS_BAD_FORMAT, "%s", sentence);
    (void)ignored;
    return status;
}

static int too_large(const ds__http_body *body, ds_error *error) {
    ds_status ignored =
        ds__fail(error, DS_BAD_FORMAT, "the request's body has more than the %zu bytes that are taken", body->limit);
    (void)ignored;
    return 413;
}

void ds__http_body_init(ds__http_body *body, ds__heap *heap) {
    *body = (ds__http_body){0};
    ds__buffer_init(&body->bytes, heap);
}

static void end_inflate(ds__http_body *body) {
    if (body->inflates) inflateEnd(&body->inflate);
    body->inflates = false;
}

void ds__http_body_deinit(ds__http_body *body) {
    end_inflate(body);
    ds__http_body_wipe(body);
    ds__buffer_deinit(&body->bytes);
}

void ds__http_body_wipe(ds__http_body *body) {
    if (body->bytes.size) explicit_bzero(body->bytes.data, body->bytes.size);
    if (body->bytes.capacity > KEPT_BYTES) {
        ds__heap *heap = body->bytes.heap;
        ds__buffer_deinit(&body->bytes);
        ds__buffer_init(&body->bytes, heap);
    }
    ds__buffer_clear(&body->bytes);
    end_inflate(body);
}

int ds__http_body_start(ds__http_body *body, const ds__http_head *head, size_t limit, ds_error *error) {
    ds__str encoding = ds__http_header_value(head, "Content-Encoding");
    ds__buffer_clear(&body->bytes);
    end_inflate(body);
    body->limit = limit;
    body->left = head->content_length;
    body->is_chunked = head->is_chunked;
    body->is_done = !head->is_chunked && head->content_length == 0;
    body->state = DS__CHUNK_SIZE;
    body->line_size = body->trailer_bytes = 0;
    if (head->content_length > limit) return too_large(body, error);
    if (!encoding.size || ds__http_name_is(encoding, "identity") || body->is_done) return 0;
    bool is_gzip = ds__http_name_is(encoding, "gzip");
    if (!is_gzip && !ds__http_name_is(encoding, "deflate"))
        return refuse(error, 415, "Content-Encoding is something other than gzip, deflate or identity");
    body->inflate = (z_stream){0};
    ds__foreign_zlib(body->bytes.heap, &body->inflate);
    body->inflate_ended = false;
    if (inflateInit2(&body->inflate, is_gzip ? 15 + 16 : 15) != Z_OK)
        return refuse(error, 503, "no memory is left to decompress the body");
    body->inflates = true;
    return 0;
}

/* Bytes of the body, with the transfer's framing taken off. */
static int add_content(ds__http_body *body, const char *data, size_t size, ds_error *error) {
    if (!body->inflates) {
        if (size > body->limit - body->bytes.size) return too_large(body, error);
        ds__buffer_append(&body->bytes, data, size);
        return body->bytes.failed ? refuse(error, 503, "no memory is left for the request's body") : 0;
    }
    body->inflate.next_in = (Bytef *)data;
    body->inflate.avail_in = (uInt)size; /* a piece of at most a few hundred kilobytes */
    while (body->inflate.avail_in) {
        if (body->inflate_ended) return refuse(error, 400, "there is something behind the end of the compressed body");
        if (body->bytes.size == body->limit) return too_large(body, error);
        size_t room = body->limit - body->bytes.size, step = 4 * size < 4096 ? 4096 : 4 * size;
        if (room > step) room = step;
        if (!ds__buffer_reserve(&body->bytes, room))
            return refuse(error, 503, "no memory is left for the request's body");
        body->inflate.next_out = (Bytef *)body->bytes.data + body->bytes.size;
        body->inflate.avail_out = (uInt)room;
        int result = inflate(&body->inflate, Z_NO_FLUSH);
        body->bytes.size += room - body->inflate.avail_out;
        if (result == Z_STREAM_END)
            body->inflate_ended = true;
        else if (result != Z_OK && result != Z_BUF_ERROR)
            return refuse(error, 400, "the body is not compressed as Content-Encoding says");
    }
    return 0;
}

/* A line that ends in CR LF, in pieces; *complete when it does. */
static int add_line(ds__http_body *body, char byte, bool *complete, ds_error *error) {
    *complete = false;
    if (body->line_size == sizeof body->line) {
        if (body->state == DS__CHUNK_SIZE)
            return refuse(error, 400, "a chunk's size has a line of more than 128 bytes");
        body->line[0] = body->line[sizeof body->line - 1]; /* a trailer's text is not kept, but how it ends */
        body->line_size = 1;
    }
    body->line[body->line_size++] = byte;
    if (byte != '\n') return 0;
    if (body->line_size < 2 || body->line[body->line_size - 2] != '\r')
        return refuse(error, 400, "a chunk's line does not end in CR LF");
    body->line_size -= 2;
    *complete = true;
    return 0;
}

static int start_chunk(ds__http_body *body, ds_error *error) {
    uint64_t size = 0;
    size_t i = 0;
    for (; i < body->line_size; i++) {
        char c = body->line[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) break;
        if (size >> 56) return too_large(body, error);
        size = size << 4 | (uint64_t)digit;
    }
    if (i == 0 || (i < body->line_size && body->line[i] != ';'))
        return refuse(error, 400, "a chunk's size is not a hexadecimal number");
    body->line_size = 0;
    body->left = size;
    body->state = size ? DS__CHUNK_DATA : DS__CHUNK_TRAILER;
    return !body->inflates && size > body->limit - body->bytes.size ? too_large(body, error) : 0;
}

static int end_line(ds__http_body *body, ds_error *error) {
    bool is_empty = body->line_size == 0;
    if (body->state == DS__CHUNK_SIZE) return start_chunk(body, error);
    body->line_size = 0;
    if (body->state == DS__CHUNK_DATA_END) {
        if (!is_empty) return refuse(error, 400, "a chunk is longer than its size says");
        body->state = DS__CHUNK_SIZE;
    } else if (is_empty) {
        body->is_done = true;
    }
    return 0;
}

/* One step through chunks: a byte of a line, or a run of data. */
static int add_chunked(ds__http_body *body, const char *data, size_t size, size_t *used, ds_error *error) {
    bool complete;
    if (body->state == DS__CHUNK_DATA) {
        *used = size < body->left ? size : (size_t)body->left;
        body->left -= *used;
        if (!body->left) body->state = DS__CHUNK_DATA_END;
        return add_content(body, data, *used, error);
    }
    *used = 1;
    if (body->state == DS__CHUNK_TRAILER && ++body->trailer_bytes > MAX_TRAILER_BYTES)
        return refuse(error, 431, "the trailer behind the chunks is longer than 8192 bytes");
    if (body->state == DS__CHUNK_DATA_END && body->line_size >= 2)
        return refuse(error, 400, "a chunk is longer than its size says");
    int status = add_line(body, *data, &complete, error);
    return status || !complete ? status : end_line(body, error);
}

int ds__http_body_add(ds__http_body *body, const char *data, size_t size, size_t *used, ds_error *error) {
    int status = 0;
    *used = 0;
    while (!status && !body->is_done && *used < size) {
        size_t step = size - *used;
        if (body->is_chunked) {
            status = add_chunked(body, data + *used, size - *used, &step, error);
        } else {
            if (step > body->left) step = (size_t)body->left;
            body->left -= step;
            status = add_content(body, data + *used, step, error);
            body->is_done = body->left == 0;
        }
        *used += step;
    }
    if (!status && body->is_done && body->inflates && !body->inflate_ended)
        return refuse(error, 400, "the compressed body ends too early");
    return status;
}
