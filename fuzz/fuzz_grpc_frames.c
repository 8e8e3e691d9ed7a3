/* Arbitrary bytes on a connection, behind the client's greeting: frames, headers, messages.  Methods answer at once,
 * later or never; whatever comes, everything is over once the connection is, and no memory is left. */
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "serve/grpc/grpc_internal.h"

enum { HELD = 64 };

static ds__grpc_exchange *held[HELD];
static int held_count;

static void drop(ds__grpc_exchange *exchange) {
    ds__grpc_refuse(exchange, DS__GRPC_CANCELLED, "left"); /* from inside the cancelling */
}

static void echo(ds__grpc_exchange *exchange) {
    ds__buffer answer;
    ds__grpc_answer_init(exchange, &answer);
    ds__buffer_append(&answer, exchange->message.data, exchange->message.size);
    ds__grpc_reply(exchange, &answer);
}

/* The message's first byte decides. */
static void handle(ds__grpc_exchange *exchange) {
    char first = exchange->message.size ? exchange->message.data[0] : 0;
    if (first == 'r') {
        ds__grpc_refuse(exchange, DS__GRPC_NOT_FOUND, "100 % refused");
    } else if (first == 'w') {
        exchange->cancel = drop;
    } else if (first == 'h' && held_count < HELD) {
        held[held_count++] = exchange;
    } else {
        echo(exchange);
    }
}

static void watch(ds__grpc_exchange *exchange) {
    exchange->cancel = drop;
    for (int i = 0; i < 2; i++) {
        ds__buffer answer;
        ds__grpc_answer_init(exchange, &answer);
        ds__buffer_text(&answer, "state");
        ds__grpc_push(exchange, &answer);
    }
}

static const ds__grpc_method unary = {.path = "/u", .kind = DS__GRPC_UNARY, .handle = handle},
                             streaming = {.path = "/s", .kind = DS__GRPC_STREAM, .handle = handle},
                             watching = {.path = "/w", .kind = DS__GRPC_WATCH, .handle = watch};
static const ds__grpc_method *const methods[] = {&unary, &streaming, &watching};

/* The client takes what it is sent. */
static void drain_socket(int fd) {
    static char scratch[65536];
    while (recv(fd, scratch, sizeof scratch, MSG_DONTWAIT) > 0) {}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0";
    ds__heap heap;
    ds__grpc_server *server;
    int ends[2];
    ds__heap_init(&heap, NULL, 64 << 20);
    struct event_base *base = event_base_new();
    ds__grpc_options options = {
        .bind = "127.0.0.1", .methods = methods, .method_count = 3, .max_message_bytes = 1 << 20, .max_connections = 4};
    FUZZ_CHECK(base && ds__grpc_server_create(&heap, base, &options, &server, NULL) == DS_OK);
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    ds__grpc_connection_open(server, ends[0], &(struct sockaddr){.sa_family = AF_UNIX});
    held_count = 0;
    /* The first byte says in which pieces the rest arrives. */
    size_t step = size && data[0] ? data[0] : 65536;
    FUZZ_CHECK(send(ends[1], greeting, sizeof greeting - 1, MSG_NOSIGNAL) == sizeof greeting - 1);
    for (size_t at = 1; at < size;) {
        size_t part = size - at < step ? size - at : step;
        ssize_t sent = send(ends[1], data + at, part, MSG_NOSIGNAL);
        if (sent > 0) at += (size_t)sent;
        event_base_loop(base, EVLOOP_NONBLOCK);
        drain_socket(ends[1]);
        if (sent < 0 && !server->connection_count) break;
        if (at % 7 == 0 && held_count) echo(held[--held_count]);
    }
    for (int i = 0; i < 4; i++) event_base_loop(base, EVLOOP_NONBLOCK);
    if (size % 2) ds__grpc_server_drain(server);
    for (int i = 0; i < 4; i++) event_base_loop(base, EVLOOP_NONBLOCK);
    close(ends[1]);
    event_base_loop(base, EVLOOP_NONBLOCK);
    ds__grpc_server_stop(server);
    while (held_count) echo(held[--held_count]);
    FUZZ_CHECK(!ds__grpc_server_busy(server));
    ds__grpc_server_destroy(server);
    event_base_free(base);
    FUZZ_CHECK(heap.bytes == 0);
    return 0;
}
