/* Reading OpenAI's "input". */
#include "serve/routes/text_input.h"

#include <stdio.h>

enum { MAX_TEXTS = 2048, MAX_IDS = 1 << 20 }; /* as OpenAI has it; numbers of one request */

bool ds__text_input_member(ds__json *json, ds__str key, ds__text_input *in) {
    if (ds__str_is(key, "model"))
        in->model = ds__json_string(json, key);
    else if (ds__str_is(key, "input"))
        in->input = ds__json_raw(json);
    else if (ds__str_is(key, "truncate"))
        in->truncate = ds__json_bool(json, key);
    else
        return false;
    return true;
}

/* Rows of ids of different lengths, laid out with the mask that the core wants. */
typedef struct ids {
    int64_t *values;
    size_t starts[MAX_TEXTS + 1];
    size_t count, rows;
} ids;

static void read_id(ds__json *json, ids *out) {
    if (out->count == MAX_IDS) {
        ds__json_fail(json, DS_UNSUPPORTED, "input has more than %d token ids", MAX_IDS);
        return;
    }
    out->values[out->count++] = ds__read_integer(json, DS_STR("a token id of input"), 0, INT32_MAX);
}

static void end_row(ds__json *json, ids *out) {
    if (out->rows == MAX_TEXTS)
        ds__json_fail(json, DS_UNSUPPORTED, "input has more than %d texts", MAX_TEXTS);
    else
        out->starts[++out->rows] = out->count;
}

static bool pad_ids(const ids *in, ds__serve_request *r) {
    size_t width = 0, elements;
    for (size_t i = 0; i < in->rows; i++)
        if (in->starts[i + 1] - in->starts[i] > width) width = in->starts[i + 1] - in->starts[i];
    elements = in->rows * width;
    ds__serve_tensor *tensors = ds__arena_alloc(&r->arena, 2 * sizeof *tensors);
    int64_t *values = elements <= MAX_IDS * 16 ? ds__arena_zeroed(&r->arena, 2 * elements * sizeof *values) : NULL;
    if (!tensors || !values) return false;
    for (size_t i = 0; i < in->rows; i++)
        for (size_t j = in->starts[i]; j < in->starts[i + 1]; j++) {
            values[i * width + j - in->starts[i]] = in->values[j];
            values[elements + i * width + j - in->starts[i]] = 1;
        }
    ds__serve_tensor base = {{"", 0}, DS__SERVE_INT64, 2, {(int64_t)in->rows, (int64_t)width}, elements, NULL, NULL};
    tensors[0] = tensors[1] = base;
    tensors[0].name = DS_STR("input_ids");
    tensors[0].data = values;
    tensors[1].name = DS_STR("attention_mask");
    tensors[1].data = values + elements;
    r->inputs = tensors;
    r->input_count = 2;
    return true;
}

static void read_text(ds__http_call *call, ds__json *json, ds__serve_request *r, ds_text *texts, size_t *count) {
    if (*count == MAX_TEXTS) {
        ds__json_fail(json, DS_UNSUPPORTED, "input has more than %d texts", MAX_TEXTS);
        return;
    }
    ds__str text = ds__keep_text(call, &r->arena, ds__json_string(json, DS_STR("a text of input")));
    if (!text.data && ds__json_ok(json)) ds__json_fail(json, DS_OUT_OF_MEMORY, "no memory is left for a text");
    texts[(*count)++] = (ds_text){text.data, text.size};
}

static void read_lists(ds__json *json, ids *out) {
    bool flat = false, nested = false;
    while (ds__json_next_item(json)) {
        if (ds__json_peek(json) == DS__JSON_ARRAY) {
            nested = true;
            while (ds__json_next_item(json)) read_id(json, out);
            if (ds__json_ok(json)) end_row(json, out);
        } else {
            flat = true;
            read_id(json, out);
        }
        if (flat && nested && ds__json_ok(json))
            ds__json_fail(json, DS_BAD_FORMAT, "input has token ids and lists of them side by side");
    }
    if (flat && ds__json_ok(json)) end_row(json, out);
}

static bool read_ids(ds__http_call *call, ds__str input, ds__serve_request *r) {
    ds__json json;
    size_t most = input.size / 2 + 1;
    ids *in = ds__arena_alloc(&r->arena, sizeof *in);
    if (in) in->values = ds__arena_alloc(&r->arena, (most > MAX_IDS ? MAX_IDS : most) * sizeof *in->values);
    if (!in || !in->values) {
        ds__http_fail(call, 503, "no memory is left for the request");
        return false;
    }
    in->count = in->rows = in->starts[0] = 0;
    ds__json_init(&json, call->heap, "input", input);
    read_lists(&json, in);
    if (!ds__finish_body(call, &json)) return false;
    if (pad_ids(in, r)) return true;
    ds__http_fail(call, 400, "input's lists of token ids are too large together; send fewer at once");
    return false;
}

static bool read_texts(ds__http_call *call, ds__str input, ds__serve_request *r) {
    ds__json json;
    size_t count = 0, most = input.size / 3 + 1; /* quotes and a comma */
    ds_text *texts = ds__arena_alloc(&r->arena, (most > MAX_TEXTS ? MAX_TEXTS : most) * sizeof *texts);
    ds__serve_tensor *tensor = ds__arena_alloc(&r->arena, sizeof *tensor);
    if (!texts || !tensor) {
        ds__http_fail(call, 503, "no memory is left for the request");
        return false;
    }
    ds__json_init(&json, call->heap, "input", input);
    if (ds__json_peek(&json) == DS__JSON_ARRAY)
        while (ds__json_next_item(&json)) read_text(call, &json, r, texts, &count);
    else
        read_text(call, &json, r, texts, &count);
    if (!ds__finish_body(call, &json)) return false;
    *tensor = (ds__serve_tensor){DS_STR("text"), DS__SERVE_BYTES, 1, {(int64_t)count}, count, NULL, texts};
    r->inputs = tensor;
    r->input_count = 1;
    return true;
}

bool ds__text_input_read(ds__http_call *call, const ds__text_input *in, bool takes_ids, ds__serve_request *r) {
    r->truncate = in->truncate;
    if (!in->input.size) {
        ds__http_fail(call, 400, "the body has no member \"input\"");
        return false;
    }
    const char *at = in->input.data, *end = at + in->input.size;
    bool is_list = *at == '[';
    if (is_list) {
        do at++;
        while (at < end && strchr(" \t\r\n", *at));
        if (at < end && *at == ']') {
            ds__http_fail(call, 400, "input is an empty list; it needs at least one text");
            return false;
        }
    }
    bool is_ids = is_list && at < end && (*at == '[' || *at == '-' || (*at >= '0' && *at <= '9'));
    return is_ids && takes_ids ? read_ids(call, in->input, r) : read_texts(call, in->input, r);
}

void ds__put_usage(ds__json_writer *json, const ds__serve_request *r) {
    ds__json_key(json, "usage");
    ds__json_open_object(json);
    ds__put_number(json, "prompt_tokens", (int64_t)r->tokens);
    ds__put_number(json, "total_tokens", (int64_t)r->tokens);
    ds__json_close_object(json);
}
