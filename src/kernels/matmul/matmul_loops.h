/* The loops around the register tiles of a product, the same for all instruction sets, and what a variant gives them.
 *
 * For blocks of rows that the second cache holds, for chunks of k of a constant length, for panels of nr columns: the
 * panel of B is packed as [depth][nr], which the first cache holds, and all tiles of the block's rows run against it.
 * A's rows are read where they lie, or packed row by row where they lie across or the variant converts them.  So a
 * number of B is packed once for each block of rows and a number of A once at most, and C is read and written once for
 * each chunk.
 *
 * As in gemm_micro.h everything packed is counted in words of 4 bytes: one float, or two bfloat16 that follow each
 * other along k, whose products belong to one sum. */
#ifndef DS_KERNELS_MATMUL_LOOPS_H
#define DS_KERNELS_MATMUL_LOOPS_H

#include "kernels/gemm/gemm_micro.h"
#include "kernels/matmul/matmul.h"

/* [count, depth] numbers of an operand: rows of op(A) or columns of op(B), and the inputs that they are summed over.
 * Input p of row i is from[i * ld + p], or from[p * ld + i] when `across`. */
typedef struct ds__matmul_part {
    const float *from;
    const uint16_t *from_bf16; /* of B instead, where it is stored so; always across */
    size_t ld;
    bool across;
    size_t count, depth;
} ds__matmul_part;

typedef struct ds__matmul_loops {
    size_t mr, nr;
    size_t rows;                /* of A in a block, at most */
    size_t depth;               /* inputs in a chunk, a multiple of 32 */
    size_t inputs;              /* of a word: 1 or 2 */
    bool in_place;              /* A is read where it lies unless it lies across */
    ds__tile_run *const *tiles; /* [mr + 1], by the number of rows; the first is unused */
    /* Word q of row i to to[i * ld + q], ld >= the words of a row rounded up to 16: there may be zeros behind them. */
    void (*pack_a)(const ds__matmul_part *part, float *to, size_t ld);
    /* Word q of column j to to[q * nr + j]; zeros for columns that do not exist. */
    void (*pack_b)(const ds__matmul_part *part, float *to);
    /* Takes a tile, [rows, nr] words, to C at (row, column): the first chunk's with bias and residual instead of C. */
    void (*finish)(const ds__matmul_args *args, const float *tile, size_t row, size_t rows, size_t column, bool first);
} ds__matmul_loops;

/* The scratch: a block of A, a panel of B, a tile; multiples of 16 floats. */
#define DS__MATMUL_SCRATCH(mr, nr, rows, words) ((rows) * (words) + (words) * (nr) + (mr) * (nr))

/* Where the tiles of a block of rows are in the product. */
typedef struct ds__matmul_chunk {
    size_t m0, m1;
    size_t from, depth; /* the inputs: [from, from + depth) */
    const float *a;     /* row m0's first word */
    size_t a_row;
    float *panel, *tile;
} ds__matmul_chunk;

static inline ds__matmul_part ds__matmul_part_of_a(const ds__matmul_args *args, const ds__matmul_chunk *chunk) {
    const size_t row = chunk->m0, from = chunk->from;
    return (ds__matmul_part){.from = args->a_transposed ? args->a + from * args->lda + row
                                                        : args->a + row * args->lda + from,
                             .ld = args->lda,
                             .across = args->a_transposed,
                             .count = chunk->m1 - chunk->m0,
                             .depth = chunk->depth};
}

static inline ds__matmul_part ds__matmul_part_of_b(const ds__matmul_args *args, const ds__matmul_chunk *chunk,
                                                   size_t column, size_t nr) {
    const size_t from = chunk->from;
    const size_t at = args->b_transposed ? column * args->ldb + from : from * args->ldb + column;
    return (ds__matmul_part){.from = args->b_bf16 ? NULL : args->b + at,
                             .from_bf16 = args->b_bf16 ? args->b_bf16 + at : NULL,
                             .ld = args->ldb,
                             .across = !args->b_transposed,
                             .count = args->n1 - column < nr ? args->n1 - column : nr,
                             .depth = chunk->depth};
}

/* What tile number `index` of a panel fetches of the next panel of B, one line a step: a row's inputs where they lie
 * side by side, else a line of each of B's rows. */
static inline void ds__matmul_fetch(const ds__matmul_loops *loops, const ds__matmul_args *args,
                                    const ds__matmul_chunk *chunk, size_t column, size_t index, ds__tile *tile) {
    enum { LINE = 16 };
    const size_t inputs = loops->inputs;
    size_t next = column + loops->nr, from = chunk->from;
    tile->soon = chunk->panel;
    tile->soon_step = 0;
    if (next >= args->n1) {
        next = args->n0;
        from += loops->depth;
    }
    if (from >= args->k || args->k - from < chunk->depth) return; /* the last, or shorter than this one */
    if (args->b_transposed) {
        if (index >= loops->nr || next + index >= args->n1) return;
        tile->soon = args->b + (next + index) * args->ldb + from;
        tile->soon_step = inputs;
    } else if (args->b_bf16) {
        const size_t ahead = index / inputs * 2 * LINE, row = from + index % inputs;
        if (ahead >= loops->nr || next + ahead >= args->n1 || row + (tile->k - 1) * inputs >= args->k) return;
        tile->soon = (const void *)(args->b_bf16 + row * args->ldb + next + ahead);
        tile->soon_step = inputs * args->ldb / 2;
    } else {
        const size_t ahead = index / inputs * LINE, row = from + index % inputs;
        if (ahead >= loops->nr || next + ahead >= args->n1 || row + (tile->k - 1) * inputs >= args->k) return;
        tile->soon = args->b + row * args->ldb + next + ahead;
        tile->soon_step = inputs * args->ldb;
    }
}

/* All rows of the block against one panel of B. */
static inline void ds__matmul_panel(const ds__matmul_loops *loops, const ds__matmul_args *args,
                                    const ds__matmul_chunk *chunk, size_t column) {
    const ds__matmul_part part = ds__matmul_part_of_b(args, chunk, column, loops->nr);
    const size_t parts = (chunk->m1 - chunk->m0 + loops->mr - 1) / loops->mr;
    loops->pack_b(&part, chunk->panel);
    ds__tile tile = {.a_row = chunk->a_row,
                     .b = chunk->panel,
                     .b_row = loops->nr,
                     .k = (chunk->depth + loops->inputs - 1) / loops->inputs,
                     .c = chunk->tile,
                     .c_row = loops->nr};
    for (size_t i = 0; i < parts; i++) {
        const size_t row = ds__part_begin(chunk->m0, chunk->m1, i, parts);
        const size_t rows = ds__part_begin(chunk->m0, chunk->m1, i + 1, parts) - row;
        tile.a = chunk->a + (row - chunk->m0) * chunk->a_row;
        ds__matmul_fetch(loops, args, chunk, column, i, &tile);
        for (size_t r = row; r < row + rows; r++) /* of C, which is wanted when the tile is ready */
            for (size_t c = 0; c < part.count; c += 16) __builtin_prefetch(args->c + r * args->ldc + column + c);
        loops->tiles[rows](&tile);
        loops->finish(args, chunk->tile, row, rows, column, chunk->from == 0);
    }
}

/* A whole call; the constants of `loops` are known to the compiler where this is inlined. */
static inline void ds__matmul_run(const ds__matmul_loops *loops, const ds__matmul_args *args) {
    const size_t words = loops->depth / loops->inputs, rows = args->m1 - args->m0;
    const size_t blocks = (rows + loops->rows - 1) / loops->rows, depth = loops->depth;
    ds__matmul_chunk chunk = {.panel = args->scratch + loops->rows * words};
    chunk.tile = chunk.panel + words * loops->nr;
    for (size_t i = 0; i < blocks; i++) {
        chunk.m0 = ds__part_begin(args->m0, args->m1, i, blocks);
        chunk.m1 = ds__part_begin(args->m0, args->m1, i + 1, blocks);
        chunk.from = 0;
        do {
            chunk.depth = args->k - chunk.from < depth ? args->k - chunk.from : depth;
            const ds__matmul_part part = ds__matmul_part_of_a(args, &chunk);
            const bool packs = part.across || !loops->in_place;
            if (packs) loops->pack_a(&part, args->scratch, words);
            chunk.a = packs ? args->scratch : part.from;
            chunk.a_row = packs ? words : part.ld;
            for (size_t n = args->n0; n < args->n1; n += loops->nr) ds__matmul_panel(loops, args, &chunk, n);
            chunk.from += depth;
        } while (chunk.from < args->k);
    }
}

#endif
