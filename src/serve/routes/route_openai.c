/* OpenAI's embeddings and list of models. */
#include <math.h>
#include <stdio.h>

#include "serve/routes/text_input.h"

typedef struct embed {
    ds__text_input input;
    bool is_base64;
    int64_t dimensions; /* 0: all */
    float *row;         /* one vector that was shortened */
} embed;

static void read_format(ds__json *json, ds__str key, embed *e) {
    ds__str format = ds__json_string(json, key);
    e->is_base64 = ds__str_is(format, "base64");
    if (!e->is_base64 && !ds__str_is(format, "float") && ds__json_ok(json))
        ds__json_fail(json, DS_BAD_FORMAT, "encoding_format is \"%.*s\", expected float or base64", DS_STR_ARG(format));
}

static void put_base64(ds__json_writer *json, const float *values, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = (const unsigned char *)values; /* little endian, as the clients expect */
    size_t size = count * sizeof *values;
    ds__json_put_raw(json, DS_STR("\""));
    ds__buffer *out = json->out;
    if (!ds__buffer_reserve(out, (size + 2) / 3 * 4)) return;
    char *at = out->data + out->size;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (i + 2 < size ? bytes[i + 2] : 0);
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = i + 1 < size ? digits[group >> 6 & 63] : '=';
        *at++ = i + 2 < size ? digits[group & 63] : '=';
    }
    out->size = (size_t)(at - out->data);
    ds__buffer_put(out, '"');
}

/* The first `dimensions` of a vector, brought to length 1 again. */
static const float *shorten(const embed *e, const float *vector) {
    double sum = 0;
    for (int64_t i = 0; i < e->dimensions; i++) sum += (double)vector[i] * vector[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 1;
    for (int64_t i = 0; i < e->dimensions; i++) e->row[i] = (float)(vector[i] * scale);
    return e->row;
}

static void answer(ds__http_call *call, ds__serve_request *r) {
    embed *e = call->own;
    const ds__serve_tensor *result = &r->results[0];
    int64_t width = result->shape[1];
    if (e->dimensions > width) {
        char sentence[160];
        snprintf(sentence, sizeof sentence, "dimensions is %lld, but the model's vectors have %lld",
                 (long long)e->dimensions, (long long)width);
        ds__http_fail(call, 400, sentence);
        return;
    }
    if (e->dimensions) e->row = ds__arena_alloc(&r->arena, (size_t)e->dimensions * sizeof *e->row);
    if (e->dimensions && !e->row) {
        ds__http_fail(call, 503, "no memory is left for the answer");
        return;
    }
    ds__json_writer json = {&call->out, false};
    ds__json_open_object(&json);
    ds__put_text(&json, "object", DS_STR("list"));
    ds__json_key(&json, "data");
    ds__json_open_array(&json);
    for (int64_t i = 0; i < result->shape[0]; i++) {
        const float *vector = (const float *)result->data + i * width;
        size_t count = (size_t)(e->dimensions ? e->dimensions : width);
        if (e->dimensions) vector = shorten(e, vector);
        ds__json_open_object(&json);
        ds__put_text(&json, "object", DS_STR("embedding"));
        ds__put_number(&json, "index", i);
        ds__json_key(&json, "embedding");
        if (e->is_base64) {
            put_base64(&json, vector, count);
        } else {
            ds__json_open_array(&json);
            for (size_t d = 0; d < count; d++) ds__json_put_f32(&json, vector[d]);
            ds__json_close_array(&json);
        }
        ds__json_close_object(&json);
    }
    ds__json_close_array(&json);
    ds__put_text(&json, "model", r->model);
    ds__put_usage(&json, r);
    ds__json_close_object(&json);
    ds__http_send(call, 200, NULL);
}

static void embeddings(ds__http_call *call) {
    static const ds__str wanted[] = {{"embedding", 9}};
    embed read = {0};
    ds__json json;
    ds__serve_request *r = ds__http_request(call, (ds__str){"", 0}, (ds__str){"", 0});
    if (!r) return;
    ds__json_init(&json, call->heap, "the body", call->body);
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__text_input_member(&json, key, &read.input)) continue;
        if (ds__str_is(key, "encoding_format"))
            read_format(&json, key, &read);
        else if (ds__str_is(key, "dimensions")) {
            if (!ds__json_take_null(&json)) read.dimensions = ds__read_integer(&json, key, 1, 1 << 20);
        } else
            ds__json_skip(&json);
    }
    ds__str model = ds__keep_text(call, &r->arena, read.input.model);
    if (!ds__finish_body(call, &json)) return;
    r->model = call->model = model;
    embed *e = ds__arena_alloc(&r->arena, sizeof *e);
    if (!e) {
        ds__http_fail(call, 503, "no memory is left for the request");
        return;
    }
    *e = read;
    call->own = e;
    r->outputs = wanted;
    r->output_count = 1;
    if (ds__text_input_read(call, &e->input, true, r)) ds__http_infer(call, answer);
}

/* ---- the list of models ---- */

static void put_model(ds__json_writer *json, ds__str name) {
    ds__json_open_object(json);
    ds__put_text(json, "id", name);
    ds__put_text(json, "object", DS_STR("model"));
    ds__put_number(json, "created", 0); /* not known: a folder's date says when it was copied */
    ds__put_text(json, "owned_by", DS_STR("deepseek"));
    ds__json_close_object(json);
}

static void models(ds__http_call *call) {
    ds_error error;
    ds__arena arena;
    ds__serve_index_entry *entries;
    size_t count;
    ds__arena_init(&arena, call->heap, 0);
    ds__serve_code code = ds__serve_index(call->service, true, &arena, &entries, &count, &error);
    if (code == DS__SERVE_OK) {
        ds__json_writer json = {&call->out, false};
        ds__json_open_object(&json);
        ds__put_text(&json, "object", DS_STR("list"));
        ds__json_key(&json, "data");
        ds__json_open_array(&json);
        for (size_t i = 0; i < count; i++) { /* versions of a model lie side by side */
            bool again = i && ds__str_equal(entries[i].name, entries[i - 1].name);
            if (!again && ds__serve_may_use(call->service, call->tenant, entries[i].name))
                put_model(&json, entries[i].name);
        }
        ds__json_close_array(&json);
        ds__json_close_object(&json);
        ds__http_send(call, 200, NULL);
    } else {
        ds__http_refuse(call, code, &error, 1);
    }
    ds__arena_deinit(&arena);
}

static void model(ds__http_call *call) {
    ds_error error;
    ds__str name = ds__http_parameter(call, "model");
    ds__serve_code code = ds__serve_model_is_ready(call->service, name, (ds__str){"", 0}, &error);
    if (code != DS__SERVE_OK) {
        ds__http_refuse(call, code, &error, 1);
        return;
    }
    ds__json_writer json = {&call->out, false};
    put_model(&json, name);
    ds__http_send(call, 200, NULL);
}

#define MODEL                                                                                                          \
    "{\"type\":\"object\",\"required\":[\"id\",\"object\",\"created\",\"owned_by\"],\"properties\":{"                  \
    "\"id\":{\"type\":\"string\"},\"object\":{\"type\":\"string\"},\"created\":{\"type\":\"integer\"},"                \
    "\"owned_by\":{\"type\":\"string\"}}}"
#define REQUEST                                                                                                        \
    "{\"type\":\"object\",\"required\":[\"model\",\"input\"],\"properties\":{\"model\":{\"type\":\"string\"},"         \
    "\"input\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"maxItems\":2048,"                \
    "\"items\":{\"type\":\"string\"}},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"integer\","             \
    "\"minimum\":0,\"maximum\":2147483647}},{\"type\":\"array\",\"minItems\":1,\"maxItems\":2048,\"items\":{\"type\":" \
    "\"array\",\"minItems\":1,"                                                                                        \
    "\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":2147483647}}}]},\"encoding_format\":{\"type\":"         \
    "\"string\","                                                                                                      \
    "\"enum\":[\"float\",\"base64\"]},\"dimensions\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1048576},"        \
    "\"truncate\":{\"type\":\"boolean\"},\"user\":{\"type\":\"string\"}}}"
#define RESPONSE                                                                                                       \
    "{\"type\":\"object\",\"required\":[\"object\",\"data\",\"model\",\"usage\"],\"properties\":{"                     \
    "\"object\":{\"type\":\"string\"},\"data\":{\"type\":\"array\",\"items\":{\"type\":\"object\","                    \
    "\"required\":[\"object\",\"index\",\"embedding\"]}},\"model\":{\"type\":\"string\"},"                             \
    "\"usage\":{\"type\":\"object\"}}}"

const ds__route ds__route_openai_embeddings = {.method = "POST",
                                               .path = "/v1/embeddings",
                                               .access = DS__ACCESS_TENANT,
                                               .handle = embeddings,
                                               .summary = "Texts to vectors, as OpenAI's clients ask",
                                               .needs_body = true,
                                               .request = REQUEST,
                                               .response = RESPONSE};
const ds__route ds__route_openai_models = {
    .method = "GET",
    .path = "/v1/models",
    .access = DS__ACCESS_TENANT,
    .handle = models,
    .summary = "The models that are loaded",
    .response =
        "{\"type\":\"object\",\"required\":[\"object\",\"data\"],\"properties\":{\"object\":{\"type\":\"string\"},"
        "\"data\":{\"type\":\"array\",\"items\":" MODEL "}}}"};
const ds__route ds__route_openai_model = {.method = "GET",
                                          .path = "/v1/models/{model}",
                                          .access = DS__ACCESS_TENANT,
                                          .handle = model,
                                          .summary = "One model, if it is loaded",
                                          .response = MODEL};
