/* Answers: from a call to bytes, and the way through the core and back. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "serve/http/http_connection.h"

enum { OUT_KEPT = 64 * 1024 };

/* ---- writing ---- */

static void free_reference(const void *data, size_t size, void *argument) {
    (void)size;
    ds__buffer *owned = argument;
    (void)data;
    ds__heap *heap = owned->heap;
    ds__buffer_deinit(owned);
    ds__free(heap, owned, sizeof *owned);
}

/* Hands a large body over to libevent, without a copy. */
static bool add_reference(ds__http_connection *c, size_t from) {
    ds__buffer *owned = ds__alloc(c->server->heap, sizeof *owned);
    if (!owned) return false;
    *owned = c->call.out;
    ds__buffer_init(&c->call.out, c->server->heap);
    if (evbuffer_add_reference(bufferevent_get_output(c->bev), owned->data + from, owned->size - from, free_reference,
                               owned) == 0)
        return true;
    free_reference(NULL, 0, owned);
    return false;
}

/* Head and body to the socket: at once where that is possible, which saves two calls into the kernel; the rest when the
 * socket takes it. */
static bool write_answer(ds__http_connection *c, const char *head, size_t head_size, bool with_body) {
    ds__buffer *out = &c->call.out;
    size_t body = with_body ? out->size : 0, sent = 0;
    struct evbuffer *output = bufferevent_get_output(c->bev);
    if (!c->is_tls && !evbuffer_get_length(output)) {
        struct iovec parts[2] = {{(void *)head, head_size}, {out->data, body}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = body ? 2 : 1};
        ssize_t put = sendmsg(bufferevent_getfd(c->bev), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (put > 0) sent = (size_t)put;
    }
    if (sent < head_size && evbuffer_add(output, head + sent, head_size - sent) != 0) return false;
    size_t from = sent > head_size ? sent - head_size : 0;
    if (from == body) return true;
    if (body - from > OUT_KEPT) return add_reference(c, from);
    return evbuffer_add(output, out->data + from, body - from) == 0;
}

static const char *reason_of(int status) {
    static const struct {
        int status;
        const char *text;
    } reasons[] = {{200, "OK"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {409, "Conflict"},
                   {411, "Length Required"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {415, "Unsupported Media Type"},
                   {417, "Expectation Failed"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {499, "Client Closed Request"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].text;
    return "Unknown";
}

/* One line of JSON for the access log. */
static void log_access(ds__http_connection *c, int status, size_t bytes) {
    const ds__http_options *options = &c->server->options;
    const ds__http_call *call = &c->call;
    if (!options->log || (call->route && call->route->quiet && status < 400)) return;
    ds__buffer *line = &c->server->log_line;
    ds__json_writer json = {line, false};
    ds__buffer_clear(line);
    ds__json_open_object(&json);
    ds__json_key(&json, "time");
    ds__json_put_string(&json, ds__str_of(c->server->log_time));
    ds__json_key(&json, "remote");
    ds__json_put_string(&json, ds__str_of(c->remote));
    ds__json_key(&json, "method");
    ds__json_put_string(&json, c->head.method);
    ds__json_key(&json, "path");
    ds__json_put_string(&json, c->head.path);
    ds__json_key(&json, "status");
    ds__json_put_int(&json, status);
    ds__json_key(&json, "bytes_in");
    ds__json_put_int(&json, (int64_t)call->body.size);
    ds__json_key(&json, "bytes_out");
    ds__json_put_int(&json, (int64_t)bytes);
    ds__json_key(&json, "ms");
    ds__json_put_fixed(&json, (double)(ds__clock_ns() - c->since_ns) * 1e-6, 3);
    if (call->tenant) {
        ds__json_key(&json, "tenant");
        ds__json_put_string(&json, ds__str_of(ds__tenant_name(call->tenant)));
    }
    if (call->model.size) {
        ds__json_key(&json, "model");
        ds__json_put_string(&json, call->model);
    }
    if (call->request) {
        ds__json_key(&json, "tokens");
        ds__json_put_int(&json, (int64_t)call->request->tokens);
    }
    if (call->id.size) {
        ds__json_key(&json, "id");
        ds__json_put_string(&json, call->id);
    }
    ds__str trace = ds__http_header_value(&c->head, "traceparent");
    if (trace.size) {
        ds__json_key(&json, "traceparent");
        ds__json_put_string(&json, trace);
    }
    if (call->tenant && ds__tenant_logs_text(call->tenant) && call->body.size) {
        ds__json_key(&json, "body");
        ds__json_put_string(&json, call->body);
    }
    ds__json_close_object(&json);
    if (!line->failed) options->log(options->log_user, ds__buffer_str(line));
}

static void release(ds__http_connection *c) {
    if (c->call.request) ds__serve_request_release(c->call.request);
    c->call.request = NULL;
    if (c->call.action) ds__free(c->server->heap, c->call.action, sizeof(ds__http_action));
    c->call.action = NULL;
}

void ds__http_send(ds__http_call *call, int status, const char *type) {
    ds__http_connection *c = (ds__http_connection *)((char *)call - offsetof(ds__http_connection, call));
    ds__http_server *server = c->server;
    char head[1024];
    ds__connection_end_probe(c);
    if (call->out.failed) { /* a body with holes is worse than none */
        ds__buffer_clear(&call->out);
        ds__buffer_text(&call->out, "{\"error\":\"no memory is left for the answer\"}");
        status = 503;
        type = NULL;
    }
    if (status >= 400 && !c->body.is_done) c->keep_alive = false; /* the rest of the body is not waited for */
    ds__str trace = ds__http_header_value(&c->head, "traceparent");
    if (trace.size > 128) trace.size = 0;
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%.*s%s%s\r\n",
                        status, reason_of(status), server->date, type ? type : "application/json", call->out.size,
                        call->header, trace.size ? "traceparent: " : "", (int)trace.size, trace.size ? trace.data : "",
                        trace.size ? "\r\n" : "", c->keep_alive && !server->draining ? "" : "Connection: close\r\n");
    bool written = write_answer(c, head, (size_t)size, !ds__str_is(c->head.method, "HEAD"));
    log_access(c, status, call->out.size);
    release(c);
    ds__http_body_wipe(&c->body);
    if (call->out.capacity > OUT_KEPT) {
        ds__buffer_deinit(&call->out);
        ds__buffer_init(&call->out, server->heap);
    }
    ds__buffer_clear(&call->out);
    if (!written) {
        c->keep_alive = false;
        c->state = DS__CONNECTION_BROKEN;
        return;
    }
    c->state = DS__CONNECTION_WRITING;
    c->since_ns = server->now_ns;
    c->unsent = evbuffer_get_length(bufferevent_get_output(c->bev));
}

void ds__http_fail(ds__http_call *call, int status, const char *sentence) {
    ds__http_connection *c = (ds__http_connection *)((char *)call - offsetof(ds__http_connection, call));
    ds__json_writer json = {&call->out, false};
    ds__buffer_clear(&call->out);
    bool openai = ds__str_starts(c->head.path, DS_STR("/v1/"));
    ds__json_open_object(&json);
    ds__json_key(&json, "error");
    if (openai) {
        ds__json_open_object(&json);
        ds__json_key(&json, "message");
    }
    ds__json_put_string(&json, ds__str_of(sentence));
    if (openai) {
        ds__json_key(&json, "type");
        ds__json_put_string(&json, ds__str_of(status >= 500 ? "server_error" : "invalid_request_error"));
        ds__json_key(&json, "param");
        ds__json_put_null(&json);
        ds__json_key(&json, "code");
        ds__json_put_null(&json);
        ds__json_close_object(&json);
    }
    ds__json_close_object(&json);
    if (status == 401) snprintf(call->header, sizeof call->header, "WWW-Authenticate: Bearer\r\n");
    ds__http_send(call, status, NULL);
}

void ds__http_refuse(ds__http_call *call, ds__serve_code code, const ds_error *error, uint32_t retry_after_s) {
    if (code == DS__SERVE_QUEUE_FULL || code == DS__SERVE_UNAVAILABLE)
        snprintf(call->header, sizeof call->header, "Retry-After: %u\r\n", retry_after_s ? retry_after_s : 1);
    ds__http_fail(call, ds__serve_http_status(code), error->message);
}

/* ---- to the core and back ---- */

static void request_done(ds__serve_request *request) {
    ds__http_connection *c = request->own;
    c->server->now_ns = ds__clock_ns();
    if (c->is_gone) {
        log_access(c, 499, 0);
        release(c);
        ds__connection_free(c);
        return;
    }
    if (request->code == DS__SERVE_OK)
        c->call.answer(&c->call, request);
    else
        ds__http_refuse(&c->call, request->code, &request->error, request->retry_after_s);
    ds__connection_serve(c);
}

static void action_done(ds__serve_action *action) {
    ds__http_connection *c = action->own;
    c->server->now_ns = ds__clock_ns();
    if (c->is_gone) {
        release(c);
        ds__connection_free(c);
        return;
    }
    if (action->code == DS__SERVE_OK) {
        ds__json_writer json = {&c->call.out, false};
        ds__json_open_object(&json);
        ds__json_key(&json, "model");
        ds__json_put_string(&json, action->model);
        if (action->version > 0) {
            ds__json_key(&json, "version");
            ds__json_put_int(&json, action->version);
        }
        ds__json_close_object(&json);
        ds__http_send(&c->call, 200, NULL);
    } else {
        ds__http_refuse(&c->call, action->code, &action->error, 0);
    }
    ds__connection_serve(c);
}

ds__serve_request *ds__http_request(ds__http_call *call, ds__str model, ds__str version) {
    ds__http_connection *c = (ds__http_connection *)((char *)call - offsetof(ds__http_connection, call));
    call->request = ds__serve_request_create(call->service, call->outbox, request_done, c);
    if (!call->request) {
        ds__http_fail(call, 503, "no memory is left for the request; wait a moment");
        return NULL;
    }
    call->request->tenant = call->tenant;
    call->request->model = call->model = model;
    call->request->version = version;
    return call->request;
}

void ds__http_infer(ds__http_call *call, void (*answer)(ds__http_call *call, ds__serve_request *request)) {
    ds__serve_request *request = call->request;
    call->id = request->id;
    call->answer = answer;
    if (!ds__serve_submit(request)) ds__http_refuse(call, request->code, &request->error, request->retry_after_s);
}

void ds__http_act(ds__http_call *call, ds__serve_action_kind kind, int64_t version, ds__str label) {
    ds__http_connection *c = (ds__http_connection *)((char *)call - offsetof(ds__http_connection, call));
    ds__str model = ds__http_parameter(call, "model");
    ds__http_action *action = ds__alloc_zeroed(call->heap, sizeof *action);
    if (!action || model.size > sizeof action->model || label.size > sizeof action->label) {
        ds__free(call->heap, action, sizeof *action);
        ds__http_fail(call, action ? 404 : 503,
                      action ? "there is no model or label with so long a name" : "no memory is left for the request");
        return;
    }
    memcpy(action->model, model.data, model.size);
    if (label.size) memcpy(action->label, label.data, label.size);
    action->action = (ds__serve_action){.kind = kind,
                                        .model = {action->model, model.size},
                                        .label = {action->label, label.size},
                                        .version = version,
                                        .outbox = call->outbox,
                                        .done = action_done,
                                        .own = c};
    call->action = &action->action;
    ds__serve_act(call->service, call->action);
}
