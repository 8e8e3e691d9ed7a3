/* A tokenizer: added tokens, normaliser, pre-splitter, model and template, as a folder describes them.  Made once, then
 * read by any number of threads. */
#ifndef DS_TOKENIZER_TOKENIZER_INTERNAL_H
#define DS_TOKENIZER_TOKENIZER_INTERNAL_H

#include "base/arena.h"
#include "deepseek/tokenizer.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/normalize.h"
#include "tokenizer/presplit.h"
#include "tokenizer/vocab.h"
#include "tokenizer/wordpiece.h"

typedef enum ds__model_kind { DS__MODEL_WORDPIECE, DS__MODEL_BPE } ds__model_kind;

/* A part of a template: a special token, or all tokens of the first or the second text. */
typedef enum ds__template_part { DS__TEMPLATE_TOKEN, DS__TEMPLATE_FIRST, DS__TEMPLATE_SECOND } ds__template_part;

typedef struct ds__template_item {
    ds__template_part part;
    int32_t id; /* TOKEN */
    int32_t type_id;
} ds__template_item;

typedef struct ds__template {
    const ds__template_item *items;
    size_t count, tokens; /* items; those of them that are tokens */
} ds__template;

struct ds_tokenizer {
    ds__heap *heap;
    ds__arena arena; /* names, lists of steps, added tokens, templates */
    uint64_t opened; /* nanoseconds; see cache_opened in encoding.h */

    ds__vocab vocab; /* the model's tokens */
    ds__vocab extra; /* the added tokens that are none of the model's, which must not find them in words */
    ds__added_token *added;
    size_t added_count, added_capacity;
    ds__added_set added_raw, added_normalized;
    ds__normalizer normalizer;
    ds__presplit presplit;
    ds__model_kind model;
    ds__wordpiece wordpiece;
    ds__bpe bpe;

    ds__template single, pair;
    bool trims, keeps_prefix_space; /* see encoding.h */
};

/* ---- encode.c ---- */

ds_status ds__tokenizer_encode(const ds_tokenizer *tokenizer, ds_text text, const ds_text *pair, int32_t max_tokens,
                               ds_encoding *encoding, ds_error *error) DS_MUST_CHECK;

/* ---- open_tokenizer.c ---- */

/* The id of a token, -1 if there is none; the text of an id, .data NULL if there is none. */
int32_t ds__tokenizer_id(const ds_tokenizer *tokenizer, ds__str token);
ds__str ds__tokenizer_token(const ds_tokenizer *tokenizer, int32_t id);

ds_status ds__tokenizer_open(ds__heap *heap, const char *folder, ds_tokenizer **out, ds_error *error) DS_MUST_CHECK;
void ds__tokenizer_close(ds_tokenizer *tokenizer);

#endif
