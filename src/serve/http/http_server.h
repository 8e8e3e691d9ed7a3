/* The REST side: HTTP/1.1 on a libevent base.
 *
 * The parser is our own, over libevent's bufferevents, and not libevent's evhttp: evhttp reads a whole chunked body
 * before anybody is asked, has no limit for slow senders but one timeout, cannot wait for a body to be consumed, and
 * does not tell a client that leaves from one that is slow while a request is computed. */
#ifndef DS_SERVE_HTTP_HTTP_SERVER_H
#define DS_SERVE_HTTP_HTTP_SERVER_H

#include "serve/service.h"

typedef struct ds__http_server ds__http_server;

/* Borrowed for the server's life. */
typedef struct ds__http_options {
    const char *bind;               /* an address */
    int port, metrics_port;         /* 0: any free one; metrics_port < 0: none of its own */
    const char *tls_cert, *tls_key; /* PEM files; NULL: no TLS */
    size_t max_body;                /* bytes, decompressed */
    size_t max_connections;
    double idle_s, header_s;               /* a connection without a request; a head that does not end */
    void (*log)(void *user, ds__str line); /* the access log: one JSON line, without its end; NULL: none */
    void *log_user;
} ds__http_options;

ds_status ds__http_server_create(ds__service *service, struct event_base *base, ds__outbox *outbox,
                                 const ds__http_options *options, ds__http_server **out, ds_error *error) DS_MUST_CHECK;
/* What was bound, where 0 was asked for. */
int ds__http_server_port(const ds__http_server *server);
int ds__http_server_metrics_port(const ds__http_server *server);
/* Stops listening; idle connections are closed, others once they are answered. */
void ds__http_server_drain(ds__http_server *server);
size_t ds__http_server_connections(const ds__http_server *server);
/* Closes what is left. Requests under way are cancelled; the outbox must be emptied before the server is destroyed. */
void ds__http_server_abort(ds__http_server *server);
void ds__http_server_destroy(ds__http_server *server);

#endif
