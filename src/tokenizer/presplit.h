/* The pre-splitter: cuts normalised text into words, which the model then cuts into tokens, each by itself. */
#ifndef DS_TOKENIZER_PRESPLIT_H
#define DS_TOKENIZER_PRESPLIT_H

#include "base/alloc.h"
#include "base/str.h"
#include "tokenizer/encoding.h"

typedef enum ds__presplit_kind {
    DS__PRESPLIT_BERT,       /* white space goes, punctuation is a word each */
    DS__PRESPLIT_BYTE_LEVEL, /* GPT-2's words; each byte is a character from here on */
    DS__PRESPLIT_WHITESPACE, /* runs of \w, runs of what is neither that nor white space */
    DS__PRESPLIT_WHITESPACE_SPLIT,
    DS__PRESPLIT_PUNCTUATION,
    DS__PRESPLIT_PATTERN, /* a regular expression */
    DS__PRESPLIT_GPT2,    /* the one that byte level has built in */
} ds__presplit_kind;

/* What becomes of a match. */
typedef enum ds__presplit_behavior {
    DS__PRESPLIT_REMOVED,
    DS__PRESPLIT_ISOLATED,
    DS__PRESPLIT_MERGED_WITH_PREVIOUS,
    DS__PRESPLIT_MERGED_WITH_NEXT,
    DS__PRESPLIT_CONTIGUOUS,
} ds__presplit_behavior;

typedef struct ds__presplit_step {
    ds__presplit_kind kind;
    ds__presplit_behavior behavior; /* pattern, punctuation */
    bool invert;                    /* pattern: what matches and what does not change places */
    bool prefix_space, gpt2_words;  /* byte level */
    void *pattern;                  /* PCRE2's code, owned */
    unsigned char parts[128];       /* what ASCII is to BERT and to the white-space splitters; see presplit.c */
} ds__presplit_step;

typedef struct ds__presplit {
    ds__presplit_step *steps;
    size_t count, capacity;
} ds__presplit;

/* Fills in `parts`. */
void ds__presplit_prepare(ds__presplit *presplit);

/* Cuts the view; the words are in encoding->pieces.  *view changes when a space is put in front. */
ds_status ds__presplit_run(const ds__presplit *presplit, ds_encoding *encoding, ds__view *view,
                           ds_error *error) DS_MUST_CHECK;

/* The GPT-2 pattern 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ by hand: the end of the
 * word that begins at `at`. It covers all text. */
uint32_t ds__gpt2_word_end(const char *text, uint32_t at, uint32_t end);

/* `field` names the pattern in messages. literal: the pattern is plain text. */
ds_status ds__pattern_compile(ds__heap *heap, ds__str pattern, bool literal, const char *field, void **out,
                              ds_error *error) DS_MUST_CHECK;
void ds__pattern_free(void *pattern);
/* Appends matches and what is between them, in order and without gaps, to `pieces`; empty matches are among them. */
ds_status ds__pattern_events(const void *pattern, ds_encoding *encoding, const ds__view *view, ds__piece word,
                             ds__pieces *pieces, ds_error *error) DS_MUST_CHECK;
void ds__match_data_free(void *match_data);

#endif
