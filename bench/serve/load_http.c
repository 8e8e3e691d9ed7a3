/* HTTP/1.1: the Open Inference Protocol's REST side, with the answer's tensor as bytes, and OpenAI's embeddings. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "bench/serve/load.h"
#include "formats/json.h"

enum { MAX_HEAD = 1 << 16 };

static const char no_id[LOAD_ID_BYTES + 1] = "0000000000000000";

static void put_texts(ds__json_writer *json, const load_text *texts, size_t count) {
    ds__json_open_array(json);
    for (size_t i = 0; i < count; i++) ds__json_put_string(json, texts[i].text);
    ds__json_close_array(json);
}

/* The head, then the body; request->id_at is an offset in the body until then. */
static void finish(const load_options *options, const char *path, ds__buffer *body, load_request *request,
                   ds__buffer *out) {
    ds__buffer_printf(out, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n", path,
                      options->port);
    ds__buffer_printf(out, "Content-Length: %zu\r\n\r\n", body->size);
    if (request->id_at) request->id_at += out->size;
    load_is_whole(body);
    ds__buffer_append(out, body->data, body->size);
    ds__buffer_deinit(body);
}

static void build_rest(const load_options *options, const load_text *texts, load_request *request, ds__buffer *out) {
    ds__buffer body;
    ds__buffer_init(&body, &load_heap);
    ds__json_writer json = {&body, false};
    ds__buffer_printf(&body, "{\"id\":\"%s\",\"parameters\":{\"truncate\":true", no_id);
    request->id_at = sizeof "{\"id\":\"" - 1;
    ds__buffer_printf(
        &body, "},\"inputs\":[{\"name\":\"text\",\"shape\":[%zu],\"datatype\":\"BYTES\",\"data\":", request->count);
    put_texts(&json, texts, request->count);
    ds__buffer_printf(&body, "}],\"outputs\":[{\"name\":\"%s\",\"parameters\":{\"binary_data\":true}}]}",
                      options->output);
    char path[512];
    snprintf(path, sizeof path, "/v2/models/%s/infer", options->model);
    finish(options, path, &body, request, out);
}

static void build_openai(const load_options *options, const load_text *texts, load_request *request, ds__buffer *out) {
    ds__buffer body;
    ds__buffer_init(&body, &load_heap);
    ds__json_writer json = {&body, false};
    ds__buffer_text(&body, "{\"model\":");
    ds__json_put_string(&json, ds__str_of(options->model));
    json.needs_comma = false;
    ds__buffer_text(&body, ",\"encoding_format\":\"base64\",\"truncate\":true,\"input\":");
    if (request->count == 1)
        ds__json_put_string(&json, texts->text);
    else
        put_texts(&json, texts, request->count);
    ds__buffer_text(&body, "}");
    finish(options, "/v1/embeddings", &body, request, out);
}

static void send_http(const load_options *options, load_connection *connection) {
    const load_request *request = connection->request;
    size_t at = connection->out.size;
    ds__buffer_append(&connection->out, request->bytes.data, request->bytes.size);
    load_is_whole(&connection->out);
    if (request->id_at) memcpy(connection->out.data + at + request->id_at, connection->id, LOAD_ID_BYTES);
}

/* What the head says that is of use here. */
typedef struct head {
    int status;
    long long length, json_length; /* -1: not said */
    bool closes;
} head;

static void read_line(const char *line, size_t size, head *out) {
    static const char length[] = "content-length:", json[] = "inference-header-content-length:",
                      connection[] = "connection: close";
    if (size > sizeof length - 1 && strncasecmp(line, length, sizeof length - 1) == 0)
        out->length = strtoll(line + sizeof length - 1, NULL, 10);
    else if (size > sizeof json - 1 && strncasecmp(line, json, sizeof json - 1) == 0)
        out->json_length = strtoll(line + sizeof json - 1, NULL, 10);
    else if (size >= sizeof connection - 1 && strncasecmp(line, connection, sizeof connection - 1) == 0)
        out->closes = true;
}

static head read_head(const char *at, const char *end) {
    head out = {.length = -1, .json_length = -1};
    if (end - at > 12 && memcmp(at, "HTTP/1.", 7) == 0) out.status = (int)strtol(at + 9, NULL, 10);
    while (at < end) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));
        if (!stop) stop = end;
        read_line(at, (size_t)(stop - at), &out);
        at = stop + 2;
    }
    return out;
}

static int broken(load_answer *out, const char *why) {
    out->sentence = ds__str_of(why);
    return -1;
}

/* An answer's body, or 0 and -1 as load_protocol.take says. */
static int take_body(load_connection *connection, load_answer *out, ds__str *body, long long *json_length) {
    const ds__buffer *in = &connection->in;
    const char *end = in->size ? memmem(in->data, in->size, "\r\n\r\n", 4) : NULL;
    if (!end) return in->size < MAX_HEAD ? 0 : broken(out, "an answer's head does not end");
    const head h = read_head(in->data, end);
    if (h.status < 100 || h.status > 599) return broken(out, "an answer does not begin with HTTP/1 and a status");
    if (h.length < 0) return broken(out, "an answer has no Content-Length");
    const size_t before = (size_t)(end - in->data) + 4;
    if (in->size - before < (size_t)h.length) return 0;
    *body = (ds__str){in->data + before, (size_t)h.length};
    *json_length = h.json_length;
    out->status = h.status;
    connection->ends |= h.closes;
    if (h.status != 200) out->sentence = *body;
    return 1;
}

static int take_openai(load_connection *connection, load_answer *out, size_t *used) {
    long long json_length;
    int result = take_body(connection, out, &out->vectors, &json_length);
    if (result == 1) *used = (size_t)(out->vectors.data + out->vectors.size - connection->in.data);
    return result;
}

static int take_rest(load_connection *connection, load_answer *out, size_t *used) {
    ds__str body;
    long long json_length;
    int result = take_body(connection, out, &body, &json_length);
    if (result != 1) return result;
    *used = (size_t)(body.data + body.size - connection->in.data);
    if (out->status != 200) return 1;
    if (json_length >= 0 && (size_t)json_length <= body.size) { /* else there are no bytes to compare */
        out->vectors = (ds__str){body.data + json_length, body.size - (size_t)json_length};
        body.size = (size_t)json_length;
    }
    static const char key[] = "\"id\":\"";
    const char *id = memmem(body.data, body.size, key, sizeof key - 1), *end = NULL;
    if (id) id += sizeof key - 1;
    if (id) end = memchr(id, '"', body.size - (size_t)(id - body.data));
    if (end) out->id = (ds__str){id, (size_t)(end - id)};
    return 1;
}

const load_protocol load_rest = {
    .name = "rest", .good = 200, .build = build_rest, .send = send_http, .take = take_rest};
const load_protocol load_openai = {
    .name = "openai", .good = 200, .is_listed = true, .build = build_openai, .send = send_http, .take = take_openai};
