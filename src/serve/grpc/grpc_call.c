/* A call: from its headers over its messages to its status.
 *
 * A call outlives its stream while a method still works on an exchange of it; then nothing is sent, and the last
 * exchange to end frees it. */
#include "serve/grpc/grpc_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

static void call_free(ds__grpc_call *call) {
    ds__grpc_server *server = call->server;
    if (call->has_timer) event_del(&call->deadline_timer);
    ds__grpc_input_reset(call);
    ds__buffer_deinit(&call->held);
    server->call_count--;
    ds__free(server->heap, call, sizeof *call);
}

ds__grpc_call *ds__grpc_call_open(ds__grpc_connection *connection, int32_t stream) {
    ds__grpc_server *server = connection->server;
    ds__grpc_call *call = ds__alloc_zeroed(server->heap, sizeof *call);
    if (!call) return NULL;
    call->server = server;
    call->connection = connection;
    call->stream = stream;
    ds__buffer_init(&call->held, server->heap);
    call->next = connection->calls;
    if (call->next) call->next->previous = call;
    connection->calls = call;
    connection->call_count++;
    server->call_count++;
    return call;
}

/* Whether the frames of the call can go on: an answer at the head of the line, or the end. */
static void wake(ds__grpc_call *call) {
    ds__grpc_connection *connection = call->connection;
    if (!connection) return;
    const ds__grpc_exchange *head = call->first;
    bool ends = call->finished || (head && head->refused) || (!head && call->input_ended);
    bool has_answer = head && head->sent < head->reply.size && !call->finished;
    if (!ends && !has_answer) return;
    if (has_answer && !call->out_since_ns) call->out_since_ns = ds__clock_ns();
    if (call->submitted)
        (void)nghttp2_session_resume_data(connection->session, call->stream); /* fails when it is not waiting */
    else if (has_answer)
        ds__grpc_submit_answers(call);
    else
        ds__grpc_submit_status(call);
    ds__grpc_connection_touch(connection);
}

/* ---- messages ---- */

static bool is_full(const ds__grpc_call *call) { return call->depth >= DS__GRPC_MAX_DEPTH; }

static void begin_exchange(ds__grpc_call *call) {
    ds__grpc_server *server = call->server;
    ds__grpc_exchange *exchange = ds__alloc_zeroed(server->heap, sizeof *exchange);
    if (!exchange) {
        ds__grpc_call_abort(call, DS__GRPC_RESOURCE_EXHAUSTED, "out of memory for a request; try again");
        return;
    }
    exchange->heap = server->heap;
    exchange->base = server->base;
    exchange->user = server->options.user;
    exchange->authorization = ds__str_of(call->authorization);
    exchange->deadline_ns = call->deadline_ns;
    exchange->call = call;
    exchange->started_ns = ds__clock_ns();
    ds__buffer_init(&exchange->reply, server->heap);
    ds__grpc_input_take(call, exchange);
    if (call->last)
        call->last->next = exchange;
    else
        call->first = exchange;
    call->last = exchange;
    call->depth++;
    call->method->handle(exchange);
}

/* Takes what arrived until it ends or too much waits; returns how much was taken. */
static size_t take_bytes(ds__grpc_call *call, ds__str bytes) {
    size_t taken = 0;
    while (taken < bytes.size && !call->finished) {
        if (call->method->kind == DS__GRPC_STREAM && is_full(call)) return taken;
        if (call->method->kind != DS__GRPC_STREAM && call->message_count > 0) {
            ds__grpc_call_abort(call, DS__GRPC_UNIMPLEMENTED, "%s takes one message, more came", call->path);
            break;
        }
        size_t used;
        int code = 0;
        ds_error error = {DS_OK, ""};
        ds__str rest = {bytes.data + taken, bytes.size - taken};
        ds__grpc_fed fed = ds__grpc_input_feed(call, rest, &used, &code, &error);
        taken += used;
        if (fed == DS__GRPC_FED_FAILED) {
            ds__grpc_call_abort(call, code, "%s", error.message);
        } else if (fed == DS__GRPC_FED_MESSAGE) {
            call->message_count++;
            /* One message is only known to be the only one when the client's side ends. */
            if (call->method->kind == DS__GRPC_STREAM) begin_exchange(call);
        }
    }
    return bytes.size; /* what follows an end is of no interest */
}

static void consume(ds__grpc_call *call, size_t size) {
    if (size && call->connection) (void)nghttp2_session_consume_stream(call->connection->session, call->stream, size);
}

static void forget_held(ds__grpc_call *call) {
    if (!call->held.size) return;
    ds__buffer_deinit(&call->held);
    call->held_at = 0;
    if (call->connection) call->connection->held_count--;
}

void ds__grpc_call_data(ds__grpc_call *call, const void *data, size_t size) {
    ds__grpc_connection *connection = call->connection;
    size_t taken = 0;
    if (!call->held.size) {
        call->feeding = true;
        taken = take_bytes(call, (ds__str){data, size});
        call->feeding = false;
        consume(call, taken);
    }
    if (taken == size) return;
    bool first = call->held.size == 0;
    ds__buffer_append(&call->held, (const char *)data + taken, size - taken);
    if (!call->held.failed) {
        connection->held_count += first;
        return;
    }
    if (first)
        ds__buffer_deinit(&call->held);
    else
        forget_held(call);
    ds__grpc_call_abort(call, DS__GRPC_RESOURCE_EXHAUSTED, "out of memory for a stream's messages; send fewer");
}

static void last_message(ds__grpc_call *call) {
    if (call->finished) return;
    if (call->input.prefix_size) {
        ds__grpc_call_abort(call, DS__GRPC_INVALID_ARGUMENT, "the stream ends inside a message, after %zu of %zu bytes",
                            call->input.wire_seen, call->input.wire_size);
    } else if (call->method->kind == DS__GRPC_STREAM) {
        wake(call);
    } else if (!call->message_count) {
        ds__grpc_call_abort(call, DS__GRPC_UNIMPLEMENTED, "%s takes one message, none came", call->path);
    }
}

void ds__grpc_call_end_input(ds__grpc_call *call) {
    call->input_ended = true;
    if (call->finished || call->held.size) return; /* what is held comes first */
    if (call->method->kind == DS__GRPC_STREAM || call->message_count != 1)
        last_message(call);
    else
        begin_exchange(call);
}

bool ds__grpc_call_unhold(ds__grpc_call *call) {
    ds__str rest = {call->held.data + call->held_at, call->held.size - call->held_at};
    if (!call->held.size || call->feeding) return false;
    call->feeding = true;
    size_t taken = take_bytes(call, rest);
    call->feeding = false;
    consume(call, taken);
    call->held_at += taken;
    if (taken < rest.size) {
        if (taken && call->held_at >= call->held.size / 2) { /* what was taken makes room for what comes */
            memmove(call->held.data, call->held.data + call->held_at, rest.size - taken);
            call->held.size = rest.size - taken;
            call->held_at = 0;
        }
        return taken > 0;
    }
    forget_held(call);
    if (call->input_ended) last_message(call);
    return true;
}

/* ---- answers ---- */

/* What one client sent or got is not left for the next one's memory. */
static void wipe_body(ds__grpc_exchange *exchange) {
    if (exchange->body) explicit_bzero(exchange->body, exchange->message.size);
    ds__free(exchange->heap, exchange->body, exchange->body_bytes);
    exchange->body = NULL;
    exchange->body_bytes = 0;
}

static void exchange_free(ds__grpc_exchange *exchange) {
    wipe_body(exchange);
    if (exchange->reply.data) explicit_bzero(exchange->reply.data, exchange->reply.size);
    ds__buffer_deinit(&exchange->reply);
    ds__free(exchange->heap, exchange, sizeof *exchange);
}

static void remove_exchange(ds__grpc_call *call, ds__grpc_exchange *exchange) {
    ds__grpc_exchange *before = NULL;
    for (ds__grpc_exchange **at = &call->first; *at; before = *at, at = &(*at)->next) {
        if (*at != exchange) continue;
        *at = exchange->next;
        if (call->last == exchange) call->last = before;
        call->depth--;
        break;
    }
    exchange_free(exchange);
}

/* Nobody waits for these any more: those that ended go, those under way are told. */
static void drop_exchanges(ds__grpc_call *call) {
    for (ds__grpc_exchange *exchange = call->first, *next; exchange; exchange = next) {
        next = exchange->next;
        if (exchange->ended) {
            remove_exchange(call, exchange);
        } else if (!exchange->dropped) {
            exchange->dropped = exchange->cancelling = true; /* ending inside of `cancel` only marks it as ended */
            if (exchange->cancel) exchange->cancel(exchange);
            exchange->cancelling = false;
            if (exchange->ended) remove_exchange(call, exchange);
        }
    }
}

void ds__grpc_call_abort(ds__grpc_call *call, int code, const char *format, ...) {
    if (call->finished) return;
    call->finished = true;
    call->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->sentence, sizeof call->sentence, format, arguments);
    va_end(arguments);
    ds__grpc_input_reset(call);
    if (!call->first) ds__grpc_log(call, NULL, code);
    drop_exchanges(call);
    wake(call);
}

void ds__grpc_call_closed(ds__grpc_call *call) {
    ds__grpc_connection *connection = call->connection;
    if (call->previous)
        call->previous->next = call->next;
    else
        connection->calls = call->next;
    if (call->next) call->next->previous = call->previous;
    connection->call_count--;
    forget_held(call);
    if (!call->finished) call->code = DS__GRPC_CANCELLED; /* for the log: the client has left */
    call->connection = NULL;
    call->finished = true;
    if (call->has_timer) event_del(&call->deadline_timer);
    call->has_timer = false;
    drop_exchanges(call);
    if (!call->first) call_free(call);
}

/* The exchange ended, and its answer or refusal stands in it. */
static void settle(ds__grpc_exchange *exchange) {
    ds__grpc_call *call = exchange->call;
    exchange->ended = true;
    ds__grpc_log(call, exchange, exchange->dropped || exchange->refused ? call->code : DS__GRPC_OK);
    wipe_body(exchange);
    if (!exchange->dropped) {
        wake(call);
        return;
    }
    if (exchange->cancelling) return;
    remove_exchange(call, exchange);
    if (!call->connection && !call->first) call_free(call);
}

void ds__grpc_answer_init(const ds__grpc_exchange *exchange, ds__buffer *answer) {
    static const char head[DS__GRPC_PREFIX];
    ds__buffer_init(answer, exchange->heap);
    ds__buffer_append(answer, head, sizeof head);
}

void ds__grpc_push(ds__grpc_exchange *exchange, ds__buffer *answer) {
    if (exchange->dropped || !ds__grpc_frame(exchange->call, answer)) {
        ds__buffer_deinit(answer);
        return;
    }
    if (exchange->reply.size) {
        ds__buffer_append(&exchange->reply, answer->data, answer->size);
        ds__buffer_deinit(answer);
    } else {
        ds__buffer_deinit(&exchange->reply); /* of what was sent before */
        exchange->reply = *answer;
    }
    wake(exchange->call);
}

void ds__grpc_reply(ds__grpc_exchange *exchange, ds__buffer *answer) {
    if (exchange->dropped) {
        ds__buffer_deinit(answer);
    } else if (ds__grpc_frame(exchange->call, answer)) {
        exchange->reply = *answer;
    } else {
        ds__buffer_deinit(answer);
        ds__grpc_refuse(exchange, DS__GRPC_RESOURCE_EXHAUSTED, "out of memory for the answer; ask for fewer rows");
        return;
    }
    settle(exchange);
}

void ds__grpc_refuse(ds__grpc_exchange *exchange, int code, const char *sentence) {
    ds__grpc_call *call = exchange->call;
    if (!exchange->dropped && call->code == DS__GRPC_OK) {
        exchange->refused = true;
        call->code = code;
        call->retry_after_s = exchange->retry_after_s;
        snprintf(call->sentence, sizeof call->sentence, "%s", sentence);
    }
    settle(exchange);
}

/* The end of the stream's data: the status follows. */
static ssize_t end_answers(ds__grpc_call *call, size_t written, uint32_t *flags) {
    call->finished = true;
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    ds__grpc_submit_trailer(call);
    return (ssize_t)written;
}

ssize_t ds__grpc_call_read(ds__grpc_call *call, uint8_t *out, size_t room, uint32_t *flags) {
    size_t written = 0;
    while (!call->finished) {
        ds__grpc_exchange *head = call->first;
        if (!head) {
            if (call->input_ended && !call->held.size) return end_answers(call, written, flags);
            break;
        }
        size_t left = head->reply.size - head->sent, size = left < room - written ? left : room - written;
        if (size) memcpy(out + written, head->reply.data + head->sent, size);
        head->sent += size;
        written += size;
        call->out_bytes += size;
        if (size < left) return (ssize_t)written;
        if (head->refused) return end_answers(call, written, flags);
        if (!head->ended) { /* a watch: its next answer begins afresh */
            ds__buffer_clear(&head->reply);
            head->sent = 0;
            break;
        }
        remove_exchange(call, head);
    }
    if (call->finished) return end_answers(call, written, flags);
    if (!call->first || !call->first->ended) call->out_since_ns = call->out_bytes = 0;
    return written ? (ssize_t)written : NGHTTP2_ERR_DEFERRED;
}

/* ---- time ---- */

/* At least 16 bytes a millisecond are expected on top of the allowance: slow networks pass, senders of a byte now and
 * then do not. */
static bool too_slow(uint64_t since_ns, uint64_t now, uint64_t bytes, uint32_t stall_ms) {
    return since_ns && now > since_ns && (now - since_ns) / 1000000 > stall_ms + bytes / 16;
}

void ds__grpc_call_tick(ds__grpc_call *call, uint64_t now) {
    uint32_t stall_ms = call->server->options.stall_ms;
    const ds__grpc_input *input = &call->input;
    if (too_slow(call->out_since_ns, now, call->out_bytes, stall_ms)) {
        (void)nghttp2_submit_rst_stream(call->connection->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
        ds__grpc_connection_touch(call->connection);
    } else if (!call->finished && input->prefix_size && !call->held.size && !call->input_ended &&
               too_slow(input->started_ns, now, input->wire_seen, stall_ms)) {
        ds__grpc_call_abort(call, DS__GRPC_DEADLINE_EXCEEDED,
                            "the message came too slowly: %zu of %zu bytes in %u seconds", input->wire_seen,
                            input->wire_size, (unsigned)((now - input->started_ns) / 1000000000));
    }
}

void ds__grpc_call_drain(ds__grpc_call *call) {
    if (!call->method || call->method->kind == DS__GRPC_UNARY || call->finished) return;
    if (call->method->kind == DS__GRPC_STREAM && call->depth) return; /* asked again when they are answered */
    ds__grpc_call_abort(call, DS__GRPC_UNAVAILABLE, "the server is about to stop; connect again");
}
