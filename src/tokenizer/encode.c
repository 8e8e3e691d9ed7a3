/* From a text to ids: added tokens, normaliser, pre-splitter, model, truncation, template. */
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer_internal.h"

/* Offsets are 32 bits and normal forms lengthen a text up to eleven times. */
enum { MAX_TEXT_BYTES = 128 << 20 };

/* The text as valid UTF-8: itself, or a copy with every invalid part replaced. */
static ds_status repair(ds_encoding *encoding, ds__view *view, ds_error *error) {
    size_t written = 0;
    *view = (ds__view){encoding->original, (uint32_t)encoding->original_size, NULL, 0};
    if (ds__utf8_valid(encoding->original, encoding->original_size)) return DS_OK;
    ds__view_buffer *buffer = &encoding->repaired;
    DS_TRY(ds__view_reserve(encoding, buffer, 3 * encoding->original_size, true, error));
    for (uint32_t at = 0; at < view->size;) {
        uint32_t code, origin = at;
        at += (uint32_t)ds__utf8_decode(view->text + at, view->size - at, &code);
        size_t bytes = ds__utf8_encode(code, buffer->text + written);
        for (size_t k = 0; k < bytes; k++) buffer->origins[written++] = origin;
    }
    *view = (ds__view){buffer->text, (uint32_t)written, buffer->origins, 0};
    return DS_OK;
}

/* Normalised text without added tokens in it. */
static ds_status encode_plain(const ds_tokenizer *tokenizer, ds_encoding *encoding, ds__view view, ds_error *error) {
    DS_TRY(ds__presplit_run(&tokenizer->presplit, encoding, &view, error));
    for (size_t i = 0; i < encoding->pieces->count; i++, encoding->word++) {
        ds__piece word = encoding->pieces->items[i];
        if (tokenizer->model == DS__MODEL_WORDPIECE)
            DS_TRY(ds__wordpiece_encode(&tokenizer->wordpiece, &tokenizer->vocab, encoding, &view, word, error));
        else
            DS_TRY(ds__bpe_encode(&tokenizer->bpe, &tokenizer->vocab, encoding, &view, word, error));
    }
    return DS_OK;
}

/* What the parts between added tokens go through. */
typedef ds_status (*part_fn)(const ds_tokenizer *tokenizer, ds_encoding *encoding, ds__view view, ds_error *error);

/* Makes tokens of the set's matches, hands what is between them to `rest`. */
static ds_status split_added(const ds_tokenizer *tokenizer, const ds__added_set *set, ds_encoding *encoding,
                             ds__view view, part_fn rest, ds_error *error) {
    size_t from = 0, taken = 0;
    ds__added_match match;
    while (ds__added_next(set, (ds__str){view.text, view.size}, &from, taken, &match)) {
        if (taken < match.start) DS_TRY(rest(tokenizer, encoding, ds__view_part(view, taken, match.start), error));
        DS_TRY(ds__encoding_reserve(encoding, 1, error));
        bool trims = encoding->trims;
        encoding->trims = false;
        ds__encoding_push(encoding, &view, match.token->id, match.start, match.end);
        encoding->trims = trims;
        if (trims) ds__encoding_trim(encoding, &view, match.start, match.end, false);
        encoding->word++;
        taken = match.end;
    }
    return taken < view.size ? rest(tokenizer, encoding, ds__view_part(view, taken, view.size), error) : DS_OK;
}

/* Text as it came, without those added tokens that are looked for there. */
static ds_status encode_raw(const ds_tokenizer *tokenizer, ds_encoding *encoding, ds__view view, ds_error *error) {
    ds__view normalized;
    DS_TRY(ds__normalize(&tokenizer->normalizer, encoding, view, &normalized, error));
    return split_added(tokenizer, &tokenizer->added_normalized, encoding, normalized, encode_plain, error);
}

/* Appends the text's tokens. */
static ds_status encode_text(const ds_tokenizer *tokenizer, ds_encoding *encoding, ds_text text, ds_error *error) {
    ds__view view;
    if (text.size > MAX_TEXT_BYTES)
        return ds__fail(error, DS_INVALID_ARGUMENT, "a text has %zu bytes, expected at most %d", text.size,
                        MAX_TEXT_BYTES);
    encoding->original = text.size ? text.data : "";
    encoding->original_size = text.size;
    encoding->word = 0;
    encoding->first_token = encoding->token_count;
    DS_TRY(repair(encoding, &view, error));
    return split_added(tokenizer, &tokenizer->added_raw, encoding, view, encode_raw, error);
}

/* How many tokens of each text stay so that both have at most `room`: the longer is cut first, then both to halves, the
 * odd one for the longer (the second of equals). */
static void truncate_pair(size_t room, size_t *first, size_t *second) {
    bool swapped = *first > *second;
    size_t shorter = swapped ? *second : *first, longer;
    if (*first + *second <= room) return;
    longer = shorter > room ? shorter : (room - shorter > shorter ? room - shorter : shorter);
    if (shorter + longer > room) {
        shorter = room / 2;
        longer = shorter + room % 2;
    }
    *first = swapped ? longer : shorter;
    *second = swapped ? shorter : longer;
}

static void write_token(ds_encoding *encoding, const ds__template_item *item, const ds__token *token) {
    size_t at = encoding->size++;
    encoding->ids[at] = token ? token->id : item->id;
    encoding->type_ids[at] = item->type_id;
    encoding->words[at] = token ? token->word : -1;
    encoding->offsets[2 * at] = token ? (int32_t)token->start : 0;
    encoding->offsets[2 * at + 1] = token ? (int32_t)token->end : 0;
}

/* Writes the results: the tokens of the texts, [0..split) and [split..token_count), as the template arranges them. */
static ds_status assemble(const ds__template *template, ds_encoding *encoding, size_t split, int32_t max_tokens,
                          ds_error *error) {
    size_t first = split, second = encoding->token_count - split;
    if (max_tokens > 0) {
        if ((size_t)max_tokens < template->tokens)
            return ds__fail(error, DS_INVALID_ARGUMENT,
                            "max_tokens is %d, but the tokenizer's template alone adds %zu special tokens", max_tokens,
                            template->tokens);
        truncate_pair((size_t)max_tokens - template->tokens, &first, &second);
    }
    DS_TRY(ds__encoding_results(encoding, first + second + template->tokens, error));
    for (size_t i = 0; i < template->count; i++) {
        const ds__template_item *item = &template->items[i];
        size_t from = item->part == DS__TEMPLATE_SECOND ? split : 0; /* without any token there is no array either */
        size_t count = item->part == DS__TEMPLATE_SECOND ? second : first;
        if (item->part == DS__TEMPLATE_TOKEN)
            write_token(encoding, item, NULL);
        else
            for (size_t k = 0; k < count; k++) write_token(encoding, item, &encoding->tokens[from + k]);
    }
    encoding->dropped = encoding->token_count - first - second;
    return DS_OK;
}

/* Sets up what depends on the tokenizer; the word cache must not answer for another one. */
static void prepare(const ds_tokenizer *tokenizer, ds_encoding *encoding) {
    encoding->size = encoding->dropped = encoding->token_count = 0;
    encoding->trims = tokenizer->trims;
    encoding->keeps_prefix_space = tokenizer->keeps_prefix_space;
    encoding->trims_bytes = tokenizer->model == DS__MODEL_BPE && tokenizer->bpe.bytes;
    encoding->untrimmed_id = tokenizer->model == DS__MODEL_BPE ? tokenizer->bpe.unknown : tokenizer->wordpiece.unknown;
    if (encoding->cache_owner == tokenizer && encoding->cache_opened == tokenizer->opened) return;
    encoding->cache_owner = tokenizer;
    encoding->cache_opened = tokenizer->opened;
    ds__bpe_forget(&encoding->bpe);
}

ds_status ds__tokenizer_encode(const ds_tokenizer *tokenizer, ds_text text, const ds_text *pair, int32_t max_tokens,
                               ds_encoding *encoding, ds_error *error) {
    prepare(tokenizer, encoding);
    if (max_tokens < 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "max_tokens is %d, expected 0 (no limit) or more", max_tokens);
    DS_TRY(encode_text(tokenizer, encoding, text, error));
    size_t split = encoding->token_count;
    if (pair) DS_TRY(encode_text(tokenizer, encoding, *pair, error));
    return assemble(pair ? &tokenizer->pair : &tokenizer->single, encoding, split, max_tokens, error);
}
