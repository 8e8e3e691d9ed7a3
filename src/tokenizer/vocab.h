/* The vocabulary: tokens to ids and back.  An open-addressing hash table over token texts that stand in one block.
 *
 * The hash runs over the bytes from left to right, so that a caller who looks for the longest prefix of a word has the
 * hashes of all prefixes after one pass. Filled while a tokenizer is opened, then read-only. */
#ifndef DS_TOKENIZER_VOCAB_H
#define DS_TOKENIZER_VOCAB_H

#include "base/alloc.h"
#include "base/str.h"

enum {
    DS__MAX_ID = (1 << 24) - 1,      /* ids over this are a mistake in the file, or an attack */
    DS__MAX_TOKEN_BYTES = 64 * 1024, /* the same for the text of one token */
};

typedef struct ds__vocab_entry {
    uint32_t offset, size; /* in `bytes` */
    int32_t id;
} ds__vocab_entry;

typedef struct ds__vocab_slot {
    uint32_t check; /* other bits of the hash than those that chose the slot */
    uint32_t entry; /* its index plus 1; 0: free */
} ds__vocab_slot;

typedef struct ds__vocab {
    ds__heap *heap;
    char *bytes; /* the texts, back to back */
    size_t byte_count, byte_capacity;
    ds__vocab_entry *entries; /* by rising id once sorted */
    size_t count, capacity;
    ds__vocab_slot *slots;
    size_t slot_count; /* a power of two */
    int shift;         /* 64 - log2(slot_count) */
    int32_t size;      /* the highest id plus 1 */
    uint32_t longest;  /* bytes of the longest token */
    bool sorted;
} ds__vocab;

void ds__vocab_init(ds__vocab *vocab, ds__heap *heap);
void ds__vocab_deinit(ds__vocab *vocab);

/* A text that is there already gets the new id (the last one wins, as in every JSON reader and in BERT's vocab.txt).
 * false: out of memory, or over 4 GiB of text. The caller has checked id and size against the limits above. */
bool ds__vocab_put(ds__vocab *vocab, ds__str text, int32_t id) DS_MUST_CHECK;
/* Puts the entries in order, for ds__vocab_text. false: two tokens have the id *twice, or memory ran out (*twice is
 * -1). */
bool ds__vocab_sort(ds__vocab *vocab, int32_t *twice) DS_MUST_CHECK;

/* -1 if it is not there. */
int32_t ds__vocab_find(const ds__vocab *vocab, ds__str text);
/* The text of an id; .data is NULL if no token has it. Sorted vocabularies only. */
ds__str ds__vocab_text(const ds__vocab *vocab, int32_t id);

/* FNV-1a with 64 bits. */
#define DS__VOCAB_SEED UINT64_C(0xcbf29ce484222325)
static inline uint64_t ds__vocab_step(uint64_t state, char byte) {
    return (state ^ (unsigned char)byte) * UINT64_C(0x100000001b3);
}

static inline uint64_t ds__vocab_hash(uint64_t state, ds__str text) {
    for (size_t i = 0; i < text.size; i++) state = ds__vocab_step(state, text.data[i]);
    return state;
}

/* The id of the token head + tail, whose hash is `state`; -1 if it is not there. */
static inline int32_t ds__vocab_probe(const ds__vocab *vocab, uint64_t state, ds__str head, ds__str tail) {
    uint64_t mixed = state * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(mixed >> vocab->shift), mask = vocab->slot_count - 1;
    for (;; at = (at + 1) & mask) {
        ds__vocab_slot slot = vocab->slots[at];
        if (!slot.entry) return -1;
        if (slot.check != (uint32_t)mixed) continue;
        const ds__vocab_entry *entry = &vocab->entries[slot.entry - 1];
        const char *text = vocab->bytes + entry->offset;
        if (entry->size == head.size + tail.size && memcmp(text + head.size, tail.data, tail.size) == 0 &&
            (head.size == 0 || memcmp(text, head.data, head.size) == 0))
            return entry->id;
    }
}

#endif
