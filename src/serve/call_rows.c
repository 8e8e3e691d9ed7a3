/* What a request means to its model: rows of texts or ids going in, and the tensors that come out. */
#include <stdio.h>

#include "pipeline/scores.h"
#include "serve/service_internal.h"

/* ---- what models take and give ---- */

static const ds__serve_tensor_spec text_inputs[] = {{"text", DS__SERVE_BYTES, 1, {-1}, true},
                                                    {"input_ids", DS__SERVE_INT64, 2, {-1, -1}, true},
                                                    {"attention_mask", DS__SERVE_INT64, 2, {-1, -1}, true}};

enum { TEXT_INPUTS = sizeof text_inputs / sizeof *text_inputs, MAX_OUTPUTS = 4 };

static void identity_specs(ds__arena *arena, ds__serve_description *out) {
    ds__serve_tensor_spec *inputs = ds__arena_alloc(arena, 2 * DS__SERVE_DATATYPE_COUNT * sizeof *inputs);
    char *names = ds__arena_alloc(arena, 2 * DS__SERVE_DATATYPE_COUNT * 16);
    if (!inputs || !names) return; /* none are listed */
    for (int i = 0; i < 2 * DS__SERVE_DATATYPE_COUNT; i++) {
        ds__serve_datatype datatype = (ds__serve_datatype)(i % DS__SERVE_DATATYPE_COUNT);
        bool is_input = i < DS__SERVE_DATATYPE_COUNT;
        snprintf(names + 16 * i, 16, "%s_%s", is_input ? "INPUT" : "OUTPUT", ds__serve_datatype_name(datatype));
        inputs[i] = (ds__serve_tensor_spec){names + 16 * i, datatype, 1, {-1}, is_input};
    }
    out->inputs = inputs;
    out->outputs = inputs + DS__SERVE_DATATYPE_COUNT;
    out->input_count = out->output_count = DS__SERVE_DATATYPE_COUNT;
}

void ds__instance_specs(const ds__instance *instance, ds__arena *arena, ds__serve_description *out) {
    if (instance->kind == DS__INSTANCE_IDENTITY) {
        identity_specs(arena, out);
        return;
    }
    ds__serve_tensor_spec *outputs = ds__arena_alloc(arena, MAX_OUTPUTS * sizeof *outputs), *next = outputs;
    out->inputs = text_inputs;
    out->input_count = TEXT_INPUTS;
    if (!outputs) return;
    out->outputs = outputs;
    if (instance->kind == DS__INSTANCE_CLASSIFY) {
        *next++ = (ds__serve_tensor_spec){"logits", DS__SERVE_FP32, 2, {-1, instance->info.labels}, false};
        *next++ = (ds__serve_tensor_spec){"label", DS__SERVE_BYTES, 1, {-1}, false};
        *next++ = (ds__serve_tensor_spec){"score", DS__SERVE_FP32, 1, {-1}, false};
    }
    *next++ = (ds__serve_tensor_spec){"embedding", DS__SERVE_FP32, 2, {-1, instance->info.hidden_size}, false};
    out->output_count = (size_t)(next - outputs);
}

/* ---- the way in ---- */

static bool asked_for(const ds__serve_request *r, const char *name) {
    bool asked = r->output_count == 0;
    for (size_t i = 0; i < r->output_count; i++) asked |= ds__str_is(r->outputs[i], name);
    return asked;
}

static ds__serve_code out_of_memory(ds_error *error, size_t bytes) {
    return ds__refuse(error, DS__SERVE_QUEUE_FULL,
                      "no memory is left for the request's results of %zu bytes; wait, or send fewer texts", bytes);
}

/* Every input comes back under the name that begins with OUTPUT instead of INPUT. */
static ds__serve_code prepare_identity(ds__serve_call *call, ds_error *error) {
    ds__serve_request *r = &call->request;
    ds__serve_tensor *results = ds__arena_alloc(&r->arena, (r->input_count + 1) * sizeof *results);
    if (!results) return out_of_memory(error, r->input_count * sizeof *results);
    for (size_t i = 0; i < r->input_count; i++) {
        ds__serve_tensor result = r->inputs[i];
        size_t bytes = ds__serve_tensor_raw_size(&result), skip = ds__str_starts(result.name, DS_STR("INPUT")) ? 5 : 0;
        char *name = ds__arena_alloc(&r->arena, result.name.size + 7), *data = ds__arena_alloc(&r->arena, bytes);
        if (!name || !data) return out_of_memory(error, bytes);
        int length = snprintf(name, result.name.size + 7, "%s%.*s", skip ? "OUTPUT" : "",
                              (int)(result.name.size - skip), result.name.data + skip);
        result.name = (ds__str){name, (size_t)length};
        if (!asked_for(r, name)) continue;
        ds__serve_tensor_to_raw(&r->inputs[i], data);
        ds__serve_code code = ds__serve_tensor_from_raw(&result, (ds__str){data, bytes}, &r->arena, error);
        if (code != DS__SERVE_OK) return code;
        results[r->result_count++] = result;
    }
    if (r->output_count > r->result_count)
        return ds__refuse(
            error, DS__SERVE_INVALID,
            "%zu outputs are asked for, but only %zu have an input of that name (INPUT in place of OUTPUT)",
            r->output_count, r->result_count);
    r->results = results;
    call->rows = call->work = 1;
    return DS__SERVE_OK;
}

/* Which passes the outputs need; without names it is what the model is for. */
static ds__serve_code check_outputs(ds__serve_call *call, ds_error *error) {
    const ds__serve_request *r = &call->request;
    bool has_head = call->instance->kind == DS__INSTANCE_CLASSIFY;
    if (!r->output_count) call->wants[ds__instance_pass(call->instance)] = true;
    for (size_t i = 0; i < r->output_count; i++) {
        ds__str name = r->outputs[i];
        bool embeds = ds__str_is(name, "embedding");
        bool scores = ds__str_is(name, "logits") || ds__str_is(name, "label") || ds__str_is(name, "score");
        if (!embeds && !(scores && has_head))
            return ds__refuse(error, DS__SERVE_INVALID, "the output \"%.*s\" is asked for, but the model gives %s",
                              DS_STR_ARG(name), has_head ? "logits, label, score and embedding" : "embedding");
        call->wants[embeds ? DS__PASS_EMBEDDING : DS__PASS_LOGITS] = true;
    }
    return DS__SERVE_OK;
}

/* Tokens of a text that all that is wanted of it can have: vectors may have fewer than scores. */
static int32_t most_tokens(const ds__serve_call *call) {
    int32_t most = INT32_MAX;
    for (int pass = 0; pass < DS__PASSES; pass++)
        if (call->wants[pass] && call->instance->max_tokens[pass] < most) most = call->instance->max_tokens[pass];
    return most;
}

/* Finds the inputs by their names and checks datatypes and shapes. */
static ds__serve_code find_inputs(const ds__serve_call *call, const ds__serve_tensor *found[TEXT_INPUTS],
                                  ds_error *error) {
    const ds__serve_request *r = &call->request;
    for (size_t i = 0; i < r->input_count; i++) {
        const ds__serve_tensor *input = &r->inputs[i];
        int place = 0;
        while (place < TEXT_INPUTS && !ds__str_is(input->name, text_inputs[place].name)) place++;
        if (place == TEXT_INPUTS)
            return ds__refuse(error, DS__SERVE_INVALID,
                              "there is an input \"%.*s\", expected text, or input_ids with or without attention_mask",
                              DS_STR_ARG(input->name));
        if (found[place])
            return ds__refuse(error, DS__SERVE_INVALID, "the input \"%s\" is there twice", text_inputs[place].name);
        if (input->datatype != text_inputs[place].datatype)
            return ds__refuse(error, DS__SERVE_INVALID, "the input \"%s\" has the datatype %s, expected %s",
                              text_inputs[place].name, ds__serve_datatype_name(input->datatype),
                              ds__serve_datatype_name(text_inputs[place].datatype));
        bool column = place == 0 && input->rank == 2 && input->shape[1] == 1; /* [n, 1] is what Triton's users send */
        if (input->rank != text_inputs[place].rank && !column)
            return ds__refuse(error, DS__SERVE_INVALID, "the input \"%s\" has %d dimensions, expected %s",
                              text_inputs[place].name, input->rank, place == 0 ? "[texts]" : "[texts, tokens]");
        found[place] = input;
    }
    if (!found[0] == !found[1])
        return ds__refuse(error, DS__SERVE_INVALID, "there is %s, expected either text or input_ids",
                          found[0] ? "both text and input_ids" : "neither text nor input_ids");
    if (found[2] && (!found[1] || found[2]->shape[0] != found[1]->shape[0] || found[2]->shape[1] != found[1]->shape[1]))
        return ds__refuse(error, DS__SERVE_INVALID,
                          found[1] ? "attention_mask has the shape [%lld, %lld], which is not "
                                     "that of input_ids"
                                   : "there is an attention_mask of [%lld, %lld], but no "
                                     "input_ids",
                          (long long)found[2]->shape[0], (long long)found[2]->shape[1]);
    return DS__SERVE_OK;
}

/* One row of ids: how many are meant, and whether the model knows them. */
static ds__serve_code check_ids(const ds__serve_call *call, size_t row, ds_error *error) {
    size_t count = 0;
    bool ended = false;
    for (size_t i = 0; i < call->width; i++) {
        int64_t id, mask = 1;
        memcpy(&id, call->ids + row * call->width + i, sizeof id);
        if (call->mask) memcpy(&mask, call->mask + row * call->width + i, sizeof mask);
        if (mask != 0 && mask != 1)
            return ds__refuse(error, DS__SERVE_INVALID, "attention_mask has %lld at [%zu, %zu], expected 0 or 1",
                              (long long)mask, row, i);
        if (mask && ended)
            return ds__refuse(error, DS__SERVE_INVALID,
                              "attention_mask has a 1 at [%zu, %zu] behind a 0; padding must stand at the end", row, i);
        if (!mask) ended = true;
        if (mask && (id < 0 || id >= call->instance->info.vocab_size))
            return ds__refuse(error, DS__SERVE_INVALID, "input_ids has %lld at [%zu, %zu], expected 0 to %d",
                              (long long)id, row, i, call->instance->info.vocab_size - 1);
        count += mask != 0;
    }
    if (!count) return ds__refuse(error, DS__SERVE_INVALID, "row %zu of input_ids has no token", row);
    if (count > (size_t)most_tokens(call) && !call->request.truncate)
        return ds__refuse(
            error, DS__SERVE_INVALID,
            "row %zu of input_ids has %zu tokens, but the model takes %d; shorten it, or ask for it to be "
            "cut with the parameter \"truncate\": true",
            row, count, most_tokens(call));
    return DS__SERVE_OK;
}

static ds__serve_code check_rows(ds__serve_call *call, ds_error *error) {
    size_t most_bytes = (size_t)most_tokens(call) * DS__SERVE_BYTES_A_TOKEN;
    if (!call->rows || call->rows > DS__SERVE_MAX_ROWS)
        return ds__refuse(error, DS__SERVE_INVALID, "the request has %zu texts, expected 1 to %d", call->rows,
                          DS__SERVE_MAX_ROWS);
    for (size_t row = 0; row < call->rows; row++) {
        ds__serve_code code = call->texts ? DS__SERVE_OK : check_ids(call, row, error);
        if (code != DS__SERVE_OK) return code;
        if (call->texts && call->texts[row].size > most_bytes && !call->request.truncate)
            return ds__refuse(
                error, DS__SERVE_INVALID,
                "text %zu has %zu bytes, but for a model of %d tokens at most %zu are read; shorten it, or "
                "ask for it to be cut with the parameter \"truncate\": true",
                row + 1, call->texts[row].size, most_tokens(call), most_bytes);
    }
    return DS__SERVE_OK;
}

/* Room for what is computed and for the results. */
static ds__serve_code make_room(ds__serve_call *call, ds_error *error) {
    ds__arena *arena = &call->request.arena;
    size_t bytes = 0, columns = call->instance->row_floats[DS__PASS_LOGITS];
    bool labels = call->wants[DS__PASS_LOGITS], made = true;
    for (int pass = 0; pass < DS__PASSES; pass++) {
        if (!call->wants[pass]) continue;
        size_t floats = call->rows * call->instance->row_floats[pass];
        /* Behind logits, a score for each row; and all scores of one row at a time. */
        if (pass == DS__PASS_LOGITS) floats += call->rows + columns;
        call->out[pass] = ds__arena_alloc(arena, floats * sizeof(float));
        call->work += call->rows;
        bytes += floats * sizeof(float);
        made &= call->out[pass] != NULL;
    }
    ds_text *texts = labels ? ds__arena_alloc(arena, call->rows * sizeof *texts) : NULL;
    ds__serve_tensor *results = ds__arena_alloc(arena, MAX_OUTPUTS * sizeof *results);
    if (!made || !results || (labels && !texts)) return out_of_memory(error, bytes);
    results[1].texts = texts;
    call->request.results = results;
    return DS__SERVE_OK;
}

ds__serve_code ds__serve_call_prepare(ds__serve_call *call, ds_error *error) {
    const ds__serve_tensor *found[TEXT_INPUTS] = {NULL};
    if (call->instance->kind == DS__INSTANCE_IDENTITY) return prepare_identity(call, error);
    ds__serve_code code = find_inputs(call, found, error);
    if (code == DS__SERVE_OK) code = check_outputs(call, error);
    if (code != DS__SERVE_OK) return code;
    const ds__serve_tensor *rows = found[0] ? found[0] : found[1];
    call->rows = (size_t)rows->shape[0];
    call->texts = rows->texts;
    call->ids = rows->data;
    call->mask = found[2] ? found[2]->data : NULL;
    call->width = found[0] ? 0 : (size_t)rows->shape[1];
    code = check_rows(call, error);
    return code == DS__SERVE_OK ? make_room(call, error) : code;
}

/* ---- the way out ---- */

/* all: room for the scores of a row. */
static void label_rows(ds__serve_call *call, float *scores, float *all, ds_text *texts) {
    const ds_model_info *info = &call->instance->info;
    size_t labels = (size_t)info->labels;
    for (size_t row = 0; row < call->rows; row++) {
        size_t best = 0;
        ds__scores_of_logits(info, call->out[DS__PASS_LOGITS] + row * labels, all);
        for (size_t c = 1; c < labels; c++)
            if (all[c] > all[best]) best = c;
        scores[row] = all[best];
        const char *name = ds_model_label(call->instance->engine, (int32_t)best);
        texts[row] = (ds_text){name, strlen(name)};
    }
}

static ds__serve_tensor matrix(const ds__serve_call *call, ds__pass pass, ds__str name) {
    size_t width = call->instance->row_floats[pass];
    return (ds__serve_tensor){
        name, DS__SERVE_FP32, 2, {(int64_t)call->rows, (int64_t)width}, call->rows * width, call->out[pass], NULL};
}

void ds__serve_call_finish(ds__serve_call *call) {
    ds__serve_request *r = &call->request;
    if (call->instance->kind == DS__INSTANCE_IDENTITY) return;
    ds__serve_tensor *results = (ds__serve_tensor *)r->results, *next = results;
    int64_t rows = (int64_t)call->rows;
    if (call->wants[DS__PASS_LOGITS]) {
        float *scores = call->out[DS__PASS_LOGITS] + call->rows * call->instance->row_floats[DS__PASS_LOGITS];
        ds_text *texts = (ds_text *)results[1].texts;
        label_rows(call, scores, scores + rows, texts);
        if (asked_for(r, "logits")) *next++ = matrix(call, DS__PASS_LOGITS, DS_STR("logits"));
        if (asked_for(r, "label"))
            *next++ = (ds__serve_tensor){DS_STR("label"), DS__SERVE_BYTES, 1, {rows}, call->rows, NULL, texts};
        if (asked_for(r, "score"))
            *next++ = (ds__serve_tensor){DS_STR("score"), DS__SERVE_FP32, 1, {rows}, call->rows, scores, NULL};
    }
    if (call->wants[DS__PASS_EMBEDDING]) *next++ = matrix(call, DS__PASS_EMBEDDING, DS_STR("embedding"));
    r->result_count = (size_t)(next - results);
}
