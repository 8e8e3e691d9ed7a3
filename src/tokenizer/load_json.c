/* tokenizer.json, as the `tokenizers` package writes it, in one pass. Truncation and padding in it are not looked at:
 * the caller says when to cut, and nothing is ever padded. The decoder is not needed. */
#include "base/error.h"
#include "tokenizer/load.h"

void ds__load_added_token(ds__json *json, ds__loader *loader, int32_t id) {
    ds__added_token token = {.id = id};
    bool has_content = false;
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "id") && id < 0) {
            token.id = (int32_t)ds__json_int(json, key, 0, DS__MAX_ID);
        } else if (ds__str_is(key, "content")) {
            token.content = ds__json_string(json, key);
            has_content = true;
        } else if (ds__str_is(key, "single_word")) {
            token.single_word = ds__json_bool(json, key);
        } else if (ds__str_is(key, "lstrip")) {
            token.lstrip = ds__json_bool(json, key);
        } else if (ds__str_is(key, "rstrip")) {
            token.rstrip = ds__json_bool(json, key);
        } else if (ds__str_is(key, "normalized")) {
            token.normalized = ds__json_bool(json, key);
        } else if (ds__str_is(key, "special")) {
            token.special = ds__json_bool(json, key);
        } else {
            ds__json_skip(json);
        }
    }
    if (!ds__json_ok(json)) return;
    if (!has_content || token.id < 0) {
        ds__json_fail(json, DS_BAD_FORMAT, "an added token has no %s", has_content ? "id" : "content");
        return;
    }
    ds_error error;
    ds__json_check(json, ds__loader_add(loader, token, &error), &error);
}

/* Reads everything but the added tokens, which stand before the model but need its vocabulary: *added is their text. */
static void read_parts(ds__json *json, ds__loader *loader, ds__str *added) {
    bool has_model = false;
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__json_take_null(json)) continue;
        if (ds__str_is(key, "model")) {
            has_model = true;
            ds__load_model(json, loader);
        } else if (ds__str_is(key, "added_tokens")) {
            *added = ds__json_raw(json);
        } else if (ds__str_is(key, "normalizer")) {
            ds__load_normalizer(json, loader);
        } else if (ds__str_is(key, "pre_tokenizer")) {
            ds__load_pre_tokenizer(json, loader);
        } else if (ds__str_is(key, "post_processor")) {
            ds__load_post_processor(json, loader);
        } else {
            ds__json_skip(json);
        }
    }
    if (!has_model) ds__json_fail(json, DS_BAD_FORMAT, "model is missing");
}

/* After something else was refused: when the model's type is not supported either, that is the better answer. */
static void prefer_model_type(ds__heap *heap, const char *name, ds__str text, ds_error *error) {
    ds__json json;
    ds_error better;
    ds__json_init(&json, heap, name, text);
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__str_is(key, "model") && ds__json_peek(&json) == DS__JSON_OBJECT)
            ds__check_model_type(&json);
        else
            ds__json_skip(&json);
    }
    if (ds__json_finish(&json, &better) == DS_UNSUPPORTED && error) *error = better;
}

ds_status ds__load_json(ds__heap *heap, const char *name, ds__str text, ds_tokenizer **out, ds_error *error) {
    ds__loader *loader;
    ds__json json;
    ds__str added = {NULL, 0};
    DS_TRY(ds__loader_create(heap, name, &loader, error));
    ds__json_init(&json, heap, name, text);
    read_parts(&json, loader, &added);
    ds_status status = ds__json_finish(&json, error);
    if (status == DS_UNSUPPORTED) prefer_model_type(heap, name, text, error);
    loader->model_tokens = (int32_t)loader->tokenizer->vocab.count;
    if (status == DS_OK && added.data) {
        ds__json_init(&json, heap, name, added);
        json.start = text.data; /* messages count lines from the start of the file */
        while (ds__json_next_item(&json)) ds__load_added_token(&json, loader, -1);
        status = ds__json_finish(&json, error);
    }
    return ds__loader_finish(loader, status, out, error);
}
