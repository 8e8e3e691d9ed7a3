/* The memory of an encoding, which only grows, and what is asked of the caller's text. */
#include "tokenizer/encoding.h"

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/bpe.h"
#include "tokenizer/presplit.h"
#include "tokenizer/unicode.h"

ds_status ds__encoding_create(ds__heap *heap, ds_encoding **out, ds_error *error) {
    *out = ds__alloc_zeroed(heap, sizeof **out);
    if (!*out) return ds__alloc_failed(heap, sizeof **out, "an encoding", error);
    (*out)->heap = heap;
    return DS_OK;
}

static void free_view(ds__heap *heap, ds__view_buffer *buffer) {
    ds__free(heap, buffer->text, buffer->text_capacity);
    ds__free(heap, buffer->origins, buffer->origin_capacity * sizeof *buffer->origins);
}

void ds__encoding_destroy(ds_encoding *encoding) {
    if (!encoding) return;
    ds__heap *heap = encoding->heap;
    ds__free(heap, encoding->results, 5 * encoding->capacity * sizeof *encoding->results);
    ds__free(heap, encoding->tokens, encoding->token_capacity * sizeof *encoding->tokens);
    free_view(heap, &encoding->repaired);
    free_view(heap, &encoding->normalized);
    free_view(heap, &encoding->prefixed);
    for (int i = 0; i < 2; i++) {
        ds__free(heap, encoding->mark_lists[i].items, encoding->mark_lists[i].capacity * sizeof(ds__mark));
        ds__free(heap, encoding->piece_lists[i].items, encoding->piece_lists[i].capacity * sizeof(ds__piece));
    }
    ds__free(heap, encoding->states, encoding->state_capacity * sizeof *encoding->states);
    ds__bpe_scratch_deinit(&encoding->bpe, heap);
    ds__match_data_free(encoding->match_data);
    ds__free(heap, encoding, sizeof *encoding);
}

ds_status ds__view_reserve(ds_encoding *encoding, ds__view_buffer *buffer, size_t bytes, bool with_origins,
                           ds_error *error) {
    if (!ds__grow(encoding->heap, (void **)&buffer->text, &buffer->text_capacity, bytes, 1))
        return ds__alloc_failed(encoding->heap, bytes, "a text", error);
    if (with_origins &&
        !ds__grow(encoding->heap, (void **)&buffer->origins, &buffer->origin_capacity, bytes, sizeof *buffer->origins))
        return ds__alloc_failed(encoding->heap, bytes * sizeof *buffer->origins, "the places of a text", error);
    return DS_OK;
}

ds_status ds__encoding_grow(ds_encoding *encoding, size_t more, ds_error *error) {
    size_t wanted = encoding->token_count + more;
    if (!ds__grow(encoding->heap, (void **)&encoding->tokens, &encoding->token_capacity, wanted,
                  sizeof *encoding->tokens))
        return ds__alloc_failed(encoding->heap, wanted * sizeof *encoding->tokens, "a text's tokens", error);
    return DS_OK;
}

ds_status ds__encoding_results(ds_encoding *encoding, size_t size, ds_error *error) {
    if (size <= encoding->capacity) return DS_OK;
    size_t capacity = encoding->capacity < 64 ? 64 : encoding->capacity;
    while (capacity < size) capacity *= 2;
    int32_t *results = ds__alloc(encoding->heap, 5 * capacity * sizeof *results);
    if (!results) return ds__alloc_failed(encoding->heap, 5 * capacity * sizeof *results, "an encoding", error);
    ds__free(encoding->heap, encoding->results, 5 * encoding->capacity * sizeof *results);
    encoding->results = encoding->ids = results;
    encoding->type_ids = results + capacity;
    encoding->words = results + 2 * capacity;
    encoding->offsets = results + 3 * capacity;
    encoding->capacity = capacity;
    return DS_OK;
}

ds_status ds__pieces_grow(ds_encoding *encoding, ds__pieces *pieces, ds_error *error) {
    if (!ds__grow(encoding->heap, (void **)&pieces->items, &pieces->capacity, pieces->count + 1, sizeof *pieces->items))
        return ds__alloc_failed(encoding->heap, (pieces->count + 1) * sizeof *pieces->items, "a text's words", error);
    return DS_OK;
}

uint32_t ds__encoding_character(const ds_encoding *encoding, uint32_t at) {
    uint32_t code;
    return (uint32_t)ds__utf8_decode(encoding->original + at, encoding->original_size - at, &code);
}

uint32_t ds__encoding_before(const ds_encoding *encoding, uint32_t at) {
    for (uint32_t back = 1; back <= 4 && back <= at; back++) {
        if (ds__uni_continues(encoding->original[at - back])) continue;
        if (ds__encoding_character(encoding, at - back) == back) return at - back;
        break;
    }
    return at - 1;
}

/* The white space at the start of text[start..end), in characters; at the end if `backward`. */
static uint32_t white_space(const char *text, size_t start, size_t end, bool backward, bool bytes) {
    enum { BYTE_LEVEL_SPACE = 0x120 };
    uint32_t count = 0;
    while (start < end) {
        uint32_t code, size = 1;
        if (bytes) {
            code = (unsigned char)text[backward ? end - 1 : start];
        } else if (backward) {
            size = (uint32_t)(end - ds__uni_previous(text, end, &code));
        } else {
            size = ds__uni_next(text + start, &code);
        }
        bool white = bytes ? code == ' ' : code == BYTE_LEVEL_SPACE || (ds__uni_flags(code) & DS__UNI_SPACE);
        if (!white) break;
        count++;
        if (backward)
            end -= size;
        else
            start += size;
    }
    return count;
}

void ds__encoding_trim(ds_encoding *encoding, const ds__view *view, size_t start, size_t end, bool bytes) {
    ds__token *token = &encoding->tokens[encoding->token_count - 1];
    uint32_t leading = white_space(view->text, start, end, false, bytes);
    uint32_t trailing = white_space(view->text, start, end, true, bytes);
    bool first = encoding->token_count - 1 == encoding->first_token || token->start == 0;
    if (first && encoding->keeps_prefix_space && leading == 1) leading = 0; /* it was put there, it takes no place */
    for (; leading && token->start < token->end; leading--)
        token->start += ds__encoding_character(encoding, token->start);
    for (; trailing && token->end > token->start; trailing--) token->end = ds__encoding_before(encoding, token->end);
}
