/* ModelInferRequest and ModelInferResponse. */
#include "serve/grpc/infer_message.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "serve/grpc/infer_contents.h"
#include "serve/grpc/wire.h"

/* A message's parts, counted before lists are made for them. */
typedef struct parts {
    size_t inputs, outputs, raws;
} parts;

/* One map<string, InferParameter> entry, whatever is the kind of its value. */
typedef struct parameter {
    ds__str name, text;
    uint64_t number;
    bool is_number;
} parameter;

static parameter read_parameter(ds__wire *outer) {
    parameter found = {{"", 0}, {"", 0}, 0, false};
    ds__wire entry = ds__wire_inside(outer, "parameters");
    while (ds__wire_next(&entry)) {
        if (entry.field == 1) {
            found.name = ds__wire_text(&entry, "key");
        } else if (entry.field == 2) {
            ds__wire value = ds__wire_inside(&entry, "InferParameter");
            while (ds__wire_next(&value)) {
                found.is_number = value.type == DS__WIRE_VARINT;
                if (found.is_number) found.number = value.number;
                if (value.field == 3) found.text = ds__wire_text(&value, "string_param");
            }
        }
    }
    return found;
}

static bool is_true(const parameter *value) {
    return value->is_number ? value->number != 0 : ds__str_is(value->text, "true") || ds__str_is(value->text, "1");
}

static bool needs_number(ds__wire *wire, const parameter *value) {
    return value->is_number || ds__wire_fail(wire, "parameter \"%.*s\" is no integer", DS_STR_ARG(value->name));
}

/* What the request's parameters ask for; those that nobody knows say nothing, as the protocol has it. */
static void apply_parameter(ds__wire *wire, ds__serve_request *request) {
    parameter value = read_parameter(wire);
    if (ds__str_is(value.name, "truncate")) {
        request->truncate = is_true(&value);
    } else if (ds__str_is(value.name, "priority") && needs_number(wire, &value)) {
        request->priority = value.number > 100 ? 100 : (int32_t)value.number;
    } else if (ds__str_is(value.name, "timeout") && needs_number(wire, &value) && value.number) { /* microseconds */
        uint64_t span, until;
        if (__builtin_mul_overflow(value.number, UINT64_C(1000), &span) ||
            __builtin_add_overflow(span, ds__clock_ns(), &until))
            return;
        if (!request->deadline_ns || until < request->deadline_ns) request->deadline_ns = until;
    }
}

/* Parameters of a tensor that ask for what we do not have are refused: the answer would not be what was asked for. */
static void check_tensor_parameter(ds__wire *wire, ds__str tensor) {
    parameter value = read_parameter(wire);
    if (ds__str_starts(value.name, DS_STR("shared_memory_")) || ds__str_is(value.name, "classification"))
        ds__wire_fail(wire,
                      "tensor \"%.*s\" asks for \"%.*s\", which this server does not have; send the data themselves",
                      DS_STR_ARG(tensor), DS_STR_ARG(value.name));
}

static bool add_extent(ds__wire *wire, ds__serve_tensor *tensor, uint64_t extent) {
    if (tensor->rank == DS__SERVE_MAX_RANK)
        return ds__wire_fail(wire, "the shape of input \"%.*s\" has more than %d extents", DS_STR_ARG(tensor->name),
                             DS__SERVE_MAX_RANK);
    tensor->shape[tensor->rank++] = (int64_t)extent;
    return true;
}

static void read_shape(ds__wire *wire, ds__serve_tensor *tensor) {
    if (wire->type == DS__WIRE_VARINT) {
        add_extent(wire, tensor, wire->number);
        return;
    }
    ds__str packed = ds__wire_bytes(wire, "shape");
    const unsigned char *at = (const unsigned char *)packed.data, *end = at + packed.size;
    while (at < end) {
        uint64_t extent;
        if (!ds__wire_varint(&at, end, &extent)) {
            ds__wire_fail(wire, "shape has a number that does not end");
            return;
        }
        if (!add_extent(wire, tensor, extent)) return;
    }
}

/* An InferInputTensor but for its elements; contents: where those are, size 0 when there are none. */
static void read_input(ds__wire *outer, ds__serve_tensor *tensor, ds__str *contents) {
    ds__str datatype = {"", 0};
    ds__wire wire = ds__wire_inside(outer, "InferInputTensor");
    *tensor = (ds__serve_tensor){.name = {"", 0}};
    *contents = (ds__str){NULL, 0};
    while (ds__wire_next(&wire)) {
        switch (wire.field) {
        case 1: tensor->name = ds__wire_text(&wire, "name"); break;
        case 2: datatype = ds__wire_text(&wire, "datatype"); break;
        case 3: read_shape(&wire, tensor); break;
        case 4: check_tensor_parameter(&wire, tensor->name); break;
        case 5: *contents = ds__wire_bytes(&wire, "contents"); break;
        default: break;
        }
    }
    if (ds__wire_ok(&wire) && !ds__serve_datatype_parse(datatype, &tensor->datatype))
        ds__wire_fail(&wire, "input \"%.*s\" has the datatype \"%.*s\", which is none of the protocol's",
                      DS_STR_ARG(tensor->name), DS_STR_ARG(datatype));
}

static ds__str read_output(ds__wire *outer) {
    ds__str name = {"", 0};
    ds__wire wire = ds__wire_inside(outer, "InferRequestedOutputTensor");
    while (ds__wire_next(&wire)) {
        if (wire.field == 1) name = ds__wire_text(&wire, "name");
        if (wire.field == 2) check_tensor_parameter(&wire, name);
    }
    return name;
}

/* First pass: what there is of everything. */
static bool count_parts(ds__str message, parts *found, ds_error *error) {
    ds__wire wire = ds__wire_of(message, "ModelInferRequest", error);
    while (ds__wire_next(&wire)) {
        found->inputs += wire.field == 5;
        found->outputs += wire.field == 6;
        found->raws += wire.field == 7;
        if (found->inputs > DS__SERVE_MAX_TENSORS || found->outputs > DS__SERVE_MAX_TENSORS)
            return ds__wire_fail(&wire, "there are more than %d inputs or outputs", DS__SERVE_MAX_TENSORS);
    }
    if (ds__wire_ok(&wire) && found->raws && found->raws != found->inputs)
        return ds__wire_fail(&wire, "there are %zu inputs but %zu raw_input_contents; give one for each, or none",
                             found->inputs, found->raws);
    return ds__wire_ok(&wire);
}

/* The lists while they are filled in the second pass. */
typedef struct lists {
    ds__serve_tensor *inputs;
    ds__str *contents, *raws; /* [inputs] */
    ds__str *outputs;
    parts at;
} lists;

static bool make_lists(ds__serve_request *request, const parts *sizes, lists *out, ds_error *error) {
    size_t inputs = sizes->inputs + 1, outputs = sizes->outputs + 1; /* none is a number too */
    out->inputs = ds__arena_zeroed(&request->arena, inputs * sizeof *out->inputs);
    out->contents = ds__arena_zeroed(&request->arena, inputs * 2 * sizeof *out->contents);
    out->outputs = ds__arena_zeroed(&request->arena, outputs * sizeof *out->outputs);
    if (!out->inputs || !out->contents || !out->outputs) {
        (void)ds__alloc_failed(request->arena.heap, inputs * sizeof *out->inputs, "a request's tensors", error);
        return false;
    }
    out->raws = out->contents + inputs;
    return true;
}

static bool read_fields(ds__str message, ds__serve_request *request, lists *to, ds_error *error) {
    ds__wire wire = ds__wire_of(message, "ModelInferRequest", error);
    while (ds__wire_next(&wire)) {
        switch (wire.field) {
        case 1: request->model = ds__wire_text(&wire, "model_name"); break;
        case 2: request->version = ds__wire_text(&wire, "model_version"); break;
        case 3: request->id = ds__wire_text(&wire, "id"); break;
        case 4: apply_parameter(&wire, request); break;
        case 5: read_input(&wire, &to->inputs[to->at.inputs], &to->contents[to->at.inputs]), to->at.inputs++; break;
        case 6: to->outputs[to->at.outputs++] = read_output(&wire); break;
        case 7: to->raws[to->at.raws++] = ds__wire_bytes(&wire, "raw_input_contents"); break;
        default: break;
        }
    }
    if (ds__wire_ok(&wire) && !request->model.size) ds__wire_fail(&wire, "model_name is empty");
    return ds__wire_ok(&wire);
}

/* The elements, in one form or the other. */
static ds__serve_code take_elements(lists *to, size_t i, ds__arena *arena, ds_error *error) {
    ds__serve_tensor *tensor = &to->inputs[i];
    if (!to->at.raws) {
        if (ds__serve_shape_elements(tensor->shape, tensor->rank, &tensor->elements))
            return ds__infer_contents(tensor, to->contents[i], arena, error);
        (void)ds__fail(error, DS_INVALID_ARGUMENT,
                       "input \"%.*s\" has a shape with a negative extent, or of more than 2^40 elements",
                       DS_STR_ARG(tensor->name));
        return DS__SERVE_INVALID;
    }
    if (to->contents[i].size) {
        (void)ds__fail(error, DS_INVALID_ARGUMENT,
                       "input \"%.*s\" has contents, and there are raw_input_contents too; give one of the two",
                       DS_STR_ARG(tensor->name));
        return DS__SERVE_INVALID;
    }
    return ds__serve_tensor_from_raw(tensor, to->raws[i], arena, error);
}

ds__serve_code ds__infer_decode(ds__str message, ds__serve_request *request, ds_error *error) {
    parts sizes = {0, 0, 0};
    lists to = {.at = {0, 0, 0}};
    *error = (ds_error){DS_OK, ""};
    if (!count_parts(message, &sizes, error)) return DS__SERVE_INVALID;
    if (!make_lists(request, &sizes, &to, error)) return DS__SERVE_TOO_LARGE;
    if (!read_fields(message, request, &to, error)) return DS__SERVE_INVALID;
    for (size_t i = 0; i < sizes.inputs; i++) {
        ds__serve_code code = take_elements(&to, i, &request->arena, error);
        if (code != DS__SERVE_OK) return code;
    }
    request->inputs = to.inputs;
    request->input_count = sizes.inputs;
    request->outputs = to.outputs;
    request->output_count = sizes.outputs;
    return DS__SERVE_OK;
}

void ds__infer_peek(ds__str message, ds__str *model, ds__str *id) {
    ds_error error = {DS_OK, ""};
    ds__wire wire = ds__wire_of(message, "ModelInferRequest", &error);
    *model = *id = (ds__str){"", 0};
    while (ds__wire_next(&wire)) {
        if (wire.field == 1) *model = ds__wire_text(&wire, "model_name");
        if (wire.field == 3) *id = ds__wire_text(&wire, "id");
    }
}

size_t ds__infer_encoded_size(const ds__serve_request *request) {
    size_t size = 256 + request->model.size + request->id.size;
    for (size_t i = 0; i < request->result_count; i++)
        size += 128 + request->results[i].name.size + ds__serve_tensor_raw_size(&request->results[i]);
    return size;
}

void ds__infer_encode(const ds__serve_request *request, ds__buffer *out) {
    char version[24];
    snprintf(version, sizeof version, "%" PRId64, request->model_version);
    ds__wire_put_bytes(out, 1, request->model);
    ds__wire_put_text(out, 2, version);
    ds__wire_put_bytes(out, 3, request->id);
    for (size_t i = 0; i < request->result_count; i++) {
        const ds__serve_tensor *tensor = &request->results[i];
        size_t opened = ds__wire_open(out, 5);
        ds__wire_put_bytes(out, 1, tensor->name);
        ds__wire_put_text(out, 2, ds__serve_datatype_name(tensor->datatype));
        ds__wire_put_i64s(out, 3, tensor->shape, (size_t)tensor->rank);
        ds__wire_close(out, opened);
    }
    for (size_t i = 0; i < request->result_count; i++) {
        size_t size = ds__serve_tensor_raw_size(&request->results[i]);
        ds__wire_put_head(out, 6, size);
        if (!ds__buffer_reserve(out, size)) return;
        ds__serve_tensor_to_raw(&request->results[i], out->data + out->size);
        out->size += size;
    }
}
