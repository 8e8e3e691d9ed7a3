/* The allocator door. Counters are relaxed atomics: they are sums, nobody orders anything by them. */
#include "base/alloc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"

static void *libc_allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    void *memory = NULL;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void libc_release(void *user, void *memory, size_t bytes) {
    (void)user;
    (void)bytes;
    free(memory);
}

void ds__heap_init(ds__heap *heap, const ds_allocator *allocator, uint64_t limit) {
    memset(heap, 0, sizeof *heap);
    if (allocator && allocator->allocate && allocator->release)
        heap->host = *allocator;
    else
        heap->host = (ds_allocator){libc_allocate, libc_release, NULL};
    heap->limit = limit;
}

/* Room under the limit is taken before the host is asked, so that two threads can never both take the last bytes. */
static bool reserve(ds__heap *heap, size_t bytes) {
    uint64_t held = atomic_load_explicit(&heap->bytes, memory_order_relaxed);
    uint64_t wanted;
    do {
        if (__builtin_add_overflow(held, (uint64_t)bytes, &wanted)) return false;
        if (heap->limit && wanted > heap->limit) return false;
    } while (!atomic_compare_exchange_weak_explicit(&heap->bytes, &held, wanted, memory_order_relaxed,
                                                    memory_order_relaxed));
    uint64_t peak = atomic_load_explicit(&heap->peak_bytes, memory_order_relaxed);
    while (peak < wanted && !atomic_compare_exchange_weak_explicit(&heap->peak_bytes, &peak, wanted,
                                                                   memory_order_relaxed, memory_order_relaxed)) {}
    return true;
}

static size_t block_size(size_t bytes) { return bytes ? bytes : 1; }

void *ds__alloc(ds__heap *heap, size_t bytes) {
    bytes = block_size(bytes);
    uint64_t number = atomic_fetch_add_explicit(&heap->allocations, 1, memory_order_relaxed) + 1;
    bool injected = number == atomic_load_explicit(&heap->fail_at, memory_order_relaxed);
    bool reserved = !injected && bytes <= SIZE_MAX / 2 && reserve(heap, bytes);
    void *memory = reserved ? heap->host.allocate(heap->host.user, bytes, DS__ALIGNMENT) : NULL;
    if (memory) return memory;
    if (reserved) atomic_fetch_sub_explicit(&heap->bytes, bytes, memory_order_relaxed);
    bool by_limit = heap->limit && !injected && !reserved;
    atomic_store_explicit(&heap->refused_bytes, by_limit ? bytes : 0, memory_order_relaxed);
    return NULL;
}

void ds__hint_large_pages(void *memory, size_t bytes) {
    enum { LARGE_PAGE = 2 << 20 };
    uintptr_t first = ((uintptr_t)memory + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    uintptr_t end = ((uintptr_t)memory + bytes) / LARGE_PAGE * LARGE_PAGE;
    if (end > first) madvise((void *)first, end - first, MADV_HUGEPAGE); /* refusing it costs nothing */
}

void *ds__alloc_zeroed(ds__heap *heap, size_t bytes) {
    void *memory = ds__alloc(heap, bytes);
    if (memory) memset(memory, 0, block_size(bytes));
    return memory;
}

void ds__free(ds__heap *heap, void *memory, size_t bytes) {
    if (!memory) return;
    bytes = block_size(bytes);
    heap->host.release(heap->host.user, memory, bytes);
    atomic_fetch_sub_explicit(&heap->bytes, bytes, memory_order_relaxed);
}

void *ds__resize(ds__heap *heap, void *memory, size_t old_bytes, size_t new_bytes) {
    void *moved = ds__alloc(heap, new_bytes);
    if (!moved) return NULL;
    if (memory) memcpy(moved, memory, old_bytes < new_bytes ? old_bytes : new_bytes);
    ds__free(heap, memory, old_bytes);
    return moved;
}

ds_status ds__alloc_failed(const ds__heap *heap, size_t bytes, const char *what, ds_error *error) {
    uint64_t held = atomic_load_explicit(&heap->bytes, memory_order_relaxed);
    /* What was really asked for may be more than what the caller knows: a growing array doubles. */
    uint64_t refused = atomic_load_explicit(&heap->refused_bytes, memory_order_relaxed);
    if (refused)
        return ds__fail(error, DS_MEMORY_LIMIT,
                        "%s needs %" PRIu64 " bytes, but only %" PRIu64 " of the memory limit of %" PRIu64
                        " are left; raise the limit or lower the batch or sequence length",
                        what, refused, heap->limit > held ? heap->limit - held : 0, heap->limit);
    return ds__fail(error, DS_OUT_OF_MEMORY, "out of memory: the allocator refused %zu bytes for %s (%" PRIu64 " held)",
                    bytes, what, held);
}

bool ds__grow(ds__heap *heap, void **items, size_t *capacity, size_t count, size_t item_bytes) {
    if (count <= *capacity) return true;
    size_t wanted = *capacity < 8 ? 8 : *capacity, bytes;
    while (wanted < count)
        if (!ds__size_mul(wanted, 2, &wanted)) return false;
    if (!ds__size_mul(wanted, item_bytes, &bytes)) return false;
    void *moved = ds__resize(heap, *items, *capacity * item_bytes, bytes);
    if (!moved) return false;
    *items = moved;
    *capacity = wanted;
    return true;
}
