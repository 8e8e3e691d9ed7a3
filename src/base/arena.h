/* Memory that dies together: a model's names, a plan, a request.  Freed as a whole; reset keeps the blocks for reuse.
 */
#ifndef DS_BASE_ARENA_H
#define DS_BASE_ARENA_H

#include "base/alloc.h"
#include "base/str.h"

typedef struct ds__arena_block ds__arena_block;

typedef struct ds__arena {
    ds__heap *heap;
    ds__arena_block *first, *current;
    size_t block_bytes;
} ds__arena;

/* block_bytes: how much is taken from the heap at a time (0: 16 KiB); larger requests get a block of their own. */
void ds__arena_init(ds__arena *arena, ds__heap *heap, size_t block_bytes);
void ds__arena_deinit(ds__arena *arena);
/* Everything handed out becomes invalid; the blocks stay. */
void ds__arena_reset(ds__arena *arena);
/* The same, and nothing of what lay there can be read from the memory any more; of the blocks, at most `keep` bytes
 * stay. */
void ds__arena_wipe(ds__arena *arena, size_t keep);

/* 16-byte aligned, NULL when memory runs out. */
void *ds__arena_alloc(ds__arena *arena, size_t bytes) DS_MUST_CHECK;
void *ds__arena_zeroed(ds__arena *arena, size_t bytes) DS_MUST_CHECK;
/* A copy of the bytes with a NUL behind it; .data is NULL when memory runs out. */
ds__str ds__arena_copy(ds__arena *arena, ds__str text);

#endif
