/* What the transport's own files share. */
#ifndef DS_SERVE_GRPC_GRPC_INTERNAL_H
#define DS_SERVE_GRPC_GRPC_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <nghttp2/nghttp2.h>
#include <zlib.h>

#include "base/alloc.h"
#include "serve/grpc/grpc.h"
#include "serve/grpc/grpc_call.h"

enum {
    DS__GRPC_PREFIX = 5,              /* a message's head: a flag and four bytes of length */
    DS__GRPC_STREAM_WINDOW = 1 << 20, /* how far a client may send ahead of what is taken, for each stream */
    DS__GRPC_CONNECTION_WINDOW = 4 << 20,
    DS__GRPC_MAX_STREAMS = 256,      /* of a connection, at a time */
    DS__GRPC_MAX_DEPTH = 32,         /* messages of a stream that wait for their answers or for the client to read */
    DS__GRPC_MAX_HEADER = 16 * 1024, /* names and values of one call */
    DS__GRPC_OUT_HIGH = 256 * 1024,  /* bytes for the socket at which no more frames are made */
    DS__GRPC_IN = 64 * 1024,         /* bytes read at a time */
};

typedef enum ds__grpc_encoding {
    DS__GRPC_IDENTITY,
    DS__GRPC_DEFLATE,
    DS__GRPC_GZIP,
    DS__GRPC_UNKNOWN_ENCODING,
} ds__grpc_encoding;

/* A message being put together. */
typedef struct ds__grpc_input {
    unsigned char prefix[DS__GRPC_PREFIX];
    size_t prefix_size;
    size_t wire_size, wire_seen; /* of the message as it travels */
    char *body;
    size_t size, capacity;
    z_stream *inflater; /* of a compressed one */
    bool inflated;      /* its end was reached */
    uint64_t started_ns;
} ds__grpc_input;

typedef struct ds__grpc_connection ds__grpc_connection;
struct evconnlistener;
struct ssl_st;

struct ds__grpc_call {
    ds__grpc_server *server;
    ds__grpc_connection *connection; /* NULL: the stream is closed; exchanges may still be under way */
    ds__grpc_call *previous, *next;  /* of the connection */
    int32_t stream;
    const ds__grpc_method *method;

    /* Of the headers. */
    size_t header_bytes;
    bool is_post, is_grpc, bad_timeout, bad_authorization;
    ds__grpc_encoding encoding, answer_encoding;
    unsigned accepted; /* bit i: the client can read encoding i */
    char path[128], content_type[48], encoding_name[32], authorization[512], traceparent[64];
    struct event deadline_timer;
    uint64_t deadline_ns;
    bool has_timer;

    /* Of the body. */
    bool input_ended, feeding;
    ds__grpc_input input;
    size_t message_count;
    ds__buffer held; /* arrived, and from held_at on not looked at: too many messages of this stream wait */
    size_t held_at;

    /* Of the answer. */
    ds__grpc_exchange *first, *last;
    size_t depth;
    bool submitted; /* the response is nghttp2's; more is told by resuming */
    bool finished;  /* nothing but `code` and `sentence` will go out */
    int code;
    char sentence[DS_ERROR_MESSAGE_SIZE];
    uint32_t retry_after_s; /* 0: it is not said */
    uint64_t out_since_ns;  /* since when answers wait; 0: none do */
    uint64_t out_bytes;     /* taken by the client since then */
};

struct ds__grpc_connection {
    ds__grpc_server *server;
    ds__grpc_connection *previous, *next; /* of the server */
    ds__grpc_connection *next_dirty;
    int fd;
    struct ssl_st *tls; /* NULL: plain */
    char remote[64];    /* the client's address, for the log */
    struct event readable, writable;
    nghttp2_session *session; /* NULL: nothing was heard yet */
    ds__buffer out;           /* frames for the socket, from out_sent on; without memory while there are none */
    size_t out_sent;
    ds__grpc_call *calls;
    size_t call_count, held_count;
    bool established; /* the client's first SETTINGS were there */
    bool dirty, paused, closing, draining, told_last;
    bool in_headers; /* between a HEADERS frame and the end of its block */
    uint64_t bytes_in, headers_at;
    double frame_credit, reset_credit;
    uint64_t credit_ns, opened_ns, heard_ns;
    uint64_t asked_ns;     /* when the PING went out that has no answer yet; 0: there is none */
    uint64_t out_since_ns; /* since when the socket takes nothing; 0: it does */
};

struct ds__grpc_server {
    ds__heap *heap;
    struct event_base *base;
    ds__grpc_options options;
    struct evconnlistener *listener;
    struct event *tick, *flush;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *h2_options;
    char *in; /* [DS__GRPC_IN] what is read from any socket, until nghttp2 has taken it */
    ds__buffer log_line;
    char log_time[32];
    ds__buffer spare; /* the `out` of a connection that has nothing to send */
    z_stream *deflaters[2];
    ds__grpc_connection *connections, *dirty, *flushing;
    size_t connection_count, call_count;
    int port;
    bool draining;
};

/* grpc_server.c */
/* Sends what connections were touched for, once the base comes round. */
void ds__grpc_connection_touch(ds__grpc_connection *connection);

/* grpc_connection.c */
void ds__grpc_connection_open(ds__grpc_server *server, int fd,
                              const struct sockaddr *address);   /* takes the descriptor, whatever happens */
void ds__grpc_connection_close(ds__grpc_connection *connection); /* not from inside nghttp2: that sets `closing` */
void ds__grpc_connection_drain(ds__grpc_connection *connection);
void ds__grpc_connection_tick(ds__grpc_connection *connection, uint64_t now);
/* Makes frames and sends them, as far as the socket takes them; closes the connection when it is over. */
void ds__grpc_connection_flush(ds__grpc_connection *connection);

/* grpc_h2.c */
ds_status ds__grpc_h2_init(ds__grpc_server *server, ds_error *error) DS_MUST_CHECK;
/* Gives nghttp2 what was read; false: the connection is to be closed. */
bool ds__grpc_h2_take(ds__grpc_connection *connection, const void *data, size_t size) DS_MUST_CHECK;

/* grpc_tls.c */
bool ds__grpc_tls_open(ds__grpc_connection *connection) DS_MUST_CHECK;
void ds__grpc_tls_close(ds__grpc_connection *connection);
/* Whether writing makes sense: the handshake is over, or there is none. */
bool ds__grpc_socket_ready(const ds__grpc_connection *connection);
/* As read(2) and write(2) on a socket that does not wait: bytes, 0 for none now, -1 for the end or an error. */
long ds__grpc_socket_read(ds__grpc_connection *connection, void *out, size_t size);
long ds__grpc_socket_write(ds__grpc_connection *connection, const void *data, size_t size);

/* grpc_call.c */
ds__grpc_call *ds__grpc_call_open(ds__grpc_connection *connection, int32_t stream);
void ds__grpc_call_data(ds__grpc_call *call, const void *data, size_t size);
void ds__grpc_call_end_input(ds__grpc_call *call);
void ds__grpc_call_closed(ds__grpc_call *call); /* its stream is gone */
/* Looks at what was held back, if there is room now; whether there was. */
bool ds__grpc_call_unhold(ds__grpc_call *call);
void ds__grpc_call_drain(ds__grpc_call *call);
void ds__grpc_call_tick(ds__grpc_call *call, uint64_t now);
/* Ends the call now, whatever else was to go out. */
void ds__grpc_call_abort(ds__grpc_call *call, int code, const char *format, ...) DS_PRINTF(3, 4);
/* Called when the last frames of the call are made. */
ssize_t ds__grpc_call_read(ds__grpc_call *call, uint8_t *out, size_t room, uint32_t *flags);

/* grpc_headers.c */
void ds__grpc_call_header(ds__grpc_call *call, ds__str name, ds__str value);
void ds__grpc_call_begin(ds__grpc_call *call);     /* the headers are complete */
void ds__grpc_submit_answers(ds__grpc_call *call); /* headers, and data as they come */
void ds__grpc_submit_status(ds__grpc_call *call);  /* the status in the only headers: there is no answer */
void ds__grpc_submit_trailer(ds__grpc_call *call);

/* grpc_input.c: the bytes of a call to messages */
typedef enum ds__grpc_fed { DS__GRPC_FED_MORE, DS__GRPC_FED_MESSAGE, DS__GRPC_FED_FAILED } ds__grpc_fed;
/* Takes bytes until they end or a message is complete, which is then input->body and size, to be taken by
 * ds__grpc_input_take; *used says how many. A failure is the call's end: *code and the error say which. */
ds__grpc_fed ds__grpc_input_feed(ds__grpc_call *call, ds__str bytes, size_t *used, int *code, ds_error *error);
void ds__grpc_input_take(ds__grpc_call *call, ds__grpc_exchange *exchange);
void ds__grpc_input_reset(ds__grpc_call *call);
/* Puts the head before a message of an answer, compressed if the call's answers are and it pays. false: no memory. */
bool ds__grpc_frame(ds__grpc_call *call, ds__buffer *answer) DS_MUST_CHECK;

/* grpc_log.c */
void ds__grpc_log_tell_time(ds__grpc_server *server);
/* A line about the exchange, or with NULL about a call that came to none. */
void ds__grpc_log(ds__grpc_call *call, const ds__grpc_exchange *exchange, int code);

/* grpc_text.c: values of headers */
bool ds__grpc_parse_timeout(ds__str text, uint64_t *nanoseconds) DS_MUST_CHECK;
ds__grpc_encoding ds__grpc_parse_encoding(ds__str text);
/* Whether a comma-separated list names the encoding. */
bool ds__grpc_accepts(ds__str list, ds__grpc_encoding encoding);
const char *ds__grpc_encoding_name(ds__grpc_encoding encoding);
/* "application/grpc", with "+proto" and parameters or without. */
bool ds__grpc_is_content_type(ds__str text);
/* Percent-encodes what a header cannot carry, into at most `size` bytes; returns how many. */
size_t ds__grpc_percent_encode(const char *text, char *out, size_t size);

#endif
