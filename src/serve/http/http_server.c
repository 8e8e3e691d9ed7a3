/* The server: sockets that listen, TLS, time. */
#include "serve/http/http_server.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "serve/http/http_connection.h"

enum { SWEEP_MS = 250 };

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
    if (!c->metrics_only) atomic_fetch_add(ds__serve_connections(server->service, DS__SERVE_REST), 1);
    ds__connection_watch(c);
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
        ds__connection_tick(c);
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
        ds__connection_close(c);
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
