/* A connection: its socket, what waits to be sent, its place in time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/grpc/grpc_internal.h"

enum { READS_AT_A_TIME = 4, ROUNDS_AT_A_TIME = 8 }; /* then other connections have their turn */

static size_t waiting(const ds__grpc_connection *connection) { return connection->out.size - connection->out_sent; }

static void pause_reading(ds__grpc_connection *connection, bool pause) {
    if (connection->paused == pause) return;
    connection->paused = pause;
    if (pause)
        event_del(&connection->readable);
    else
        event_add(&connection->readable, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *argument) {
    ds__grpc_connection *connection = argument;
    ds__grpc_server *server = connection->server;
    for (int i = 0; i < READS_AT_A_TIME; i++) {
        long size = ds__grpc_socket_read(connection, server->in, DS__GRPC_IN);
        if (size < 0) connection->closing = true;
        if (size <= 0) break;
        connection->heard_ns = ds__clock_ns();
        if (!ds__grpc_h2_take(connection, server->in, (size_t)size)) connection->closing = true;
        if (connection->closing || (size < DS__GRPC_IN && !connection->tls)) break;
    }
    ds__grpc_connection_flush(connection);
}

static void on_writable(evutil_socket_t fd, short what, void *argument) {
    ds__grpc_connection *connection = argument;
    if (connection->tls)
        on_readable(fd, what, argument); /* a handshake, or a read that had to write */
    else
        ds__grpc_connection_flush(connection);
}

static void keep_address(ds__grpc_connection *connection, const struct sockaddr *address) {
    char host[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(connection->remote, sizeof connection->remote, "[%s]:%d", host, ntohs(v6->sin6_port));
    } else if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(connection->remote, sizeof connection->remote, "%s:%d", host, ntohs(v4->sin_port));
    }
}

static void tell_count(const ds__grpc_server *server) {
    if (server->options.connections) atomic_store(server->options.connections, server->connection_count);
}

void ds__grpc_connection_open(ds__grpc_server *server, int fd, const struct sockaddr *address) {
    int one = 1;
    ds__grpc_connection *connection = ds__alloc_zeroed(server->heap, sizeof *connection);
    if (!connection) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->server = server;
    connection->fd = fd;
    keep_address(connection, address);
    connection->opened_ns = connection->heard_ns = connection->credit_ns = ds__clock_ns();
    ds__buffer_init(&connection->out, server->heap);
    event_assign(&connection->readable, server->base, fd, EV_READ | EV_PERSIST, on_readable, connection);
    event_assign(&connection->writable, server->base, fd, EV_WRITE, on_writable, connection);
    connection->next = server->connections;
    if (connection->next) connection->next->previous = connection;
    server->connections = connection;
    server->connection_count++;
    tell_count(server);
    if (!ds__grpc_tls_open(connection) || event_add(&connection->readable, NULL) != 0)
        ds__grpc_connection_close(connection);
}

static void forget_dirty(ds__grpc_connection *connection) {
    ds__grpc_connection **lists[] = {&connection->server->dirty, &connection->server->flushing};
    for (size_t i = 0; connection->dirty && i < 2; i++)
        for (ds__grpc_connection **at = lists[i]; *at; at = &(*at)->next_dirty)
            if (*at == connection) {
                *at = connection->next_dirty;
                return;
            }
}

void ds__grpc_connection_close(ds__grpc_connection *connection) {
    ds__grpc_server *server = connection->server;
    while (connection->calls) ds__grpc_call_closed(connection->calls);
    nghttp2_session_del(connection->session);
    event_del(&connection->readable);
    event_del(&connection->writable);
    ds__grpc_tls_close(connection);
    close(connection->fd);
    forget_dirty(connection);
    ds__buffer_deinit(&connection->out);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next) connection->next->previous = connection->previous;
    server->connection_count--;
    tell_count(server);
    ds__free(server->heap, connection, sizeof *connection);
}

/* Frames until there are none, or enough wait for the socket. */
static bool make_frames(ds__grpc_connection *connection) {
    ds__grpc_server *server = connection->server;
    while (waiting(connection) < DS__GRPC_OUT_HIGH) {
        const uint8_t *data;
        ssize_t size = nghttp2_session_mem_send(connection->session, &data);
        if (size < 0) return false;
        if (size == 0) break;
        if (!connection->out.capacity) {
            connection->out = server->spare;
            ds__buffer_init(&server->spare, server->heap);
        }
        ds__buffer_append(&connection->out, data, (size_t)size);
        if (connection->out.failed) return false;
    }
    return true;
}

static void give_back_memory(ds__grpc_connection *connection) {
    ds__grpc_server *server = connection->server;
    ds__buffer_clear(&connection->out);
    connection->out_sent = 0;
    if (server->spare.capacity) {
        ds__buffer_deinit(&connection->out);
    } else {
        server->spare = connection->out;
        ds__buffer_init(&connection->out, server->heap);
    }
}

/* Sends what waits. false: the socket is at its end. */
static bool send_waiting(ds__grpc_connection *connection) {
    while (waiting(connection) && ds__grpc_socket_ready(connection)) {
        long sent = ds__grpc_socket_write(connection, connection->out.data + connection->out_sent, waiting(connection));
        if (sent < 0) return false;
        if (sent == 0) {
            if (!connection->out_since_ns) connection->out_since_ns = ds__clock_ns();
            return !event_add(&connection->writable, NULL);
        }
        connection->out_sent += (size_t)sent;
        connection->out_since_ns = 0;
    }
    if (!waiting(connection) && connection->out.capacity) give_back_memory(connection);
    return true;
}

static bool unhold_calls(ds__grpc_connection *connection) {
    bool any = false;
    for (ds__grpc_call *call = connection->calls; call && connection->held_count; call = call->next)
        any = ds__grpc_call_unhold(call) || any;
    return any;
}

void ds__grpc_connection_flush(ds__grpc_connection *connection) {
    bool fine = !connection->closing;
    if (!connection->session) {
        if (!fine) ds__grpc_connection_close(connection);
        return;
    }
    /* Sent answers make room for messages that were held back, whose answers may be there at once. A client that sends
     * many small ones has its turns like every other. */
    bool more = true;
    for (int i = 0; fine && more && i < ROUNDS_AT_A_TIME; i++) {
        fine = make_frames(connection) && send_waiting(connection);
        more = fine && !waiting(connection) &&
               (unhold_calls(connection) || nghttp2_session_want_write(connection->session));
    }
    if (fine && more) ds__grpc_connection_touch(connection);
    bool over = !waiting(connection) && !nghttp2_session_want_read(connection->session) &&
                !nghttp2_session_want_write(connection->session);
    if (!fine || connection->closing || over)
        ds__grpc_connection_close(connection);
    else
        pause_reading(connection, waiting(connection) >= DS__GRPC_OUT_HIGH);
}

void ds__grpc_connection_drain(ds__grpc_connection *connection) {
    if (!connection->session) {
        connection->closing = true;
    } else if (!connection->draining) {
        /* First "no more", then, one tick later, which streams were the last: a client's request that is on its way
         * meanwhile is answered. */
        connection->draining = true;
        (void)nghttp2_submit_shutdown_notice(connection->session);
    } else {
        if (!connection->told_last)
            (void)nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                                        nghttp2_session_get_last_proc_stream_id(connection->session), NGHTTP2_NO_ERROR,
                                        NULL, 0);
        connection->told_last = true;
        for (ds__grpc_call *call = connection->calls, *next; call; call = next) {
            next = call->next;
            ds__grpc_call_drain(call);
        }
        if (!connection->calls) nghttp2_session_terminate_session(connection->session, NGHTTP2_NO_ERROR);
    }
    ds__grpc_connection_touch(connection);
}

void ds__grpc_connection_tick(ds__grpc_connection *connection, uint64_t now) {
    const ds__grpc_options *options = &connection->server->options;
    uint64_t stall_ns = options->stall_ms * UINT64_C(1000000), idle_ns = options->idle_ms * UINT64_C(1000000);
    bool no_beginning = !connection->established && now - connection->opened_ns > stall_ns;
    bool no_reader = connection->out_since_ns && now - connection->out_since_ns > stall_ns;
    bool no_answer = connection->asked_ns && now - connection->asked_ns > stall_ns;
    if (no_beginning || no_reader || no_answer) {
        connection->closing = true;
        ds__grpc_connection_touch(connection);
        return;
    }
    if (connection->established && !connection->asked_ns && now > connection->heard_ns &&
        now - connection->heard_ns > idle_ns) {
        connection->asked_ns = now;
        (void)nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL);
        ds__grpc_connection_touch(connection);
    }
    for (ds__grpc_call *call = connection->calls, *next; call; call = next) {
        next = call->next;
        ds__grpc_call_tick(call, now);
    }
    if (connection->server->draining) ds__grpc_connection_drain(connection);
}
