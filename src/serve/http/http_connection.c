/* Connections: from bytes to a call.
 *
 * A connection has one request at a time; what a client sends meanwhile waits in the socket.
 *
 * A client that ends its sending side while its request is computed may be gone, or may wait for its answer: TCP says
 * the same of both, until something is sent, which who has closed answers with a reset.  So such a client is sent
 * "100 Continue", which every client of HTTP/1.1 takes at any time (RFC 9110, 15.2), and is gone if a reset comes back:
 * on one machine at once, else within a round trip.  HTTP/1.0 has no such answer and a TLS stream no halves that
 * clients use: there the end of the one side is the end. */
#include "serve/http/http_connection.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"

enum { PROBE_MS = 10, LINGER_S = 2, WRITE_S = 30, SLOW_BYTES_A_SECOND = 4096, SLOW_GRACE_S = 10 };

/* ---- the end of a connection ---- */

void ds__connection_end_probe(ds__http_connection *c) {
    if (c->probe) event_free(c->probe);
    c->probe = NULL;
}

static void close_socket(ds__http_connection *c) {
    ds__connection_end_probe(c);
    if (c->is_tls && !c->is_handshaking) { /* says that this is the end, and waits for no answer */
        SSL *tls = bufferevent_openssl_get_ssl(c->bev);
        SSL_set_shutdown(tls, SSL_RECEIVED_SHUTDOWN);
        SSL_shutdown(tls);
        ERR_clear_error();
    }
    bufferevent_free(c->bev);
    c->bev = NULL;
}

void ds__connection_free(ds__http_connection *c) {
    ds__http_server *server = c->server;
    if (c->previous)
        c->previous->next = c->next;
    else
        server->first = c->next;
    if (c->next) c->next->previous = c->previous;
    server->count--;
    if (!c->metrics_only) atomic_fetch_sub(ds__serve_connections(server->service, DS__SERVE_REST), 1);
    if (c->bev) close_socket(c);
    ds__http_body_deinit(&c->body);
    ds__buffer_deinit(&c->call.out);
    ds__buffer_deinit(&c->head_text);
    ds__free(server->heap, c, sizeof *c);
}

/* The client is gone, or shall be. A request that is under way keeps the memory until it comes back. */
void ds__connection_close(ds__http_connection *c) {
    if (c->state == DS__CONNECTION_BUSY && (c->call.request || c->call.action)) {
        bool was_gone = c->is_gone;
        c->is_gone = true;
        if (!was_gone && c->call.request) ds__serve_cancel(c->call.request);
        if (c->bev) close_socket(c);
        return;
    }
    ds__connection_free(c);
}

/* Nothing more is said; what the client still sends is read for a moment, since closing at once would let its system
 * throw the answer away. */
static void linger(ds__http_connection *c) {
    c->state = DS__CONNECTION_LINGER;
    c->since_ns = c->server->now_ns;
    if (!c->is_tls) shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    evbuffer_drain(bufferevent_get_input(c->bev), evbuffer_get_length(bufferevent_get_input(c->bev)));
    if (c->has_eof) ds__connection_free(c);
}

/* The answer is out. */
static void next_request(ds__http_connection *c) {
    if (!c->keep_alive || c->server->draining) {
        if (c->body.is_done && !evbuffer_get_length(bufferevent_get_input(c->bev)) && !c->is_tls) {
            ds__connection_free(c); /* nothing unread: the client sees an orderly end */
            return;
        }
        linger(c);
        return;
    }
    c->state = DS__CONNECTION_IDLE;
    c->since_ns = c->server->now_ns;
    c->scanned = 0;
}

/* ---- a client that has ended its sending side ---- */

static bool is_reset(const ds__http_connection *c) {
    int code = 0;
    socklen_t size = sizeof code;
    return getsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_ERROR, &code, &size) != 0 || code != 0;
}

static void on_probe(evutil_socket_t fd, short what, void *argument) {
    (void)fd;
    (void)what;
    ds__http_connection *c = argument;
    if (is_reset(c)) ds__connection_close(c);
}

/* Asks whether the client still reads. libevent no longer watches a socket whose end was read: a timer does. */
static void start_probe(ds__http_connection *c) {
    static const struct timeval period = {0, PROBE_MS * 1000};
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const ssize_t size = sizeof text - 1;
    bool is_sent = !c->is_tls && c->head.minor > 0 &&
                   send(bufferevent_getfd(c->bev), text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) == size;
    if (is_sent && !is_reset(c)) c->probe = event_new(c->server->base, -1, EV_PERSIST, on_probe, c);
    if (!c->probe || event_add(c->probe, &period) != 0) ds__connection_close(c);
}

/* ---- reading ---- */

static void fail_parse(ds__http_connection *c, int status, const char *sentence) {
    c->keep_alive = false;
    c->body.is_done = false; /* whatever comes is not read as another request */
    ds__http_fail(&c->call, status, sentence);
}

/* Answers to a head that could not be read must not look into it. */
static void forget_head(ds__http_connection *c) {
    ds__buffer out = c->call.out;
    c->head = (ds__http_head){.method = DS_STR("-"), .path = DS_STR("-")};
    c->call = (ds__http_call){.service = c->server->service, .heap = c->server->heap, .head = &c->head, .out = out};
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
        forget_head(c);
        fail_parse(c, text ? 431 : 503, text ? "the request's head is longer than 16384 bytes" : "no memory is left");
        return false;
    }
    if (!end) return false;
    size_t size = (size_t)(end - text) + 4;
    ds__buffer_append(&c->head_text, text, size);
    evbuffer_drain(input, size);
    c->scanned = 0;
    if (c->head_text.failed) {
        forget_head(c);
        fail_parse(c, 503, "no memory is left for the request's head");
        return false;
    }
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
    if (c->state == DS__CONNECTION_BUSY && c->has_eof) start_probe(c);
}

/* Works through what is there until something has to be waited for. The connection may be gone afterwards. */
void ds__connection_serve(ds__http_connection *c) {
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
                if (c->has_eof) ds__connection_free(c);
                return;
            }
            break;
        case DS__CONNECTION_BODY:
            if (read_body(c)) {
                dispatch(c);
                break;
            }
            if (c->state == DS__CONNECTION_BODY) {
                if (c->has_eof) ds__connection_free(c);
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
        case DS__CONNECTION_BROKEN: ds__connection_free(c); return;
        }
    }
}

static void on_read(struct bufferevent *bev, void *argument) {
    (void)bev;
    ds__http_connection *c = argument;
    c->server->now_ns = ds__clock_ns();
    ds__connection_serve(c);
}

static void on_write(struct bufferevent *bev, void *argument) {
    (void)bev;
    ds__http_connection *c = argument;
    if (c->state != DS__CONNECTION_WRITING) return;
    c->server->now_ns = ds__clock_ns();
    ds__connection_serve(c);
}

static void on_event(struct bufferevent *bev, short what, void *argument) {
    (void)bev;
    ds__http_connection *c = argument;
    if (what & BEV_EVENT_CONNECTED) { /* the TLS handshake */
        c->is_handshaking = false;
        return;
    }
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
        bool is_end = what & BEV_EVENT_EOF;
        c->has_eof = true;
        if (c->state == DS__CONNECTION_WRITING && is_end) return; /* answers are written to their end */
        if (c->state == DS__CONNECTION_BUSY && is_end)
            start_probe(c);
        else
            ds__connection_close(c);
    }
}

/* ---- time ---- */

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

void ds__connection_tick(ds__http_connection *c) {
    ds__http_server *server = c->server;
    if (c->is_gone) return;
    bool is_idle = server->draining && c->state == DS__CONNECTION_IDLE;
    if (!is_idle && !is_late(c, server->now_ns)) return;
    bool tell = c->state == DS__CONNECTION_HEAD || c->state == DS__CONNECTION_BODY;
    if (!tell || c->is_handshaking) {
        ds__connection_free(c);
        return;
    }
    if (c->state == DS__CONNECTION_HEAD) forget_head(c);
    fail_parse(c, 408, "the request came too slowly");
    ds__connection_serve(c);
}

void ds__connection_watch(ds__http_connection *c) {
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_set_max_single_read(c->bev, DS__HTTP_READ_AHEAD);
    if (c->is_tls) bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    bufferevent_setwatermark(c->bev, EV_READ, 0, DS__HTTP_READ_AHEAD);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}
