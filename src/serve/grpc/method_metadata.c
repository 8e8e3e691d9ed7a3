/* What there is: the server, a model's tensors, its configuration, its statistics. */
#include <inttypes.h>
#include <stdio.h>

#include "serve/grpc/grpc_service.h"
#include "serve/grpc/wire.h"

/* An answer that is one bool in field 1. */
static void reply_bool(ds__grpc_exchange *exchange, bool value) {
    ds__buffer answer;
    ds__grpc_answer_init(exchange, &answer);
    ds__wire_put_uint(&answer, 1, value);
    ds__grpc_reply(exchange, &answer);
}

/* Requests without a field of ours must still be messages. */
static bool is_message(ds__grpc_exchange *exchange, const char *message) {
    ds_error error = {DS_OK, ""};
    ds__wire wire = ds__wire_of(exchange->message, message, &error);
    while (ds__wire_next(&wire)) {}
    if (ds__wire_ok(&wire)) return true;
    ds__grpc_refuse_code(exchange, DS__SERVE_INVALID, &error);
    return false;
}

static void server_live(ds__grpc_exchange *exchange) {
    if (is_message(exchange, "ServerLiveRequest"))
        reply_bool(exchange, ds__serve_is_live(ds__grpc_binding_of(exchange)->service));
}

static void server_ready(ds__grpc_exchange *exchange) {
    if (is_message(exchange, "ServerReadyRequest"))
        reply_bool(exchange, ds__serve_is_ready(ds__grpc_binding_of(exchange)->service));
}

/* "No" is an answer also for a model that is not there: clients ask this in a loop until one is. */
static void model_ready(ds__grpc_exchange *exchange) {
    ds_error error = {DS_OK, ""};
    ds__grpc_subject model;
    if (!ds__grpc_subject_of(exchange, "ModelReadyRequest", &model)) return;
    ds__service *service = ds__grpc_binding_of(exchange)->service;
    reply_bool(exchange, ds__serve_model_is_ready(service, model.name, model.version, &error) == DS__SERVE_OK);
}

static void server_metadata(ds__grpc_exchange *exchange) {
    static const char *const extensions[] = {"model_repository", "model_configuration", "statistics", "parameters"};
    ds__buffer answer;
    if (!is_message(exchange, "ServerMetadataRequest")) return;
    ds__grpc_answer_init(exchange, &answer);
    ds__wire_put_text(&answer, 1, "deepseek");
    ds__wire_put_text(&answer, 2, ds_version());
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) ds__wire_put_text(&answer, 3, extensions[i]);
    ds__grpc_reply(exchange, &answer);
}

/* Asks the core about the model in the request and lets `put` write the answer. */
static void describe(ds__grpc_exchange *exchange, const char *message,
                     void (*put)(ds__buffer *answer, const ds__serve_description *about)) {
    ds_error error = {DS_OK, ""};
    ds__arena arena;
    ds__tenant *tenant;
    ds__grpc_subject model;
    ds__serve_description about;
    if (!ds__grpc_who(exchange, &tenant) || !ds__grpc_subject_of(exchange, message, &model)) return;
    if (!ds__grpc_may_use(exchange, tenant, model.name)) return;
    ds__arena_init(&arena, exchange->heap, 0);
    ds__serve_code code =
        ds__serve_describe(ds__grpc_binding_of(exchange)->service, model.name, model.version, &arena, &about, &error);
    if (code == DS__SERVE_OK) {
        ds__buffer answer;
        ds__grpc_answer_init(exchange, &answer);
        put(&answer, &about);
        ds__arena_deinit(&arena);
        ds__grpc_reply(exchange, &answer);
    } else {
        ds__arena_deinit(&arena);
        ds__grpc_refuse_code(exchange, code, &error);
    }
}

static void put_version(ds__buffer *answer, uint32_t field, int64_t version) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, version);
    ds__wire_put_text(answer, field, text);
}

static void put_tensors(ds__buffer *answer, uint32_t field, const ds__serve_tensor_spec *specs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t opened = ds__wire_open(answer, field);
        ds__wire_put_text(answer, 1, specs[i].name);
        ds__wire_put_text(answer, 2, ds__serve_datatype_name(specs[i].datatype));
        ds__wire_put_i64s(answer, 3, specs[i].shape, (size_t)specs[i].rank);
        ds__wire_close(answer, opened);
    }
}

static void put_metadata(ds__buffer *answer, const ds__serve_description *about) {
    ds__wire_put_bytes(answer, 1, about->name);
    for (size_t i = 0; i < about->version_count; i++) put_version(answer, 2, about->versions[i]);
    ds__wire_put_text(answer, 3, about->platform);
    put_tensors(answer, 4, about->inputs, about->input_count);
    put_tensors(answer, 5, about->outputs, about->output_count);
}

static void model_metadata(ds__grpc_exchange *exchange) { describe(exchange, "ModelMetadataRequest", put_metadata); }

/* DataType of the configuration, whose order is not that of the protocol's datatypes at the end. */
static uint64_t config_type(ds__serve_datatype datatype) {
    static const uint8_t numbers[DS__SERVE_DATATYPE_COUNT] = {
        [DS__SERVE_BOOL] = 1,   [DS__SERVE_UINT8] = 2, [DS__SERVE_UINT16] = 3, [DS__SERVE_UINT32] = 4,
        [DS__SERVE_UINT64] = 5, [DS__SERVE_INT8] = 6,  [DS__SERVE_INT16] = 7,  [DS__SERVE_INT32] = 8,
        [DS__SERVE_INT64] = 9,  [DS__SERVE_FP16] = 10, [DS__SERVE_FP32] = 11,  [DS__SERVE_FP64] = 12,
        [DS__SERVE_BYTES] = 13, [DS__SERVE_BF16] = 14,
    };
    return numbers[datatype];
}

/* ModelInput and ModelOutput differ in where the extents stand. */
static void put_config_tensors(ds__buffer *answer, uint32_t field, const ds__serve_tensor_spec *specs, size_t count) {
    bool is_input = field == 5;
    for (size_t i = 0; i < count; i++) {
        size_t opened = ds__wire_open(answer, field);
        ds__wire_put_text(answer, 1, specs[i].name);
        ds__wire_put_uint(answer, 2, config_type(specs[i].datatype));
        ds__wire_put_i64s(answer, is_input ? 4 : 3, specs[i].shape, (size_t)specs[i].rank);
        if (is_input) ds__wire_put_uint(answer, 8, specs[i].is_optional);
        ds__wire_close(answer, opened);
    }
}

/* max_batch_size stays 0: shapes are whole, and rows of any number of requests share a batch all the same. */
static void put_config(ds__buffer *answer, const ds__serve_description *about) {
    size_t config = ds__wire_open(answer, 1);
    ds__wire_put_bytes(answer, 1, about->name);
    ds__wire_put_text(answer, 2, about->platform);
    ds__wire_put_text(answer, 17, "deepseek");
    put_config_tensors(answer, 5, about->inputs, about->input_count);
    put_config_tensors(answer, 6, about->outputs, about->output_count);
    ds__wire_close(answer, config);
}

static void model_config(ds__grpc_exchange *exchange) { describe(exchange, "ModelConfigRequest", put_config); }

static void put_duration(ds__buffer *answer, uint32_t field, const ds__serve_duration *duration) {
    size_t opened = ds__wire_open(answer, field);
    ds__wire_put_uint(answer, 1, duration->count);
    ds__wire_put_uint(answer, 2, duration->ns);
    ds__wire_close(answer, opened);
}

static void put_batches(ds__buffer *answer, const ds__serve_duration *batches) {
    for (int i = 0; i < DS__SERVE_BATCH_SIZES; i++) {
        if (!batches[i].count) continue;
        size_t opened = ds__wire_open(answer, 7);
        ds__wire_put_uint(answer, 1, UINT64_C(1) << i);
        put_duration(answer, 3, &batches[i]);
        ds__wire_close(answer, opened);
    }
}

static void put_statistics(ds__buffer *answer, const ds__serve_statistics *of) {
    size_t model = ds__wire_open(answer, 1);
    ds__wire_put_bytes(answer, 1, of->name);
    put_version(answer, 2, of->version);
    ds__wire_put_uint(answer, 3, of->last_inference_ms);
    ds__wire_put_uint(answer, 4, of->inference_count);
    ds__wire_put_uint(answer, 5, of->execution_count);
    size_t sums = ds__wire_open(answer, 6);
    put_duration(answer, 1, &of->success);
    put_duration(answer, 2, &of->fail);
    put_duration(answer, 3, &of->queue);
    put_duration(answer, 4, &of->compute_input);
    put_duration(answer, 5, &of->compute_infer);
    put_duration(answer, 6, &of->compute_output);
    ds__wire_close(answer, sums);
    put_batches(answer, of->batches);
    ds__wire_close(answer, model);
}

static void model_statistics(ds__grpc_exchange *exchange) {
    ds_error error = {DS_OK, ""};
    ds__arena arena;
    ds__tenant *tenant;
    ds__grpc_subject model;
    ds__serve_statistics *found;
    size_t count;
    if (!ds__grpc_who(exchange, &tenant) || !ds__grpc_subject_of(exchange, "ModelStatisticsRequest", &model)) return;
    ds__service *service = ds__grpc_binding_of(exchange)->service;
    if (model.name.size && !ds__grpc_may_use(exchange, tenant, model.name)) return;
    ds__arena_init(&arena, exchange->heap, 0);
    ds__serve_code code = ds__serve_get_statistics(service, model.name, model.version, &arena, &found, &count, &error);
    ds__buffer answer;
    ds__grpc_answer_init(exchange, &answer);
    for (size_t i = 0; code == DS__SERVE_OK && i < count; i++)
        if (ds__serve_may_use(service, tenant, found[i].name)) put_statistics(&answer, &found[i]);
    ds__arena_deinit(&arena);
    if (code == DS__SERVE_OK) {
        ds__grpc_reply(exchange, &answer);
    } else {
        ds__buffer_deinit(&answer);
        ds__grpc_refuse_code(exchange, code, &error);
    }
}

const ds__grpc_method ds__grpc_server_live = {
    .path = "/inference.GRPCInferenceService/ServerLive", .kind = DS__GRPC_UNARY, .handle = server_live, .quiet = true};
const ds__grpc_method ds__grpc_server_ready = {.path = "/inference.GRPCInferenceService/ServerReady",
                                               .kind = DS__GRPC_UNARY,
                                               .handle = server_ready,
                                               .quiet = true};
const ds__grpc_method ds__grpc_model_ready = {
    .path = "/inference.GRPCInferenceService/ModelReady", .kind = DS__GRPC_UNARY, .handle = model_ready, .quiet = true};
const ds__grpc_method ds__grpc_server_metadata = {
    .path = "/inference.GRPCInferenceService/ServerMetadata", .kind = DS__GRPC_UNARY, .handle = server_metadata};
const ds__grpc_method ds__grpc_model_metadata = {
    .path = "/inference.GRPCInferenceService/ModelMetadata", .kind = DS__GRPC_UNARY, .handle = model_metadata};
const ds__grpc_method ds__grpc_model_config = {
    .path = "/inference.GRPCInferenceService/ModelConfig", .kind = DS__GRPC_UNARY, .handle = model_config};
const ds__grpc_method ds__grpc_model_statistics = {
    .path = "/inference.GRPCInferenceService/ModelStatistics", .kind = DS__GRPC_UNARY, .handle = model_statistics};
