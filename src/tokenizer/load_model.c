/* The model part of tokenizer.json: WordPiece or BPE. */
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/load.h"

enum { MAX_WORD_CHARACTERS = 1 << 20, MAX_MERGES = 1 << 24 };

/* What the model's object says; strings live until the reader is finished. */
typedef struct model {
    ds__str type, unknown, prefix;
    bool has_vocab, has_vocab_list, has_prefix, has_longest, has_merges, fuse_unknown, ignore_merges;
    int64_t longest;
    ds__str merges; /* read later, if they stand before the vocabulary */
    uint32_t rank;
} model;

static void read_vocab(ds__json *json, ds__loader *loader) {
    for (ds__str key; ds__json_next_key(json, &key);) {
        ds_error error;
        ds__str text = ds__json_raw(json);
        int32_t id = ds__read_id(text);
        if (id < 0)
            ds__json_fail(json, DS_BAD_FORMAT,
                          "model.vocab gives \"%.*s\" the id %.*s, expected an integer from 0 to %d", DS_STR_ARG(key),
                          DS_STR_ARG(text), DS__MAX_ID);
        else
            ds__json_check(json, ds__loader_put(loader, key, id, &error), &error);
    }
}

/* ---- merges ---- */

/* The id of a merge's token; -1 and an error if it is not in the vocabulary. */
static int32_t merge_id(ds__json *json, const ds__vocab *vocab, ds__str text, const char *what) {
    int32_t id = ds__vocab_find(vocab, text);
    if (id < 0)
        ds__json_fail(json, DS_BAD_FORMAT, "model.merges has a merge whose %s \"%.*s\" is not in model.vocab", what,
                      DS_STR_ARG(text));
    return id;
}

static void add_merge(ds__json *json, ds__loader *loader, model *m, ds__str left, ds__str right) {
    ds_tokenizer *tokenizer = loader->tokenizer;
    char both[512];
    ds__buffer longer;
    ds_error error;
    ds__str joined = {both, left.size + right.size};
    ds__buffer_init(&longer, tokenizer->heap);
    if (joined.size <= sizeof both) {
        memcpy(both, left.data, left.size);
        memcpy(both + left.size, right.data, right.size);
    } else {
        ds__buffer_append(&longer, left.data, left.size);
        ds__buffer_append(&longer, right.data, right.size);
        joined = ds__buffer_str(&longer);
    }
    if (m->rank == MAX_MERGES) {
        ds__json_fail(json, DS_BAD_FORMAT, "model.merges has more than %d merges", MAX_MERGES);
    } else if (longer.failed || !ds__bpe_reserve(&tokenizer->bpe, tokenizer->heap, tokenizer->bpe.merge_count + 1)) {
        ds__json_check(json, ds__alloc_failed(tokenizer->heap, joined.size, "the merges", &error), &error);
    } else {
        int32_t a = merge_id(json, &tokenizer->vocab, left, "first part"),
                b = merge_id(json, &tokenizer->vocab, right, "second part"),
                ab = merge_id(json, &tokenizer->vocab, joined, "result");
        if (ds__json_ok(json)) ds__bpe_add_merge(&tokenizer->bpe, a, b, m->rank++, ab);
    }
    ds__buffer_deinit(&longer);
}

static void wrong_merge(ds__json *json, const model *m) {
    ds__json_fail(json, DS_BAD_FORMAT, "model.merges has as number %u something else than two parts", m->rank + 1u);
}

/* One merge: "a b", or ["a", "b"]. */
static void read_merge(ds__json *json, ds__loader *loader, model *m) {
    if (ds__json_peek(json) == DS__JSON_ARRAY) {
        ds__str parts[2] = {{"", 0}, {"", 0}};
        size_t count = 0;
        while (ds__json_next_item(json)) {
            ds__str part = ds__json_string(json, DS_STR("a part of a merge in model.merges"));
            if (count < 2) parts[count] = part;
            count++;
        }
        if (count == 2 && ds__json_ok(json))
            add_merge(json, loader, m, parts[0], parts[1]);
        else
            wrong_merge(json, m);
        return;
    }
    ds__str text = ds__json_string(json, DS_STR("a merge in model.merges"));
    if (!ds__json_ok(json) || ds__str_starts(text, DS_STR("#version"))) return;
    const char *space = memchr(text.data, ' ', text.size);
    size_t left = space ? (size_t)(space - text.data) : text.size;
    if (!space || memchr(space + 1, ' ', text.size - left - 1))
        wrong_merge(json, m);
    else
        add_merge(json, loader, m, (ds__str){text.data, left}, (ds__str){space + 1, text.size - left - 1});
}

static void read_merges(ds__json *json, ds__loader *loader, model *m) {
    while (ds__json_next_item(json)) read_merge(json, loader, m);
}

/* Merges that stood before the vocabulary. */
static void read_late_merges(ds__json *json, ds__loader *loader, model *m) {
    ds__json late;
    ds_error error;
    ds__json_init(&late, loader->tokenizer->heap, loader->name, m->merges);
    late.start = json->start; /* messages count lines from the start of the file */
    read_merges(&late, loader, m);
    if (ds__json_finish(&late, &error) == DS_OK || !ds__json_ok(json)) return;
    json->error = error; /* it says already where it was */
    json->cursor = json->end;
}

/* ---- the whole ---- */

/* An affix of BPE that would change how words begin. */
static void refuse_affix(ds__json *json, ds__str key) {
    ds__str value = ds__json_string(json, key);
    if (value.size)
        ds__json_fail(json, DS_UNSUPPORTED, "model.%.*s is \"%.*s\", and BPE is supported without one only",
                      DS_STR_ARG(key), DS_STR_ARG(value));
}

static void refuse_dropout(ds__json *json) {
    double dropout = ds__json_number(json, DS_STR("model.dropout"), 0.0, 1.0);
    if (dropout > 0.0)
        ds__json_fail(json, DS_UNSUPPORTED, "model.dropout is %g, expected null or 0: it would make ids random",
                      dropout);
}

static void read_field(ds__json *json, ds__loader *loader, model *m, ds__str key) {
    if (ds__str_is(key, "type")) {
        m->type = ds__json_string(json, DS_STR("model.type"));
    } else if (ds__str_is(key, "vocab") && ds__json_peek(json) == DS__JSON_ARRAY) {
        m->has_vocab_list = true; /* Unigram; refused once the type is known */
        ds__json_skip(json);
    } else if (ds__str_is(key, "vocab")) {
        m->has_vocab = true;
        read_vocab(json, loader);
    } else if (ds__str_is(key, "merges")) {
        m->has_merges = true;
        if (m->has_vocab)
            read_merges(json, loader, m);
        else
            m->merges = ds__json_raw(json);
    } else if (ds__str_is(key, "unk_token")) {
        m->unknown = ds__json_string(json, DS_STR("model.unk_token"));
    } else if (ds__str_is(key, "continuing_subword_prefix")) {
        m->has_prefix = true;
        m->prefix = ds__json_string(json, DS_STR("model.continuing_subword_prefix"));
    } else if (ds__str_is(key, "max_input_chars_per_word")) {
        m->has_longest = true;
        m->longest = ds__json_int(json, DS_STR("model.max_input_chars_per_word"), 1, MAX_WORD_CHARACTERS);
    } else if (ds__str_is(key, "end_of_word_suffix")) {
        refuse_affix(json, key);
    } else if (ds__str_is(key, "dropout")) {
        refuse_dropout(json);
    } else if (ds__str_is(key, "fuse_unk")) {
        m->fuse_unknown = ds__json_bool(json, DS_STR("model.fuse_unk"));
    } else if (ds__str_is(key, "ignore_merges")) {
        m->ignore_merges = ds__json_bool(json, DS_STR("model.ignore_merges"));
    } else if (ds__str_is(key, "byte_fallback")) {
        if (ds__json_bool(json, DS_STR("model.byte_fallback")))
            ds__json_fail(json, DS_UNSUPPORTED,
                          "model.byte_fallback is true (a SentencePiece tokenizer), and only "
                          "WordPiece and byte-level BPE are supported");
    } else {
        ds__json_skip(json);
    }
}

/* The id of the token for unknown words. */
static int32_t unknown_id(ds__json *json, const ds__loader *loader, ds__str text) {
    int32_t id = ds__vocab_find(&loader->tokenizer->vocab, text);
    if (id < 0)
        ds__json_fail(json, DS_BAD_FORMAT, "model.unk_token is \"%.*s\", which is not in model.vocab",
                      DS_STR_ARG(text));
    return id;
}

static void make_wordpiece(ds__json *json, ds__loader *loader, const model *m) {
    ds__wordpiece *wordpiece = &loader->tokenizer->wordpiece;
    ds__str prefix = m->has_prefix ? m->prefix : DS_STR("##");
    loader->tokenizer->model = DS__MODEL_WORDPIECE;
    wordpiece->unknown = unknown_id(json, loader, m->unknown.data ? m->unknown : DS_STR("[UNK]"));
    wordpiece->longest_word = m->has_longest ? (uint32_t)m->longest : 100;
    wordpiece->prefix = ds__arena_copy(&loader->tokenizer->arena, prefix);
    wordpiece->prefix_state = ds__vocab_hash(DS__VOCAB_SEED, prefix);
    ds_error error;
    if (!wordpiece->prefix.data)
        ds__json_check(json, ds__alloc_failed(loader->tokenizer->heap, prefix.size, loader->name, &error), &error);
}

static void make_bpe(ds__json *json, ds__loader *loader, model *m) {
    ds__bpe *bpe = &loader->tokenizer->bpe;
    ds_error error;
    loader->tokenizer->model = DS__MODEL_BPE;
    if (m->prefix.size)
        ds__json_fail(json, DS_UNSUPPORTED,
                      "model.continuing_subword_prefix is \"%.*s\", and BPE is supported without "
                      "one only",
                      DS_STR_ARG(m->prefix));
    if (!ds__bpe_reserve(bpe, loader->tokenizer->heap, 0))
        ds__json_check(json, ds__alloc_failed(loader->tokenizer->heap, 0, loader->name, &error), &error);
    if (m->merges.data) read_late_merges(json, loader, m);
    if (m->unknown.data) bpe->unknown = unknown_id(json, loader, m->unknown);
    bpe->fuse_unknown = m->fuse_unknown;
    bpe->ignore_merges = m->ignore_merges;
}

/* Files of old do not name the type. */
static ds__str guess_type(const model *m) {
    if (m->type.data) return m->type;
    if (m->has_vocab_list) return DS_STR("Unigram");
    if (m->has_merges) return DS_STR("BPE");
    return m->has_longest ? DS_STR("WordPiece") : DS_STR("WordLevel");
}

/* false: a type that is not supported, and an error. */
static bool check_type(ds__json *json, ds__str type) {
    if (ds__str_is(type, "WordPiece") || ds__str_is(type, "BPE")) return true;
    ds__json_fail(json, DS_UNSUPPORTED,
                  "model.type is \"%.*s\", and WordPiece and BPE are supported; take a model whose "
                  "tokenizer is one of them",
                  DS_STR_ARG(type));
    return false;
}

void ds__check_model_type(ds__json *json) {
    model m = {.type = {NULL, 0}};
    for (ds__str key; ds__json_next_key(json, &key);) {
        m.has_merges = m.has_merges || ds__str_is(key, "merges");
        m.has_longest = m.has_longest || ds__str_is(key, "max_input_chars_per_word");
        if (ds__str_is(key, "type") && ds__json_peek(json) == DS__JSON_STRING) {
            m.type = ds__json_string(json, key);
        } else {
            m.has_vocab_list = m.has_vocab_list || (ds__str_is(key, "vocab") && ds__json_peek(json) == DS__JSON_ARRAY);
            ds__json_skip(json);
        }
    }
    if (ds__json_ok(json)) check_type(json, guess_type(&m));
}

void ds__load_model(ds__json *json, ds__loader *loader) {
    model m = {.type = {NULL, 0}};
    for (ds__str key; ds__json_next_key(json, &key);)
        if (!ds__json_take_null(json)) read_field(json, loader, &m, key);
    if (!ds__json_ok(json) || !check_type(json, guess_type(&m))) return;
    if (!m.has_vocab)
        ds__json_fail(json, DS_BAD_FORMAT, "model.vocab is %s, expected an object of tokens and ids",
                      m.has_vocab_list ? "an array" : "missing");
    else if (ds__str_is(guess_type(&m), "WordPiece"))
        make_wordpiece(json, loader, &m);
    else
        make_bpe(json, loader, &m);
}
