/* The access log: one line of JSON for each message and its answer, with the members of REST's log. */
#include <time.h>

#include "base/clock.h"
#include "formats/json.h"
#include "serve/grpc/grpc_internal.h"

void ds__grpc_log_tell_time(ds__grpc_server *server) {
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(server->log_time, sizeof server->log_time, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static void put_text(ds__json_writer *json, const char *key, ds__str text) {
    if (!text.size) return;
    ds__json_key(json, key);
    ds__json_put_string(json, text);
}

static void put_number(ds__json_writer *json, const char *key, int64_t number) {
    ds__json_key(json, key);
    ds__json_put_int(json, number);
}

/* What the exchange adds: the method's knowledge, sizes and time; texts only where the tenant wants them. */
static void put_exchange(ds__json_writer *json, const ds__grpc_exchange *exchange) {
    put_number(json, "bytes_in", (int64_t)exchange->message.size);
    put_number(json, "bytes_out", (int64_t)exchange->reply.size);
    ds__json_key(json, "ms");
    ds__json_put_fixed(json, (double)(ds__clock_ns() - exchange->started_ns) * 1e-6, 3);
    put_text(json, "tenant", ds__str_of(exchange->about.tenant));
    put_text(json, "model", exchange->about.model);
    if (exchange->about.tokens) put_number(json, "tokens", (int64_t)exchange->about.tokens);
    put_text(json, "id", exchange->about.id);
    if (!exchange->about.texts) return;
    ds__json_key(json, "text");
    ds__json_open_array(json);
    for (size_t i = 0; i < exchange->about.text_count; i++)
        ds__json_put_string(json, (ds__str){exchange->about.texts[i].data, exchange->about.texts[i].size});
    ds__json_close_array(json);
}

void ds__grpc_log(ds__grpc_call *call, const ds__grpc_exchange *exchange, int code) {
    ds__grpc_server *server = call->server;
    if (!server->options.log || (call->method && call->method->quiet && code == DS__GRPC_OK)) return;
    ds__json_writer json = {&server->log_line, false};
    ds__buffer_clear(&server->log_line);
    ds__json_open_object(&json);
    put_text(&json, "time", ds__str_of(server->log_time));
    if (call->connection) put_text(&json, "remote", ds__str_of(call->connection->remote));
    put_text(&json, "method", DS_STR("gRPC"));
    put_text(&json, "path", ds__str_of(call->path));
    put_number(&json, "status", code);
    if (exchange) put_exchange(&json, exchange);
    put_text(&json, "traceparent", ds__str_of(call->traceparent));
    ds__json_close_object(&json);
    if (!server->log_line.failed) server->options.log(server->options.log_user, ds__buffer_str(&server->log_line));
}
