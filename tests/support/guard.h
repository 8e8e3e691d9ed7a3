/* Buffers that fault when one byte too many is touched: the last byte lies right before a page without access.
 *
 * What lies before the buffer is filled with a known byte and looked at when the buffer is freed, so a write in front
 * of it (and, for an aligned buffer, in the few bytes between its end and the page) is caught as well, only later. */
#ifndef DS_TESTS_SUPPORT_GUARD_H
#define DS_TESTS_SUPPORT_GUARD_H

#include <stddef.h>

/* Aligned only as `bytes` makes it: a whole number of floats gives a float's alignment, and no more than by chance. The
 * content is 0xff bytes: NaNs, as floats. Stops the test when memory runs out. */
void *guard_alloc(size_t bytes);
/* Starts at a multiple of `alignment` (a power of two up to a page), so that up to alignment - 1 bytes may follow. */
void *guard_alloc_aligned(size_t bytes, size_t alignment);
/* Fails the test when bytes outside the buffer changed; NULL is allowed. */
void guard_free(void *memory);

#endif
