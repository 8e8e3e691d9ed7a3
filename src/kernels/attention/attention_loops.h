/* The algorithm of attention in tiles, once for all instruction sets; a variant brings the steps on its registers.
 *
 * A block of queries goes through the keys, DS__ATTENTION_KEYS at a time from key 0 on.  The block lies transposed, its
 * queries side by side in the lanes of the registers, and the scores come out as [key][lane]: then the softmax needs no
 * sums across lanes, and a lane's arithmetic knows nothing of the others.  For each lane three things go from tile to
 * tile: the largest score so far (`top`), the sum of exp(score - top) (`total`) and the weighted sum of the rows of v
 * (`sums`); when `top` rises, the other two are scaled down. */
#ifndef DS_KERNELS_ATTENTION_LOOPS_H
#define DS_KERNELS_ATTENTION_LOOPS_H

#include "base/alloc.h"
#include "kernels/attention/attention.h"

enum { DS__ATTENTION_KEYS = 128 }; /* few enough that scores and rows of k and v stay near, many enough to amortise */

/* The lanes beyond `queries` hold zeros in queries_t, take part in everything and are never written out. */
typedef struct ds__attention_block {
    const ds__attention_f32_args *args;
    size_t lanes;                    /* the variant's, a constant */
    size_t first, queries;           /* rows of q: first .. first + queries, at most `lanes` */
    size_t key, keys;                /* the present tile's */
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
    if (!ds__size_add(head_dim, 15, &padded) || !ds__size_mul(padded, 2 * lanes, floats)) return false;
    return ds__size_add(*floats, lanes * (DS__ATTENTION_KEYS + 3), floats) &&
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

static inline void ds__attention_run(const ds__attention_steps *steps, const ds__attention_f32_args *args) {
    const size_t lanes = steps->lanes;
    ds__attention_block block = {.args = args, .lanes = lanes, .sums_row = (args->head_dim + 15) / 16 * 16};
    block.scores = args->scratch;
    block.top = block.scores + DS__ATTENTION_KEYS * lanes;
    block.total = block.top + lanes;
    block.correction = block.total + lanes;
    block.sums = block.correction + lanes;
    block.queries_t = block.sums + block.sums_row * lanes;
    for (block.first = 0; block.first < args->queries; block.first += lanes) {
        block.queries = args->queries - block.first < lanes ? args->queries - block.first : lanes;
        size_t end = args->keys; /* no query of the block sees this key or a later one */
        if (args->mask == DS__MASK_CAUSAL && args->first_query + block.first + block.queries < end)
            end = args->first_query + block.first + block.queries;
        steps->load(&block);
        for (block.key = 0; block.key < end; block.key += DS__ATTENTION_KEYS) {
            block.keys = end - block.key < DS__ATTENTION_KEYS ? end - block.key : DS__ATTENTION_KEYS;
            steps->score(&block);
            steps->weigh(&block);
            steps->sum_up(&block);
        }
        steps->store(&block);
    }
}

#endif
