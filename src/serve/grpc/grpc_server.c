/* The server: its listener, its ticks, what is sent when the base comes round. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/grpc/grpc_internal.h"

enum { BACKLOG = 1024, TICK_MS = 250, DEFAULT_STALL_MS = 60000, DEFAULT_IDLE_MS = 120000 };

void ds__grpc_connection_touch(ds__grpc_connection *connection) {
    ds__grpc_server *server = connection->server;
    if (connection->dirty) return;
    connection->dirty = true;
    connection->next_dirty = server->dirty;
    server->dirty = connection;
    event_active(server->flush, EV_TIMEOUT, 0);
}

/* Those that are touched meanwhile wait for the next time. */
static void on_flush(evutil_socket_t fd, short what, void *argument) {
    ds__grpc_server *server = argument;
    server->flushing = server->dirty;
    server->dirty = NULL;
    while (server->flushing) {
        ds__grpc_connection *connection = server->flushing;
        server->flushing = connection->next_dirty;
        connection->dirty = false;
        ds__grpc_connection_flush(connection);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *argument) {
    ds__grpc_server *server = argument;
    uint64_t now = ds__clock_ns();
    ds__grpc_log_tell_time(server);
    for (ds__grpc_connection *connection = server->connections; connection; connection = connection->next)
        ds__grpc_connection_tick(connection, now);
    if (server->listener && !server->draining) evconnlistener_enable(server->listener);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size,
                      void *argument) {
    ds__grpc_server *server = argument;
    if (server->connection_count >= server->options.max_connections)
        close(fd);
    else
        ds__grpc_connection_open(server, fd, address);
}

/* No descriptor is left, as a rule: the next tick tries again, instead of every turn of the base. */
static void on_accept_error(struct evconnlistener *listener, void *argument) { evconnlistener_disable(listener); }

static ds_status listen_at(ds__grpc_server *server, ds_error *error) {
    const ds__grpc_options *options = &server->options;
    char port[16];
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    snprintf(port, sizeof port, "%d", options->port);
    if (options->port < 0 || options->port > 65535)
        return ds__fail(error, DS_INVALID_ARGUMENT, "the gRPC port is %d, expected 0 to 65535", options->port);
    if (getaddrinfo(options->bind, port, &hints, &found) != 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s is not a numeric address to bind to", options->bind);
    server->listener = evconnlistener_new_bind(server->base, on_accept, server,
                                               LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                               BACKLOG, found->ai_addr, (int)found->ai_addrlen);
    int reason = errno;
    freeaddrinfo(found);
    if (!server->listener)
        return ds__fail(error, DS_IO, "cannot listen at %s port %d for gRPC: %s", options->bind, options->port,
                        strerror(reason));
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&bound, &size) != 0)
        return ds__fail(error, DS_IO, "cannot tell the port for gRPC: %s", strerror(errno));
    server->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
    return DS_OK;
}

static ds_status start(ds__grpc_server *server, ds_error *error) {
    static const struct timeval period = {0, TICK_MS * 1000};
    DS_TRY(ds__grpc_h2_init(server, error));
    server->in = ds__alloc(server->heap, DS__GRPC_IN);
    if (!server->in) return ds__alloc_failed(server->heap, DS__GRPC_IN, "the gRPC server", error);
    server->tick = event_new(server->base, -1, EV_PERSIST, on_tick, server);
    server->flush = event_new(server->base, -1, EV_PERSIST, on_flush, server);
    if (!server->tick || !server->flush || event_add(server->tick, &period) != 0)
        return ds__fail(error, DS_OUT_OF_MEMORY, "out of memory for the gRPC server");
    return listen_at(server, error);
}

ds_status ds__grpc_server_create(ds__heap *heap, struct event_base *base, const ds__grpc_options *options,
                                 ds__grpc_server **out, ds_error *error) {
    ds__grpc_server *server = ds__alloc_zeroed(heap, sizeof *server);
    if (!server) return ds__alloc_failed(heap, sizeof *server, "the gRPC server", error);
    server->heap = heap;
    server->base = base;
    server->options = *options;
    if (!server->options.stall_ms) server->options.stall_ms = DEFAULT_STALL_MS;
    if (!server->options.idle_ms) server->options.idle_ms = DEFAULT_IDLE_MS;
    ds__buffer_init(&server->spare, heap);
    ds__buffer_init(&server->log_line, heap);
    ds__grpc_log_tell_time(server);
    ds_status status = start(server, error);
    if (status != DS_OK) {
        ds__grpc_server_destroy(server);
        return status;
    }
    *out = server;
    return DS_OK;
}

int ds__grpc_server_port(const ds__grpc_server *server) { return server->port; }

static void stop_listening(ds__grpc_server *server) {
    if (server->listener) evconnlistener_free(server->listener);
    server->listener = NULL;
}

void ds__grpc_server_drain(ds__grpc_server *server) {
    if (server->draining) return;
    server->draining = true;
    stop_listening(server);
    for (ds__grpc_connection *connection = server->connections; connection; connection = connection->next)
        ds__grpc_connection_drain(connection);
}

void ds__grpc_server_stop(ds__grpc_server *server) {
    server->draining = true;
    stop_listening(server);
    while (server->connections) ds__grpc_connection_close(server->connections);
}

bool ds__grpc_server_busy(const ds__grpc_server *server) { return server->connection_count || server->call_count; }

void ds__grpc_server_destroy(ds__grpc_server *server) {
    if (!server) return;
    stop_listening(server);
    if (server->tick) event_free(server->tick);
    if (server->flush) event_free(server->flush);
    for (size_t i = 0; i < 2; i++) {
        if (!server->deflaters[i]) continue;
        deflateEnd(server->deflaters[i]);
        ds__free(server->heap, server->deflaters[i], sizeof(z_stream));
    }
    nghttp2_session_callbacks_del(server->callbacks);
    nghttp2_option_del(server->h2_options);
    ds__buffer_deinit(&server->spare);
    ds__buffer_deinit(&server->log_line);
    ds__free(server->heap, server->in, DS__GRPC_IN);
    ds__free(server->heap, server, sizeof *server);
}
