/* The normaliser: what is done to a text before it is split, with the origin of every character kept. */
#ifndef DS_TOKENIZER_NORMALIZE_H
#define DS_TOKENIZER_NORMALIZE_H

#include "base/arena.h"
#include "tokenizer/encoding.h"

typedef enum ds__normalizer_kind {
    DS__NORMALIZER_BERT,
    DS__NORMALIZER_LOWERCASE,
    DS__NORMALIZER_STRIP_ACCENTS,
    DS__NORMALIZER_NFC,
    DS__NORMALIZER_NFD,
    DS__NORMALIZER_NFKC,
    DS__NORMALIZER_NFKD,
    DS__NORMALIZER_STRIP,
    DS__NORMALIZER_REPLACE,
} ds__normalizer_kind;

typedef struct ds__normalizer_step {
    ds__normalizer_kind kind;
    bool clean, han, accents,
        lower;                /* BERT: remove control characters, split Chinese ones, strip accents, lower case */
    bool left, right;         /* strip */
    ds__str pattern, content; /* replace; UTF-8, pattern not empty */
} ds__normalizer_step;

enum { DS__NORMALIZER_DROPS = 0xFF };

typedef struct ds__normalizer {
    ds__normalizer_step *steps;
    size_t count, capacity;
    /* Whether each ASCII character has a fate of its own, whatever stands around it: what it becomes, or DROPS. */
    bool by_character;
    unsigned char ascii[128];
} ds__normalizer;

/* Works out `by_character` and `ascii` from the steps. */
void ds__normalizer_prepare(ds__normalizer *normalizer);

/* *out: `in` itself, or a view of the encoding's memory that stays valid until the next call. */
ds_status ds__normalize(const ds__normalizer *normalizer, ds_encoding *encoding, ds__view in, ds__view *out,
                        ds_error *error) DS_MUST_CHECK;

/* The steps one after the other on single characters; for everything that the short way in normalize.c does not do. */
ds_status ds__normalize_marks(const ds__normalizer *normalizer, ds_encoding *encoding, ds__view in, ds__view *out,
                              ds_error *error) DS_MUST_CHECK;

/* The canonical combining class, and a decomposition in full (returns how many), as the reference's Unicode version has
 * them. */
uint32_t ds__uni_combining(uint32_t code);
enum { DS__UNI_LONGEST = 32 };
size_t ds__uni_decompose(uint32_t code, bool compatible, uint32_t out[DS__UNI_LONGEST]);

/* NFD, NFKD, NFC, NFKC: marks to other_marks and back. */
ds_status ds__normal_form(ds_encoding *encoding, bool compatible, bool compose, ds_error *error) DS_MUST_CHECK;
ds_status ds__marks_push(ds_encoding *encoding, ds__marks *marks, ds__mark mark, ds_error *error) DS_MUST_CHECK;

#endif
