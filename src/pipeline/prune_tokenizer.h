/* A tokenizer's files with fewer tokens. */
#ifndef DS_PIPELINE_PRUNE_TOKENIZER_H
#define DS_PIPELINE_PRUNE_TOKENIZER_H

#include "base/save.h"
#include "pipeline/prune_vocab.h"

/* Whether a file of a model folder names tokens by their ids, so that it is not to be copied as it is. */
bool ds__prune_rewrites(const char *name);
/* Writes those that `folder` has: tokenizer.json, vocab.txt, tokenizer_config.json, added_tokens.json. */
ds_status ds__prune_write_tokenizer(const ds_tokenizer *tokenizer, const char *folder, const ds__kept_tokens *kept,
                                    ds__save *save, ds_error *error) DS_MUST_CHECK;

#endif
