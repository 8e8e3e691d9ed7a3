/* The algorithm of attention in tiles, once for all instruction sets; a variant brings the steps on its registers.
 *
 * A block of queries goes through the keys, DS__ATTENTION_KEYS at a time from key 0 on.  The block lies transposed, its
 * queries side by side in the lanes of the registers, and the scores come out as [key][lane]: then the softmax needs no
 * sums across lanes, and a lane's arithmetic knows nothing of the others.  For each lane three things go from tile to
 * tile: the largest score so far (`top`), the sum of exp(score - top) (`total`) and the weighted sum of the rows of v
 * (`sums`); when `top` rises, the other two are scaled down. */
#ifndef DS_KERNELS_ATTENTION_LOOPS_H
#define DS_KERNELS_ATTENTION_LOOPS_H

#include <string.h>

#include "base/alloc.h"
#include "kernels/attention/attention.h"

enum {
    DS__ATTENTION_KEYS = 128, /* few enough that scores and rows of k and v stay near, many enough to amortise */
    DS__ATTENTION_GROUP =
        16, /* blocks of queries that go through a tile of keys together, before it leaves the cache */
    /* From so many blocks on, the tile's rows are first copied together: where they lie, all heads' columns stand
     * between them, which leaves them few of the first cache's sets and a page each. */
    DS__ATTENTION_COPY_FROM = 8,
};

/* The lanes beyond `queries` hold zeros in queries_t, take part in everything and are never written out. */
typedef struct ds__attention_block {
    const ds__attention_f32_args *args;
    size_t lanes;          /* the variant's, a constant */
    size_t first, queries; /* rows of q: first .. first + queries, at most `lanes` */
    size_t key, keys;      /* the present tile's */
    const float *k, *v;    /* its rows: where they lie, or a copy without gaps */
    size_t ldk, ldv;
    float *queries_t;                /* [head_dim][lanes], scaled */
    float *scores;                   /* [DS__ATTENTION_KEYS][lanes], then their exponentials */
    float *sums;                     /* [lanes][sums_row] */
    size_t sums_row;                 /* head_dim rounded up to 16 */
    float *top, *total, *correction; /* [lanes]; correction: what the present tile scales the older sums by */
} ds__attention_block;

typedef struct ds__attention_steps {
    size_t lanes;
    void (*load)(const ds__attention_block *block);   /* queries_t from q */
    void (*score)(const ds__attention_block *block);  /* scores from queries_t and k */
    void (*weigh)(const ds__attention_block *block);  /* mask, top, exponentials, total; on key 0 the first of all */
    void (*sum_up)(const ds__attention_block *block); /* sums from the exponentials and v */
    void (*store)(const ds__attention_block *block);  /* out from sums and total */
} ds__attention_steps;

static inline bool ds__attention_scratch(size_t lanes, size_t head_dim, size_t *floats) {
    size_t padded, bytes;
    if (!ds__size_add(head_dim, 15, &padded) || !ds__size_mul(padded, 2, floats) || !ds__size_add(*floats, 3, floats) ||
        !ds__size_mul(*floats, DS__ATTENTION_GROUP * lanes, floats))
        return false;
    return ds__size_add(*floats, lanes * DS__ATTENTION_KEYS, floats) &&
           ds__size_mul(padded, 2 * DS__ATTENTION_KEYS, &bytes) && ds__size_add(*floats, bytes, floats) &&
           ds__size_mul(*floats, sizeof(float), &bytes);
}

/* For the causal mask: how many lanes from the left do not see `key`. */
static inline size_t ds__attention_blind(const ds__attention_block *block, size_t key) {
    size_t position = block->args->first_query + block->first;
    if (key <= position) return 0;
    return key - position < block->lanes ? key - position : block->lanes;
}

/* Whether some lane does not see some key of the present tile. */
static inline bool ds__attention_masked(const ds__attention_block *block) {
    return block->args->mask == DS__MASK_CAUSAL && ds__attention_blind(block, block->key + block->keys - 1) > 0;
}

/* The block of queries that starts at `first`, with the `index`-th part of the scratch memory. */
static inline ds__attention_block ds__attention_block_at(const ds__attention_steps *steps,
                                                         const ds__attention_f32_args *args, size_t first,
                                                         size_t index) {
    const size_t lanes = steps->lanes, row = (args->head_dim + 15) / 16 * 16;
    ds__attention_block block = {.args = args, .lanes = lanes, .first = first, .sums_row = row};
    block.queries = args->queries - first < lanes ? args->queries - first : lanes;
    block.scores = args->scratch;
    block.top = block.scores + DS__ATTENTION_KEYS * lanes + index * lanes * (2 * row + 3);
    block.total = block.top + lanes;
    block.correction = block.total + lanes;
    block.sums = block.correction + lanes;
    block.queries_t = block.sums + row * lanes;
    return block;
}

/* The first key that no query of the block sees. */
static inline size_t ds__attention_end(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    const size_t seen = args->first_query + block->first + block->queries;
    return args->mask == DS__MASK_CAUSAL && seen < args->keys ? seen : args->keys;
}

/* Points the block at the rows of its tile. */
static inline void ds__attention_look(ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    block->k = args->k + block->key * args->ldk;
    block->v = args->v + block->key * args->ldv;
    block->ldk = args->ldk;
    block->ldv = args->ldv;
}

/* Copies the rows of a tile together, behind everything else in the scratch memory. */
static inline void ds__attention_copy(const ds__attention_steps *steps, ds__attention_block *block) {
    const size_t d = block->args->head_dim, row = block->sums_row;
    float *k =
        block->args->scratch + DS__ATTENTION_KEYS * steps->lanes + DS__ATTENTION_GROUP * steps->lanes * (2 * row + 3);
    float *v = k + DS__ATTENTION_KEYS * row;
    for (size_t j = 0; j < block->keys; j++) {
        memcpy(k + j * row, block->k + j * block->ldk, d * sizeof *k);
        memcpy(v + j * row, block->v + j * block->ldv, d * sizeof *v);
    }
    block->k = k;
    block->v = v;
    block->ldk = block->ldv = row;
}

static inline void ds__attention_run(const ds__attention_steps *steps, const ds__attention_f32_args *args) {
    ds__attention_block group[DS__ATTENTION_GROUP];
    for (size_t first = 0; first < args->queries;) {
        size_t count = 0;
        for (; count < DS__ATTENTION_GROUP && first < args->queries; first += steps->lanes, count++) {
            group[count] = ds__attention_block_at(steps, args, first, count);
            steps->load(&group[count]);
        }
        const size_t end = ds__attention_end(&group[count - 1]);
        for (size_t key = 0; key < end; key += DS__ATTENTION_KEYS) {
            ds__attention_block tile = group[count - 1]; /* the one that sees most keys */
            tile.key = key;
            tile.keys = end - key < DS__ATTENTION_KEYS ? end - key : DS__ATTENTION_KEYS;
            ds__attention_look(&tile);
            if (count >= DS__ATTENTION_COPY_FROM) ds__attention_copy(steps, &tile);
            for (size_t i = 0; i < count; i++) {
                ds__attention_block block = group[i];
                const size_t block_end = ds__attention_end(&block);
                if (key >= block_end) continue;
                block.key = key;
                block.keys = block_end - key < DS__ATTENTION_KEYS ? block_end - key : DS__ATTENTION_KEYS;
                block.k = tile.k;
                block.v = tile.v;
                block.ldk = tile.ldk;
                block.ldv = tile.ldv;
                steps->score(&block);
                steps->weigh(&block);
                steps->sum_up(&block);
            }
        }
        for (size_t i = 0; i < count; i++) steps->store(&group[i]);
    }
}

#endif
