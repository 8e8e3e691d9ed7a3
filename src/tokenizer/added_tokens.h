/* Added tokens: texts that become one token wherever they stand, before any other splitting.
 *
 * Two sets: one is looked for in the text as it came, the other ("normalized") in the normalised text.  The leftmost
 * match wins, of several there the longest. */
#ifndef DS_TOKENIZER_ADDED_TOKENS_H
#define DS_TOKENIZER_ADDED_TOKENS_H

#include "base/arena.h"

typedef struct ds__added_token {
    ds__str content; /* as in the file */
    ds__str pattern; /* what is looked for: the content, normalised if `normalized` */
    int32_t id;
    bool single_word;    /* only where no word character touches it */
    bool lstrip, rstrip; /* takes the white space before, behind it along */
    bool normalized, special;
} ds__added_token;

typedef struct ds__added_set {
    const ds__added_token **sorted; /* by pattern; equal ones: the first found wins */
    size_t count;
    bool starts[256]; /* whether a pattern begins with this byte */
    int only_start;   /* the byte, if all begin with the same one; else -1 */
} ds__added_set;

/* A match as it was found, and the bytes that it takes along. */
typedef struct ds__added_match {
    const ds__added_token *token;
    size_t start, end;
} ds__added_match;

/* Picks those of the tokens that are (not) normalised. Empty patterns are left out. Memory of the arena. */
bool ds__added_set_init(ds__added_set *set, ds__arena *arena, const ds__added_token *tokens, size_t count,
                        bool normalized) DS_MUST_CHECK;

/* The next match in valid UTF-8.  *from: where to look, moved behind what was found; taken: the end of the match
 * before, which stripped white space does not reach behind. false: no more. */
bool ds__added_next(const ds__added_set *set, ds__str text, size_t *from, size_t taken, ds__added_match *match);

#endif
