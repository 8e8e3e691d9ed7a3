/* Arena: a chain of blocks, filled from the front. */
#include "base/arena.h"

#include <string.h>

struct ds__arena_block {
    ds__arena_block *next;
    size_t bytes, used; /* of the whole block, this header included */
};

enum { DEFAULT_BLOCK_BYTES = 16 * 1024, ITEM_ALIGNMENT = 16 };

static size_t header_bytes(void) {
    return (sizeof(ds__arena_block) + ITEM_ALIGNMENT - 1) / ITEM_ALIGNMENT * ITEM_ALIGNMENT;
}

void ds__arena_init(ds__arena *arena, ds__heap *heap, size_t block_bytes) {
    *arena = (ds__arena){.heap = heap, .block_bytes = block_bytes ? block_bytes : DEFAULT_BLOCK_BYTES};
}

void ds__arena_deinit(ds__arena *arena) {
    for (ds__arena_block *block = arena->first, *next; block; block = next) {
        next = block->next;
        ds__free(arena->heap, block, block->bytes);
    }
    arena->first = arena->current = NULL;
}

void ds__arena_reset(ds__arena *arena) {
    for (ds__arena_block *block = arena->first; block; block = block->next) block->used = header_bytes();
    arena->current = arena->first;
}

void ds__arena_wipe(ds__arena *arena, size_t keep) {
    size_t kept = 0;
    for (ds__arena_block **at = &arena->first, *block; (block = *at);) {
        explicit_bzero((char *)block + header_bytes(), block->used - header_bytes());
        if (block->bytes <= keep - kept) {
            kept += block->bytes;
            at = &block->next;
        } else {
            *at = block->next;
            ds__free(arena->heap, block, block->bytes);
        }
    }
    ds__arena_reset(arena);
}

/* Appends a block behind the current one (the blocks after it are empty ones kept by a reset). */
static ds__arena_block *add_block(ds__arena *arena, size_t bytes) {
    size_t wanted;
    if (!ds__size_add(bytes, header_bytes(), &wanted)) return NULL;
    if (wanted < arena->block_bytes) wanted = arena->block_bytes;
    ds__arena_block *block = ds__alloc(arena->heap, wanted);
    if (!block) return NULL;
    *block = (ds__arena_block){.bytes = wanted, .used = header_bytes()};
    if (arena->current) {
        block->next = arena->current->next;
        arena->current->next = block;
    } else {
        arena->first = block;
    }
    return block;
}

void *ds__arena_alloc(ds__arena *arena, size_t bytes) {
    size_t padded;
    if (!ds__size_add(bytes, ITEM_ALIGNMENT - 1, &padded)) return NULL;
    padded = padded / ITEM_ALIGNMENT * ITEM_ALIGNMENT;
    if (!padded) padded = ITEM_ALIGNMENT;
    ds__arena_block *block = arena->current;
    while (block && block->bytes - block->used < padded) block = block->next;
    if (!block) block = add_block(arena, padded);
    if (!block) return NULL;
    arena->current = block;
    void *memory = (char *)block + block->used;
    block->used += padded;
    return memory;
}

void *ds__arena_zeroed(ds__arena *arena, size_t bytes) {
    void *memory = ds__arena_alloc(arena, bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

ds__str ds__arena_copy(ds__arena *arena, ds__str text) {
    size_t bytes;
    char *copy = ds__size_add(text.size, 1, &bytes) ? ds__arena_alloc(arena, bytes) : NULL;
    if (!copy) return (ds__str){NULL, 0};
    if (text.size) memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return (ds__str){copy, text.size};
}
