/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): random bits as a function of a key and a counter, so that what is
 * drawn for an element depends on neither threads nor order, and the backward pass can draw it again.
 *
 * Dropout's convention: element (row, column) of site `site` in draw `draw` looks at word column % 4 of the block with
 * counter {column / 4, row, site, draw} and key `seed`; it is dropped when the word is less than rate * 2^32. */
#ifndef DS_TENSOR_PHILOX_H
#define DS_TENSOR_PHILOX_H

#include <stdint.h>

/* Which dropout layer of a model, at which step, under which seed. */
typedef struct ds__dropout {
    uint32_t seed[2], site, draw;
    float rate; /* in [0, 1) */
} ds__dropout;

static inline void ds__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t left = (uint64_t)0xD2511F53u * c0, right = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(right >> 32) ^ c1 ^ k0, n2 = (uint32_t)(left >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)right;
        c3 = (uint32_t)left;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* A word below this drops its element. */
static inline uint32_t ds__dropout_threshold(float rate) {
    double words = (double)rate * 4294967296.0;
    return words >= 4294967295.0 ? 4294967295u : (uint32_t)words;
}
static inline float ds__dropout_scale(float rate) { return (float)(1.0 / (1.0 - (double)rate)); }

/* Whether element (row, column) stays: the definition; kernels draw four at once. */
static inline int ds__dropout_keeps(const ds__dropout *dropout, uint32_t row, uint32_t column) {
    uint32_t out[4];
    ds__philox((const uint32_t[4]){column / 4, row, dropout->site, dropout->draw}, dropout->seed, out);
    return out[column % 4] >= ds__dropout_threshold(dropout->rate);
}

#endif
