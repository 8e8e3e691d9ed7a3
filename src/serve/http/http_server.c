/* Connections: from bytes to a call and back to bytes.
 *
 * A connection has one request at a time; what a client sends meanwhile waits in the socket.  A connection that is told
 * of its client's end while a request is computed cancels the request (as Go's and nginx's servers do; a client that
 * closes only its sending side and waits is not told from one that has gone). */
#include "serve/http/http_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "serve/http/http_connection.h"

enum {
    SWEEP_MS = 250,
    LINGER_S = 2,
    WRITE_S = 30,
    OUT_KEPT = 64 * 1024,
    SLOW_BYTES_A_SECOND = 4096,
    SLOW_GRACE_S = 10
};

static void serve_input(ds__http_connection *c);

/* ---- the end of a connection ---- */

static void close_socket(ds__http_connection *c) {
    if (c->is_tls && !c->is_handshaking) { /* says that this is the end, and waits for no answer */
        SSL *tls = bufferevent_openssl_get_ssl(c->bev);
        SSL_set_shutdown(tls, SSL_RECEIVED_SHUTDOWN);
        SSL_shutdown(tls);
        ERR_clear_error();
    }
    bufferevent_free(c->bev);
    c->bev = NULL;
}

static void connection_free(ds__http_connection *c) {
    ds__http_server *server = c->server;
    if (c->previous)
        c->previous->next = c->next;
    else
        server->first = c->next;
    if (c->next) c->next->previous = c->previous;
    server->count--;
    if (c->bev) close_socket(c);
    ds__http_body_deinit(&c->body);
    ds__buffer_deinit(&c->call.out);
    ds__buffer_deinit(&c->head_text);
    ds__free(server->heap, c, sizeof *c);
}

/* The client is gone, or shall be. A request that is under way keeps the memory until it comes back. */
static void connection_close(ds__http_connection *c) {
    if (c->state == DS__CONNECTION_BUSY && (c->call.request || c->call.action)) {
        bool was_gone = c->is_gone;
        c->is_gone = true;
        if (!was_gone && c->call.request) ds__serve_cancel(c->call.request);
        if (c->bev) close_socket(c);
        return;
    }
    connection_free(c);
}

/* Nothing more is said; what the client still sends is read for a moment, since closing at once would let its system
 * throw the answer away. */
static void linger(ds__http_connection *c) {
    c->state = DS__CONNECTION_LINGER;
    c->since_ns = c->server->now_ns;
    if (!c->is_tls) shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    evbuffer_drain(bufferevent_get_input(c->bev), evbuffer_get_length(bufferevent_get_input(c->bev)));
    if (c->has_eof) connection_free(c);
}

/* The answer is out. */
static void next_request(ds__http_connection *c) {
    if (!c->keep_alive || c->server->draining) {
        if (c->body.is_done && !evbuffer_get_length(bufferevent_get_input(c->bev)) && !c->is_tls) {
            connection_free(c); /* nothing unread: the client sees an orderly end */
            return;
        }
        linger(c);
        return;
    }
    c->state = DS__CONNECTION_IDLE;
    c->since_ns = c->server->now_ns;
    c->scanned = 0;
}

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
        connection_free(c);
        return;
    }
    if (request->code == DS__SERVE_OK)
        c->call.answer(&c->call, request);
    else
        ds__http_refuse(&c->call, request->code, &request->error, request->retry_after_s);
    serve_input(c);
}

static void action_done(ds__serve_action *action) {
    ds__http_connection *c = action->own;
    c->server->now_ns = ds__clock_ns();
    if (c->is_gone) {
        release(c);
        connection_free(c);
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
    serve_input(c);
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

/* ---- reading ---- */

static void fail_parse(ds__http_connection *c, int status, const char *sentence) {
    c->keep_alive = false;
    c->body.is_done = false; /* whatever comes is not read as another request */
    ds__http_fail(&c->call, status, sentence);
}

static bool authorize(ds__http_connection *c) {
    ds__http_call *call = &c->call;
    ds_error error;
    ds__str key = {"", 0}, header = ds__http_header_value(call->head, "Authorization");
    if (header.size > 7 && strncasecmp(header.data, "Bearer ", 7) == 0)
        key = (ds__str){header.data + 7, header.size - 7};
    if (call->route->access == DS__ACCESS_PUBLIC || c->metrics_only) return true;
    ds__serve_code code = ds__serve_authenticate(call->service, key, &call->tenant, &error);
    if (code == DS__SERVE_OK && call->route->access == DS__ACCESS_ADMIN)
        code = ds__serve_may_administer(call->tenant, &error);
    if (code != DS__SERVE_OK) ds__http_refuse(call, code, &error, 0);
    return code == DS__SERVE_OK;
}

/* The head is complete: who wants what, before a body is read. false: answered. */
static bool start_request(ds__http_connection *c) {
    ds_error error;
    char allow[64];
    int status = ds__http_head_parse(ds__buffer_str(&c->head_text), &c->head, &error);
    ds__buffer call_out = c->call.out;
    c->call = (ds__http_call){.service = c->server->service,
                              .outbox = c->server->outbox,
                              .heap = c->server->heap,
                              .head = &c->head,
                              .out = call_out};
    if (status) {
        c->head.header_count = 0; /* half of them */
        fail_parse(c, status, error.message);
        return false;
    }
    c->keep_alive = c->head.keep_alive;
    int bad_body = ds__http_body_start(&c->body, &c->head, c->server->options.max_body, &error);
    c->call.route = ds__route_find(&c->call, &status, allow);
    if (c->metrics_only && c->call.route && strcmp(c->call.route->path, "/metrics") != 0) {
        c->call.route = NULL;
        status = 404;
    }
    if (!c->call.route) {
        if (status == 405) snprintf(c->call.header, sizeof c->call.header, "Allow: %s\r\n", allow);
        ds__http_fail(&c->call, status,
                      status == 405   ? "the path does not take this method"
                      : status == 400 ? "the path has a percent sign that is no escape"
                                      : "there is nothing at this path; /openapi.json lists what there is");
        return false;
    }
    if (!authorize(c)) return false;
    if (bad_body) {
        fail_parse(c, bad_body, error.message);
        return false;
    }
    if (c->head.expects_continue && !c->body.is_done) bufferevent_write(c->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

/* Takes the head out of the input once it is whole. false: it is not, or it was answered. */
static bool read_head(ds__http_connection *c) {
    struct evbuffer *input = bufferevent_get_input(c->bev);
    size_t there = evbuffer_get_length(input);
    while (c->state == DS__CONNECTION_IDLE && there) { /* empty lines between requests */
        char byte;
        evbuffer_copyout(input, &byte, 1);
        if (byte != '\r' && byte != '\n') break;
        evbuffer_drain(input, 1);
        there--;
    }
    if (!there) return false;
    if (c->state == DS__CONNECTION_IDLE) {
        c->state = DS__CONNECTION_HEAD;
        c->since_ns = c->server->now_ns;
    }
    size_t look = there < DS__HTTP_MAX_HEAD ? there : DS__HTTP_MAX_HEAD, from = c->scanned > 3 ? c->scanned - 3 : 0;
    const char *text = (const char *)evbuffer_pullup(input, (ev_ssize_t)look);
    const char *end = text ? memmem(text + from, look - from, "\r\n\r\n", 4) : NULL;
    c->scanned = look;
    ds__buffer_clear(&c->head_text);
    if (!end && (!text || look == DS__HTTP_MAX_HEAD)) {
        c->head = (ds__http_head){.method = DS_STR("-"), .path = DS_STR("-")};
        ds__buffer out = c->call.out;
        c->call = (ds__http_call){.service = c->server->service, .heap = c->server->heap, .head = &c->head, .out = out};
        fail_parse(c, text ? 431 : 503, text ? "the request's head is longer than 16384 bytes" : "no memory is left");
        return false;
    }
    if (!end) return false;
    size_t size = (size_t)(end - text) + 4;
    ds__buffer_append(&c->head_text, text, size);
    evbuffer_drain(input, size);
    c->scanned = 0;
    return start_request(c);
}

/* Moves what has come of the body. false: it is not whole, or it was answered. */
static bool read_body(ds__http_connection *c) {
    struct evbuffer *input = bufferevent_get_input(c->bev);
    ds_error error;
    while (!c->body.is_done) {
        struct evbuffer_iovec piece;
        size_t used;
        if (evbuffer_peek(input, -1, NULL, &piece, 1) < 1 || !piece.iov_len) return false;
        int status = ds__http_body_add(&c->body, piece.iov_base, piece.iov_len, &used, &error);
        evbuffer_drain(input, used);
        if (status) {
            fail_parse(c, status, error.message);
            return false;
        }
    }
    return true;
}

static void dispatch(ds__http_connection *c) {
    c->state = DS__CONNECTION_BUSY;
    c->call.body = ds__buffer_str(&c->body.bytes);
    if (!c->call.body.data) c->call.body = (ds__str){"", 0};
    ds__str model = ds__http_parameter(&c->call, "model");
    if (model.size && !ds__http_may_see(&c->call, model)) return;
    c->call.route->handle(&c->call);
}

/* Works through what is there until something has to be waited for. The connection may be gone afterwards. */
static void serve_input(ds__http_connection *c) {
    for (;;) {
        switch (c->state) {
        case DS__CONNECTION_IDLE:
        case DS__CONNECTION_HEAD:
            if (c->is_handshaking) return;
            if (read_head(c)) {
                c->state = DS__CONNECTION_BODY;
                break;
            }
            if (c->state == DS__CONNECTION_IDLE || c->state == DS__CONNECTION_HEAD) {
                if (c->has_eof) connection_free(c);
                return;
            }
            break;
        case DS__CONNECTION_BODY:
            if (read_body(c)) {
                dispatch(c);
                break;
            }
            if (c->state == DS__CONNECTION_BODY) {
                if (c->has_eof) connection_free(c);
                return;
            }
            break;
        case DS__CONNECTION_BUSY: return; /* the core has it */
        case DS__CONNECTION_WRITING:
            if (evbuffer_get_length(bufferevent_get_output(c->bev))) return;
            if (!c->keep_alive || c->server->draining) {
                next_request(c); /* may free it */
                return;
            }
            next_request(c);
            break;
        case DS__CONNECTION_LINGER:
            evbuffer_drain(bufferevent_get_input(c->bev), evbuffer_get_length(bufferevent_get_input(c->bev)));
            return;
        case DS__CONNECTION_BROKEN: connection_free(c); return;
        }
    }
}

static void on_read(struct bufferevent *bev, void *argument) {
    (void)bev;
    ds__http_connection *c = argument;
    c->server->now_ns = ds__clock_ns();
    serve_input(c);
}

static void on_write(struct bufferevent *bev, void *argument) {
    (void)bev;
    ds__http_connection *c = argument;
    if (c->state != DS__CONNECTION_WRITING) return;
    c->server->now_ns = ds__clock_ns();
    serve_input(c);
}

static void on_event(struct bufferevent *bev, short what, void *argument) {
    (void)bev;
    ds__http_connection *c = argument;
    if (what & BEV_EVENT_CONNECTED) { /* the TLS handshake */
        c->is_handshaking = false;
        return;
    }
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
        c->has_eof = true;
        /* An answer that is being written to a half-closed socket is written to its end. */
        bool writes = c->state == DS__CONNECTION_WRITING && (what & BEV_EVENT_EOF);
        if (writes) {
            c->keep_alive = false;
            return;
        }
        connection_close(c);
    }
}

/* ---- accepting ---- */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size,
                      void *argument) {
    ds__http_server *server = argument;
    int yes = 1;
    ds__http_connection *c =
        server->count < server->options.max_connections ? ds__alloc_zeroed(server->heap, sizeof *c) : NULL;
    if (c) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        c->is_tls = c->is_handshaking = server->tls && listener == server->listener;
        SSL *tls = c->is_tls ? SSL_new(server->tls) : NULL;
        if (c->is_tls)
            c->bev = tls ? bufferevent_openssl_socket_new(server->base, fd, tls, BUFFEREVENT_SSL_ACCEPTING,
                                                          BEV_OPT_CLOSE_ON_FREE)
                         : NULL;
        else
            c->bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    }
    if (!c || !c->bev) { /* full: the client sees a closed connection at once, and may try another server */
        if (c) ds__free(server->heap, c, sizeof *c);
        evutil_closesocket(fd);
        return;
    }
    c->server = server;
    c->metrics_only = listener == server->metrics_listener;
    c->since_ns = ds__clock_ns();
    evutil_inet_ntop(address->sa_family,
                     address->sa_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)(void *)address)->sin6_addr
                                                    : (const void *)&((struct sockaddr_in *)(void *)address)->sin_addr,
                     c->remote, sizeof c->remote);
    (void)size;
    ds__http_body_init(&c->body, server->heap);
    ds__buffer_init(&c->call.out, server->heap);
    ds__buffer_init(&c->head_text, server->heap);
    c->next = server->first;
    if (server->first) server->first->previous = c;
    server->first = c;
    server->count++;
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_set_max_single_read(c->bev, DS__HTTP_READ_AHEAD);
    if (c->is_tls) bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    bufferevent_setwatermark(c->bev, EV_READ, 0, DS__HTTP_READ_AHEAD);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* Mostly that there are no more file descriptors: accepting pauses until the next sweep. */
static void on_accept_error(struct evconnlistener *listener, void *argument) {
    (void)argument;
    evconnlistener_disable(listener);
}

/* ---- time ---- */

static void tell_time(ds__http_server *server) {
    struct timespec now;
    struct tm parts;
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    snprintf(server->date, sizeof server->date, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[parts.tm_wday % 7],
             parts.tm_mday, months[parts.tm_mon % 12], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
    strftime(server->log_time, sizeof server->log_time, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* Whether a connection has had its time. */
static bool is_late(ds__http_connection *c, uint64_t now) {
    double seconds = (double)(now - c->since_ns) * 1e-9;
    if (c->is_handshaking) return seconds > c->server->options.header_s;
    switch (c->state) {
    case DS__CONNECTION_IDLE: return seconds > c->server->options.idle_s;
    case DS__CONNECTION_HEAD: return seconds > c->server->options.header_s;
    case DS__CONNECTION_BODY: /* slower than a modem, by far */
        return seconds > SLOW_GRACE_S + (double)c->body.bytes.size / SLOW_BYTES_A_SECOND;
    case DS__CONNECTION_BUSY: return false;
    case DS__CONNECTION_WRITING: {
        size_t unsent = evbuffer_get_length(bufferevent_get_output(c->bev));
        if (unsent != c->unsent) {
            c->unsent = unsent;
            c->since_ns = now;
        }
        return seconds > WRITE_S;
    }
    case DS__CONNECTION_LINGER: return seconds > LINGER_S;
    case DS__CONNECTION_BROKEN: return true;
    }
    return false;
}

static void sweep(evutil_socket_t fd, short what, void *argument) {
    (void)fd;
    (void)what;
    ds__http_server *server = argument;
    server->now_ns = ds__clock_ns();
    tell_time(server);
    if (!server->draining) {
        evconnlistener_enable(server->listener);
        if (server->metrics_listener) evconnlistener_enable(server->metrics_listener);
    }
    for (ds__http_connection *c = server->first, *next; c; c = next) {
        next = c->next;
        if (c->is_gone) continue;
        bool is_idle = server->draining && c->state == DS__CONNECTION_IDLE;
        if (!is_idle && !is_late(c, server->now_ns)) continue;
        bool tell = c->state == DS__CONNECTION_HEAD || c->state == DS__CONNECTION_BODY;
        if (tell && !c->is_handshaking) {
            if (c->state == DS__CONNECTION_HEAD) {
                ds__buffer out = c->call.out;
                c->head = (ds__http_head){.method = DS_STR("-"), .path = DS_STR("-")};
                c->call =
                    (ds__http_call){.service = server->service, .heap = server->heap, .head = &c->head, .out = out};
            }
            fail_parse(c, 408, "the request came too slowly");
            serve_input(c);
        } else {
            connection_free(c);
        }
    }
}

/* ---- the server ---- */

static ds_status listen_on(ds__http_server *server, int port, struct evconnlistener **out, ds_error *error) {
    struct sockaddr_storage address;
    int size = sizeof address;
    char text[128];
    bool is_v6 = strchr(server->options.bind, ':') != NULL;
    snprintf(text, sizeof text, is_v6 ? "[%s]:%d" : "%s:%d", server->options.bind, port ? port : 1);
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &size) != 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s is no address to bind to, such as 127.0.0.1 or 0.0.0.0",
                        server->options.bind);
    if (is_v6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)port);
    *out = evconnlistener_new_bind(server->base, on_accept, server,
                                   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 1024,
                                   (struct sockaddr *)&address, size);
    if (!*out)
        return ds__fail(error, DS_IO, "cannot listen on %s port %d: %s", server->options.bind, port,
                        evutil_socket_error_to_string(errno));
    evconnlistener_set_error_cb(*out, on_accept_error);
    return DS_OK;
}

static ds_status open_tls(ds__http_server *server, ds_error *error) {
    const ds__http_options *options = &server->options;
    server->tls = SSL_CTX_new(TLS_server_method());
    const char *what = server->tls ? NULL : "OpenSSL cannot start";
    if (!what) SSL_CTX_set_min_proto_version(server->tls, TLS1_2_VERSION);
    if (!what) SSL_CTX_set_mode(server->tls, SSL_MODE_RELEASE_BUFFERS);
    if (!what && SSL_CTX_use_certificate_chain_file(server->tls, options->tls_cert) != 1) what = options->tls_cert;
    if (!what && SSL_CTX_use_PrivateKey_file(server->tls, options->tls_key, SSL_FILETYPE_PEM) != 1)
        what = options->tls_key;
    if (!what && SSL_CTX_check_private_key(server->tls) != 1) what = "certificate and key do not belong together";
    if (!what) return DS_OK;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return ds__fail(error, DS_BAD_FORMAT, "TLS: %s: %s", what, reason ? reason : "not usable");
}

static ds_status open_server(ds__http_server *server, ds_error *error) {
    struct timeval period = {0, SWEEP_MS * 1000};
    if (server->options.tls_cert) DS_TRY(open_tls(server, error));
    DS_TRY(listen_on(server, server->options.port, &server->listener, error));
    if (server->options.metrics_port >= 0)
        DS_TRY(listen_on(server, server->options.metrics_port, &server->metrics_listener, error));
    server->timer = event_new(server->base, -1, EV_PERSIST, sweep, server);
    if (!server->timer || event_add(server->timer, &period) != 0)
        return ds__fail(error, DS_OUT_OF_MEMORY, "no memory for a timer");
    tell_time(server);
    return DS_OK;
}

ds_status ds__http_server_create(ds__service *service, struct event_base *base, ds__outbox *outbox,
                                 const ds__http_options *options, ds__http_server **out, ds_error *error) {
    ds__heap *heap = ds__service_heap(service);
    ds__http_server *server = ds__alloc_zeroed(heap, sizeof *server);
    if (!server) return ds__alloc_failed(heap, sizeof *server, "the HTTP server", error);
    server->service = service;
    server->heap = heap;
    server->base = base;
    server->outbox = outbox;
    server->options = *options;
    server->now_ns = ds__clock_ns();
    ds__buffer_init(&server->log_line, heap);
    ds_status status = open_server(server, error);
    if (status != DS_OK) {
        ds__http_server_destroy(server);
        return status;
    }
    *out = server;
    return DS_OK;
}

static int port_of(struct evconnlistener *listener) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (!listener || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&address, &size) != 0) return -1;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

int ds__http_server_port(const ds__http_server *server) { return port_of(server->listener); }
int ds__http_server_metrics_port(const ds__http_server *server) { return port_of(server->metrics_listener); }
size_t ds__http_server_connections(const ds__http_server *server) { return server->count; }

void ds__http_server_drain(ds__http_server *server) {
    server->draining = true;
    evconnlistener_disable(server->listener);
    if (server->metrics_listener) evconnlistener_disable(server->metrics_listener);
    sweep(-1, 0, server);
}

void ds__http_server_abort(ds__http_server *server) {
    for (ds__http_connection *c = server->first, *next; c; c = next) {
        next = c->next;
        connection_close(c);
    }
}

void ds__http_server_destroy(ds__http_server *server) {
    if (!server) return;
    ds__http_server_abort(server);
    if (server->timer) event_free(server->timer);
    if (server->listener) evconnlistener_free(server->listener);
    if (server->metrics_listener) evconnlistener_free(server->metrics_listener);
    if (server->tls) SSL_CTX_free(server->tls);
    ds__buffer_deinit(&server->log_line);
    ds__free(server->heap, server, sizeof *server);
}
