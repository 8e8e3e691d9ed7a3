/* Which tokens of a WordPiece vocabulary a smaller one keeps, and under which ids. */
#ifndef DS_PIPELINE_PRUNE_VOCAB_H
#define DS_PIPELINE_PRUNE_VOCAB_H

#include "tokenizer/tokenizer_internal.h"

typedef struct ds__kept_tokens {
    int32_t *ids;        /* [size]: the new id of each old one, in the same order; -1: dropped, or no token has it */
    int32_t size, count; /* of old ids; of kept ones */
} ds__kept_tokens;

typedef struct ds__prune_wish {
    const char *folder;     /* for messages */
    const uint64_t *counts; /* [size]: how often each old id occurs */
    size_t tokens;          /* to keep */
    const int32_t *named;   /* further ids that must stay, out of config.json */
    size_t named_count;
} ds__prune_wish;

/* Kept are, in this order, until there are `tokens`: special and added tokens, what is named, and every single
 * character in both its forms, which all must fit; the tokens that occur, the frequent ones first; the others by rising
 * id, BERT's placeholders ("[unused5]") last.  Each character of each token must have a token of its own in the form in
 * which it stands there: then what is dropped falls apart into kept pieces, and no word becomes unknown.  The ids are
 * the arena's. */
ds_status ds__prune_choose(const ds_tokenizer *tokenizer, const ds__prune_wish *wish, ds__arena *arena,
                           ds__kept_tokens *out, ds_error *error) DS_MUST_CHECK;

#endif
