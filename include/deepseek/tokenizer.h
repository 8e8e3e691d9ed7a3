/* Text to token ids.  Needs only the tokenizer's files of a model folder. */
#ifndef DEEPSEEK_TOKENIZER_H
#define DEEPSEEK_TOKENIZER_H

#include <stdbool.h>

#include "deepseek/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ds_tokenizer ds_tokenizer;
typedef struct ds_encoding ds_encoding;

/* A text: bytes that should be UTF-8 (each invalid part counts as U+FFFD) and may contain NUL. */
typedef struct ds_text {
    const char *data;
    size_t size; /* bytes */
} ds_text;

/* folder: holds tokenizer.json (WordPiece or byte-level BPE), or vocab.txt with an optional tokenizer_config.json.
 * *out may be used by many threads at once. */
DS_API DS_MUST_CHECK ds_status ds_tokenizer_open(ds_context *context, const char *folder, ds_tokenizer **out,
                                                 ds_error *error);
DS_API void ds_tokenizer_close(ds_tokenizer *tokenizer);

/* How many ids there are, added tokens included; the id of a token (-1 if none); the token of an id (NULL if none; not
 * necessarily NUL-free; borrowed). */
DS_API int32_t ds_tokenizer_size(const ds_tokenizer *tokenizer);
DS_API int32_t ds_tokenizer_id(const ds_tokenizer *tokenizer, ds_text token);
DS_API ds_text ds_tokenizer_token(const ds_tokenizer *tokenizer, int32_t id);

/* A reusable result: its memory grows to the longest text seen and then stays. Not for two threads at once. */
DS_API DS_MUST_CHECK ds_status ds_encoding_create(ds_context *context, ds_encoding **out, ds_error *error);
DS_API void ds_encoding_destroy(ds_encoding *encoding);

/* pair: NULL for a single text.  max_tokens: 0 never truncates, else at most so many ids, special tokens included (the
 * longer of two texts is cut first).  Special tokens are added as the tokenizer's template says. */
DS_API DS_MUST_CHECK ds_status ds_tokenizer_encode(const ds_tokenizer *tokenizer, ds_text text, const ds_text *pair,
                                                   int32_t max_tokens, ds_encoding *encoding, ds_error *error);

/* Borrowed until the next encode with the same object; each array has ds_encoding_size entries. */
DS_API size_t ds_encoding_size(const ds_encoding *encoding);
DS_API const int32_t *ds_encoding_ids(const ds_encoding *encoding);
DS_API const int32_t *ds_encoding_type_ids(const ds_encoding *encoding); /* 0 for the first text, 1 for the second */
/* [size][2]: first byte and the one behind the last, in the text the token came from; 0, 0 for special tokens added. */
DS_API const int32_t *ds_encoding_offsets(const ds_encoding *encoding);
/* Which word (as the pre-splitter cut it) of its text a token belongs to; -1 for special tokens added. */
DS_API const int32_t *ds_encoding_words(const ds_encoding *encoding);
/* How many tokens truncation dropped. */
DS_API size_t ds_encoding_dropped(const ds_encoding *encoding);

#ifdef __cplusplus
}
#endif
#endif
