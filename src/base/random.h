/* SplitMix64 (Steele, Lea, Flood 2014): small, seeded, the same everywhere.  Not for secrets. */
#ifndef DS_BASE_RANDOM_H
#define DS_BASE_RANDOM_H

#include <stdint.h>

typedef struct ds__random {
    uint64_t state;
} ds__random;

static inline uint64_t ds__random_u64(ds__random *random) {
    uint64_t z = (random->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [0, bound), bound > 0; the bias for small bounds is negligible. */
static inline uint32_t ds__random_below(ds__random *random, uint32_t bound) {
    return (uint32_t)(((ds__random_u64(random) >> 32) * bound) >> 32);
}

/* Uniform in [-1, 1). */
static inline float ds__random_f32(ds__random *random) {
    return (float)((double)(ds__random_u64(random) >> 11) * 0x1p-52 - 1.0);
}

#endif
