/* Merging.  Short words scan for the best pair each time, which for a dozen symbols is faster than any queue; long ones
 * (a whole text without a pre-splitter) use a heap, so that time stays n log n.  Words of an encoding's recent past
 * come out of a small cache: text repeats itself. */
#include "tokenizer/bpe.h"

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/unicode.h"

enum {
    SHORT_WORD = 40, /* symbols */
    CACHE_ENTRIES = 4096,
    CACHED_BYTES = 28, /* a longer word or one of more tokens is not cached; an entry is one cache line */
    CACHED_TOKENS = 6,
};

/* A symbol: word[start..end). In a linked list while in the heap; id -1: merged away. */
struct ds__bpe_symbol {
    int32_t id;
    uint32_t start, end;
    uint32_t previous, next; /* NONE at the ends */
};

struct ds__bpe_candidate {
    uint32_t rank, at; /* the pair's left symbol */
    int32_t left, right;
};

struct ds__bpe_cached {
    uint32_t generation;
    unsigned char size, tokens;
    unsigned char ends[CACHED_TOKENS]; /* in bytes of the word */
    int32_t ids[CACHED_TOKENS];
    char word[CACHED_BYTES];
};

typedef struct ds__bpe_symbol symbol;
typedef struct ds__bpe_candidate candidate;
typedef struct ds__bpe_cached cached;

static const uint32_t NONE = UINT32_MAX;

uint32_t ds__byte_character(unsigned char byte) {
    if ((byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD)) return byte;
    /* The others follow from U+0100 on, in order: 0 to 0x20, 0x7F to 0xA0, 0xAD. */
    return byte <= ' ' ? 0x100u + byte : byte == 0xAD ? 0x143 : 0x100u + 33 + (byte - 0x7Fu);
}

/* ---- the table of merges ---- */

static size_t merge_slot(const ds__bpe *bpe, uint64_t pair) {
    return (size_t)((pair * UINT64_C(0x9e3779b97f4a7c15)) >> bpe->shift);
}

static const ds__bpe_merge *find_merge(const ds__bpe *bpe, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t at = merge_slot(bpe, pair);; at = (at + 1) & (bpe->merge_slots - 1)) {
        const ds__bpe_merge *merge = &bpe->merges[at];
        if (merge->pair == pair) return merge;
        if (merge->pair == UINT64_MAX) return NULL;
    }
}

bool ds__bpe_reserve(ds__bpe *bpe, ds__heap *heap, size_t count) {
    size_t slots = bpe->merge_slots ? bpe->merge_slots : 16;
    while (count * 4 > slots * 3) slots *= 2;
    if (slots == bpe->merge_slots) return true;
    ds__bpe old = *bpe;
    bpe->merges = ds__alloc(heap, slots * sizeof *bpe->merges);
    if (!bpe->merges) {
        *bpe = old;
        return false;
    }
    memset(bpe->merges, 0xFF, slots * sizeof *bpe->merges);
    bpe->merge_slots = slots;
    bpe->shift = 64 - __builtin_ctzll(slots);
    bpe->merge_count = 0;
    for (size_t i = 0; i < old.merge_slots; i++)
        if (old.merges[i].pair != UINT64_MAX)
            ds__bpe_add_merge(bpe, (int32_t)(old.merges[i].pair >> 32), (int32_t)old.merges[i].pair, old.merges[i].rank,
                              old.merges[i].id);
    ds__free(heap, old.merges, old.merge_slots * sizeof *old.merges);
    return true;
}

void ds__bpe_add_merge(ds__bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = merge_slot(bpe, pair);
    while (bpe->merges[at].pair != UINT64_MAX && bpe->merges[at].pair != pair) at = (at + 1) & (bpe->merge_slots - 1);
    bpe->merge_count += bpe->merges[at].pair == UINT64_MAX;
    bpe->merges[at] = (ds__bpe_merge){pair, rank, id};
}

void ds__bpe_init_bytes(ds__bpe *bpe, const ds__vocab *vocab) {
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        size_t size = ds__utf8_encode(ds__byte_character((unsigned char)byte), text);
        bpe->byte_ids[byte] = ds__vocab_find(vocab, (ds__str){text, size});
    }
}

void ds__bpe_deinit(ds__bpe *bpe, ds__heap *heap) {
    ds__free(heap, bpe->merges, bpe->merge_slots * sizeof *bpe->merges);
    *bpe = (ds__bpe){0};
}

void ds__bpe_forget(ds__bpe_scratch *scratch) {
    if (++scratch->generation != 0 || !scratch->cache) return;
    memset(scratch->cache, 0, CACHE_ENTRIES * sizeof *scratch->cache); /* the count came round after 2^32 */
    scratch->generation = 1;
}

void ds__bpe_scratch_deinit(ds__bpe_scratch *scratch, ds__heap *heap) {
    ds__free(heap, scratch->symbols, scratch->symbol_capacity * sizeof *scratch->symbols);
    ds__free(heap, scratch->heap, scratch->heap_capacity * sizeof *scratch->heap);
    ds__free(heap, scratch->cache, CACHE_ENTRIES * sizeof *scratch->cache);
    *scratch = (ds__bpe_scratch){0};
}

/* ---- from text to symbols ---- */

/* The word's characters or bytes as symbols [<= size]; returns how many. */
static size_t read_symbols(const ds__bpe *bpe, const ds__vocab *vocab, ds__str word, symbol *symbols) {
    size_t count = 0;
    bool fuses = false; /* the symbol before is unknown and takes up the next unknown one */
    for (uint32_t at = 0, bytes; at < word.size; at += bytes) {
        uint32_t code;
        int32_t id;
        if (bpe->bytes) {
            bytes = 1;
            id = bpe->byte_ids[(unsigned char)word.data[at]];
        } else {
            bytes = ds__uni_next(word.data + at, &code);
            id = ds__vocab_find(vocab, (ds__str){word.data + at, bytes});
        }
        bool known = id >= 0;
        if (!known && bpe->unknown < 0) continue;
        if (!known && fuses)
            symbols[count - 1].end = at + bytes;
        else
            symbols[count++] = (symbol){known ? id : bpe->unknown, at, at + bytes, NONE, NONE};
        fuses = !known && bpe->fuse_unknown;
    }
    return count;
}

/* ---- short words ---- */

/* Merges in place; returns how many symbols are left. */
static size_t merge_short(const ds__bpe *bpe, symbol *symbols, size_t count) {
    uint32_t ranks[SHORT_WORD];
    int32_t ids[SHORT_WORD]; /* of pair i: symbols i and i + 1 */
    for (size_t i = 0; i + 1 < count; i++) {
        const ds__bpe_merge *merge = find_merge(bpe, symbols[i].id, symbols[i + 1].id);
        ranks[i] = merge ? merge->rank : DS__BPE_NO_RANK;
        ids[i] = merge ? merge->id : -1;
    }
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == DS__BPE_NO_RANK) break;
        symbols[best].id = ids[best];
        symbols[best].end = symbols[best + 1].end;
        count--;
        for (size_t i = best + 1; i < count; i++) symbols[i] = symbols[i + 1];
        for (size_t i = best + 1; i + 1 < count; i++) {
            ranks[i] = ranks[i + 1];
            ids[i] = ids[i + 1];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < count; i++) {
            const ds__bpe_merge *merge = find_merge(bpe, symbols[i].id, symbols[i + 1].id);
            ranks[i] = merge ? merge->rank : DS__BPE_NO_RANK;
            ids[i] = merge ? merge->id : -1;
        }
    }
    return count;
}

/* ---- long words ---- */

static bool before(candidate a, candidate b) { return a.rank != b.rank ? a.rank < b.rank : a.at < b.at; }

static void sift_up(candidate *heap, size_t at) {
    candidate item = heap[at];
    for (; at > 0 && before(item, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

static void sift_down(candidate *heap, size_t count) {
    candidate item = heap[0];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], item)) break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

/* Adds the pair that begins at this symbol, if it can be merged. */
static void offer(const ds__bpe *bpe, const symbol *symbols, uint32_t at, candidate *heap, size_t *count) {
    if (at == NONE || symbols[at].next == NONE) return;
    int32_t left = symbols[at].id, right = symbols[symbols[at].next].id;
    const ds__bpe_merge *merge = find_merge(bpe, left, right);
    if (!merge) return;
    heap[(*count)++] = (candidate){merge->rank, at, left, right};
    sift_up(heap, *count - 1);
}

/* heap: [3 * count]: each merge adds at most two pairs to the count - 1 of the beginning. */
static size_t merge_long(const ds__bpe *bpe, symbol *symbols, size_t count, candidate *heap) {
    size_t candidates = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        symbols[i].previous = i ? (uint32_t)i - 1 : NONE;
        symbols[i].next = i + 1 < count ? (uint32_t)i + 1 : NONE;
    }
    for (size_t i = 0; i < count; i++) offer(bpe, symbols, (uint32_t)i, heap, &candidates);
    while (candidates) {
        candidate top = heap[0];
        heap[0] = heap[--candidates];
        if (candidates) sift_down(heap, candidates);
        symbol *left = &symbols[top.at];
        if (left->id != top.left || left->next == NONE || symbols[left->next].id != top.right) continue; /* stale */
        symbol *right = &symbols[left->next];
        left->id = find_merge(bpe, top.left, top.right)->id;
        left->end = right->end;
        left->next = right->next;
        right->id = -1;
        if (left->next != NONE) symbols[left->next].previous = top.at;
        offer(bpe, symbols, left->previous, heap, &candidates);
        offer(bpe, symbols, top.at, heap, &candidates);
    }
    for (size_t i = 0; i < count; i++)
        if (symbols[i].id >= 0) symbols[kept++] = symbols[i];
    return kept;
}

/* ---- a word ---- */

static ds_status reserve(ds_encoding *encoding, size_t symbols, ds_error *error) {
    ds__bpe_scratch *scratch = &encoding->bpe;
    if (!ds__grow(encoding->heap, (void **)&scratch->symbols, &scratch->symbol_capacity, symbols,
                  sizeof *scratch->symbols))
        return ds__alloc_failed(encoding->heap, symbols * sizeof *scratch->symbols, "a word's symbols", error);
    if (symbols > SHORT_WORD &&
        !ds__grow(encoding->heap, (void **)&scratch->heap, &scratch->heap_capacity, 3 * symbols, sizeof *scratch->heap))
        return ds__alloc_failed(encoding->heap, 3 * symbols * sizeof *scratch->heap, "a long word's pairs", error);
    return DS_OK;
}

/* The token that the whole word is, or -1. For byte-level vocabularies the word is spelled in their alphabet first. */
static int32_t whole_token(const ds__bpe *bpe, const ds__vocab *vocab, ds__str word) {
    if (!bpe->bytes) return ds__vocab_find(vocab, word);
    char spelled[512];
    size_t size = 0;
    if (word.size > sizeof spelled / 2) return -1;
    for (size_t i = 0; i < word.size; i++)
        size += ds__utf8_encode(ds__byte_character((unsigned char)word.data[i]), spelled + size);
    return ds__vocab_find(vocab, (ds__str){spelled, size});
}

/* Cuts the word into symbols[0..*count). */
static ds_status cut(const ds__bpe *bpe, const ds__vocab *vocab, ds_encoding *encoding, ds__str word, size_t *count,
                     ds_error *error) {
    ds__bpe_scratch *scratch = &encoding->bpe;
    DS_TRY(reserve(encoding, word.size, error));
    int32_t whole = bpe->ignore_merges ? whole_token(bpe, vocab, word) : -1;
    if (whole >= 0) {
        scratch->symbols[0] = (symbol){whole, 0, (uint32_t)word.size, NONE, NONE};
        *count = 1;
        return DS_OK;
    }
    *count = read_symbols(bpe, vocab, word, scratch->symbols);
    *count = *count <= SHORT_WORD ? merge_short(bpe, scratch->symbols, *count)
                                  : merge_long(bpe, scratch->symbols, *count, scratch->heap);
    return DS_OK;
}

/* The cache's place for a word: eight bytes at a time, as one number each, through a multiplication. */
static cached *cache_place(ds__bpe_scratch *scratch, ds__str word) {
    uint64_t hash = word.size, part;
    size_t i = 0;
    for (; i + 8 <= word.size; i += 8) {
        memcpy(&part, word.data + i, 8);
        hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    part = 0;
    memcpy(&part, word.data + i, word.size - i);
    hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
    return &scratch->cache[hash >> 52];
}

ds_status ds__bpe_encode(const ds__bpe *bpe, const ds__vocab *vocab, ds_encoding *encoding, const ds__view *view,
                         ds__piece piece, ds_error *error) {
    _Static_assert(CACHE_ENTRIES == 1 << 12, "cache_place takes twelve bits of the hash");
    ds__bpe_scratch *scratch = &encoding->bpe;
    ds__str word = {view->text + piece.start, piece.end - piece.start};
    DS_TRY(ds__encoding_reserve(encoding, word.size, error));
    if (!scratch->cache) {
        scratch->cache = ds__alloc_zeroed(encoding->heap, CACHE_ENTRIES * sizeof *scratch->cache);
        if (!scratch->cache)
            return ds__alloc_failed(encoding->heap, CACHE_ENTRIES * sizeof *scratch->cache, "the word cache", error);
        if (!scratch->generation) scratch->generation = 1; /* 0 marks an empty entry */
    }
    cached *entry = word.size <= CACHED_BYTES ? cache_place(scratch, word) : NULL;
    if (entry && entry->generation == scratch->generation && entry->size == word.size &&
        memcmp(entry->word, word.data, word.size) == 0) {
        for (size_t i = 0, at = 0; i < entry->tokens; at = entry->ends[i++])
            ds__encoding_push(encoding, view, entry->ids[i], piece.start + at, piece.start + entry->ends[i]);
        return DS_OK;
    }
    size_t count;
    DS_TRY(cut(bpe, vocab, encoding, word, &count, error));
    bool gapless = true;
    for (size_t i = 0, at = 0; i < count; i++) {
        const symbol *s = &scratch->symbols[i];
        gapless = gapless && s->start == at;
        at = s->end;
        ds__encoding_push(encoding, view, s->id, piece.start + s->start, piece.start + s->end);
    }
    if (entry && gapless && count <= CACHED_TOKENS) {
        *entry = (cached){
            .generation = scratch->generation, .size = (unsigned char)word.size, .tokens = (unsigned char)count};
        memcpy(entry->word, word.data, word.size);
        for (size_t i = 0; i < count; i++) {
            entry->ids[i] = scratch->symbols[i].id;
            entry->ends[i] = (unsigned char)scratch->symbols[i].end;
        }
    }
    return DS_OK;
}
