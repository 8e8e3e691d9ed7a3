/* An HTTP/2 client that writes every frame by hand, so that it can also write wrong ones, and reads answers with
 * nghttp2's header decompressor only.  Client and server share the test's thread: h2_turn gives both a turn. */
#ifndef DS_TESTS_SERVER_H2_CLIENT_H
#define DS_TESTS_SERVER_H2_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

enum { H2_DATA, H2_HEADERS, H2_PRIORITY, H2_RST, H2_SETTINGS, H2_PUSH, H2_PING, H2_GOAWAY, H2_WINDOW, H2_CONTINUATION };
enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4, H2_PADDED = 8 };
enum { H2_STREAMS = 600, H2_WAIT_MS = 30000 };

typedef struct h2_answer {
    int http_status, grpc_status; /* -1: not there */
    char message[1024], encoding[16], content_type[32], pushback[16];
    unsigned char *body;
    size_t size, capacity;
    int header_blocks;
    bool ended, reset;
    uint32_t reset_code;
} h2_answer;

typedef struct h2_client {
    struct event_base *base;
    int fd;
    nghttp2_hd_inflater *inflater;
    unsigned char *in;
    size_t in_size, in_capacity;
    h2_answer answers[H2_STREAMS]; /* [stream / 2] */
    size_t granted;                /* by WINDOW_UPDATE of streams */
    int pings, ping_acks, settings;
    bool closed, goaway;
    uint32_t goaway_code, goaway_last;
    bool quiet; /* PINGs of the server stay without an answer */
} h2_client;

static inline void h2_open(h2_client *client, struct event_base *base, int port) {
    memset(client, 0, sizeof *client);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->base = base;
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(nghttp2_hd_inflate_new(&client->inflater), 0);
    for (int i = 0; i < H2_STREAMS; i++) client->answers[i].http_status = client->answers[i].grpc_status = -1;
}

static inline void h2_close(h2_client *client) {
    if (client->fd >= 0) close(client->fd);
    client->fd = -1;
    nghttp2_hd_inflate_del(client->inflater);
    free(client->in);
    for (int i = 0; i < H2_STREAMS; i++) free(client->answers[i].body);
}

static inline void h2_take_headers(h2_client *client, h2_answer *answer, const unsigned char *data, size_t size,
                                   int last) {
    for (;;) {
        nghttp2_nv pair;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(client->inflater, &pair, &flags, data, size, last);
        assert_true(used >= 0);
        data += used;
        size -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            const char *name = (const char *)pair.name, *value = (const char *)pair.value;
            if (!strcmp(name, ":status")) answer->http_status = atoi(value);
            if (!strcmp(name, "grpc-status")) answer->grpc_status = atoi(value);
            if (!strcmp(name, "grpc-message")) snprintf(answer->message, sizeof answer->message, "%s", value);
            if (!strcmp(name, "grpc-encoding")) snprintf(answer->encoding, sizeof answer->encoding, "%s", value);
            if (!strcmp(name, "grpc-retry-pushback-ms"))
                snprintf(answer->pushback, sizeof answer->pushback, "%s", value);
            if (!strcmp(name, "content-type")) snprintf(answer->content_type, 32, "%s", value);
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL) nghttp2_hd_inflate_end_headers(client->inflater);
        if (flags & NGHTTP2_HD_INFLATE_FINAL || (!size && !(flags & NGHTTP2_HD_INFLATE_EMIT))) return;
    }
}

static inline void h2_write(h2_client *client, const void *data, size_t size);

static inline uint32_t h2_u32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void h2_frame_head(unsigned char head[9], size_t size, int type, int flags, uint32_t stream) {
    head[0] = (unsigned char)(size >> 16), head[1] = (unsigned char)(size >> 8), head[2] = (unsigned char)size;
    head[3] = (unsigned char)type, head[4] = (unsigned char)flags;
    for (int i = 0; i < 4; i++) head[5 + i] = (unsigned char)(stream >> (24 - 8 * i));
}

static inline void h2_frame(h2_client *client, int type, int flags, uint32_t stream, const void *data, size_t size) {
    unsigned char *frame = malloc(9 + size);
    assert_non_null(frame);
    h2_frame_head(frame, size, type, flags, stream);
    if (size) memcpy(frame + 9, data, size);
    h2_write(client, frame, 9 + size);
    free(frame);
}

static inline void h2_take_frame(h2_client *client, const unsigned char *head, const unsigned char *data, size_t size) {
    uint32_t stream = h2_u32(head + 5) & 0x7fffffff;
    h2_answer *answer =
        &client->answers[stream / 2 < H2_STREAMS ? stream / 2 : H2_STREAMS - 1]; /* the last: the rest */
    int type = head[3], flags = head[4];
    if (type == H2_HEADERS) {
        answer->header_blocks++;
        h2_take_headers(client, answer, data, size, flags & H2_END_HEADERS);
    } else if (type == H2_DATA && size) {
        if (answer->size + size > answer->capacity) {
            answer->capacity = 2 * (answer->size + size);
            answer->body = realloc(answer->body, answer->capacity);
            assert_non_null(answer->body);
        }
        memcpy(answer->body + answer->size, data, size);
        answer->size += size;
    } else if (type == H2_RST) {
        answer->reset = true;
        answer->reset_code = h2_u32(data);
    } else if (type == H2_SETTINGS && !(flags & H2_ACK)) {
        client->settings++;
        h2_frame(client, H2_SETTINGS, H2_ACK, 0, NULL, 0);
    } else if (type == H2_PING) {
        if (flags & H2_ACK)
            client->ping_acks++;
        else
            client->pings++;
        if (!(flags & H2_ACK) && !client->quiet) h2_frame(client, H2_PING, H2_ACK, 0, data, 8);
    } else if (type == H2_GOAWAY) {
        client->goaway = true;
        client->goaway_last = h2_u32(data);
        client->goaway_code = h2_u32(data + 4);
    } else if (type == H2_WINDOW && stream) {
        client->granted += h2_u32(data);
    }
    if ((type == H2_DATA || type == H2_HEADERS) && flags & H2_END_STREAM) answer->ended = true;
}

/* Reads what is there. */
static inline void h2_read(h2_client *client) {
    while (!client->closed) {
        if (client->in_capacity - client->in_size < 65536) {
            client->in_capacity += 131072;
            client->in = realloc(client->in, client->in_capacity);
            assert_non_null(client->in);
        }
        ssize_t size = recv(client->fd, client->in + client->in_size, 65536, 0);
        if (size < 0 && errno == EAGAIN) break;
        if (size <= 0) client->closed = true;
        if (size > 0) client->in_size += (size_t)size;
        size_t at = 0;
        while (client->in_size - at >= 9 && memcmp(client->in, "HTTP/1", 6) != 0) {
            const unsigned char *head = client->in + at;
            size_t body = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
            if (client->in_size - at < 9 + body) break;
            h2_take_frame(client, head, head + 9, body);
            at += 9 + body;
        }
        memmove(client->in, client->in + at, client->in_size - at);
        client->in_size -= at;
    }
}

static inline void h2_turn(h2_client *client) {
    event_base_loop(client->base, EVLOOP_NONBLOCK);
    if (client->fd >= 0) h2_read(client);
}

static inline void h2_write(h2_client *client, const void *data, size_t size) {
    const char *at = data;
    while (size && !client->closed) {
        ssize_t sent = send(client->fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            h2_turn(client);
            continue;
        }
        if (sent < 0) return; /* the server closed: what it said before is still to be read */
        at += sent;
        size -= (size_t)sent;
    }
}

/* Turns until the condition holds; fails the test after half a minute. */
#define H2_UNTIL(client, condition)                                                                                    \
    do {                                                                                                               \
        uint64_t h2_since = ds__clock_ns();                                                                            \
        while (!(condition)) {                                                                                         \
            h2_turn(client);                                                                                           \
            if (ds__clock_ns() - h2_since > H2_WAIT_MS * UINT64_C(1000000)) fail_msg("never: %s", #condition);         \
        }                                                                                                              \
    } while (0)

static inline void h2_turns_for_ms(h2_client *client, int ms) {
    for (uint64_t since = ds__clock_ns(); ds__clock_ns() - since < (uint64_t)ms * 1000000;) h2_turn(client);
}

static inline void h2_hello(h2_client *client) {
    h2_write(client, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    h2_frame(client, H2_SETTINGS, 0, 0, NULL, 0);
}

static inline size_t h2_pack_text(unsigned char *out, const char *text) {
    size_t length = strlen(text), size = 0;
    if (length < 127) {
        out[size++] = (unsigned char)length;
    } else {
        size_t rest = length - 127;
        out[size++] = 127;
        for (; rest >= 128; rest >>= 7) out[size++] = (unsigned char)(rest | 128);
        out[size++] = (unsigned char)rest;
    }
    memcpy(out + size, text, length);
    return size + length;
}

/* Names and values by turns, ended by NULL, as HPACK literals that are never indexed. */
static inline size_t h2_pack(unsigned char *out, const char *const *pairs) {
    size_t size = 0;
    for (; *pairs; pairs += 2) {
        out[size++] = 0x10;
        size += h2_pack_text(out + size, pairs[0]);
        size += h2_pack_text(out + size, pairs[1]);
    }
    return size;
}

/* A request's headers; `more`: further pairs, or NULL. */
static inline void h2_request(h2_client *client, uint32_t stream, int flags, const char *path,
                              const char *const *more) {
    static unsigned char block[65536];
    const char *first[] = {":method", "POST",         ":authority",       "test", ":scheme",  "http", ":path",
                           path,      "content-type", "application/grpc", "te",   "trailers", NULL};
    size_t size = h2_pack(block, first);
    if (more) size += h2_pack(block + size, more);
    h2_frame(client, H2_HEADERS, flags | H2_END_HEADERS, stream, block, size);
}

/* A message with its head in one DATA frame (at most 16,379 bytes). */
static inline void h2_message(h2_client *client, uint32_t stream, int flags, const void *data, size_t size) {
    static unsigned char frame[16384];
    assert_true(size + 5 <= sizeof frame);
    frame[0] = 0;
    for (int i = 0; i < 4; i++) frame[1 + i] = (unsigned char)(size >> (24 - 8 * i));
    if (size) memcpy(frame + 5, data, size);
    h2_frame(client, H2_DATA, flags, stream, frame, size + 5);
}

static inline h2_answer *h2_answer_of(h2_client *client, uint32_t stream) { return &client->answers[stream / 2]; }

/* A whole unary call. */
static inline h2_answer *h2_call(h2_client *client, uint32_t stream, const char *path, const void *data, size_t size) {
    h2_request(client, stream, 0, path, NULL);
    h2_message(client, stream, H2_END_STREAM, data, size);
    h2_answer *answer = h2_answer_of(client, stream);
    H2_UNTIL(client, answer->ended || answer->reset || client->closed);
    return answer;
}

static inline void h2_window(h2_client *client, uint32_t stream, uint32_t bytes) {
    unsigned char data[4] = {(unsigned char)(bytes >> 24), (unsigned char)(bytes >> 16), (unsigned char)(bytes >> 8),
                             (unsigned char)bytes};
    h2_frame(client, H2_WINDOW, 0, stream, data, 4);
}

#endif
