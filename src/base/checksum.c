/* The sum of checksum.h. */
#include "base/checksum.h"

#include <string.h>

#include "base/random.h"

static const uint64_t FNV_START = 0xcbf29ce484222325u, FNV_PRIME = 0x100000001b3u;

static inline uint64_t step(uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * FNV_PRIME;
    return lane ^ lane >> 32;
}

/* Lanes are held in variables, which a compiler keeps in registers. */
static void add_blocks(ds__checksum *sum, const unsigned char *data, size_t blocks) {
    uint64_t a = sum->lanes[0], b = sum->lanes[1], c = sum->lanes[2], d = sum->lanes[3];
    for (size_t i = 0; i < blocks; i++, data += DS__CHECKSUM_BLOCK) {
        uint64_t words[DS__CHECKSUM_LANES];
        memcpy(words, data, sizeof words);
        a = step(a, words[0]);
        b = step(b, words[1]);
        c = step(c, words[2]);
        d = step(d, words[3]);
    }
    sum->lanes[0] = a, sum->lanes[1] = b, sum->lanes[2] = c, sum->lanes[3] = d;
}

void ds__checksum_init(ds__checksum *sum) {
    *sum = (ds__checksum){.bytes = 0};
    for (int i = 0; i < DS__CHECKSUM_LANES; i++) sum->lanes[i] = FNV_START + (uint64_t)i;
}

void ds__checksum_add(ds__checksum *sum, const void *data, size_t bytes) {
    const unsigned char *at = data;
    size_t kept = (size_t)(sum->bytes % DS__CHECKSUM_BLOCK);
    if (!bytes) return;
    sum->bytes += bytes;
    if (kept) {
        size_t take = DS__CHECKSUM_BLOCK - kept < bytes ? DS__CHECKSUM_BLOCK - kept : bytes;
        memcpy(sum->rest + kept, at, take);
        at += take;
        bytes -= take;
        if (kept + take < DS__CHECKSUM_BLOCK) return;
        add_blocks(sum, sum->rest, 1);
    }
    add_blocks(sum, at, bytes / DS__CHECKSUM_BLOCK);
    memcpy(sum->rest, at + bytes / DS__CHECKSUM_BLOCK * DS__CHECKSUM_BLOCK, bytes % DS__CHECKSUM_BLOCK);
}

uint64_t ds__checksum_value(const ds__checksum *sum) {
    ds__checksum last = *sum;
    size_t kept = (size_t)(last.bytes % DS__CHECKSUM_BLOCK);
    memset(last.rest + kept, 0, sizeof last.rest - kept);
    if (kept) add_blocks(&last, last.rest, 1);
    ds__random mix = {last.bytes};
    for (int i = 0; i < DS__CHECKSUM_LANES; i++) mix.state = ds__random_u64(&mix) ^ last.lanes[i];
    return ds__random_u64(&mix);
}
