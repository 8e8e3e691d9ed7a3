/* Putting a tokenizer together from what a file said, with the checks that need more than one part of it. */
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/load.h"

ds_status ds__loader_create(ds__heap *heap, const char *name, ds__loader **out, ds_error *error) {
    *out = ds__alloc_zeroed(heap, sizeof **out);
    ds_tokenizer *tokenizer = *out ? ds__alloc_zeroed(heap, sizeof *tokenizer) : NULL;
    if (!tokenizer) {
        ds__free(heap, *out, sizeof **out);
        return ds__alloc_failed(heap, sizeof *tokenizer, "a tokenizer", error);
    }
    tokenizer->heap = heap;
    tokenizer->opened = ds__clock_ns();
    tokenizer->bpe.unknown = -1;
    ds__arena_init(&tokenizer->arena, heap, 0);
    ds__vocab_init(&tokenizer->vocab, heap);
    ds__vocab_init(&tokenizer->extra, heap);
    (*out)->tokenizer = tokenizer;
    (*out)->name = name;
    (*out)->highest_added = -1;
    return DS_OK;
}

static ds_status no_memory(const ds__loader *loader, size_t bytes, ds_error *error) {
    return ds__alloc_failed(loader->tokenizer->heap, bytes, loader->name, error);
}

static ds_status put(ds__loader *loader, ds__vocab *vocab, ds__str text, int32_t id, ds_error *error) {
    if (text.size > DS__MAX_TOKEN_BYTES)
        return ds__fail(error, DS_BAD_FORMAT, "the token \"%.*s...\" has %zu bytes, expected at most %d", 60, text.data,
                        text.size, DS__MAX_TOKEN_BYTES);
    return ds__vocab_put(vocab, text, id) ? DS_OK : no_memory(loader, text.size, error);
}

ds_status ds__loader_put(ds__loader *loader, ds__str text, int32_t id, ds_error *error) {
    return put(loader, &loader->tokenizer->vocab, text, id, error);
}

/* The id that the reference gives to an added token that the model does not have. */
static int32_t next_id(const ds__loader *loader) {
    return loader->highest_added >= loader->model_tokens ? loader->highest_added + 1 : loader->model_tokens;
}

ds_status ds__loader_add(ds__loader *loader, ds__added_token token, ds_error *error) {
    ds_tokenizer *tokenizer = loader->tokenizer;
    if (token.content.size == 0) return DS_OK; /* as the reference: it could not be found in a text */
    int32_t known = ds__tokenizer_id(tokenizer, token.content);
    int32_t expected = known >= 0 ? known : next_id(loader);
    if (token.id != expected)
        return ds__fail(error, DS_BAD_FORMAT, "the added token \"%.*s\" has the id %d, expected %d, %s",
                        DS_STR_ARG(token.content), token.id, expected,
                        known >= 0 ? "which the vocabulary gives it" : "the first one behind the vocabulary's");
    if (tokenizer->added_count == DS__MAX_ADDED_TOKENS || token.id > DS__MAX_ID)
        return ds__fail(error, DS_BAD_FORMAT, "there are more than %d added tokens, or ids over %d",
                        DS__MAX_ADDED_TOKENS, DS__MAX_ID);
    token.content = ds__arena_copy(&tokenizer->arena, token.content);
    if (!token.content.data) return no_memory(loader, 0, error);
    if (known < 0) DS_TRY(put(loader, &tokenizer->extra, token.content, token.id, error));
    if (!ds__grow(tokenizer->heap, (void **)&tokenizer->added, &tokenizer->added_capacity, tokenizer->added_count + 1,
                  sizeof token))
        return no_memory(loader, (tokenizer->added_count + 1) * sizeof token, error);
    tokenizer->added[tokenizer->added_count++] = token;
    if (token.id > loader->highest_added) loader->highest_added = token.id;
    return DS_OK;
}

ds_status ds__loader_name(ds__loader *loader, ds__str name, int32_t id, ds_error *error) {
    if (loader->token_count == DS__MAX_TEMPLATE_ITEMS)
        return ds__fail(error, DS_UNSUPPORTED, "the post-processor has more than %d special tokens",
                        DS__MAX_TEMPLATE_ITEMS);
    ds__named_token *token = &loader->tokens[loader->token_count++];
    *token = (ds__named_token){.name = ds__arena_copy(&loader->tokenizer->arena, name), .count = 1};
    if (!token->name.data) return no_memory(loader, name.size, error);
    token->ids[0] = id;
    token->texts[0] = token->name;
    return DS_OK;
}

void ds__loader_bert_templates(ds__loader *loader, ds__str first, ds__str separator, int middles, bool second_type) {
    const ds__named_item start = {DS__TEMPLATE_TOKEN, first, 0}, end = {DS__TEMPLATE_TOKEN, separator, 0};
    ds__named_template *single = &loader->single, *pair = &loader->pair;
    single->items[0] = start;
    single->items[1] = (ds__named_item){DS__TEMPLATE_FIRST, {NULL, 0}, 0};
    single->items[2] = end;
    single->count = 3;
    pair->items[0] = start;
    pair->items[1] = single->items[1];
    pair->count = 2;
    for (int i = 0; i < middles; i++) pair->items[pair->count++] = end;
    pair->items[pair->count++] = (ds__named_item){DS__TEMPLATE_SECOND, {NULL, 0}, second_type};
    pair->items[pair->count++] = (ds__named_item){DS__TEMPLATE_TOKEN, separator, second_type};
}

ds_status ds__loader_normalizer(ds__loader *loader, const ds__normalizer_step *step, ds_error *error) {
    ds__normalizer *normalizer = &loader->tokenizer->normalizer;
    if (!ds__grow(loader->tokenizer->heap, (void **)&normalizer->steps, &normalizer->capacity, normalizer->count + 1,
                  sizeof *step))
        return no_memory(loader, (normalizer->count + 1) * sizeof *step, error);
    ds__normalizer_step *added = &normalizer->steps[normalizer->count];
    *added = *step;
    added->pattern = ds__arena_copy(&loader->tokenizer->arena, step->pattern);
    added->content = ds__arena_copy(&loader->tokenizer->arena, step->content);
    if (!added->pattern.data || !added->content.data) return no_memory(loader, 0, error);
    normalizer->count++;
    return DS_OK;
}

ds_status ds__loader_presplit(ds__loader *loader, const ds__presplit_step *step, ds_error *error) {
    ds__presplit *presplit = &loader->tokenizer->presplit;
    if (!ds__grow(loader->tokenizer->heap, (void **)&presplit->steps, &presplit->capacity, presplit->count + 1,
                  sizeof *step)) {
        ds__pattern_free(step->pattern);
        return no_memory(loader, (presplit->count + 1) * sizeof *step, error);
    }
    presplit->steps[presplit->count++] = *step;
    return DS_OK;
}

/* ---- the checks at the end ---- */

static ds_status check_model(const ds__loader *loader, ds_error *error) {
    ds_tokenizer *tokenizer = loader->tokenizer;
    const ds__presplit *presplit = &tokenizer->presplit;
    for (size_t i = 0; i < presplit->count; i++) {
        if (presplit->steps[i].kind != DS__PRESPLIT_BYTE_LEVEL) continue;
        if (tokenizer->model != DS__MODEL_BPE)
            return ds__fail(error, DS_UNSUPPORTED,
                            "%s: pre_tokenizer is ByteLevel, which is supported with a BPE model "
                            "only, and model is WordPiece",
                            loader->name);
        if (i + 1 != presplit->count)
            return ds__fail(error, DS_UNSUPPORTED,
                            "%s: pre_tokenizer has ByteLevel as number %zu of %zu, and only the "
                            "last one can be",
                            loader->name, i + 1, presplit->count);
        tokenizer->bpe.bytes = true;
        ds__bpe_init_bytes(&tokenizer->bpe, &tokenizer->vocab);
    }
    return DS_OK;
}

/* Checks that the ids of a template's token are in the vocabulary, under the texts that the file gives them. */
static ds_status check_token(const ds__loader *loader, const ds__named_token *token, ds_error *error) {
    for (size_t i = 0; i < token->count; i++) {
        ds__str text = ds__tokenizer_token(loader->tokenizer, token->ids[i]), stated = token->texts[i];
        if (!text.data)
            return ds__fail(error, DS_BAD_FORMAT,
                            "%s: the post-processor's token \"%.*s\" has the id %d, which the "
                            "vocabulary does not have",
                            loader->name, DS_STR_ARG(token->name), token->ids[i]);
        if (stated.data && !ds__str_equal(text, stated))
            return ds__fail(error, DS_BAD_FORMAT,
                            "%s: the post-processor's token \"%.*s\" has the id %d, which in the "
                            "vocabulary is \"%.*s\"",
                            loader->name, DS_STR_ARG(stated), token->ids[i], DS_STR_ARG(text));
    }
    return DS_OK;
}

static const ds__named_token *find_token(const ds__loader *loader, ds__str name) {
    for (size_t i = 0; i < loader->token_count; i++)
        if (ds__str_equal(loader->tokens[i].name, name)) return &loader->tokens[i];
    return NULL;
}

/* Replaces names by ids. `texts`: how many texts the template must hold, each once. */
static ds_status resolve(const ds__loader *loader, const ds__named_template *from, const char *field, size_t texts,
                         ds__template *to, ds_error *error) {
    size_t capacity = from->count * (sizeof loader->tokens[0].ids / sizeof loader->tokens[0].ids[0]), first = 0,
           second = 0;
    ds__template_item *items = ds__arena_alloc(&loader->tokenizer->arena, capacity * sizeof *items);
    if (!items) return no_memory(loader, capacity * sizeof *items, error);
    *to = (ds__template){.items = items};
    for (size_t i = 0; i < from->count; i++) {
        const ds__named_item *item = &from->items[i];
        const ds__named_token *token = item->part == DS__TEMPLATE_TOKEN ? find_token(loader, item->name) : NULL;
        first += item->part == DS__TEMPLATE_FIRST;
        second += item->part == DS__TEMPLATE_SECOND;
        if (item->part != DS__TEMPLATE_TOKEN) {
            items[to->count++] = (ds__template_item){item->part, -1, item->type_id};
            continue;
        }
        if (!token)
            return ds__fail(error, DS_BAD_FORMAT,
                            "%s: %s of the post-processor uses the token \"%.*s\", which its "
                            "special_tokens do not have",
                            loader->name, field, DS_STR_ARG(item->name));
        DS_TRY(check_token(loader, token, error));
        for (size_t k = 0; k < token->count; k++)
            items[to->count++] = (ds__template_item){DS__TEMPLATE_TOKEN, token->ids[k], item->type_id};
        to->tokens += token->count;
    }
    if (first == 1 && second == texts - 1) return DS_OK;
    return ds__fail(error, DS_UNSUPPORTED,
                    "%s: %s of the post-processor has the first text %zu times and the second "
                    "%zu times, expected 1 and %zu",
                    loader->name, field, first, second, texts - 1);
}

static ds_status build_templates(ds__loader *loader, ds_error *error) {
    if (!loader->processor) {
        loader->single.items[0] = loader->pair.items[0] = (ds__named_item){DS__TEMPLATE_FIRST, {NULL, 0}, 0};
        loader->pair.items[1] = (ds__named_item){DS__TEMPLATE_SECOND, {NULL, 0}, 1};
        loader->single.count = 1;
        loader->pair.count = 2;
    }
    DS_TRY(resolve(loader, &loader->single, "single", 1, &loader->tokenizer->single, error));
    return resolve(loader, &loader->pair, "pair", 2, &loader->tokenizer->pair, error);
}

/* Normalises the texts of those added tokens that are looked for in normalised text. */
static ds_status build_added(ds__loader *loader, ds_error *error) {
    ds_tokenizer *tokenizer = loader->tokenizer;
    ds_encoding *encoding;
    DS_TRY(ds__encoding_create(tokenizer->heap, &encoding, error));
    ds_status status = DS_OK;
    for (size_t i = 0; i < tokenizer->added_count && status == DS_OK; i++) {
        ds__added_token *token = &tokenizer->added[i];
        token->pattern = token->content;
        if (!token->normalized || tokenizer->normalizer.count == 0) continue;
        ds__view view = {token->content.data, (uint32_t)token->content.size, NULL, 0};
        status = ds__normalize(&tokenizer->normalizer, encoding, view, &view, error);
        if (status != DS_OK) break;
        token->pattern = ds__arena_copy(&tokenizer->arena, (ds__str){view.text, view.size});
        if (!token->pattern.data) status = no_memory(loader, view.size, error);
    }
    ds__encoding_destroy(encoding);
    DS_TRY(status);
    if (!ds__added_set_init(&tokenizer->added_raw, &tokenizer->arena, tokenizer->added, tokenizer->added_count,
                            false) ||
        !ds__added_set_init(&tokenizer->added_normalized, &tokenizer->arena, tokenizer->added, tokenizer->added_count,
                            true))
        return no_memory(loader, tokenizer->added_count * sizeof(void *), error);
    return DS_OK;
}

static ds_status finish(ds__loader *loader, ds_error *error) {
    ds_tokenizer *tokenizer = loader->tokenizer;
    int32_t twice;
    bool sorted = ds__vocab_sort(&tokenizer->vocab, &twice) && ds__vocab_sort(&tokenizer->extra, &twice);
    if (!sorted && twice < 0) return no_memory(loader, 0, error);
    for (size_t i = 0; sorted && i < tokenizer->extra.count && twice < 0; i++)
        if (ds__vocab_text(&tokenizer->vocab, tokenizer->extra.entries[i].id).data)
            twice = tokenizer->extra.entries[i].id;
    if (twice >= 0) return ds__fail(error, DS_BAD_FORMAT, "%s: two tokens have the id %d", loader->name, twice);
    ds__normalizer_prepare(&tokenizer->normalizer);
    ds__presplit_prepare(&tokenizer->presplit);
    DS_TRY(check_model(loader, error));
    DS_TRY(build_templates(loader, error));
    return build_added(loader, error);
}

ds_status ds__loader_finish(ds__loader *loader, ds_status status, ds_tokenizer **out, ds_error *error) {
    ds_tokenizer *tokenizer = loader->tokenizer;
    if (status == DS_OK) status = finish(loader, error);
    ds__free(tokenizer->heap, loader, sizeof *loader);
    if (status == DS_OK)
        *out = tokenizer;
    else
        ds__tokenizer_close(tokenizer);
    return status;
}

void ds__json_check(ds__json *json, ds_status status, const ds_error *error) {
    if (status != DS_OK) ds__json_fail(json, status, "%s", error->message);
}

int32_t ds__read_id(ds__str digits) {
    int32_t value = 0;
    if (digits.size == 0 || digits.size > 8) return -1;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') return -1;
        value = value * 10 + (digits.data[i] - '0');
    }
    return value <= DS__MAX_ID ? value : -1;
}
