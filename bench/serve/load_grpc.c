/* gRPC's ModelInfer over HTTP/2 without TLS, one stream at a time.
 *
 * Frames are made by hand: a call is one HEADERS frame, of a few bytes once the server's table knows the names and
 * values, and one DATA frame, written together: with one frame on the way at a time, a server that grants again what it
 * has read never has its window shut, so nothing is counted here.  nghttp2 reads the answers' headers. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/serve/load.h"
#include "serve/grpc/wire.h"

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED_OR_PRIORITY = 8 | 32 };
enum { FRAME_HEAD = 9, PREFIX = 5, MAX_FRAME = 16384, FIRST_WINDOW = 65535, STREAM_WINDOW = 64 << 20, GRANT = 1 << 29 };

static void put_u32(char *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (char)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const char *at) {
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_frame(ds__buffer *out, int type, int flags, uint32_t stream, ds__str payload) {
    char head[FRAME_HEAD];
    put_u32(head, (uint32_t)payload.size << 8);
    head[3] = (char)type, head[4] = (char)flags;
    put_u32(head + 5, stream);
    ds__buffer_append(out, head, sizeof head);
    ds__buffer_append(out, payload.data, payload.size);
}

/* ---- the request ---- */

static void put_truncate(ds__buffer *out) {
    size_t entry = ds__wire_open(out, 4);
    ds__wire_put_text(out, 1, "truncate");
    size_t value = ds__wire_open(out, 2);
    ds__wire_put_uint(out, 1, 1);
    ds__wire_close(out, value);
    ds__wire_close(out, entry);
}

/* A ModelInferRequest behind the five bytes that gRPC puts before a message. */
static void build(const load_options *options, const load_text *texts, load_request *request, ds__buffer *out) {
    const int64_t shape = (int64_t)request->count;
    size_t size = 0;
    char prefix[PREFIX] = {0};
    ds__buffer_append(out, prefix, PREFIX);
    ds__wire_put_text(out, 1, options->model);
    ds__wire_put_text(out, 3, "0000000000000000");
    request->id_at = out->size - LOAD_ID_BYTES;
    put_truncate(out);
    size_t tensor = ds__wire_open(out, 5);
    ds__wire_put_text(out, 1, "text");
    ds__wire_put_text(out, 2, "BYTES");
    ds__wire_put_i64s(out, 3, &shape, 1);
    ds__wire_close(out, tensor);
    tensor = ds__wire_open(out, 6);
    ds__wire_put_text(out, 1, options->output);
    ds__wire_close(out, tensor);
    for (size_t i = 0; i < request->count; i++) size += 4 + texts[i].text.size;
    ds__wire_put_head(out, 7, size);
    for (size_t i = 0; i < request->count; i++) {
        const uint32_t length = (uint32_t)texts[i].text.size; /* little endian, as the machines we run on */
        ds__buffer_append(out, &length, sizeof length);
        ds__buffer_append(out, texts[i].text.data, texts[i].text.size);
    }
    load_is_whole(out);
    if (out->size > MAX_FRAME)
        load_die("the request for text %zu has %zu bytes, and over gRPC at most %d are sent here, one frame; use "
                 "shorter texts or a smaller --texts-per-request",
                 request->first + 1, out->size, MAX_FRAME);
    put_u32(out->data + 1, (uint32_t)(out->size - PREFIX));
}

/* A literal that the server's table takes up. name: NULL where `index` has it in the static table. */
static void put_header(ds__buffer *out, int index, const char *name, const char *value) {
    ds__buffer_put(out, (char)(0x40 | index));
    for (const char *text = name ? name : value; text; text = text == value ? NULL : value) {
        ds__buffer_put(out, (char)strlen(text)); /* below 127, see the options' check */
        ds__buffer_text(out, text);
    }
}

static void put_headers(const load_options *options, load_connection *connection) {
    char block[512], authority[32];
    ds__buffer out = {.data = block, .capacity = sizeof block}; /* a few bytes, never grown */
    ds__buffer_text(&out, "\x83\x86");                          /* POST, http */
    if (connection->stream == 1) {
        snprintf(authority, sizeof authority, "127.0.0.1:%d", options->port);
        put_header(&out, 4, NULL, "/inference.GRPCInferenceService/ModelInfer");
        put_header(&out, 1, NULL, authority);
        put_header(&out, 31, NULL, "application/grpc");
        put_header(&out, 0, "te", "trailers");
    } else {
        for (int i = 4; i; i--) ds__buffer_put(&out, (char)(0x80 | (61 + i)));
    }
    put_frame(&connection->out, HEADERS, END_HEADERS, connection->stream, ds__buffer_str(&out));
}

static void send_call(const load_options *options, load_connection *connection) {
    const load_request *request = connection->request;
    connection->stream = connection->stream ? connection->stream + 2 : 1;
    connection->http_status = connection->grpc_status = -1;
    ds__buffer_clear(&connection->message);
    ds__buffer_clear(&connection->sentence);
    put_headers(options, connection);
    size_t at = connection->out.size + FRAME_HEAD;
    put_frame(&connection->out, DATA, END_STREAM, connection->stream, request->bytes);
    load_is_whole(&connection->out);
    memcpy(connection->out.data + at + request->id_at, connection->id, LOAD_ID_BYTES);
}

/* ---- the connection ---- */

static void open_connection(load_connection *connection) {
    ds__buffer *out = &connection->out;
    char settings[12] = {0, 2, 0, 0, 0, 0, 0, 4}, window[4]; /* no pushes; how far the server may send ahead */
    connection->stream = 0;
    connection->received = 0;
    if (!connection->message.heap) {
        ds__buffer_init(&connection->message, &load_heap);
        ds__buffer_init(&connection->sentence, &load_heap);
    }
    if (nghttp2_hd_inflate_new(&connection->inflater) != 0) load_die("out of memory");
    put_u32(settings + 8, STREAM_WINDOW);
    put_u32(window, 0x7fffffff - FIRST_WINDOW);
    ds__buffer_append(out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    put_frame(out, SETTINGS, 0, 0, (ds__str){settings, sizeof settings});
    put_frame(out, WINDOW_UPDATE, 0, 0, (ds__str){window, sizeof window});
}

static void close_connection(load_connection *connection) {
    nghttp2_hd_inflate_del(connection->inflater);
    connection->inflater = NULL;
}

/* ---- the answer ---- */

static bool take_headers(load_connection *connection, ds__str block) {
    const uint8_t *at = (const uint8_t *)block.data;
    size_t left = block.size;
    for (;;) {
        nghttp2_nv pair;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(connection->inflater, &pair, &flags, at, left, 1);
        if (used < 0) return false;
        at += used;
        left -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            const ds__str name = {(const char *)pair.name, pair.namelen};
            const char *value = (const char *)pair.value; /* nghttp2 ends it with a NUL */
            if (ds__str_is(name, ":status")) connection->http_status = (int)strtol(value, NULL, 10);
            if (ds__str_is(name, "grpc-status")) connection->grpc_status = (int)strtol(value, NULL, 10);
            if (ds__str_is(name, "grpc-message")) ds__buffer_append(&connection->sentence, pair.value, pair.valuelen);
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL) {
            nghttp2_hd_inflate_end_headers(connection->inflater);
            return true;
        }
        if (!left && !(flags & NGHTTP2_HD_INFLATE_EMIT)) return true;
    }
}

static void take_data(load_connection *connection, ds__str payload) {
    ds__buffer_append(&connection->message, payload.data, payload.size);
    connection->received += payload.size;
    if (connection->received < GRANT) return;
    char window[4];
    put_u32(window, (uint32_t)connection->received);
    put_frame(&connection->out, WINDOW_UPDATE, 0, 0, (ds__str){window, sizeof window});
    connection->received = 0;
}

/* One frame. 1: the call is over; 0: it is not; -1: this is none of HTTP/2's. */
static int take_frame(load_connection *connection, const char *head, ds__str payload) {
    const int type = head[3], flags = (unsigned char)head[4];
    const uint32_t stream = get_u32(head + 5) & 0x7fffffff;
    const bool ours = stream && stream == connection->stream && connection->state == LOAD_BUSY;
    if ((type == HEADERS || type == DATA) && flags & PADDED_OR_PRIORITY) return -1;
    if (type == HEADERS && (!(flags & END_HEADERS) || !take_headers(connection, payload))) return -1;
    if (type == DATA) take_data(connection, payload);
    if (type == SETTINGS && !(flags & ACK)) put_frame(&connection->out, SETTINGS, ACK, 0, (ds__str){NULL, 0});
    if (type == PING && !(flags & ACK)) put_frame(&connection->out, PING, ACK, 0, payload);
    if (type == GOAWAY && payload.size >= 8) {
        connection->ends = true;
        const bool refused = (get_u32(payload.data) & 0x7fffffff) < connection->stream;
        return refused && connection->state == LOAD_BUSY;
    }
    return ours && (type == RST_STREAM || ((type == HEADERS || type == DATA) && flags & END_STREAM));
}

/* The id and the first output of a ModelInferResponse. */
static bool read_message(ds__str message, load_answer *out) {
    ds_error error = {DS_OK, ""};
    if (message.size < PREFIX || message.data[0] != 0 || get_u32(message.data + 1) != message.size - PREFIX)
        return false;
    ds__wire wire = ds__wire_of((ds__str){message.data + PREFIX, message.size - PREFIX}, "ModelInferResponse", &error);
    while (ds__wire_next(&wire)) {
        if (wire.field == 3) out->id = ds__wire_bytes(&wire, "id");
        if (wire.field == 6 && !out->vectors.size) out->vectors = ds__wire_bytes(&wire, "raw_output_contents");
    }
    return ds__wire_ok(&wire);
}

static int finish(load_connection *connection, load_answer *out) {
    const int http = connection->http_status, grpc = connection->grpc_status;
    out->sentence = ds__buffer_str(&connection->sentence);
    out->status = http >= 100 && http != 200 && http < LOAD_NO_STATUS ? http
                  : grpc >= 0 && grpc < LOAD_NO_STATUS                ? grpc
                                                                      : LOAD_NO_STATUS;
    if (out->status != load_grpc.good || read_message(ds__buffer_str(&connection->message), out)) return 1;
    out->sentence = DS_STR("a good status stands behind something that is no ModelInferResponse");
    return -1;
}

static int take(load_connection *connection, load_answer *out, size_t *used) {
    const ds__buffer *in = &connection->in;
    *used = 0;
    while (in->size - *used >= FRAME_HEAD) {
        const char *head = in->data + *used;
        const size_t size = get_u32(head) >> 8;
        if (in->size - *used < FRAME_HEAD + size) return 0;
        *used += FRAME_HEAD + size;
        int result = take_frame(connection, head, (ds__str){head + FRAME_HEAD, size});
        load_is_whole(&connection->message);
        if (result < 0) {
            out->sentence = DS_STR("a frame that this client does not understand");
            return -1;
        }
        if (result) return finish(connection, out);
    }
    return 0;
}

const load_protocol load_grpc = {.name = "grpc",
                                 .good = 0,
                                 .build = build,
                                 .open = open_connection,
                                 .close = close_connection,
                                 .send = send_call,
                                 .take = take};
