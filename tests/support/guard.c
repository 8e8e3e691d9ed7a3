/* mmap'd buffers in front of a page without access; see guard.h.
 *
 * One mapping: [slack, filled][header][buffer][0..alignment-1 bytes, filled][page without access]. */
#include "support/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILL = 0xa5, CONTENT = 0xff };

typedef struct header {
    unsigned char *mapping;
    size_t mapping_bytes, bytes;
    uint64_t magic; /* stands right before the buffer and says that nothing wrote over the rest */
} header;

static const uint64_t header_magic = 0x6775617264656421u;

static size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

void *guard_alloc_aligned(size_t bytes, size_t alignment) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t tail = round_up(bytes, alignment) - bytes;
    size_t usable = round_up(bytes + tail + sizeof(header), page);
    unsigned char *mapping = mmap(NULL, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping + usable, page, PROT_NONE) != 0)
        fail_msg("no memory for a guarded buffer");
    memset(mapping, FILL, usable);
    unsigned char *memory = mapping + usable - tail - bytes;
    memset(memory, CONTENT, bytes);
    header head = {mapping, usable + page, bytes, header_magic};
    memcpy(memory - sizeof head, &head, sizeof head);
    return memory;
}

void *guard_alloc(size_t bytes) { return guard_alloc_aligned(bytes, 1); }

static void check_fill(const unsigned char *from, const unsigned char *to) {
    for (; from < to; from++)
        if (*from != FILL) fail_msg("a byte outside a guarded buffer was written: %u in place of %d", *from, FILL);
}

void guard_free(void *memory) {
    if (!memory) return;
    header head;
    const unsigned char *start = memory;
    memcpy(&head, start - sizeof head, sizeof head);
    if (head.magic != header_magic) fail_msg("the bytes right before a guarded buffer were written");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    check_fill(head.mapping, start - sizeof head);
    check_fill(start + head.bytes, head.mapping + head.mapping_bytes - page);
    munmap(head.mapping, head.mapping_bytes);
}
