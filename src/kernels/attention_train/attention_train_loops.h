/* The algorithm of attention in training, once for all instruction sets; a variant brings the steps on its registers.
 *
 * A block of queries meets the keys in tiles of DS__TRAIN_KEYS.  The block lies transposed, its queries side by side in
 * the lanes of the registers, and scores come out as [key][lane]: then softmax and dropout need nothing across lanes.
 *   forward: a block after another, the softmax online as in kernels/attention; out itself holds the weighted sums.
 *   backward: a block after another from the last one on, which sees all keys, so that the first touch of every row of
 * dk and dv writes and all later ones add.  With more than one tile, the block goes through the keys twice: for maximum
 * and sum, then for the gradients, where the scores are made again.  A sequence that fits one tile needs that not. */
#ifndef DS_KERNELS_ATTENTION_TRAIN_LOOPS_H
#define DS_KERNELS_ATTENTION_TRAIN_LOOPS_H

#include "base/alloc.h"
#include "kernels/attention_train/attention_train.h"
#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/gemm/gemm_micro.h"

enum {
    /* Most sequences fit one tile; scores and their gradients for 32 lanes are 32 KiB.  A multiple of 4, so that a
     * block of dropout's random words never lies in two tiles. */
    DS__TRAIN_KEYS = 128,
    DS__TRAIN_CORNER = 128, /* floats: the largest register tile of half width, 8 * 16 */
};

/* Lanes beyond `queries` hold zeros, take part in everything and are never written out. */
typedef struct ds__train_block {
    const ds__attention_train_args *args;
    size_t lanes, width;             /* the distance between rows of lanes; how many are worked on, lanes or half */
    size_t first, queries;           /* rows first .. first + queries */
    size_t key, keys;                /* the present tile's */
    float *queries_t, *grads_t;      /* [head_dim][lanes]: q for scores in units of ln 2 (2^x serves as exp); dout */
    float *scores;                   /* [DS__TRAIN_KEYS][lanes]: s, exp(s - top), and what dropout leaves of it */
    float *grads;                    /* [DS__TRAIN_KEYS][lanes]: dd, then scale * ds */
    float *top, *total, *correction; /* [lanes]; correction: what the rows of out are multiplied by next */
    float *delta;                    /* [lanes]: dout.out */
    float *corner;
} ds__train_block;

typedef struct ds__train_steps {
    size_t lanes;
    /* to[c * lanes + r] = scale * from[r * ld + c], zeros up to the end of the register that holds the last row. */
    void (*transpose)(const float *from, size_t ld, size_t rows, size_t columns, float scale, float *to);
    /* c[i, j] = (add ? c[i, j] : 0) + sum_p a[i, p] * b[p, j], i in [0, rows), j in [0, columns): operands as a tile's
     * (gemm_micro.h), of any size; exactly rows * columns floats of c are touched. */
    void (*product)(const ds__tile *operands, size_t rows, bool turned, float *corner);
    /* scores: exponentials below the largest so far; top, total, and correction for the older sums.  On key 0 the
     * first of all. */
    void (*weigh)(const ds__train_block *block);
    void (*weigh_again)(const ds__train_block *block); /* scores: exponentials below `top` */
    void (*drop)(const ds__train_block *block);        /* scores: zero where dropout says so */
    void (*scale_rows)(const ds__train_block *block);  /* rows of out times correction */
    void (*dot_rows)(const ds__train_block *block);    /* delta */
    /* From exponentials and dd: scores become d, grads become scale * ds. */
    void (*differentiate)(const ds__train_block *block);
} ds__train_steps;

static inline bool ds__train_scratch(size_t lanes, size_t head_dim, size_t *floats) {
    size_t bytes;
    return ds__size_mul(head_dim, 2 * lanes, floats) &&
           ds__size_add(*floats, (2 * DS__TRAIN_KEYS + 4) * lanes + DS__TRAIN_CORNER, floats) &&
           ds__size_mul(*floats, sizeof(float), &bytes);
}

static inline ds__train_block ds__train_block_at(size_t lanes, const ds__attention_train_args *args, size_t first) {
    ds__train_block block = {.args = args, .lanes = lanes, .first = first};
    block.queries = args->length - first < lanes ? args->length - first : lanes;
    block.width = block.queries > lanes / 2 ? lanes : lanes / 2;
    block.top = args->scratch;
    block.total = block.top + lanes;
    block.correction = block.total + lanes;
    block.delta = block.correction + lanes;
    block.scores = block.delta + lanes;
    block.grads = block.scores + DS__TRAIN_KEYS * lanes;
    block.queries_t = block.grads + DS__TRAIN_KEYS * lanes;
    block.grads_t = block.queries_t + args->head_dim * lanes;
    block.corner = block.grads_t + args->head_dim * lanes;
    return block;
}

/* The first key that no query of the block sees. */
static inline size_t ds__train_end(const ds__train_block *block) {
    return block->args->causal ? block->first + block->queries : block->args->length;
}

/* The row of dropout's random words that belongs to a lane. */
static inline uint32_t ds__train_dropout_row(const ds__train_block *block, size_t lane) {
    return block->args->dropout_row + (uint32_t)(block->first + lane) * block->args->dropout_step;
}

/* Scores of the tile, -infinity where the mask hides a key. */
static inline void ds__train_score(const ds__train_steps *steps, const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    steps->product(&(ds__tile){.a = args->k + block->key * args->ldk,
                               .a_row = args->ldk,
                               .b = block->queries_t,
                               .b_row = block->lanes,
                               .k = args->head_dim,
                               .c = block->scores,
                               .c_row = block->lanes,
                               .columns = block->width},
                   block->keys, false, block->corner);
    if (!args->causal) return;
    for (size_t j = block->first >= block->key ? block->first - block->key : 0; j < block->keys; j++) {
        size_t blind = block->key + j - block->first; /* so many lanes from the left */
        for (size_t lane = 0; lane < blind; lane++) block->scores[j * block->lanes + lane] = -__builtin_inff();
    }
}

static inline void ds__train_set_tile(ds__train_block *block, size_t key, size_t end) {
    block->key = key;
    block->keys = end - key < DS__TRAIN_KEYS ? end - key : DS__TRAIN_KEYS;
}

static inline void ds__train_forward(const ds__train_steps *steps, const ds__attention_train_args *args) {
    const bool drops = args->dropout.rate > 0;
    const float stays = ds__dropout_scale(args->dropout.rate);
    for (size_t first = 0; first < args->length; first += steps->lanes) {
        ds__train_block block = ds__train_block_at(steps->lanes, args, first);
        steps->transpose(args->q + first * args->ldq, args->ldq, block.queries, args->head_dim,
                         args->scale * DS__LOG2_E, block.queries_t);
        const size_t end = ds__train_end(&block);
        for (size_t key = 0; key < end; key += DS__TRAIN_KEYS) {
            ds__train_set_tile(&block, key, end);
            ds__train_score(steps, &block);
            steps->weigh(&block);
            if (drops) steps->drop(&block);
            if (key) steps->scale_rows(&block);
            steps->product(&(ds__tile){.a = block.scores,
                                       .a_row = block.lanes,
                                       .b = args->v + key * args->ldv,
                                       .b_row = args->ldv,
                                       .k = block.keys,
                                       .c = args->out + first * args->ldo,
                                       .c_row = args->ldo,
                                       .add = key != 0,
                                       .columns = args->head_dim},
                           block.queries, true, block.corner);
        }
        for (size_t lane = 0; lane < block.width; lane++) block.correction[lane] = stays / block.total[lane];
        steps->scale_rows(&block);
    }
}

/* dk and dv of the tile, and the block's dq, with the tile's exponentials in `scores`. */
static inline void ds__train_gradients(const ds__train_steps *steps, const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    const size_t first = block->first, key = block->key, lanes = block->lanes;
    const bool touched = args->accumulate || first + block->queries < args->length;
    steps->product(&(ds__tile){.a = args->v + key * args->ldv,
                               .a_row = args->ldv,
                               .b = block->grads_t,
                               .b_row = lanes,
                               .k = args->head_dim,
                               .c = block->grads,
                               .c_row = lanes,
                               .columns = block->width},
                   block->keys, false, block->corner);
    steps->differentiate(block);
    ds__tile tile = {.a = block->scores,
                     .a_row = lanes,
                     .b = args->dout + first * args->lddo,
                     .b_row = args->lddo,
                     .k = block->queries,
                     .c = args->dv + key * args->lddv,
                     .c_row = args->lddv,
                     .add = touched,
                     .columns = args->head_dim};
    steps->product(&tile, block->keys, false, block->corner);
    tile.a = block->grads;
    tile.b = args->q + first * args->ldq;
    tile.b_row = args->ldq;
    tile.c = args->dk + key * args->lddk;
    tile.c_row = args->lddk;
    steps->product(&tile, block->keys, false, block->corner);
    tile.b = args->k + key * args->ldk;
    tile.b_row = args->ldk;
    tile.k = block->keys;
    tile.c = args->dq + first * args->lddq;
    tile.c_row = args->lddq;
    tile.add = key != 0;
    steps->product(&tile, block->queries, true, block->corner);
}

static inline void ds__train_backward(const ds__train_steps *steps, const ds__attention_train_args *args) {
    const size_t blocks = args->length / steps->lanes + (args->length % steps->lanes != 0);
    for (size_t left = blocks; left-- > 0;) {
        ds__train_block block = ds__train_block_at(steps->lanes, args, left * steps->lanes);
        steps->transpose(args->q + block.first * args->ldq, args->ldq, block.queries, args->head_dim,
                         args->scale * DS__LOG2_E, block.queries_t);
        steps->transpose(args->dout + block.first * args->lddo, args->lddo, block.queries, args->head_dim, 1.0f,
                         block.grads_t);
        steps->dot_rows(&block);
        const size_t end = ds__train_end(&block);
        const bool again = end > DS__TRAIN_KEYS;
        for (size_t key = 0; again && key < end; key += DS__TRAIN_KEYS) {
            ds__train_set_tile(&block, key, end);
            ds__train_score(steps, &block);
            steps->weigh(&block);
        }
        for (size_t key = 0; key < end; key += DS__TRAIN_KEYS) {
            ds__train_set_tile(&block, key, end);
            ds__train_score(steps, &block);
            (again ? steps->weigh_again : steps->weigh)(&block);
            ds__train_gradients(steps, &block);
        }
    }
}

/* The register tiles of an instruction set: `rows` rows and 2 * half columns, or `half` and less; by number of rows.
 * turned: a is transposed. */
typedef struct ds__train_tiles {
    size_t rows, half;
    ds__tile_run *const *wide[2], *const *narrow[2]; /* [turned] */
} ds__train_tiles;

/* `rows` rows of the first to->columns columns of a narrow tile go to, or are added to, to->c. */
static inline void ds__train_copy_corner(const float *corner, size_t half, const ds__tile *to, size_t rows) {
    for (size_t i = 0; i < rows; i++)
        for (size_t n = 0; n < to->columns; n++) {
            float *c = (float *)to->c + i * to->c_row + n;
            *c = to->add ? *c + corner[i * half + n] : corner[i * half + n];
        }
}

/* ds__train_steps.product with them.  Columns outside, so that the columns of b stay in the nearest cache.  A tile
 * stores whole registers: the last columns, where there is less than one, go by the corner. */
static inline void ds__train_multiply(const ds__train_tiles *tiles, const ds__tile *operands, size_t rows, bool turned,
                                      float *corner) {
    const size_t parts = (rows + tiles->rows - 1) / tiles->rows, each = rows / parts, longer = rows % parts;
    const size_t half = tiles->half, a_step = turned ? 1 : operands->a_row;
    for (size_t n = 0, step; n < operands->columns; n += step) {
        const size_t left = operands->columns - n;
        const bool part_of_one = left < half;
        ds__tile tile = *operands;
        step = left >= 2 * half ? 2 * half : half;
        ds__tile_run *const *run = (step == half ? tiles->narrow : tiles->wide)[turned];
        tile.columns = part_of_one ? left : half;
        tile.b = (const float *)operands->b + n;
        if (part_of_one) {
            tile.c_row = half;
            tile.add = false;
        }
        for (size_t part = 0, i = 0, count; part < parts; part++, i += count) {
            float *c = (float *)operands->c + i * operands->c_row + n;
            count = each + (part < longer);
            tile.a = (const float *)operands->a + i * a_step;
            tile.c = part_of_one ? corner : c;
            run[count](&tile);
            if (part_of_one)
                ds__train_copy_corner(
                    corner, half, &(ds__tile){.c = c, .c_row = operands->c_row, .add = operands->add, .columns = left},
                    count);
        }
    }
}

#endif
