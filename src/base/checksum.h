/* A 64-bit sum over a run of bytes: tells a file that was torn or damaged from a whole one.  Not for secrets, and no
 * guard against somebody who wants to deceive.
 *
 * Four lanes take turns with the 8-byte words, each as FNV-1a does with bytes (xor, then a product), but with its upper
 * bits folded down behind each product, since a product alone never carries a high bit to a lower place.  Each step can
 * be undone, so a change within one word is always seen.  The lanes are there because products must wait for each other
 * within one, not between them. */
#ifndef DS_BASE_CHECKSUM_H
#define DS_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

enum { DS__CHECKSUM_LANES = 4, DS__CHECKSUM_BLOCK = 8 * DS__CHECKSUM_LANES };

typedef struct ds__checksum {
    uint64_t lanes[DS__CHECKSUM_LANES], bytes;
    unsigned char rest[DS__CHECKSUM_BLOCK]; /* the last bytes % BLOCK of what was given */
} ds__checksum;

void ds__checksum_init(ds__checksum *sum);
/* In pieces of any size; where they are cut makes no difference. */
void ds__checksum_add(ds__checksum *sum, const void *data, size_t bytes);
uint64_t ds__checksum_value(const ds__checksum *sum);

#endif
