/* Filling and ordering the vocabulary; the look-up is in the header, because the models' inner loops are made of it. */
#include "tokenizer/vocab.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 1 << 12 };

void ds__vocab_init(ds__vocab *vocab, ds__heap *heap) { *vocab = (ds__vocab){.heap = heap, .sorted = true}; }

void ds__vocab_deinit(ds__vocab *vocab) {
    ds__free(vocab->heap, vocab->bytes, vocab->byte_capacity);
    ds__free(vocab->heap, vocab->entries, vocab->capacity * sizeof *vocab->entries);
    ds__free(vocab->heap, vocab->slots, vocab->slot_count * sizeof *vocab->slots);
    ds__vocab_init(vocab, vocab->heap);
}

static ds__str text_of(const ds__vocab *vocab, const ds__vocab_entry *entry) {
    return (ds__str){vocab->bytes + entry->offset, entry->size};
}

/* Puts an entry that is known to be new into the first free slot. */
static void place(ds__vocab *vocab, size_t entry) {
    uint64_t mixed =
        ds__vocab_hash(DS__VOCAB_SEED, text_of(vocab, &vocab->entries[entry])) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(mixed >> vocab->shift);
    while (vocab->slots[at].entry) at = (at + 1) & (vocab->slot_count - 1);
    vocab->slots[at] = (ds__vocab_slot){(uint32_t)mixed, (uint32_t)entry + 1};
}

/* A fresh table of `slot_count` slots with every entry in it. */
static bool rebuild(ds__vocab *vocab, size_t slot_count) {
    ds__vocab_slot *slots = ds__alloc_zeroed(vocab->heap, slot_count * sizeof *slots);
    if (!slots) return false;
    ds__free(vocab->heap, vocab->slots, vocab->slot_count * sizeof *vocab->slots);
    vocab->slots = slots;
    vocab->slot_count = slot_count;
    vocab->shift = 64 - __builtin_ctzll(slot_count);
    for (size_t i = 0; i < vocab->count; i++) place(vocab, i);
    return true;
}

/* The entry of a text, or NULL. */
static ds__vocab_entry *find_entry(const ds__vocab *vocab, ds__str text, uint64_t mixed) {
    if (!vocab->slot_count) return NULL;
    for (size_t at = (size_t)(mixed >> vocab->shift);; at = (at + 1) & (vocab->slot_count - 1)) {
        ds__vocab_slot slot = vocab->slots[at];
        if (!slot.entry) return NULL;
        ds__vocab_entry *entry = &vocab->entries[slot.entry - 1];
        if (slot.check == (uint32_t)mixed && ds__str_equal(text_of(vocab, entry), text)) return entry;
    }
}

bool ds__vocab_put(ds__vocab *vocab, ds__str text, int32_t id) {
    uint64_t mixed = ds__vocab_hash(DS__VOCAB_SEED, text) * UINT64_C(0x9e3779b97f4a7c15);
    ds__vocab_entry *known = find_entry(vocab, text, mixed);
    if (known) {
        known->id = id;
        if (id >= vocab->size) vocab->size = id + 1;
        vocab->sorted = false;
        return true;
    }
    if (vocab->byte_count + text.size > UINT32_MAX) return false;
    if ((vocab->count + 1) * 4 > vocab->slot_count * 3 &&
        !rebuild(vocab, vocab->slot_count ? 2 * vocab->slot_count : FIRST_SLOTS))
        return false;
    if (!ds__grow(vocab->heap, (void **)&vocab->bytes, &vocab->byte_capacity, vocab->byte_count + text.size, 1) ||
        !ds__grow(vocab->heap, (void **)&vocab->entries, &vocab->capacity, vocab->count + 1, sizeof *vocab->entries))
        return false;
    if (text.size) memcpy(vocab->bytes + vocab->byte_count, text.data, text.size);
    vocab->entries[vocab->count++] = (ds__vocab_entry){(uint32_t)vocab->byte_count, (uint32_t)text.size, id};
    vocab->byte_count += text.size;
    if (text.size > vocab->longest) vocab->longest = (uint32_t)text.size;
    if (vocab->count > 1 && vocab->entries[vocab->count - 2].id >= id) vocab->sorted = false;
    if (id >= vocab->size) vocab->size = id + 1;
    size_t at = (size_t)(mixed >> vocab->shift);
    while (vocab->slots[at].entry) at = (at + 1) & (vocab->slot_count - 1);
    vocab->slots[at] = (ds__vocab_slot){(uint32_t)mixed, (uint32_t)vocab->count};
    return true;
}

static int by_id(const void *a, const void *b) {
    const ds__vocab_entry *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

bool ds__vocab_sort(ds__vocab *vocab, int32_t *twice) {
    *twice = -1;
    if (!vocab->slot_count && !rebuild(vocab, FIRST_SLOTS)) return false; /* so that look-ups need no special case */
    if (vocab->sorted) return true;
    qsort(vocab->entries, vocab->count, sizeof *vocab->entries, by_id);
    for (size_t i = 1; i < vocab->count; i++) {
        if (vocab->entries[i].id != vocab->entries[i - 1].id) continue;
        *twice = vocab->entries[i].id;
        return false;
    }
    if (!rebuild(vocab, vocab->slot_count)) return false;
    vocab->size = vocab->count ? vocab->entries[vocab->count - 1].id + 1 : 0;
    vocab->sorted = true;
    return true;
}

int32_t ds__vocab_find(const ds__vocab *vocab, ds__str text) {
    const ds__vocab_entry *entry =
        find_entry(vocab, text, ds__vocab_hash(DS__VOCAB_SEED, text) * UINT64_C(0x9e3779b97f4a7c15));
    return entry ? entry->id : -1;
}

ds__str ds__vocab_text(const ds__vocab *vocab, int32_t id) {
    if (id < 0 || id >= vocab->size) return (ds__str){NULL, 0};
    size_t low = 0, high = vocab->count;
    if ((size_t)id < vocab->count && vocab->entries[id].id == id) return text_of(vocab, &vocab->entries[id]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (vocab->entries[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < vocab->count && vocab->entries[low].id == id ? text_of(vocab, &vocab->entries[low])
                                                              : (ds__str){NULL, 0};
}
