/* A gRPC server on a free port of its own, whose methods do what a message asks for: the transport without a model. */
#ifndef DS_TESTS_SERVER_ECHO_SERVER_H
#define DS_TESTS_SERVER_ECHO_SERVER_H

#include <event2/event.h>

#include "h2_client.h"
#include "serve/grpc/grpc.h"
#include "serve/grpc/grpc_call.h"

typedef struct echo_server {
    ds__heap heap;
    struct event_base *base;
    ds__grpc_server *server;
    int handled, cancelled, ended_later;
    ds__grpc_exchange *held[600]; /* "hold": until the test ends them */
    int held_count;
    int later_ms;
} echo_server;

static inline void echo_answer(ds__grpc_exchange *exchange, ds__str text) {
    ds__buffer answer;
    ds__grpc_answer_init(exchange, &answer);
    ds__buffer_append(&answer, text.data, text.size);
    ds__grpc_reply(exchange, &answer);
}

/* Of "later": answers when a timer says so, also when the client has left. */
static inline void echo_timer(evutil_socket_t fd, short what, void *argument) {
    ds__grpc_exchange *exchange = argument;
    ((echo_server *)exchange->user)->ended_later++;
    echo_answer(exchange, exchange->message);
}

static inline void echo_cancel_later(ds__grpc_exchange *exchange) { ((echo_server *)exchange->user)->cancelled++; }

/* Of "wait": ends from inside the cancelling. */
static inline void echo_cancel_now(ds__grpc_exchange *exchange) {
    ((echo_server *)exchange->user)->cancelled++;
    ds__grpc_refuse(exchange, DS__GRPC_CANCELLED, "left");
}

static inline void echo_handle(ds__grpc_exchange *exchange) {
    echo_server *echo = exchange->user;
    struct timeval soon = {0, echo->later_ms * 1000};
    echo->handled++;
    if (ds__str_starts(exchange->message, DS_STR("refuse"))) {
        ds__grpc_refuse(exchange, DS__GRPC_NOT_FOUND, "50 % of \"\xc3\xa4\"\nis not there");
    } else if (ds__str_starts(exchange->message, DS_STR("later"))) {
        exchange->cancel = echo_cancel_later;
        assert_int_equal(event_base_once(exchange->base, -1, EV_TIMEOUT, echo_timer, exchange, &soon), 0);
    } else if (ds__str_starts(exchange->message, DS_STR("wait"))) {
        exchange->cancel = echo_cancel_now;
    } else if (ds__str_starts(exchange->message, DS_STR("hold"))) {
        exchange->cancel = echo_cancel_later;
        assert_true(echo->held_count < 600);
        echo->held[echo->held_count++] = exchange;
    } else {
        echo_answer(exchange, exchange->message);
    }
}

static inline void echo_watch(ds__grpc_exchange *exchange) {
    exchange->cancel = echo_cancel_now;
    for (int i = 0; i < 3; i++) {
        ds__buffer answer;
        ds__grpc_answer_init(exchange, &answer);
        ds__buffer_printf(&answer, "%d", i);
        ds__grpc_push(exchange, &answer);
    }
}

static const ds__grpc_method echo_unary = {.path = "/test.Echo/Unary", .kind = DS__GRPC_UNARY, .handle = echo_handle};
static const ds__grpc_method echo_stream = {
    .path = "/test.Echo/Stream", .kind = DS__GRPC_STREAM, .handle = echo_handle};
static const ds__grpc_method echo_watching = {.path = "/test.Echo/Watch", .kind = DS__GRPC_WATCH, .handle = echo_watch};
static const ds__grpc_method *const echo_methods[] = {&echo_unary, &echo_stream, &echo_watching};

/* options: what differs from the usual, or NULL. */
static inline void echo_start(echo_server *echo, const ds__grpc_options *options, uint64_t limit) {
    ds__grpc_options all = options ? *options : (ds__grpc_options){0};
    ds_error error = {DS_OK, ""};
    memset(echo, 0, sizeof *echo);
    ds__heap_init(&echo->heap, NULL, limit);
    echo->later_ms = 20;
    echo->base = event_base_new();
    assert_non_null(echo->base);
    all.bind = "127.0.0.1";
    all.methods = echo_methods;
    all.method_count = sizeof echo_methods / sizeof *echo_methods;
    all.user = echo;
    if (!all.max_message_bytes) all.max_message_bytes = 64 << 20;
    if (!all.max_connections) all.max_connections = 1000;
    assert_int_equal(ds__grpc_server_create(&echo->heap, echo->base, &all, &echo->server, &error), DS_OK);
}

static inline int echo_port(const echo_server *echo) { return ds__grpc_server_port(echo->server); }

static inline void echo_end_held(echo_server *echo) {
    for (int i = 0; i < echo->held_count; i++) echo_answer(echo->held[i], echo->held[i]->message);
    echo->held_count = 0;
}

/* Nothing is left of any connection, call or message. */
static inline void echo_stop(echo_server *echo) {
    ds__grpc_server_stop(echo->server);
    echo_end_held(echo);
    for (int i = 0; i < 1000 && ds__grpc_server_busy(echo->server); i++) {
        event_base_loop(echo->base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    assert_false(ds__grpc_server_busy(echo->server));
    ds__grpc_server_destroy(echo->server);
    event_base_free(echo->base);
    assert_int_equal(echo->heap.bytes, 0);
}

#endif
