/* A load generator for inference servers: what its files share.
 *
 * One thread and one epoll.  Requests are built once for each text; sending one copies its bytes, writes an id over
 * those of the last, and is one write.  A protocol is a load_protocol; load_run.c has the sockets and the clock. */
#ifndef DS_BENCH_LOAD_H
#define DS_BENCH_LOAD_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/random.h"

struct nghttp2_hd_inflater;
struct load_protocol;

enum {
    LOAD_ID_BYTES = 16,    /* hexadecimal digits */
    LOAD_STATUSES = 1001,  /* HTTP's or gRPC's; the last: */
    LOAD_NO_STATUS = 1000, /* the stream was reset, or its end has no status */
    LOAD_MAX_CONNECTIONS = 60000,
    LOAD_MAX_TEXTS = 1024, /* of a request */
};

typedef struct load_options {
    const struct load_protocol *protocol;
    int port;
    const char *model, *texts, *output; /* output: the tensor that is asked for */
    size_t connections, texts_per_request;
    uint64_t requests; /* 0: as many as there is time for */
    double seconds, rate;
    uint64_t seed;
    bool verify, json;
} load_options;

typedef struct load_text {
    ds__str text;
    uint64_t expected; /* the hash of its vector's bytes, alone */
} load_text;

/* Bytes that are sent as they are, but for the id. */
typedef struct load_request {
    ds__str bytes;
    size_t id_at;        /* 0: the protocol has no id */
    size_t first, count; /* its texts */
} load_request;

typedef struct load_answer {
    int status;
    ds__str id;       /* size 0: none */
    ds__str vectors;  /* of an answer that is good */
    ds__str sentence; /* of one that is not */
} load_answer;

typedef enum load_state { LOAD_DOWN, LOAD_CONNECTING, LOAD_IDLE, LOAD_BUSY } load_state;

typedef struct load_connection {
    int fd;
    load_state state;
    bool ends; /* the server will close it, or has said that it takes no more requests */
    ds__buffer in, out;
    size_t sent; /* of `out` */
    const load_request *request;
    char id[LOAD_ID_BYTES];
    uint64_t since_ns; /* when the request was due */
    uint64_t retry_ns; /* of one that is down */
    uint64_t number;   /* how often it has been open */
    /* HTTP/2's */
    struct nghttp2_hd_inflater *inflater;
    ds__buffer message, sentence;
    uint32_t stream; /* of the request; 0: none yet */
    int http_status, grpc_status;
    uint64_t received; /* and not granted again */
} load_connection;

typedef struct load_protocol {
    const char *name;
    int good;       /* the status */
    bool is_listed; /* vectors stand in JSON, one behind the other; else they are bytes of one length */
    /* Appends the request for these texts to `out`, and says where its id is. */
    void (*build)(const load_options *options, const load_text *texts, load_request *request, ds__buffer *out);
    /* A connection is open; NULL: nothing to say. */
    void (*open)(load_connection *connection);
    void (*close)(load_connection *connection);
    /* Appends the request, with the connection's id in it, to `out`. */
    void (*send)(const load_options *options, load_connection *connection);
    /* The next answer out of `in`: 1; 0: more is needed; -1: what has come is no answer, and the sentence says why.
     * *used: how much of `in` may go once the answer has been looked at. */
    int (*take)(load_connection *connection, load_answer *out, size_t *used);
} load_protocol;

extern const load_protocol load_rest, load_openai, load_grpc;

enum { LOAD_FRACTION_BITS = 7, LOAD_BUCKETS = 64 << LOAD_FRACTION_BITS };
/* Times in ns, to within 1 %. */
typedef struct load_histogram {
    uint64_t counts[LOAD_BUCKETS], total, max, sum;
} load_histogram;
void load_histogram_add(load_histogram *histogram, uint64_t ns);
/* In ms; 0 without any. */
double load_percentile(const load_histogram *histogram, double percent);

typedef struct load_counts {
    uint64_t sent, ok, wrong, lost,
        unsent; /* lost: the connection ended before the answer; unsent: due, but too late */
    uint64_t connection_errors, reconnects;
    uint64_t by_status[LOAD_STATUSES];
    uint32_t *ok_by_second;
    size_t second_capacity, seconds_used;
    load_histogram latency, refused;
    double seconds; /* from the first request to the last answer */
} load_counts;

typedef struct load {
    load_options options;
    ds__arena arena; /* texts and requests */
    load_text *texts;
    size_t text_count, different; /* different: vectors; 0: not known */
    load_request *requests;
    size_t request_count;
    load_counts counts;
} load;

extern ds__heap load_heap;
/* Says it on standard error and ends the program with 1. */
void load_die(const char *format, ...) DS_PRINTF(1, 2) __attribute__((noreturn));
static inline void load_is_whole(const ds__buffer *buffer) {
    if (buffer->failed) load_die("out of memory");
}

/* Every text once, alone, over one connection: its vector is the expected one from then on. */
void load_learn(load *l);
void load_run(load *l);
void load_report(const load *l);

#endif
