/* Choosing tokens; see the header. */
#include "pipeline/prune_vocab.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/utf8.h"

/* A token that occurs and need not stay. */
typedef struct candidate {
    uint64_t count;
    int32_t id;
} candidate;

typedef struct choice {
    const ds_tokenizer *tokenizer;
    const ds__prune_wish *wish;
    bool *kept; /* [size] */
    int32_t size;
    size_t count, present; /* kept so far; ids that have a token */
} choice;

static void keep(choice *c, int32_t id) {
    if (id < 0 || id >= c->size || c->kept[id] || !ds__tokenizer_token(c->tokenizer, id).data) return;
    c->kept[id] = true;
    c->count++;
}

/* The token without the prefix of those inside of words; *inside: it had it. */
static ds__str stem_of(const ds_tokenizer *tokenizer, ds__str token, bool *inside) {
    const ds__str prefix = tokenizer->wordpiece.prefix;
    *inside = token.size > prefix.size && ds__str_starts(token, prefix);
    return *inside ? (ds__str){token.data + prefix.size, token.size - prefix.size} : token;
}

static size_t character(ds__str text) {
    uint32_t code;
    return text.size ? ds__utf8_decode(text.data, text.size, &code) : 0;
}

static bool has_character(const ds_tokenizer *tokenizer, ds__str one, bool inside) {
    const ds__str prefix = inside ? tokenizer->wordpiece.prefix : (ds__str){"", 0};
    const uint64_t state = ds__vocab_hash(inside ? tokenizer->wordpiece.prefix_state : DS__VOCAB_SEED, one);
    return ds__vocab_probe(&tokenizer->vocab, state, prefix, one) >= 0;
}

static ds_status check_characters(const choice *c, ds__str token, ds_error *error) {
    bool inside;
    ds__str rest = stem_of(c->tokenizer, token, &inside);
    for (size_t size; (size = character(rest)) > 0; inside = true) {
        const ds__str one = {rest.data, size};
        if (!has_character(c->tokenizer, one, inside))
            return ds__fail(
                error, DS_UNSUPPORTED,
                "%s: the token \"%.*s\" has the character \"%s%.*s\", which is no token of its own, so words "
                "with it could become unknown; such a vocabulary cannot be pruned",
                c->wish->folder, DS_STR_ARG(token), inside ? "##" : "", DS_STR_ARG(one));
        rest = (ds__str){rest.data + size, rest.size - size};
    }
    return DS_OK;
}

static void keep_template(choice *c, const ds__template *template) {
    for (size_t i = 0; i < template->count; i++)
        if (template->items[i].part == DS__TEMPLATE_TOKEN) keep(c, template->items[i].id);
}

static ds_status keep_what_must_stay(choice *c, ds_error *error) {
    const ds_tokenizer *tokenizer = c->tokenizer;
    for (size_t i = 0; i < tokenizer->added_count; i++) keep(c, tokenizer->added[i].id);
    keep_template(c, &tokenizer->single);
    keep_template(c, &tokenizer->pair);
    keep(c, tokenizer->wordpiece.unknown);
    for (size_t i = 0; i < c->wish->named_count; i++) keep(c, c->wish->named[i]);
    for (int32_t id = 0; id < c->size; id++) {
        bool inside;
        const ds__str token = ds__tokenizer_token(tokenizer, id);
        if (!token.data) continue;
        c->present++;
        const ds__str stem = stem_of(tokenizer, token, &inside);
        if (stem.size && character(stem) == stem.size) keep(c, id);
        if (!c->kept[id]) DS_TRY(check_characters(c, token, error));
    }
    return DS_OK;
}

static int by_count(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static ds_status keep_frequent(choice *c, ds__heap *heap, ds_error *error) {
    const size_t bytes = (size_t)c->size * sizeof(candidate);
    candidate *list = ds__alloc(heap, bytes);
    size_t count = 0;
    if (!list) return ds__alloc_failed(heap, bytes, "tokens to choose from", error);
    for (int32_t id = 0; id < c->size; id++)
        if (!c->kept[id] && c->wish->counts[id] > 0) list[count++] = (candidate){c->wish->counts[id], id};
    qsort(list, count, sizeof *list, by_count);
    for (size_t i = 0; i < count && c->count < c->wish->tokens; i++) keep(c, list[i].id);
    ds__free(heap, list, bytes);
    return DS_OK;
}

static void keep_others(choice *c) {
    for (int pass = 0; pass < 2; pass++)
        for (int32_t id = 0; id < c->size && c->count < c->wish->tokens; id++) {
            const ds__str token = ds__tokenizer_token(c->tokenizer, id);
            const bool placeholder = ds__str_starts(token, DS_STR("[unused")) && ds__str_ends(token, DS_STR("]"));
            if (pass == placeholder) keep(c, id);
        }
}

static ds_status choose(choice *c, ds__heap *heap, ds_error *error) {
    const ds__prune_wish *wish = c->wish;
    DS_TRY(keep_what_must_stay(c, error));
    if (wish->tokens >= c->present)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: has %zu tokens, so there is nothing to prune to %zu",
                        wish->folder, c->present, wish->tokens);
    if (c->count > wish->tokens)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "%s: %zu tokens are to be kept, but %zu must be: special ones and single characters",
                        wish->folder, wish->tokens, c->count);
    DS_TRY(keep_frequent(c, heap, error));
    keep_others(c);
    return DS_OK;
}

ds_status ds__prune_choose(const ds_tokenizer *tokenizer, const ds__prune_wish *wish, ds__arena *arena,
                           ds__kept_tokens *out, ds_error *error) {
    choice c = {.tokenizer = tokenizer, .wish = wish, .size = ds_tokenizer_size(tokenizer)};
    const size_t size = (size_t)c.size;
    if (tokenizer->model != DS__MODEL_WORDPIECE)
        return ds__fail(
            error, DS_UNSUPPORTED,
            "%s: the tokenizer is byte-level BPE, whose tokens are made of each other; only WordPiece can be "
            "pruned",
            wish->folder);
    *out = (ds__kept_tokens){.size = c.size};
    out->ids = ds__arena_alloc(arena, (size + 1) * sizeof *out->ids);
    c.kept = ds__arena_zeroed(arena, size + 1);
    if (!out->ids || !c.kept) return ds__alloc_failed(arena->heap, size * sizeof *out->ids, "tokens' ids", error);
    DS_TRY(choose(&c, arena->heap, error));
    for (int32_t id = 0; id < c.size; id++) out->ids[id] = c.kept[id] ? out->count++ : -1;
    return DS_OK;
}
