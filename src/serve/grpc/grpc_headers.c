/* The headers of a call: what the client's say, and those that answer it. */
#include <stdio.h>

#include "base/clock.h"
#include "serve/grpc/grpc_internal.h"

static void keep(char *out, size_t size, ds__str value) {
    size_t kept = value.size < size - 1 ? value.size : size - 1;
    memcpy(out, value.data, kept);
    out[kept] = '\0';
}

static const ds__grpc_method *find_method(const ds__grpc_server *server, ds__str path) {
    for (size_t i = 0; i < server->options.method_count; i++)
        if (ds__str_is(path, server->options.methods[i]->path)) return server->options.methods[i];
    return NULL;
}

static void set_timeout(ds__grpc_call *call, ds__str value) {
    uint64_t timeout, now = ds__clock_ns();
    if (!ds__grpc_parse_timeout(value, &timeout))
        call->bad_timeout = true;
    else if (__builtin_add_overflow(now, timeout, &call->deadline_ns))
        call->deadline_ns = 0; /* in centuries: none */
}

void ds__grpc_call_header(ds__grpc_call *call, ds__str name, ds__str value) {
    call->header_bytes += name.size + value.size + 32; /* as HTTP/2 counts them */
    if (call->header_bytes > DS__GRPC_MAX_HEADER) return;
    if (ds__str_is(name, ":path")) {
        call->method = find_method(call->server, value);
        keep(call->path, sizeof call->path, value);
    } else if (ds__str_is(name, ":method")) {
        call->is_post = ds__str_is(value, "POST");
    } else if (ds__str_is(name, "content-type")) {
        call->is_grpc = ds__grpc_is_content_type(value);
        keep(call->content_type, sizeof call->content_type, value);
    } else if (ds__str_is(name, "grpc-timeout")) {
        set_timeout(call, value);
    } else if (ds__str_is(name, "grpc-encoding")) {
        call->encoding = ds__grpc_parse_encoding(value);
        keep(call->encoding_name, sizeof call->encoding_name, value);
    } else if (ds__str_is(name, "grpc-accept-encoding")) {
        for (int i = DS__GRPC_DEFLATE; i <= DS__GRPC_GZIP; i++)
            call->accepted |= (unsigned)ds__grpc_accepts(value, (ds__grpc_encoding)i) << i;
    } else if (ds__str_is(name, "authorization")) {
        call->bad_authorization = value.size >= sizeof call->authorization;
        keep(call->authorization, sizeof call->authorization, value);
    } else if (ds__str_is(name, "traceparent") && value.size < sizeof call->traceparent) {
        keep(call->traceparent, sizeof call->traceparent, value);
    }
}

static void deadline_passed(evutil_socket_t fd, short what, void *argument) {
    ds__grpc_call *call = argument;
    ds__grpc_call_abort(call, DS__GRPC_DEADLINE_EXCEEDED, "the deadline that grpc-timeout set has passed");
}

static void set_timer(ds__grpc_call *call) {
    uint64_t now = ds__clock_ns(), left = call->deadline_ns > now ? (call->deadline_ns - now) / 1000 : 0;
    struct timeval wait = {(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    evtimer_assign(&call->deadline_timer, call->server->base, deadline_passed, call);
    call->has_timer = evtimer_add(&call->deadline_timer, &wait) == 0;
}

static void add_pair(nghttp2_nv *pairs, size_t *count, const char *name, ds__str value) {
    pairs[(*count)++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.data, strlen(name),
                                     value.size, NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

/* Not a call of gRPC at all: a plain HTTP answer. */
static void answer_http(ds__grpc_call *call, const char *status) {
    nghttp2_nv pairs[1];
    size_t count = 0;
    add_pair(pairs, &count, ":status", ds__str_of(status));
    call->finished = call->submitted = true;
    if (nghttp2_submit_response(call->connection->session, call->stream, pairs, count, NULL) != 0)
        call->connection->closing = true;
}

/* Names what a client that sent an encoding we lack may send. */
static void add_accepted(nghttp2_nv *pairs, size_t *count) {
    add_pair(pairs, count, "grpc-accept-encoding", DS_STR("identity,deflate,gzip"));
}

/* numbers: what the pairs' values lie in. */
static void add_status(const ds__grpc_call *call, nghttp2_nv *pairs, size_t *count, char numbers[2][16],
                       ds__str message) {
    snprintf(numbers[0], 16, "%d", call->code);
    add_pair(pairs, count, "grpc-status", ds__str_of(numbers[0]));
    if (message.size) add_pair(pairs, count, "grpc-message", message);
    if (!call->retry_after_s) return;
    snprintf(numbers[1], 16, "%llu", 1000ull * call->retry_after_s);
    add_pair(pairs, count, "grpc-retry-pushback-ms", ds__str_of(numbers[1]));
}

static ds__str encoded_sentence(const ds__grpc_call *call, char *out, size_t size) {
    return (ds__str){out, ds__grpc_percent_encode(call->sentence, out, size)};
}

enum { ENCODED_SENTENCE = 3 * DS_ERROR_MESSAGE_SIZE };

static void add_first_headers(const ds__grpc_call *call, nghttp2_nv *pairs, size_t *count) {
    add_pair(pairs, count, ":status", DS_STR("200"));
    add_pair(pairs, count, "content-type", DS_STR("application/grpc"));
    if (call->traceparent[0]) add_pair(pairs, count, "traceparent", ds__str_of(call->traceparent));
}

/* The status in the only headers: the call is over before an answer. */
void ds__grpc_submit_status(ds__grpc_call *call) {
    char numbers[2][16], encoded[ENCODED_SENTENCE];
    nghttp2_nv pairs[7];
    size_t count = 0;
    add_first_headers(call, pairs, &count);
    add_status(call, pairs, &count, numbers, encoded_sentence(call, encoded, sizeof encoded));
    if (call->encoding == DS__GRPC_UNKNOWN_ENCODING) add_accepted(pairs, &count);
    call->submitted = true;
    if (nghttp2_submit_response(call->connection->session, call->stream, pairs, count, NULL) != 0)
        call->connection->closing = true;
}

void ds__grpc_submit_trailer(ds__grpc_call *call) {
    char numbers[2][16], encoded[ENCODED_SENTENCE];
    nghttp2_nv pairs[3];
    size_t count = 0;
    add_status(call, pairs, &count, numbers, encoded_sentence(call, encoded, sizeof encoded));
    if (nghttp2_submit_trailer(call->connection->session, call->stream, pairs, count) != 0)
        call->connection->closing = true;
}

static ssize_t read_answers(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room, uint32_t *flags,
                            nghttp2_data_source *source, void *user) {
    return ds__grpc_call_read(source->ptr, out, room, flags);
}

void ds__grpc_submit_answers(ds__grpc_call *call) {
    nghttp2_nv pairs[5];
    size_t count = 0;
    nghttp2_data_provider provider = {.source = {.ptr = call}, .read_callback = read_answers};
    add_first_headers(call, pairs, &count);
    if (call->answer_encoding != DS__GRPC_IDENTITY)
        add_pair(pairs, &count, "grpc-encoding", ds__str_of(ds__grpc_encoding_name(call->answer_encoding)));
    call->submitted = true;
    if (nghttp2_submit_response(call->connection->session, call->stream, pairs, count, &provider) != 0)
        call->connection->closing = true;
}

void ds__grpc_call_begin(ds__grpc_call *call) {
    /* Answers are compressed as the client compresses, and not because it could read them. */
    if (call->encoding != DS__GRPC_UNKNOWN_ENCODING && call->accepted >> call->encoding & 1)
        call->answer_encoding = call->encoding;
    if (!call->is_post && call->header_bytes <= DS__GRPC_MAX_HEADER) {
        answer_http(call, "405");
    } else if (!call->is_grpc && call->header_bytes <= DS__GRPC_MAX_HEADER) {
        answer_http(call, "415");
    } else if (call->header_bytes > DS__GRPC_MAX_HEADER) {
        ds__grpc_call_abort(call, DS__GRPC_RESOURCE_EXHAUSTED, "the metadata have %zu bytes, at most %d are taken",
                            call->header_bytes, DS__GRPC_MAX_HEADER);
    } else if (!call->method) {
        ds__grpc_call_abort(call, DS__GRPC_UNIMPLEMENTED, "there is no method %s", call->path);
    } else if (call->encoding == DS__GRPC_UNKNOWN_ENCODING) {
        ds__grpc_call_abort(call, DS__GRPC_UNIMPLEMENTED,
                            "grpc-encoding %s is not known; use identity, deflate or gzip", call->encoding_name);
    } else if (call->bad_timeout) {
        ds__grpc_call_abort(call, DS__GRPC_INVALID_ARGUMENT,
                            "grpc-timeout is not 1 to 8 digits and one of the units H, M, S, m, u, n");
    } else if (call->bad_authorization) {
        ds__grpc_call_abort(call, DS__GRPC_INVALID_ARGUMENT, "authorization is longer than the %zu bytes of a key",
                            sizeof call->authorization - 1);
    } else if (call->server->draining && call->method->kind != DS__GRPC_UNARY) {
        ds__grpc_call_abort(call, DS__GRPC_UNAVAILABLE, "the server is about to stop; connect again");
    } else if (call->deadline_ns) {
        set_timer(call);
    }
}
