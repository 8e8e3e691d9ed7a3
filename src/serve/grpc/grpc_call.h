/* What a method sees: one message of a call, and the ways to answer it. */
#ifndef DS_SERVE_GRPC_GRPC_CALL_H
#define DS_SERVE_GRPC_GRPC_CALL_H

#include "base/buffer.h"
#include "base/error.h"
#include "deepseek/tokenizer.h"

struct event_base;

/* gRPC's status codes, those that are used. */
typedef enum ds__grpc_code {
    DS__GRPC_OK = 0,
    DS__GRPC_CANCELLED = 1,
    DS__GRPC_INVALID_ARGUMENT = 3,
    DS__GRPC_DEADLINE_EXCEEDED = 4,
    DS__GRPC_NOT_FOUND = 5,
    DS__GRPC_RESOURCE_EXHAUSTED = 8,
    DS__GRPC_UNIMPLEMENTED = 12,
    DS__GRPC_INTERNAL = 13,
    DS__GRPC_UNAVAILABLE = 14,
} ds__grpc_code;

typedef struct ds__grpc_call ds__grpc_call;
typedef struct ds__grpc_exchange ds__grpc_exchange;
typedef struct ds__grpc_method ds__grpc_method;

/* One message that arrived, until its method ends it: by ds__grpc_reply or ds__grpc_refuse, exactly once, from inside
 * `handle` or at any time after it. */
struct ds__grpc_exchange {
    ds__str message; /* valid until the end */
    ds__heap *heap;  /* of the server */
    struct event_base *base;
    void *user;            /* of the server's options */
    ds__str authorization; /* the metadata entry; size 0: none */
    uint64_t deadline_ns;  /* by ds__clock_ns; 0: none */
    /* The method's: what it needs to find its work again, and what to do when nobody waits any more (the client left,
     * or the deadline has passed). Called at most once; the exchange must be ended all the same, now or later. */
    void *own;
    void (*cancel)(ds__grpc_exchange *exchange);

    /* The method's too: what the access log says besides; all that is pointed to lives until the end. */
    struct {
        const char *tenant; /* NULL: nobody was asked for */
        ds__str model, id;
        size_t tokens;
        const ds_text *texts; /* of a tenant that wants them in the log; else NULL */
        size_t text_count;
    } about;
    uint32_t retry_after_s; /* of a refusal: when to come again; 0: that is not said */

    /* The transport's. */
    ds__grpc_call *call;
    uint64_t started_ns;
    ds__grpc_exchange *next; /* of the call, in the order of arrival, which is the order of answers */
    char *body;              /* the message's memory */
    size_t body_bytes;
    ds__buffer reply; /* whole frames */
    size_t sent;
    bool ended, refused, dropped, cancelling;
};

typedef enum ds__grpc_kind {
    DS__GRPC_UNARY,  /* one message, one answer */
    DS__GRPC_STREAM, /* any number of messages, each with its answer */
    DS__GRPC_WATCH,  /* one message, any number of answers (ds__grpc_push) */
} ds__grpc_kind;

struct ds__grpc_method {
    const char *path; /* "/package.Service/Method" */
    ds__grpc_kind kind;
    void (*handle)(ds__grpc_exchange *exchange);
    bool quiet; /* good answers are not logged: probes ask all the time */
};

/* An empty answer to write a message into. */
void ds__grpc_answer_init(const ds__grpc_exchange *exchange, ds__buffer *answer);
/* Ends with this answer, whose memory is taken. An answer for which memory ran out becomes RESOURCE_EXHAUSTED. */
void ds__grpc_reply(ds__grpc_exchange *exchange, ds__buffer *answer);
/* Ends with a status and a sentence; so does the call, after the answers before. */
void ds__grpc_refuse(ds__grpc_exchange *exchange, int code, const char *sentence);
/* One more answer of a WATCH. */
void ds__grpc_push(ds__grpc_exchange *exchange, ds__buffer *answer);

#endif
