/* What the HTTP server keeps of each connection. */
#ifndef DS_SERVE_HTTP_HTTP_CONNECTION_H
#define DS_SERVE_HTTP_HTTP_CONNECTION_H

#include "serve/http/http_call.h"

enum { DS__HTTP_READ_AHEAD = 256 * 1024 }; /* bytes that wait in memory; more wait in the socket */

typedef enum ds__connection_state {
    DS__CONNECTION_IDLE, /* between requests */
    DS__CONNECTION_HEAD,
    DS__CONNECTION_BODY,
    DS__CONNECTION_BUSY, /* a handler or the core has the request */
    DS__CONNECTION_WRITING,
    DS__CONNECTION_LINGER,
    DS__CONNECTION_BROKEN, /* to be freed by whoever called the handler */
} ds__connection_state;

typedef struct ds__http_connection {
    struct ds__http_server *server;
    struct bufferevent *bev; /* NULL: closed, but a request is still out */
    struct event *probe;     /* while a request runs whose client has ended its sending side; else NULL */
    struct ds__http_connection *next, *previous;
    ds__connection_state state;
    bool keep_alive, has_eof, is_gone, is_tls, is_handshaking, metrics_only;
    uint64_t since_ns; /* when the state began; of a request: when its first byte came */
    size_t scanned;    /* of the input, for the head's end */
    size_t unsent;     /* at the last look */
    ds__buffer head_text;
    ds__http_head head;
    ds__http_body body;
    ds__http_call call;
    char remote[64];
} ds__http_connection;

/* An action with the memory its names lie in. */
typedef struct ds__http_action {
    ds__serve_action action;
    char model[128], label[64];
} ds__http_action;

struct ds__http_server {
    ds__service *service;
    ds__heap *heap;
    struct event_base *base;
    ds__outbox *outbox;
    ds__http_options options;
    struct evconnlistener *listener, *metrics_listener;
    struct event *timer;
    struct ssl_ctx_st *tls; /* NULL: plain */
    ds__http_connection *first;
    size_t count;
    bool draining;
    uint64_t now_ns; /* as of the event that is being handled */
    char date[40], log_time[40];
    ds__buffer log_line;
};

/* Starts reading. */
void ds__connection_watch(ds__http_connection *c);
/* Works through what is there until something has to be waited for. The connection may be gone afterwards. */
void ds__connection_serve(ds__http_connection *c);
/* Now and then: whether it is late or idle. It may be gone afterwards. */
void ds__connection_tick(ds__http_connection *c);
/* The client is gone, or shall be. A request that is under way keeps the memory until it comes back. */
void ds__connection_close(ds__http_connection *c);
/* The client's end is of no more interest: the answer tells it apart. */
void ds__connection_end_probe(ds__http_connection *c);
void ds__connection_free(ds__http_connection *c);

#endif
