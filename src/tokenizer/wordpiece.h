/* WordPiece: a word is cut into the longest tokens from the left; one that cannot be cut so is unknown as a whole. */
#ifndef DS_TOKENIZER_WORDPIECE_H
#define DS_TOKENIZER_WORDPIECE_H

#include "tokenizer/encoding.h"
#include "tokenizer/vocab.h"

typedef struct ds__wordpiece {
    int32_t unknown;       /* its id */
    uint32_t longest_word; /* characters; a longer word is unknown */
    ds__str prefix;        /* what tokens inside of a word begin with: "##" */
    uint64_t prefix_state; /* its hash */
} ds__wordpiece;

ds_status ds__wordpiece_encode(const ds__wordpiece *wordpiece, const ds__vocab *vocab, ds_encoding *encoding,
                               const ds__view *view, ds__piece word, ds_error *error) DS_MUST_CHECK;

#endif
