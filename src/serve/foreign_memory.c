/* Blocks that remember their size in front of them. */
#include "serve/foreign_memory.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Keeps what follows aligned for everything that C has. */
typedef union block_head {
    size_t bytes; /* of the whole block */
    max_align_t alignment;
} block_head;

void *ds__foreign_alloc(ds__heap *heap, size_t bytes) {
    size_t whole;
    block_head *head = ds__size_add(bytes, sizeof *head, &whole) ? ds__alloc(heap, whole) : NULL;
    if (!head) {
        errno = ENOMEM; /* libevent would take an older EAGAIN for its reason, and try for ever */
        return NULL;
    }
    head->bytes = whole;
    return head + 1;
}

void ds__foreign_free(ds__heap *heap, void *memory) {
    if (!memory) return;
    block_head *head = (block_head *)memory - 1;
    ds__free(heap, head, head->bytes);
}

void *ds__foreign_resize(ds__heap *heap, void *memory, size_t bytes) {
    void *moved = ds__foreign_alloc(heap, bytes);
    if (!moved || !memory) return moved;
    size_t before = ((block_head *)memory - 1)->bytes - sizeof(block_head);
    memcpy(moved, memory, before < bytes ? before : bytes);
    ds__foreign_free(heap, memory);
    return moved;
}

/* ---- in the forms that the libraries have for it ---- */

static void *allocate(size_t size, void *user) { return ds__foreign_alloc(user, size); }
static void release(void *memory, void *user) { ds__foreign_free(user, memory); }
static void *resize(void *memory, size_t size, void *user) { return ds__foreign_resize(user, memory, size); }

static void *allocate_zeroed(size_t count, size_t size, void *user) {
    size_t bytes;
    void *memory = ds__size_mul(count, size, &bytes) ? ds__foreign_alloc(user, bytes) : NULL;
    if (memory) memset(memory, 0, bytes);
    return memory;
}

nghttp2_mem ds__foreign_nghttp2(ds__heap *heap) {
    return (nghttp2_mem){heap, allocate, release, allocate_zeroed, resize};
}

static void *zlib_allocate(void *user, unsigned count, unsigned size) {
    size_t bytes;
    return ds__size_mul(count, size, &bytes) ? ds__foreign_alloc(user, bytes) : NULL;
}

static void zlib_release(void *user, void *memory) { ds__foreign_free(user, memory); }

void ds__foreign_zlib(ds__heap *heap, z_stream *stream) {
    stream->zalloc = zlib_allocate;
    stream->zfree = zlib_release;
    stream->opaque = heap;
}
