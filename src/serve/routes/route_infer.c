/* Inference by the Open Inference Protocol, as JSON, as JSON with binary tensors behind it, or as one raw input.
 *
 * Inference-Header-Content-Length says how many bytes of the (decompressed) body are JSON; without it, all of them are;
 * where it is 0, there is no JSON, and the body is the one element of the one input. */
#include <stdio.h>

#include "base/clock.h"
#include "serve/routes/tensor_json.h"

static const char LENGTH_HEADER[] = "Inference-Header-Content-Length";

/* An output as it is asked for. */
typedef struct wish {
    ds__str name;
    bool is_binary, says_binary;
} wish;

typedef struct infer {
    ds__json_input inputs[DS__SERVE_MAX_TENSORS];
    wish outputs[DS__SERVE_MAX_TENSORS];
    size_t input_count, output_count;
    bool binary_output; /* where an output does not say */
} infer;

static void read_parameters(ds__json *json, infer *in, ds__serve_request *r) {
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "truncate")) {
            r->truncate = ds__json_bool(json, key);
        } else if (ds__str_is(key, "priority")) {
            int64_t priority = ds__json_int(json, key, 0, INT64_MAX);
            r->priority = priority > 3 ? 3 : (int32_t)priority;
        } else if (ds__str_is(key, "timeout")) { /* microseconds, as Triton's clients send it */
            int64_t us = ds__json_int(json, key, 0, (int64_t)1 << 50);
            if (us) r->deadline_ns = ds__clock_ns() + (uint64_t)us * 1000;
        } else if (ds__str_is(key, "binary_data_output")) {
            in->binary_output = ds__json_bool(json, key);
        } else {
            ds__json_skip(json);
        }
    }
}

static void read_output_parameters(ds__json *json, wish *out) {
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "binary_data")) {
            out->is_binary = ds__json_bool(json, key);
            out->says_binary = true;
        } else if (ds__str_is(key, "classification")) {
            ds__json_fail(json, DS_UNSUPPORTED,
                          "the output's parameter classification is not known here; ask for the "
                          "outputs label and score");
        } else {
            ds__json_skip(json);
        }
    }
}

static void read_output(ds__http_call *call, ds__json *json, infer *in, ds__arena *arena) {
    wish out = {{"", 0}, false, false};
    if (in->output_count == DS__SERVE_MAX_TENSORS) {
        ds__json_fail(json, DS_UNSUPPORTED, "there are more than %d outputs", DS__SERVE_MAX_TENSORS);
        return;
    }
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "name"))
            out.name = ds__keep_text(call, arena, ds__json_string(json, key));
        else if (ds__str_is(key, "parameters"))
            read_output_parameters(json, &out);
        else
            ds__json_skip(json);
    }
    if (!out.name.size && ds__json_ok(json)) ds__json_fail(json, DS_BAD_FORMAT, "an output has no name");
    in->outputs[in->output_count++] = out;
}

static void read_inputs(ds__http_call *call, ds__json *json, infer *in, ds__arena *arena) {
    while (ds__json_next_item(json)) {
        if (in->input_count == DS__SERVE_MAX_TENSORS) {
            ds__json_fail(json, DS_UNSUPPORTED, "there are more than %d inputs", DS__SERVE_MAX_TENSORS);
            return;
        }
        ds__json_read_input(call, json, arena, &in->inputs[in->input_count++]);
    }
}

/* The JSON part. false: it was wrong, and that is answered. */
static bool read_json(ds__http_call *call, ds__str text, infer *in, ds__serve_request *r) {
    ds__json json;
    bool has_inputs = false;
    ds__json_init(&json, call->heap, "the body", text);
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__str_is(key, "id")) {
            if (!ds__json_take_null(&json)) r->id = ds__keep_text(call, &r->arena, ds__json_string(&json, key));
        } else if (ds__str_is(key, "parameters")) {
            read_parameters(&json, in, r);
        } else if (ds__str_is(key, "inputs")) {
            has_inputs = true;
            read_inputs(call, &json, in, &r->arena);
        } else if (ds__str_is(key, "outputs")) {
            while (ds__json_next_item(&json)) read_output(call, &json, in, &r->arena);
        } else {
            ds__json_skip(&json);
        }
    }
    if (!has_inputs && ds__json_ok(&json)) ds__json_fail(&json, DS_BAD_FORMAT, "there is no member \"inputs\"");
    return ds__finish_body(call, &json);
}

/* Gives each input its elements, out of the JSON or out of the bytes behind it. */
static bool read_elements(ds__http_call *call, infer *in, ds__str binary, ds__serve_request *r) {
    ds__serve_tensor *tensors = ds__arena_alloc(&r->arena, (in->input_count + 1) * sizeof *tensors);
    ds_error error = {DS_OK, "no memory is left for the inputs"};
    ds__serve_code code = tensors ? DS__SERVE_OK : DS__SERVE_QUEUE_FULL;
    for (size_t i = 0; code == DS__SERVE_OK && i < in->input_count; i++) {
        ds__json_input *input = &in->inputs[i];
        if (!input->has_binary) {
            code = ds__json_read_elements(call, input, &r->arena, &error);
        } else if (input->binary_size > binary.size) {
            snprintf(error.message, sizeof error.message,
                     "the input \"%.*s\" has a binary_data_size of %llu, but only %zu bytes are left behind the JSON",
                     DS_STR_ARG(input->tensor.name), (unsigned long long)input->binary_size, binary.size);
            code = DS__SERVE_INVALID;
        } else {
            ds__str raw = {binary.data, (size_t)input->binary_size};
            binary = (ds__str){binary.data + raw.size, binary.size - raw.size};
            code = ds__serve_tensor_from_raw(&input->tensor, raw, &r->arena, &error);
        }
        tensors[i] = input->tensor;
    }
    if (code == DS__SERVE_OK && binary.size) {
        snprintf(error.message, sizeof error.message,
                 "there are %zu bytes behind the last input's; %s and binary_data_size disagree with the body",
                 binary.size, LENGTH_HEADER);
        code = DS__SERVE_INVALID;
    }
    r->inputs = tensors;
    r->input_count = in->input_count;
    if (code != DS__SERVE_OK) ds__http_refuse(call, code, &error, 1);
    return code == DS__SERVE_OK;
}

/* ---- the answer ---- */

static bool wants_binary(const infer *in, ds__str name) {
    for (size_t i = 0; i < in->output_count; i++)
        if (ds__str_equal(in->outputs[i].name, name))
            return in->outputs[i].says_binary ? in->outputs[i].is_binary : in->binary_output;
    return in->binary_output;
}

static bool put_output(ds__json_writer *json, const ds__serve_tensor *tensor, bool is_binary) {
    ds__json_open_object(json);
    ds__put_text(json, "name", tensor->name);
    ds__put_text(json, "datatype", ds__str_of(ds__serve_datatype_name(tensor->datatype)));
    ds__json_key(json, "shape");
    ds__json_open_array(json);
    for (int d = 0; d < tensor->rank; d++) ds__json_put_int(json, tensor->shape[d]);
    ds__json_close_array(json);
    bool put = true;
    if (is_binary) {
        ds__json_key(json, "parameters");
        ds__json_open_object(json);
        ds__put_number(json, "binary_data_size", (int64_t)ds__serve_tensor_raw_size(tensor));
        ds__json_close_object(json);
    } else {
        ds__json_key(json, "data");
        put = ds__json_put_elements(json, tensor);
        if (!put) ds__json_put_null(json);
    }
    ds__json_close_object(json);
    return put;
}

static void put_binary(ds__buffer *out, const ds__serve_tensor *tensor) {
    size_t size = ds__serve_tensor_raw_size(tensor);
    if (!ds__buffer_reserve(out, size)) return;
    ds__serve_tensor_to_raw(tensor, out->data + out->size);
    out->size += size;
}

static void answer(ds__http_call *call, ds__serve_request *r) {
    const infer *in = call->own;
    ds__json_writer json = {&call->out, false};
    bool any_binary = false;
    ds__json_open_object(&json);
    if (r->id.size) ds__put_text(&json, "id", r->id);
    ds__put_text(&json, "model_name", r->model);
    ds__put_version(&json, "model_version", r->model_version);
    ds__json_key(&json, "outputs");
    ds__json_open_array(&json);
    for (size_t i = 0; i < r->result_count; i++) {
        bool is_binary = wants_binary(in, r->results[i].name);
        any_binary |= is_binary;
        if (put_output(&json, &r->results[i], is_binary)) continue;
        ds__http_fail(call, 400,
                      "an output is FP16 or BF16, which travels as binary data only; ask for it with the "
                      "parameter \"binary_data\": true");
        return;
    }
    ds__json_close_array(&json);
    ds__json_close_object(&json);
    if (any_binary) {
        snprintf(call->header, sizeof call->header, "%s: %zu\r\n", LENGTH_HEADER, call->out.size);
        for (size_t i = 0; i < r->result_count; i++)
            if (wants_binary(in, r->results[i].name)) put_binary(&call->out, &r->results[i]);
    }
    ds__http_send(call, 200, any_binary ? "application/octet-stream" : NULL);
}

/* ---- the request ---- */

/* The body is one text. */
static bool read_raw(ds__http_call *call, infer *in, ds__serve_request *r) {
    ds__serve_tensor *tensor = ds__arena_alloc(&r->arena, sizeof *tensor);
    ds_text *text = ds__arena_alloc(&r->arena, sizeof *text);
    if (!tensor || !text) {
        ds__http_fail(call, 503, "no memory is left for the request");
        return false;
    }
    *text = (ds_text){call->body.data, call->body.size};
    *tensor = (ds__serve_tensor){DS_STR("text"), DS__SERVE_BYTES, 1, {1}, 1, NULL, text};
    in->binary_output = true;
    r->inputs = tensor;
    r->input_count = 1;
    return true;
}

static bool read_request(ds__http_call *call, infer *in, ds__serve_request *r) {
    uint64_t length = call->body.size;
    ds__str header = ds__http_header_value(call->head, LENGTH_HEADER);
    if (header.data && (!ds__http_number(header, &length) || length > call->body.size)) {
        char sentence[256];
        snprintf(sentence, sizeof sentence, "%s is \"%.*s\", expected 0 to %zu, the bytes of the body", LENGTH_HEADER,
                 (int)(header.size > 32 ? 32 : header.size), header.data, call->body.size);
        ds__http_fail(call, 400, sentence);
        return false;
    }
    if (header.data && length == 0) return read_raw(call, in, r);
    ds__str text = {call->body.data, (size_t)length};
    ds__str binary = {call->body.data + text.size, call->body.size - text.size};
    if (!read_json(call, text, in, r) || !read_elements(call, in, binary, r)) return false;
    ds__str *names = ds__arena_alloc(&r->arena, (in->output_count + 1) * sizeof *names);
    if (!names) {
        ds__http_fail(call, 503, "no memory is left for the request");
        return false;
    }
    for (size_t i = 0; i < in->output_count; i++) names[i] = in->outputs[i].name;
    r->outputs = names;
    r->output_count = in->output_count;
    return true;
}

static void handle(ds__http_call *call) {
    ds_error error;
    ds__serve_code code = ds__serve_model_is_ready(call->service, ds__http_parameter(call, "model"),
                                                   ds__http_parameter(call, "version"), &error);
    if (code != DS__SERVE_OK) { /* before megabytes are read for nobody */
        ds__http_refuse(call, code, &error, 1);
        return;
    }
    ds__serve_request *r =
        ds__http_request(call, ds__http_parameter(call, "model"), ds__http_parameter(call, "version"));
    if (!r) return;
    infer *in = ds__arena_zeroed(&r->arena, sizeof *in);
    call->own = in;
    if (!in)
        ds__http_fail(call, 503, "no memory is left for the request");
    else if (read_request(call, in, r))
        ds__http_infer(call, answer);
}

#define REQUEST                                                                                                        \
    "{\"type\":\"object\",\"required\":[\"inputs\"],\"properties\":{\"id\":{\"type\":\"string\"},"                     \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"truncate\":{\"type\":\"boolean\"},"                         \
    "\"priority\":{\"type\":\"integer\",\"minimum\":0},\"timeout\":{\"type\":\"integer\",\"minimum\":0},"              \
    "\"binary_data_output\":{\"type\":\"boolean\"}}},\"inputs\":{\"type\":\"array\",\"minItems\":1,"                   \
    "\"maxItems\":64,\"items\":{\"type\":\"object\",\"required\":[\"name\",\"shape\",\"datatype\",\"data\"],"          \
    "\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1},\"shape\":{\"type\":\"array\","                    \
    "\"minItems\":1,\"maxItems\":8,\"items\":{\"type\":\"integer\",\"minimum\":0}},\"datatype\":{\"type\":"            \
    "\"string\"},\"parameters\":{\"type\":\"object\"},\"data\":{\"type\":\"array\"}}}},\"outputs\":{"                  \
    "\"type\":\"array\",\"maxItems\":64,\"items\":{\"type\":\"object\",\"required\":[\"name\"],"                       \
    "\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1},\"parameters\":{\"type\":\"object\"}}}}}}"
#define RESPONSE                                                                                                       \
    "{\"type\":\"object\",\"required\":[\"model_name\",\"model_version\",\"outputs\"],\"properties\":{"                \
    "\"id\":{\"type\":\"string\"},\"model_name\":{\"type\":\"string\"},\"model_version\":{\"type\":\"string\"},"       \
    "\"outputs\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}}}"

const ds__route ds__route_model_infer = {.method = "POST",
                                         .path = "/v2/models/{model}/infer",
                                         .access = DS__ACCESS_TENANT,
                                         .handle = handle,
                                         .summary = "Runs a model's current version",
                                         .needs_body = true,
                                         .request = REQUEST,
                                         .response = RESPONSE};
const ds__route ds__route_version_infer = {.method = "POST",
                                           .path = "/v2/models/{model}/versions/{version}/infer",
                                           .access = DS__ACCESS_TENANT,
                                           .handle = handle,
                                           .summary = "Runs the version of this number or label",
                                           .needs_body = true,
                                           .request = REQUEST,
                                           .response = RESPONSE};
