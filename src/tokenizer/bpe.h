/* Byte-pair encoding: a word begins as its characters (or bytes); the pair that was learned first is merged, again and
 * again, the leftmost of equals first. */
#ifndef DS_TOKENIZER_BPE_H
#define DS_TOKENIZER_BPE_H

#include "tokenizer/encoding.h"
#include "tokenizer/vocab.h"

#define DS__BPE_NO_RANK UINT32_MAX

typedef struct ds__bpe_merge {
    uint64_t pair; /* left id << 32 | right id; ~0: free */
    uint32_t rank; /* the lower, the earlier */
    int32_t id;    /* what the two become */
} ds__bpe_merge;

typedef struct ds__bpe {
    ds__bpe_merge *merges; /* open addressing */
    size_t merge_slots, merge_count;
    int shift;
    int32_t unknown; /* what an unknown character becomes; -1: it goes without a trace */
    bool fuse_unknown;
    bool ignore_merges; /* a word that is a token is that token */
    bool bytes;         /* the tokens are written in GPT-2's alphabet of bytes */
    int32_t byte_ids[256];
} ds__bpe;

/* The alphabet: each byte is written as a character of its own that can be seen. `code` is below U+0180. */
uint32_t ds__byte_character(unsigned char byte);

/* Room for `count` merges in all; none is lost. false: out of memory. */
bool ds__bpe_reserve(ds__bpe *bpe, ds__heap *heap, size_t count) DS_MUST_CHECK;
/* There is room. A pair that is there already is replaced, as the reference does. */
void ds__bpe_add_merge(ds__bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id);
/* Looks up the ids of the bytes. */
void ds__bpe_init_bytes(ds__bpe *bpe, const ds__vocab *vocab);
void ds__bpe_deinit(ds__bpe *bpe, ds__heap *heap);

ds_status ds__bpe_encode(const ds__bpe *bpe, const ds__vocab *vocab, ds_encoding *encoding, const ds__view *view,
                         ds__piece word, ds_error *error) DS_MUST_CHECK;
/* Empties the cache. */
void ds__bpe_forget(ds__bpe_scratch *scratch);
void ds__bpe_scratch_deinit(ds__bpe_scratch *scratch, ds__heap *heap);

#endif
