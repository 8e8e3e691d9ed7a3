/* What there is: the server, a model's tensors, its configuration, its statistics. */
#include "serve/routes/route_json.h"

#include <stdio.h>

static void server_metadata(ds__http_call *call) {
    static const char *const extensions[] = {"binary_tensor_data", "model_repository", "model_configuration",
                                             "statistics", "parameters"};
    ds__json_writer json = {&call->out, false};
    ds__json_open_object(&json);
    ds__put_text(&json, "name", DS_STR("deepseek"));
    ds__put_text(&json, "version", ds__str_of(ds_version()));
    ds__json_key(&json, "extensions");
    ds__json_open_array(&json);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        ds__json_put_string(&json, ds__str_of(extensions[i]));
    ds__json_close_array(&json);
    ds__json_close_object(&json);
    ds__http_send(call, 200, NULL);
}

/* Asks the core about the model in the path and lets `put` write the answer. */
static void describe(ds__http_call *call, void (*put)(ds__json_writer *json, const ds__serve_description *about)) {
    ds_error error;
    ds__arena arena;
    ds__serve_description about;
    ds__arena_init(&arena, call->heap, 0);
    ds__serve_code code = ds__serve_describe(call->service, ds__http_parameter(call, "model"),
                                             ds__http_parameter(call, "version"), &arena, &about, &error);
    if (code == DS__SERVE_OK) {
        ds__json_writer json = {&call->out, false};
        put(&json, &about);
        ds__http_send(call, 200, NULL);
    } else {
        ds__http_refuse(call, code, &error, 1);
    }
    ds__arena_deinit(&arena);
}

static void put_tensors(ds__json_writer *json, const char *key, const ds__serve_tensor_spec *specs, size_t count) {
    ds__json_key(json, key);
    ds__json_open_array(json);
    for (size_t i = 0; i < count; i++) {
        ds__json_open_object(json);
        ds__put_text(json, "name", ds__str_of(specs[i].name));
        ds__put_text(json, "datatype", ds__str_of(ds__serve_datatype_name(specs[i].datatype)));
        ds__json_key(json, "shape");
        ds__json_open_array(json);
        for (int d = 0; d < specs[i].rank; d++) ds__json_put_int(json, specs[i].shape[d]);
        ds__json_close_array(json);
        ds__json_close_object(json);
    }
    ds__json_close_array(json);
}

static void put_metadata(ds__json_writer *json, const ds__serve_description *about) {
    ds__json_open_object(json);
    ds__put_text(json, "name", about->name);
    ds__json_key(json, "versions");
    ds__json_open_array(json);
    for (size_t i = 0; i < about->version_count; i++) {
        char text[32];
        int size = snprintf(text, sizeof text, "%lld", (long long)about->versions[i]);
        ds__json_put_string(json, (ds__str){text, (size_t)size});
    }
    ds__json_close_array(json);
    ds__put_text(json, "platform", ds__str_of(about->platform));
    put_tensors(json, "inputs", about->inputs, about->input_count);
    put_tensors(json, "outputs", about->outputs, about->output_count);
    ds__json_close_object(json);
}

static void put_config_tensors(ds__json_writer *json, const char *key, const ds__serve_tensor_spec *specs,
                               size_t count) {
    ds__json_key(json, key);
    ds__json_open_array(json);
    for (size_t i = 0; i < count; i++) {
        char type[32];
        const char *name = ds__serve_datatype_name(specs[i].datatype);
        int size = snprintf(type, sizeof type, "TYPE_%s", specs[i].datatype == DS__SERVE_BYTES ? "STRING" : name);
        ds__json_open_object(json);
        ds__put_text(json, "name", ds__str_of(specs[i].name));
        ds__put_text(json, "data_type", (ds__str){type, (size_t)size});
        ds__json_key(json, "dims");
        ds__json_open_array(json);
        for (int d = 0; d < specs[i].rank; d++) ds__json_put_int(json, specs[i].shape[d]);
        ds__json_close_array(json);
        if (specs[i].is_optional) {
            ds__json_key(json, "optional");
            ds__json_put_bool(json, true);
        }
        ds__json_close_object(json);
    }
    ds__json_close_array(json);
}

/* Triton's model configuration, as far as it means anything here. */
static void put_config(ds__json_writer *json, const ds__serve_description *about) {
    ds__json_open_object(json);
    ds__put_text(json, "name", about->name);
    ds__put_text(json, "platform", ds__str_of(about->platform));
    ds__put_text(json, "backend", DS_STR("deepseek"));
    ds__put_number(json, "max_batch_size", 0); /* shapes are whole: batching needs no dimension of its own */
    put_config_tensors(json, "input", about->inputs, about->input_count);
    put_config_tensors(json, "output", about->outputs, about->output_count);
    ds__json_key(json, "version_labels");
    ds__json_open_object(json);
    for (size_t i = 0; i < about->label_count; i++)
        ds__put_number(json, about->labels[i].name.data, about->labels[i].version);
    ds__json_close_object(json);
    ds__json_key(json, "parameters");
    ds__json_open_object(json);
    ds__put_number(json, "max_tokens", about->max_tokens);
    ds__put_number(json, "batch_tokens", (int64_t)about->batch_tokens);
    ds__json_close_object(json);
    ds__json_close_object(json);
}

static void model_metadata(ds__http_call *call) { describe(call, put_metadata); }
static void model_config(ds__http_call *call) { describe(call, put_config); }

static void put_duration(ds__json_writer *json, const char *key, ds__serve_duration duration) {
    ds__json_key(json, key);
    ds__json_open_object(json);
    ds__put_number(json, "count", (int64_t)duration.count);
    ds__put_number(json, "ns", (int64_t)duration.ns);
    ds__json_close_object(json);
}

static void put_statistics(ds__json_writer *json, const ds__serve_statistics *s) {
    ds__json_open_object(json);
    ds__put_text(json, "name", s->name);
    ds__put_version(json, "version", s->version);
    ds__put_number(json, "last_inference", (int64_t)s->last_inference_ms);
    ds__put_number(json, "inference_count", (int64_t)s->inference_count);
    ds__put_number(json, "execution_count", (int64_t)s->execution_count);
    ds__json_key(json, "inference_stats");
    ds__json_open_object(json);
    put_duration(json, "success", s->success);
    put_duration(json, "fail", s->fail);
    put_duration(json, "queue", s->queue);
    put_duration(json, "compute_input", s->compute_input);
    put_duration(json, "compute_infer", s->compute_infer);
    put_duration(json, "compute_output", s->compute_output);
    put_duration(json, "cache_hit", (ds__serve_duration){0, 0});
    put_duration(json, "cache_miss", (ds__serve_duration){0, 0});
    ds__json_close_object(json);
    ds__json_key(json, "batch_stats");
    ds__json_open_array(json);
    for (int i = 0; i < DS__SERVE_BATCH_SIZES; i++) {
        if (!s->batches[i].count) continue;
        ds__json_open_object(json);
        ds__put_number(json, "batch_size", 1 << i);
        put_duration(json, "compute_infer", s->batches[i]);
        ds__json_close_object(json);
    }
    ds__json_close_array(json);
    ds__json_close_object(json);
}

static void statistics(ds__http_call *call) {
    ds_error error;
    ds__arena arena;
    ds__serve_statistics *list;
    size_t count;
    ds__arena_init(&arena, call->heap, 0);
    ds__serve_code code = ds__serve_get_statistics(call->service, ds__http_parameter(call, "model"),
                                                   ds__http_parameter(call, "version"), &arena, &list, &count, &error);
    if (code == DS__SERVE_OK) {
        ds__json_writer json = {&call->out, false};
        ds__json_open_object(&json);
        ds__json_key(&json, "model_stats");
        ds__json_open_array(&json);
        for (size_t i = 0; i < count; i++)
            if (ds__serve_may_use(call->service, call->tenant, list[i].name)) put_statistics(&json, &list[i]);
        ds__json_close_array(&json);
        ds__json_close_object(&json);
        ds__http_send(call, 200, NULL);
    } else {
        ds__http_refuse(call, code, &error, 1);
    }
    ds__arena_deinit(&arena);
}

#define ANY "{\"type\":\"object\"}"
#define METADATA                                                                                                       \
    "{\"type\":\"object\",\"required\":[\"name\",\"versions\",\"platform\",\"inputs\",\"outputs\"],\"properties\":{"   \
    "\"name\":{\"type\":\"string\"},\"versions\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"                \
    "\"platform\":{\"type\":\"string\"},\"inputs\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"              \
    "\"outputs\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}}}"
#define STATISTICS                                                                                                     \
    "{\"type\":\"object\",\"required\":[\"model_stats\"],\"properties\":{\"model_stats\":{\"type\":\"array\","         \
    "\"items\":{\"type\":\"object\"}}}}"

const ds__route ds__route_server_metadata = {.method = "GET",
                                             .path = "/v2",
                                             .handle = server_metadata,
                                             .summary = "The server's name, version and extensions of the protocol",
                                             .response = ANY};
const ds__route ds__route_model_metadata = {.method = "GET",
                                            .path = "/v2/models/{model}",
                                            .access = DS__ACCESS_TENANT,
                                            .handle = model_metadata,
                                            .summary = "A model's versions, inputs and outputs",
                                            .response = METADATA};
const ds__route ds__route_version_metadata = {.method = "GET",
                                              .path = "/v2/models/{model}/versions/{version}",
                                              .access = DS__ACCESS_TENANT,
                                              .handle = model_metadata,
                                              .summary = "The same of one version",
                                              .response = METADATA};
const ds__route ds__route_model_config = {.method = "GET",
                                          .path = "/v2/models/{model}/config",
                                          .access = DS__ACCESS_TENANT,
                                          .handle = model_config,
                                          .summary = "A model's configuration, as Triton writes it",
                                          .response = ANY};
const ds__route ds__route_version_config = {.method = "GET",
                                            .path = "/v2/models/{model}/versions/{version}/config",
                                            .access = DS__ACCESS_TENANT,
                                            .handle = model_config,
                                            .summary = "The same of one version",
                                            .response = ANY};
const ds__route ds__route_all_statistics = {.method = "GET",
                                            .path = "/v2/models/stats",
                                            .access = DS__ACCESS_TENANT,
                                            .handle = statistics,
                                            .summary = "What every loaded version has done so far",
                                            .response = STATISTICS};
const ds__route ds__route_model_statistics = {.method = "GET",
                                              .path = "/v2/models/{model}/stats",
                                              .access = DS__ACCESS_TENANT,
                                              .handle = statistics,
                                              .summary = "What a model's loaded versions have done so far",
                                              .response = STATISTICS};
const ds__route ds__route_version_statistics = {.method = "GET",
                                                .path = "/v2/models/{model}/versions/{version}/stats",
                                                .access = DS__ACCESS_TENANT,
                                                .handle = statistics,
                                                .summary = "What one version has done so far",
                                                .response = STATISTICS};
