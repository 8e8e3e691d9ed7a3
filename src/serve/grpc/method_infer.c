/* ModelInfer, and ModelStreamInfer: the same requests one behind the other in one call. */
#include "serve/grpc/grpc_service.h"

#include "base/error.h"
#include "serve/grpc/infer_message.h"
#include "serve/grpc/wire.h"

/* No client reads more: protobuf's own limit. */
static const size_t largest_answer = INT32_MAX;

static void cancel(ds__grpc_exchange *exchange) { ds__serve_cancel(exchange->own); }

static void encode_answer(const ds__serve_request *request, ds__buffer *answer) {
    if (ds__buffer_reserve(answer, ds__infer_encoded_size(request))) ds__infer_encode(request, answer);
}

static bool is_too_large(const ds__serve_request *request, ds_error *error) {
    size_t size = ds__infer_encoded_size(request);
    if (size <= largest_answer) return false;
    (void)ds__fail(error, DS_INVALID_ARGUMENT,
                   "the answer has %zu bytes, but a message of gRPC at most %zu; send fewer rows at a time", size,
                   largest_answer);
    return true;
}

/* What a tenant that asks for it finds in the access log. */
static void keep_texts(ds__grpc_exchange *exchange, const ds__serve_request *request) {
    for (size_t i = 0; i < request->input_count; i++) {
        if (!request->inputs[i].texts || !ds__str_is(request->inputs[i].name, "text")) continue;
        exchange->about.texts = request->inputs[i].texts;
        exchange->about.text_count = request->inputs[i].elements;
    }
}

/* Creates, fills in and submits; `done` follows, or `refused` at once. */
static void start(ds__grpc_exchange *exchange, void (*done)(ds__serve_request *request),
                  void (*refused)(ds__grpc_exchange *exchange, ds__serve_code code, const ds_error *error)) {
    const ds__grpc_binding *binding = ds__grpc_binding_of(exchange);
    ds_error error = {DS_OK, ""};
    ds__serve_request *request = ds__serve_request_create(binding->service, binding->outbox, done, exchange);
    if (!request) {
        (void)ds__fail(&error, DS_OUT_OF_MEMORY, "out of memory for a request; try again");
        refused(exchange, DS__SERVE_QUEUE_FULL, &error);
        return;
    }
    request->transport = DS__SERVE_GRPC;
    request->deadline_ns = exchange->deadline_ns;
    ds__serve_code code = ds__serve_authenticate(binding->service, ds__grpc_key(exchange), &request->tenant, &error);
    if (code == DS__SERVE_OK) exchange->about.tenant = ds__tenant_name(request->tenant);
    if (code == DS__SERVE_OK) code = ds__infer_decode(exchange->message, request, &error);
    exchange->about.model = request->model;
    exchange->about.id = request->id;
    if (code == DS__SERVE_OK && ds__tenant_logs_text(request->tenant)) keep_texts(exchange, request);
    if (code == DS__SERVE_OK) {
        exchange->own = request;
        exchange->cancel = cancel;
        if (ds__serve_submit(request)) return;
        exchange->cancel = NULL;
        code = request->code;
        error = request->error;
        exchange->retry_after_s = request->retry_after_s;
    }
    refused(exchange, code, &error);
    ds__serve_request_release(request); /* behind the line in the log */
}

static void infer_done(ds__serve_request *request) {
    ds__grpc_exchange *exchange = request->own;
    exchange->cancel = NULL;
    exchange->about.tokens = request->tokens;
    if (request->code == DS__SERVE_OK && is_too_large(request, &request->error)) request->code = DS__SERVE_TOO_LARGE;
    if (request->code == DS__SERVE_OK) {
        ds__buffer answer;
        ds__grpc_answer_init(exchange, &answer);
        encode_answer(request, &answer);
        ds__grpc_reply(exchange, &answer);
    } else {
        exchange->retry_after_s = request->retry_after_s;
        ds__grpc_refuse_code(exchange, request->code, &request->error);
    }
    ds__serve_request_release(request); /* behind the line in the log */
}

static void infer(ds__grpc_exchange *exchange) { start(exchange, infer_done, ds__grpc_refuse_code); }

const ds__grpc_method ds__grpc_model_infer = {
    .path = "/inference.GRPCInferenceService/ModelInfer", .kind = DS__GRPC_UNARY, .handle = infer};

/* ---- the stream: an error is an answer, and the next request goes on ---- */

static void stream_refused(ds__grpc_exchange *exchange, ds__serve_code code, const ds_error *error) {
    ds__buffer answer;
    ds__str model, id;
    ds__infer_peek(exchange->message, &model, &id);
    ds__grpc_answer_init(exchange, &answer);
    ds__wire_put_text(&answer, 1, error->message);
    size_t opened = ds__wire_open(&answer, 2);
    ds__wire_put_bytes(&answer, 1, model);
    ds__wire_put_bytes(&answer, 3, id);
    ds__wire_close(&answer, opened);
    ds__grpc_reply(exchange, &answer);
}

/* Each request has one answer, which is therefore the last; some clients ask to be told. */
static void put_final(ds__buffer *answer) {
    size_t entry = ds__wire_open(answer, 4);
    ds__wire_put_text(answer, 1, "triton_final_response");
    size_t value = ds__wire_open(answer, 2);
    ds__wire_put_uint(answer, 1, true);
    ds__wire_close(answer, value);
    ds__wire_close(answer, entry);
}

static void stream_done(ds__serve_request *request) {
    ds__grpc_exchange *exchange = request->own;
    exchange->cancel = NULL;
    exchange->about.tokens = request->tokens;
    if (request->code == DS__SERVE_OK && is_too_large(request, &request->error)) request->code = DS__SERVE_TOO_LARGE;
    if (request->code != DS__SERVE_OK) {
        stream_refused(exchange, request->code, &request->error);
        ds__serve_request_release(request);
        return;
    }
    ds__buffer answer;
    ds__grpc_answer_init(exchange, &answer);
    if (ds__buffer_reserve(&answer, ds__infer_encoded_size(request))) {
        size_t opened = ds__wire_open(&answer, 2);
        ds__infer_encode(request, &answer);
        put_final(&answer);
        ds__wire_close(&answer, opened);
    }
    ds__grpc_reply(exchange, &answer);
    ds__serve_request_release(request);
}

static void stream_infer(ds__grpc_exchange *exchange) { start(exchange, stream_done, stream_refused); }

const ds__grpc_method ds__grpc_model_stream_infer = {
    .path = "/inference.GRPCInferenceService/ModelStreamInfer", .kind = DS__GRPC_STREAM, .handle = stream_infer};
