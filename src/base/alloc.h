/* The one door through which the library gets memory: it counts, keeps to the context's limit, and can be told to fail.
 *
 * Everything is 64-byte aligned (a cache line and the widest register).  Frees are sized, so no block carries a header.
 */
#ifndef DS_BASE_ALLOC_H
#define DS_BASE_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "deepseek/context.h"

enum { DS__ALIGNMENT = 64 };

typedef struct ds__heap {
    ds_allocator host;
    uint64_t limit; /* 0: none */
    _Atomic uint64_t bytes, peak_bytes, allocations;
    /* What the last failed allocation asked for, when the limit refused it; 0 when the host or a test did. */
    _Atomic uint64_t refused_bytes;
    /* Tests only: the allocation with this number (counted from 1) and no other fails; 0: none. */
    _Atomic uint64_t fail_at;
} ds__heap;

/* allocator: NULL or all-NULL members for the C library's. */
void ds__heap_init(ds__heap *heap, const ds_allocator *allocator, uint64_t limit);

/* Uninitialised memory, or NULL (limit, host, or injected). bytes == 0 gives a valid unique pointer. */
void *ds__alloc(ds__heap *heap, size_t bytes) DS_MUST_CHECK;
void *ds__alloc_zeroed(ds__heap *heap, size_t bytes) DS_MUST_CHECK;
/* For memory that is used again and again at random places: asks the kernel for large pages. Not for what is written
 * once while somebody waits, since making a large page can take long. */
void ds__hint_large_pages(void *memory, size_t bytes);
/* `bytes` must be what was asked for. NULL is allowed. */
void ds__free(ds__heap *heap, void *memory, size_t bytes);
/* Keeps the first min(old, new) bytes; on NULL the old block is untouched. */
void *ds__resize(ds__heap *heap, void *memory, size_t old_bytes, size_t new_bytes) DS_MUST_CHECK;

/* After an allocation returned NULL: says whether the limit or the machine ran out, for what, with both numbers. */
ds_status ds__alloc_failed(const ds__heap *heap, size_t bytes, const char *what, ds_error *error);

/* Makes room for `count` elements in a growable array (doubling).  false: out of memory, nothing changed.
 * Usage: if (!ds__grow(heap, (void **)&v->items, &v->capacity, n + 1, sizeof *v->items)) ... */
bool ds__grow(ds__heap *heap, void **items, size_t *capacity, size_t count, size_t item_bytes) DS_MUST_CHECK;

/* Checked arithmetic for sizes that came from outside: false on overflow. */
static inline bool ds__size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool ds__size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

#endif
