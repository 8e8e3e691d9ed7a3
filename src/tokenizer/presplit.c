/* Cutting text into words. Each step takes the words of the step before and cuts them further. */
#include "tokenizer/presplit.h"

#include "base/error.h"
#include "tokenizer/unicode.h"

/* What a character is to the splitters that look at one character at a time. */
typedef enum part { PART_OF_WORD, PART_GOES, PART_ALONE, PART_SYMBOL } part;

static part part_of(ds__presplit_kind kind, uint32_t flags) {
    switch (kind) {
    case DS__PRESPLIT_BERT:
        return flags & DS__UNI_SPACE ? PART_GOES : flags & DS__UNI_PUNCTUATION ? PART_ALONE : PART_OF_WORD;
    case DS__PRESPLIT_WHITESPACE:
        return flags & DS__UNI_WORD ? PART_OF_WORD : flags & DS__UNI_SPACE ? PART_GOES : PART_SYMBOL;
    default: return flags & DS__UNI_SPACE ? PART_GOES : PART_OF_WORD;
    }
}

void ds__presplit_prepare(ds__presplit *presplit) {
    for (size_t s = 0; s < presplit->count; s++)
        for (uint32_t c = 0; c < 128; c++)
            presplit->steps[s].parts[c] = (unsigned char)part_of(presplit->steps[s].kind, ds__uni_flags(c));
}

/* BERT, white space: runs of the same part are words, but each ALONE is one and what GOES is none. */
static ds_status split_runs(const ds__presplit_step *step, ds_encoding *encoding, const ds__view *view, ds__piece word,
                            ds__pieces *out, ds_error *error) {
    const char *text = view->text;
    part open = PART_GOES; /* what the run so far is made of; GOES: there is none */
    uint32_t start = word.start, at = word.start;
    while (at < word.end) {
        uint32_t code, bytes = 1;
        unsigned char byte = (unsigned char)text[at];
        part now;
        if (byte < 0x80) {
            now = (part)step->parts[byte];
        } else {
            bytes = ds__uni_next(text + at, &code);
            now = part_of(step->kind, ds__uni_flags(code));
        }
        if (now != open || now == PART_ALONE) {
            if (open != PART_GOES) DS_TRY(ds__pieces_push(encoding, out, (ds__piece){start, at, false}, error));
            open = now;
            start = at;
        }
        at += bytes;
    }
    return open == PART_GOES ? DS_OK : ds__pieces_push(encoding, out, (ds__piece){start, at, false}, error);
}

static ds_status split_gpt2(ds_encoding *encoding, const ds__view *view, ds__piece word, ds__pieces *out,
                            ds_error *error) {
    for (uint32_t at = word.start; at < word.end;) {
        uint32_t end = ds__gpt2_word_end(view->text, at, word.end);
        DS_TRY(ds__pieces_push(encoding, out, (ds__piece){at, end, false}, error));
        at = end;
    }
    return DS_OK;
}

/* Punctuation characters as matches. */
static ds_status punctuation_events(ds_encoding *encoding, const ds__view *view, ds__piece word, ds__pieces *out,
                                    ds_error *error) {
    uint32_t start = word.start;
    for (uint32_t at = word.start; at < word.end;) {
        uint32_t code, bytes = ds__uni_next(view->text + at, &code);
        if (ds__uni_flags(code) & DS__UNI_PUNCTUATION) {
            if (start < at) DS_TRY(ds__pieces_push(encoding, out, (ds__piece){start, at, false}, error));
            DS_TRY(ds__pieces_push(encoding, out, (ds__piece){at, at + bytes, true}, error));
            start = at + bytes;
        }
        at += bytes;
    }
    return start == word.end ? DS_OK : ds__pieces_push(encoding, out, (ds__piece){start, word.end, false}, error);
}

/* MERGED_WITH_NEXT is MERGED_WITH_PREVIOUS seen from the end: it reads, and writes, from the back. */
static void merge_backward(ds__pieces *pieces, size_t first) {
    size_t written = pieces->count;
    bool previous = false;
    for (size_t i = pieces->count; i-- > first;) {
        ds__piece event = pieces->items[i];
        if (event.matched && !previous && written < pieces->count)
            pieces->items[written].start = event.start;
        else
            pieces->items[--written] = event;
        previous = event.matched;
    }
    memmove(pieces->items + first, pieces->items + written, (pieces->count - written) * sizeof *pieces->items);
    pieces->count -= written - first;
}

/* Turns the events items[first..] of one word into words, and leaves out what is empty. */
static void apply_behavior(const ds__presplit_step *step, ds__pieces *pieces, size_t first) {
    size_t kept = first;
    bool previous = false;
    if (step->invert)
        for (size_t i = first; i < pieces->count; i++) pieces->items[i].matched = !pieces->items[i].matched;
    if (step->behavior == DS__PRESPLIT_MERGED_WITH_NEXT) merge_backward(pieces, first);
    for (size_t i = first; i < pieces->count; i++) {
        ds__piece event = pieces->items[i];
        bool joins = (step->behavior == DS__PRESPLIT_CONTIGUOUS && event.matched == previous) ||
                     (step->behavior == DS__PRESPLIT_MERGED_WITH_PREVIOUS && event.matched && !previous);
        previous = event.matched;
        if (step->behavior == DS__PRESPLIT_REMOVED && event.matched) continue;
        if (joins && kept > first)
            pieces->items[kept - 1].end = event.end;
        else
            pieces->items[kept++] = event;
    }
    pieces->count = first;
    for (size_t i = first; i < kept; i++)
        if (pieces->items[i].start < pieces->items[i].end) pieces->items[pieces->count++] = pieces->items[i];
}

/* Puts a space in front of each word that does not begin with one; the space comes from where the word begins. */
static ds_status add_prefix_spaces(ds_encoding *encoding, ds__view *view, ds_error *error) {
    ds__pieces *pieces = encoding->pieces;
    size_t size = pieces->count, written = 0;
    for (size_t i = 0; i < pieces->count; i++) size += pieces->items[i].end - pieces->items[i].start;
    if (size > INT32_MAX)
        return ds__fail(error, DS_INVALID_ARGUMENT, "a text has %zu bytes once spaces are added, expected at most %d",
                        size, INT32_MAX);
    DS_TRY(ds__view_reserve(encoding, &encoding->prefixed, size, true, error));
    char *text = encoding->prefixed.text;
    uint32_t *origins = encoding->prefixed.origins;
    for (size_t i = 0; i < pieces->count; i++) {
        ds__piece *piece = &pieces->items[i];
        size_t start = written;
        for (uint32_t at = piece->start; at < piece->end; at++) {
            uint32_t origin = view->origins                       ? view->origins[at]
                              : ds__uni_continues(view->text[at]) ? origins[written - 1]
                                                                  : view->base + at;
            if (at == piece->start && view->text[at] != ' ') {
                text[written] = ' ';
                origins[written++] = origin;
            }
            text[written] = view->text[at];
            origins[written++] = origin;
        }
        *piece = (ds__piece){(uint32_t)start, (uint32_t)written, false};
    }
    *view = (ds__view){text, (uint32_t)written, origins, 0};
    return DS_OK;
}

/* Cuts one word; the new ones are appended to `out`. */
static ds_status split(const ds__presplit_step *step, ds_encoding *encoding, const ds__view *view, ds__piece word,
                       ds__pieces *out, ds_error *error) {
    size_t first = out->count;
    switch (step->kind) {
    case DS__PRESPLIT_GPT2: return split_gpt2(encoding, view, word, out, error);
    case DS__PRESPLIT_BYTE_LEVEL:
        return step->gpt2_words ? split_gpt2(encoding, view, word, out, error)
                                : ds__pieces_push(encoding, out, word, error);
    case DS__PRESPLIT_PUNCTUATION:
        DS_TRY(punctuation_events(encoding, view, word, out, error));
        apply_behavior(step, out, first);
        return DS_OK;
    case DS__PRESPLIT_PATTERN:
        DS_TRY(ds__pattern_events(step->pattern, encoding, view, word, out, error));
        apply_behavior(step, out, first);
        return DS_OK;
    default: return split_runs(step, encoding, view, word, out, error);
    }
}

ds_status ds__presplit_run(const ds__presplit *presplit, ds_encoding *encoding, ds__view *view, ds_error *error) {
    encoding->pieces = &encoding->piece_lists[0];
    encoding->other_pieces = &encoding->piece_lists[1];
    encoding->pieces->count = 0;
    if (view->size == 0) return DS_OK;
    DS_TRY(ds__pieces_push(encoding, encoding->pieces, (ds__piece){0, view->size, false}, error));
    for (size_t s = 0; s < presplit->count; s++) {
        const ds__presplit_step *step = &presplit->steps[s];
        if (step->prefix_space) DS_TRY(add_prefix_spaces(encoding, view, error));
        encoding->other_pieces->count = 0;
        for (size_t i = 0; i < encoding->pieces->count; i++)
            DS_TRY(split(step, encoding, view, encoding->pieces->items[i], encoding->other_pieces, error));
        ds__pieces *swap = encoding->pieces;
        encoding->pieces = encoding->other_pieces;
        encoding->other_pieces = swap;
    }
    return DS_OK;
}
