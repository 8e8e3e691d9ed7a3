/* An encoding: the result of one encode call, and all the memory that encoding needs, kept for the next one.
 *
 * A text goes through it as views: pieces of valid UTF-8, of which every byte knows the character of the caller's text
 * that it came from.  Most text passes unchanged or changes byte by byte, so a view says so in place of a table. */
#ifndef DS_TOKENIZER_ENCODING_H
#define DS_TOKENIZER_ENCODING_H

#include "base/alloc.h"
#include "deepseek/tokenizer.h"

/* Valid UTF-8.  origins[i]: where in the caller's text the character begins that text[i] came from; NULL: text[i]
 * stands at base + i there. */
typedef struct ds__view {
    const char *text;
    uint32_t size;
    const uint32_t *origins;
    uint32_t base;
} ds__view;

/* Memory for a view that is not the caller's text itself. */
typedef struct ds__view_buffer {
    char *text;
    uint32_t *origins;
    size_t text_capacity, origin_capacity;
} ds__view_buffer;

/* A word as the pre-splitter cut it: [start, end) of a view. */
typedef struct ds__piece {
    uint32_t start, end;
    bool matched; /* by the pattern of a Split; only while it is at work */
} ds__piece;

typedef struct ds__pieces {
    ds__piece *items;
    size_t count, capacity;
} ds__pieces;

/* A character on its way through normal forms, with its origin. */
typedef struct ds__mark {
    uint32_t code, origin;
    uint8_t combining; /* canonical combining class */
    int32_t change;    /* 1: added behind the character before it; -n: stands for itself and the n behind it */
} ds__mark;

typedef struct ds__marks {
    ds__mark *items;
    size_t count, capacity;
} ds__marks;

/* A token before special tokens are added. start, end: bytes of the caller's text. */
typedef struct ds__token {
    int32_t id, word;
    uint32_t start, end;
} ds__token;

/* Byte-pair merging; see bpe.c. */
typedef struct ds__bpe_scratch {
    struct ds__bpe_symbol *symbols;
    struct ds__bpe_candidate *heap;
    size_t symbol_capacity, heap_capacity;
    struct ds__bpe_cached *cache; /* NULL until first needed */
    uint32_t generation;          /* entries of another generation are stale */
} ds__bpe_scratch;

struct ds_encoding {
    ds__heap *heap;
    /* The result: one block of 5 * capacity integers. */
    int32_t *results, *ids, *type_ids, *words, *offsets;
    size_t size, capacity, dropped;

    /* The text at work. */
    const char *original;
    size_t original_size;
    int32_t word;       /* the next word's index */
    size_t first_token; /* of this text; the second text of a pair follows the first */
    /* Whether tokens' places leave out the white space at their ends, as byte-level tokenizers do, where a space is
     * part of the word behind it; the rest says how (see ds__encoding_trim). */
    bool trims, trims_bytes, keeps_prefix_space;
    int32_t untrimmed_id;
    ds__token *tokens;
    size_t token_count, token_capacity;

    ds__view_buffer repaired, normalized, prefixed;
    /* Lists that change places, step by step; each text begins with the first, so that equal texts need equal memory.
     */
    ds__marks mark_lists[2], *marks, *other_marks;
    ds__pieces piece_lists[2], *pieces, *other_pieces;
    uint64_t *states; /* hashes of a word's prefixes */
    size_t state_capacity;
    ds__bpe_scratch bpe;
    void *match_data; /* PCRE2's; NULL until first needed */
    /* Which tokenizer the cache belongs to: its address, and when it was opened, since addresses are used again. */
    const void *cache_owner;
    uint64_t cache_opened;
};

ds_status ds__encoding_create(ds__heap *heap, ds_encoding **out, ds_error *error) DS_MUST_CHECK;
void ds__encoding_destroy(ds_encoding *encoding);

/* Room for `bytes` of text, and for as many origins if `with_origins`; the content stays. */
ds_status ds__view_reserve(ds_encoding *encoding, ds__view_buffer *buffer, size_t bytes, bool with_origins,
                           ds_error *error) DS_MUST_CHECK;
ds_status ds__encoding_grow(ds_encoding *encoding, size_t more, ds_error *error) DS_MUST_CHECK;
/* Room for `more` tokens. */
static inline ds_status ds__encoding_reserve(ds_encoding *encoding, size_t more, ds_error *error) {
    if (more <= encoding->token_capacity - encoding->token_count) return DS_OK;
    return ds__encoding_grow(encoding, more, error);
}
/* Room for `size` results; their content is lost. */
ds_status ds__encoding_results(ds_encoding *encoding, size_t size, ds_error *error) DS_MUST_CHECK;
ds_status ds__pieces_grow(ds_encoding *encoding, ds__pieces *pieces, ds_error *error) DS_MUST_CHECK;
static inline ds_status ds__pieces_push(ds_encoding *encoding, ds__pieces *pieces, ds__piece piece, ds_error *error) {
    if (pieces->count == pieces->capacity) {
        ds_status status = ds__pieces_grow(encoding, pieces, error);
        if (status != DS_OK) return status;
    }
    pieces->items[pieces->count++] = piece;
    return DS_OK;
}

/* Bytes of the character (or invalid part) at this place of the caller's text. */
uint32_t ds__encoding_character(const ds_encoding *encoding, uint32_t at);
/* The place of the character before `at` in the caller's text. */
uint32_t ds__encoding_before(const ds_encoding *encoding, uint32_t at);

/* Takes the white space of text[start..end) off the ends of the last token's place: as many characters of the caller's
 * text as there are in the token. bytes: only U+0020 counts, as in a byte-level token; else all white space does, and
 * the character that byte-level vocabularies write for a space. */
void ds__encoding_trim(ds_encoding *encoding, const ds__view *view, size_t start, size_t end, bool bytes);

static inline ds__view ds__view_part(ds__view view, size_t start, size_t end) {
    return (ds__view){view.text + start, (uint32_t)(end - start), view.origins ? view.origins + start : NULL,
                      view.base + (uint32_t)start};
}

/* The caller's bytes that text[start..end) came from, whole characters, start < end. */
static inline void ds__view_origin(const ds_encoding *encoding, const ds__view *view, size_t start, size_t end,
                                   uint32_t *first, uint32_t *behind) {
    if (view->origins) {
        *first = view->origins[start];
        *behind = view->origins[end - 1] + ds__encoding_character(encoding, view->origins[end - 1]);
        return;
    }
    while (start > 0 && ((unsigned char)view->text[start] & 0xC0) == 0x80) start--;
    while (end < view->size && ((unsigned char)view->text[end] & 0xC0) == 0x80) end++;
    *first = view->base + (uint32_t)start;
    *behind = view->base + (uint32_t)end;
}

/* Appends a token for text[start..end) of the view; there is room. */
static inline void ds__encoding_push(ds_encoding *encoding, const ds__view *view, int32_t id, size_t start,
                                     size_t end) {
    ds__token *token = &encoding->tokens[encoding->token_count++];
    token->id = id;
    token->word = encoding->word;
    ds__view_origin(encoding, view, start, end, &token->start, &token->end);
    if (encoding->trims && id != encoding->untrimmed_id)
        ds__encoding_trim(encoding, view, start, end, encoding->trims_bytes);
}

#endif
