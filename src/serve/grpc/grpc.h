/* The gRPC transport: HTTP/2 (nghttp2) over libevent, gRPC's framing over that, methods out of a table.
 *
 * A server belongs to the thread that runs its event base: every call in this folder is made there.  Methods answer
 * whenever they like (grpc_call.h); nothing here waits. */
#ifndef DS_SERVE_GRPC_GRPC_H
#define DS_SERVE_GRPC_GRPC_H

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"

struct event_base;
struct ssl_ctx_st;

typedef struct ds__grpc_method ds__grpc_method; /* grpc_call.h */
typedef struct ds__grpc_server ds__grpc_server;

typedef struct ds__grpc_options {
    const char *bind; /* a numeric address */
    int port;         /* 0: one that is free; see ds__grpc_server_port */
    const ds__grpc_method *const *methods;
    size_t method_count;
    void *user;               /* what methods find in their exchanges */
    struct ssl_ctx_st *tls;   /* of ds__grpc_tls_create, or NULL: plain */
    size_t max_message_bytes; /* of one request message, inflated */
    size_t max_connections;   /* more are closed as they come */
    uint32_t stall_ms;        /* how long a handshake, a message or a full socket may stand still; 0: 60 s */
    uint32_t idle_ms;         /* then the client is asked whether it is there, and has stall_ms to answer; 0: 120 s */
    /* The access log: a line of JSON for each message and its answer, without its end; NULL: none. */
    void (*log)(void *log_user, ds__str line);
    void *log_user;
    _Atomic size_t *connections; /* kept at the number of those that are open; NULL: nobody wants to know */
} ds__grpc_options;

/* What is buffered for clients counts in `heap`, whose limit thereby is the limit of it. */
ds_status ds__grpc_server_create(ds__heap *heap, struct event_base *base, const ds__grpc_options *options,
                                 ds__grpc_server **out, ds_error *error) DS_MUST_CHECK;
int ds__grpc_server_port(const ds__grpc_server *server);
/* Stops accepting and tells every client (GOAWAY); what runs is answered, then connections close. */
void ds__grpc_server_drain(ds__grpc_server *server);
/* Closes every connection and cancels what runs. */
void ds__grpc_server_stop(ds__grpc_server *server);
/* Whether a connection is open or a method has still to end its exchange: then the base must run on before destroy. */
bool ds__grpc_server_busy(const ds__grpc_server *server);
void ds__grpc_server_destroy(ds__grpc_server *server);

/* A context for TLS 1.2 and newer that speaks h2 only; freed by SSL_CTX_free, by the caller. */
ds_status ds__grpc_tls_create(const char *certificate_path, const char *key_path, struct ssl_ctx_st **out,
                              ds_error *error) DS_MUST_CHECK;

#endif
