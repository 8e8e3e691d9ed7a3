/* Rewriting a tokenizer's files: every member stays as it is spelled but for the ids, and for the tokens that are gone.
 */
#include "pipeline/prune_tokenizer.h"

#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"

enum { MOST_BYTES = 1 << 28 };

/* One file: the members of its JSON are read and written in one walk. */
typedef struct file {
    const ds_tokenizer *tokenizer;
    const ds__kept_tokens *kept;
    ds__json in;
    ds__json_writer out;
} file;

static int32_t new_id(const file *f, int64_t id) { return id >= 0 && id < f->kept->size ? f->kept->ids[id] : -1; }

/* A member's name, which may hold NUL where it is a token. */
static void put_key(file *f, ds__str key) {
    ds__json_put_string(&f->out, key);
    ds__buffer_put(f->out.out, ':');
    f->out.needs_comma = false;
}

static void copy_value(file *f) {
    const ds__str value = ds__json_raw(&f->in);
    if (ds__json_ok(&f->in)) ds__json_put_raw(&f->out, value);
}

static void copy_member(file *f, ds__str key) {
    put_key(f, key);
    copy_value(f);
}

/* The id of a token that stays. */
static void put_id(file *f, ds__str field) {
    const int64_t id = ds__json_int(&f->in, field, 0, DS__MAX_ID);
    const int32_t to = new_id(f, id);
    if (to < 0 && ds__json_ok(&f->in))
        ds__json_fail(&f->in, DS_BAD_FORMAT, "%.*s is %lld, which is no token", DS_STR_ARG(field), (long long)id);
    ds__json_put_int(&f->out, to);
}

static void put_ids(file *f, ds__str field) {
    ds__json_open_array(&f->out);
    while (ds__json_next_item(&f->in)) put_id(f, field);
    ds__json_close_array(&f->out);
}

/* An object of which one member is an id. */
static void put_object(file *f, const char *id_key) {
    ds__json_open_object(&f->out);
    for (ds__str key; ds__json_next_key(&f->in, &key);) {
        if (!ds__str_is(key, id_key)) {
            copy_member(f, key);
            continue;
        }
        put_key(f, key);
        put_id(f, key);
    }
    ds__json_close_object(&f->out);
}

/* {"token": id, ...}: those that stay. Of a text that stands there twice the last id counts. */
static void put_vocab(file *f) {
    ds__json_open_object(&f->out);
    for (ds__str token; ds__json_next_key(&f->in, &token);) {
        const int64_t id = ds__json_int(&f->in, token, 0, DS__MAX_ID);
        if (!ds__json_ok(&f->in)) break;
        if (new_id(f, id) < 0 || ds__tokenizer_id(f->tokenizer, token) != id) continue;
        put_key(f, token);
        ds__json_put_int(&f->out, new_id(f, id));
    }
    ds__json_close_object(&f->out);
}

static void put_model(file *f) {
    ds__json_open_object(&f->out);
    for (ds__str key; ds__json_next_key(&f->in, &key);) {
        if (!ds__str_is(key, "vocab")) {
            copy_member(f, key);
            continue;
        }
        put_key(f, key);
        put_vocab(f);
    }
    ds__json_close_object(&f->out);
}

/* ["[SEP]", 102] */
static void put_pair(file *f, ds__str field) {
    ds__json_open_array(&f->out);
    for (int i = 0; ds__json_next_item(&f->in); i++) {
        if (i == 1)
            put_id(f, field);
        else
            copy_value(f);
    }
    ds__json_close_array(&f->out);
}

/* {"[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]}} */
static void put_special_tokens(file *f) {
    ds__json_open_object(&f->out);
    for (ds__str name, key; ds__json_next_key(&f->in, &name);) {
        put_key(f, name);
        ds__json_open_object(&f->out);
        while (ds__json_next_key(&f->in, &key)) {
            if (!ds__str_is(key, "ids")) {
                copy_member(f, key);
                continue;
            }
            put_key(f, key);
            put_ids(f, key);
        }
        ds__json_close_object(&f->out);
    }
    ds__json_close_object(&f->out);
}

/* The reader's cap on depth ends a Sequence of Sequences. */
static void put_processor(file *f) {
    ds__json_open_object(&f->out);
    for (ds__str key; ds__json_next_key(&f->in, &key);) {
        const bool has_value = ds__json_peek(&f->in) != DS__JSON_NULL;
        if (has_value && ds__str_is(key, "processors")) {
            put_key(f, key);
            ds__json_open_array(&f->out);
            while (ds__json_next_item(&f->in)) put_processor(f);
            ds__json_close_array(&f->out);
        } else if (has_value && (ds__str_is(key, "cls") || ds__str_is(key, "sep"))) {
            put_key(f, key);
            put_pair(f, key);
        } else if (has_value && ds__str_is(key, "special_tokens")) {
            put_key(f, key);
            put_special_tokens(f);
        } else {
            copy_member(f, key);
        }
    }
    ds__json_close_object(&f->out);
}

static void put_added_tokens(file *f) {
    ds__json_open_array(&f->out);
    while (ds__json_next_item(&f->in)) put_object(f, "id");
    ds__json_close_array(&f->out);
}

static void put_tokenizer_json(file *f) {
    ds__json_open_object(&f->out);
    for (ds__str key; ds__json_next_key(&f->in, &key);) {
        const bool has_value = ds__json_peek(&f->in) != DS__JSON_NULL;
        if (has_value && ds__str_is(key, "model")) {
            put_key(f, key);
            put_model(f);
        } else if (has_value && ds__str_is(key, "added_tokens")) {
            put_key(f, key);
            put_added_tokens(f);
        } else if (has_value && ds__str_is(key, "padding")) {
            put_key(f, key);
            put_object(f, "pad_id");
        } else if (has_value && ds__str_is(key, "post_processor")) {
            put_key(f, key);
            put_processor(f);
        } else {
            copy_member(f, key);
        }
    }
    ds__json_close_object(&f->out);
}

/* tokenizer_config.json; {"103": {"content": "[MASK]", ...}} in its added_tokens_decoder. */
static void put_config(file *f) {
    ds__json_open_object(&f->out);
    for (ds__str key, number; ds__json_next_key(&f->in, &key);) {
        if (!ds__str_is(key, "added_tokens_decoder") || ds__json_peek(&f->in) == DS__JSON_NULL) {
            copy_member(f, key);
            continue;
        }
        put_key(f, key);
        ds__json_open_object(&f->out);
        while (ds__json_next_key(&f->in, &number)) {
            char digits[16];
            int64_t id = 0;
            for (size_t i = 0; i < number.size && id <= DS__MAX_ID; i++)
                id = number.data[i] >= '0' && number.data[i] <= '9' ? 10 * id + number.data[i] - '0' : (int64_t)1 << 40;
            const int32_t to = number.size ? new_id(f, id) : -1;
            if (to < 0)
                ds__json_fail(&f->in, DS_BAD_FORMAT, "added_tokens_decoder has the id \"%.*s\", which is no token",
                              DS_STR_ARG(number));
            snprintf(digits, sizeof digits, "%d", to);
            copy_member(f, ds__str_of(digits));
        }
        ds__json_close_object(&f->out);
    }
    ds__json_close_object(&f->out);
}

/* ---- Files ---- */

static const struct kind {
    const char *name;
    void (*put)(file *f);
} kinds[] = {
    {"tokenizer.json", put_tokenizer_json},
    {"tokenizer_config.json", put_config},
    {"added_tokens.json", put_vocab},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

bool ds__prune_rewrites(const char *name) {
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(name, kinds[i].name) == 0) return true;
    return strcmp(name, "vocab.txt") == 0;
}

static ds_status rewrite(file *f, const struct kind *kind, const char *path, ds__save *save, ds_error *error) {
    ds__buffer text, out;
    ds__buffer_init(&text, save->heap);
    ds__buffer_init(&out, save->heap);
    ds_status status = ds__file_read(path, MOST_BYTES, &text, error);
    if (status == DS_OK) {
        ds__json_init(&f->in, save->heap, path, ds__buffer_str(&text));
        f->out = (ds__json_writer){&out, false};
        kind->put(f);
        ds__buffer_put(&out, '\n');
        status = ds__json_finish(&f->in, error);
    }
    if (status == DS_OK && out.failed) status = ds__alloc_failed(save->heap, out.size, kind->name, error);
    if (status == DS_OK) status = ds__save_text(save, kind->name, ds__buffer_str(&out), error);
    ds__buffer_deinit(&text);
    ds__buffer_deinit(&out);
    return status;
}

/* A line is a token, its number the id: the model's tokens, in front of those that were added to them. */
static ds_status write_lines(const file *f, const char *folder, ds__save *save, ds_error *error) {
    ds__buffer out;
    ds_status status = DS_OK;
    ds__buffer_init(&out, save->heap);
    for (int32_t id = 0; id < f->kept->size && status == DS_OK; id++) {
        const ds__str token = ds__vocab_text(&f->tokenizer->vocab, id);
        if (f->kept->ids[id] < 0 || !token.data) continue;
        if (memchr(token.data, '\n', token.size) || memchr(token.data, '\r', token.size))
            status = ds__fail(error, DS_UNSUPPORTED,
                              "%s: the token of the id %d holds a line break, which vocab.txt cannot have; remove "
                              "vocab.txt, as tokenizer.json says it all",
                              folder, id);
        ds__buffer_append(&out, token.data, token.size);
        ds__buffer_put(&out, '\n');
    }
    if (status == DS_OK && out.failed) status = ds__alloc_failed(save->heap, out.size, "vocab.txt", error);
    if (status == DS_OK) status = ds__save_text(save, "vocab.txt", ds__buffer_str(&out), error);
    ds__buffer_deinit(&out);
    return status;
}

/* Added tokens that are none of the model's must come behind them, as they do in every tokenizer that was not made by
 * hand: a reader counts them from the model's last one on. */
static ds_status check_order(const file *f, const char *folder, ds_error *error) {
    bool behind = false;
    for (int32_t id = 0; id < f->kept->size; id++) {
        if (f->kept->ids[id] < 0) continue;
        const bool own = ds__vocab_text(&f->tokenizer->vocab, id).data != NULL;
        if (own && behind)
            return ds__fail(
                error, DS_UNSUPPORTED,
                "%s: the token of the id %d comes behind an added one, expected all added tokens at the end", folder,
                id);
        behind = behind || !own;
    }
    return DS_OK;
}

ds_status ds__prune_write_tokenizer(const ds_tokenizer *tokenizer, const char *folder, const ds__kept_tokens *kept,
                                    ds__save *save, ds_error *error) {
    file f = {.tokenizer = tokenizer, .kept = kept};
    ds__buffer path;
    ds_status status = check_order(&f, folder, error);
    ds__buffer_init(&path, save->heap);
    for (size_t i = 0; i <= KINDS && status == DS_OK; i++) {
        const char *name = i < KINDS ? kinds[i].name : "vocab.txt", *full = ds__path_join(&path, folder, name);
        if (!full)
            status = ds__alloc_failed(save->heap, 256, "a file's path", error);
        else if (ds__file_exists(full))
            status = i < KINDS ? rewrite(&f, &kinds[i], full, save, error) : write_lines(&f, folder, save, error);
    }
    ds__buffer_deinit(&path);
    return status;
}
