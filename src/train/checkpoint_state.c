/* Writing and reading trainer_state.json. */
#include "train/checkpoint_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/utf8.h"
#include "formats/json.h"
#include "models/config_file.h"

/* HEX: digits of a checksum. TAIL: the bytes from the comma before the checksum's key to the end; KEY: of these, those
 * before the digits. */
enum { VERSION = 1, HEX = 16, KEY = 13, TAIL = KEY + HEX + 3 };

const char *const ds__checkpoint_file_names[DS__CHECKPOINT_FILES] = {"model.safetensors", "optimizer.safetensors"};

/* ,"checksum":"0123456789abcdef"}\n of what stands before it. */
static void make_tail(ds__str text, char out[TAIL + 1]) {
    ds__checksum sum;
    ds__checksum_init(&sum);
    ds__checksum_add(&sum, text.data, text.size);
    snprintf(out, TAIL + 1, ",\"checksum\":\"%016" PRIx64 "\"}\n", ds__checksum_value(&sum));
}

static void put_text(ds__json_writer *json, const char *key, const char *text) {
    ds__json_key(json, key);
    ds__json_put_string(json, ds__str_of(text));
}

static void put_file(ds__json_writer *json, const char *name, const ds__file_sum *file) {
    char hex[HEX + 1];
    snprintf(hex, sizeof hex, "%016" PRIx64, file->checksum);
    ds__json_key(json, name);
    ds__json_open_object(json);
    ds__json_key(json, "bytes");
    ds__json_put_int(json, (int64_t)file->bytes);
    put_text(json, "checksum", hex);
    ds__json_close_object(json);
}

ds_status ds__checkpoint_state_write(const ds__checkpoint_state *state, ds__buffer *out, ds_error *error) {
    const char *const texts[] = {state->fingerprint, state->kernels, state->state};
    static const char *const names[] = {"fingerprint", "name of kernels", "state"};
    for (int i = 0; i < 3; i++)
        if (!ds__utf8_valid(texts[i], strlen(texts[i])))
            return ds__fail(error, DS_INVALID_ARGUMENT, "the %s of a checkpoint is not valid UTF-8", names[i]);
    const size_t start = out->size;
    char tail[TAIL + 1];
    ds__json_writer json = {out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "version");
    ds__json_put_int(&json, VERSION);
    put_text(&json, "fingerprint", state->fingerprint);
    put_text(&json, "kernels", state->kernels);
    ds__json_key(&json, "step");
    ds__json_put_int(&json, state->step);
    put_text(&json, "state", state->state);
    ds__json_key(&json, "files");
    ds__json_open_object(&json);
    for (int i = 0; i < DS__CHECKPOINT_FILES; i++) put_file(&json, ds__checkpoint_file_names[i], &state->files[i]);
    ds__json_close_object(&json);
    if (out->failed) return ds__alloc_failed(out->heap, out->size, "a checkpoint's state", error);
    make_tail((ds__str){out->data + start, out->size - start}, tail);
    ds__buffer_append(out, tail, TAIL);
    if (out->failed) return ds__alloc_failed(out->heap, out->size, "a checkpoint's state", error);
    if (out->size - start > DS__CONFIG_FILE_MAX_BYTES)
        return ds__fail(error, DS_INVALID_ARGUMENT, "a checkpoint's state takes %zu bytes as JSON, at most %d are read",
                        out->size - start, (int)DS__CONFIG_FILE_MAX_BYTES);
    return DS_OK;
}

/* ---- Reading ---- */

static const char *read_text(ds__json *json, ds__arena *arena, ds__str key) {
    ds__str text = ds__json_string(json, key);
    if (text.size && memchr(text.data, '\0', text.size))
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s holds a NUL", DS_STR_ARG(key));
    ds__str copy = ds__arena_copy(arena, text);
    if (!copy.data) ds__json_out_of_memory(json, text.size, "a checkpoint's state");
    return copy.data;
}

/* 16 lower-case digits. */
static uint64_t read_hex(ds__json *json, ds__str key) {
    ds__str text = ds__json_string(json, key);
    uint64_t value = 0;
    bool valid = text.size == HEX;
    for (size_t i = 0; valid && i < HEX; i++) {
        const char c = text.data[i];
        valid = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (!valid)
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s is \"%.*s\", expected %d digits", DS_STR_ARG(key), DS_STR_ARG(text),
                      (int)HEX);
    return value;
}

static void read_file_sum(ds__json *json, ds__file_sum *file) {
    int found = 0;
    for (ds__str key; ds__json_next_key(json, &key); found++) {
        if (ds__str_is(key, "bytes"))
            file->bytes = (uint64_t)ds__json_int(json, key, 1, INT64_MAX);
        else if (ds__str_is(key, "checksum"))
            file->checksum = read_hex(json, key);
        else
            ds__json_fail(json, DS_BAD_FORMAT, "a file has the key \"%.*s\", expected bytes and checksum",
                          DS_STR_ARG(key));
    }
    if (found != 2) ds__json_fail(json, DS_BAD_FORMAT, "a file has %d keys, expected bytes and checksum", found);
}

static void read_files(ds__json *json, ds__checkpoint_state *out) {
    int found = 0;
    for (ds__str key; ds__json_next_key(json, &key); found++) {
        int i = 0;
        while (i < DS__CHECKPOINT_FILES && !ds__str_is(key, ds__checkpoint_file_names[i])) i++;
        if (i == DS__CHECKPOINT_FILES)
            ds__json_fail(json, DS_BAD_FORMAT, "files has the key \"%.*s\"", DS_STR_ARG(key));
        else
            read_file_sum(json, &out->files[i]);
    }
    for (int i = 0; i < DS__CHECKPOINT_FILES; i++)
        if (!out->files[i].bytes)
            ds__json_fail(json, DS_BAD_FORMAT, "files has no \"%s\"", ds__checkpoint_file_names[i]);
}

/* Another version may have anything behind its number: nothing of that is read. */
static void read_version(ds__json *json, ds__str key) {
    if (!ds__str_is(key, "version")) {
        ds__json_fail(json, DS_BAD_FORMAT,
                      "begins with \"%.*s\", expected \"version\": this is not a checkpoint of this library",
                      DS_STR_ARG(key));
        return;
    }
    int64_t version = ds__json_int(json, key, 1, INT64_MAX);
    if (ds__json_ok(json) && version != VERSION)
        ds__json_fail(json, DS_UNSUPPORTED,
                      "the checkpoint has version %lld, this library reads %d; use the library that wrote it, or start "
                      "anew",
                      (long long)version, (int)VERSION);
}

static void read_members(ds__json *json, ds__arena *arena, ds__checkpoint_state *out, uint64_t *checksum) {
    bool first = true;
    for (ds__str key; ds__json_next_key(json, &key); first = false) {
        if (first)
            read_version(json, key);
        else if (ds__str_is(key, "fingerprint"))
            out->fingerprint = read_text(json, arena, key);
        else if (ds__str_is(key, "kernels"))
            out->kernels = read_text(json, arena, key);
        else if (ds__str_is(key, "step"))
            out->step = ds__json_int(json, key, 0, INT64_MAX);
        else if (ds__str_is(key, "state"))
            out->state = read_text(json, arena, key);
        else if (ds__str_is(key, "files"))
            read_files(json, out);
        else if (ds__str_is(key, "checksum"))
            *checksum = read_hex(json, key);
        else
            ds__json_skip(json);
    }
    if (!out->fingerprint || !out->kernels || !out->state || out->step < 0 || !out->files[0].bytes)
        ds__json_fail(json, DS_BAD_FORMAT, "has no %s",
                      !out->fingerprint ? "fingerprint"
                      : !out->kernels   ? "kernels"
                      : !out->state     ? "state"
                      : out->step < 0   ? "step"
                                        : "files");
}

ds_status ds__checkpoint_state_read(ds__arena *arena, const char *path, ds__str text, ds__checkpoint_state *out,
                                    ds_error *error) {
    *out = (ds__checkpoint_state){.step = -1};
    ds__json json;
    uint64_t checksum = 0;
    char tail[TAIL + 1];
    ds__json_init(&json, arena->heap, path, text);
    read_members(&json, arena, out, &checksum);
    DS_TRY(ds__json_finish(&json, error));
    ds__str summed = {text.data, text.size > TAIL ? text.size - TAIL : 0};
    make_tail(summed, tail);
    if (summed.size && memcmp(text.data + summed.size, tail, TAIL) == 0) return DS_OK;
    return ds__fail(error, DS_BAD_FORMAT, "%s: its checksum is %016" PRIx64 ", expected %.*s and nothing behind it",
                    path, checksum, (int)HEX, tail + KEY);
}
