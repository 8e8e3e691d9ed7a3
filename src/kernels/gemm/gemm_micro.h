/* What the micro-kernels of all instruction sets share: a register tile's arguments, and the loops around the tiles of
 * a product.  Attention uses the tiles too.
 *
 * Everything is counted in words of 4 bytes: one float, two bfloat16, or four 8-bit codes, whose products belong to one
 * sum.  So the loops are the same for all three; only tiles and epilogues know what a word holds.
 *
 * A tile is  c[i, j] = (add ? c[i, j] : 0) + sum_p a[i, p] * b[p, j],  i in [0, rows), j in [0, lanes), one chain of
 * multiply-adds over p per element: so an element's bits do not depend on the tile's shape or place. */
#ifndef DS_KERNELS_GEMM_MICRO_H
#define DS_KERNELS_GEMM_MICRO_H

#include "kernels/gemm/gemm.h"

/* The next loop has a constant count and holds arrays of registers: it must be unrolled whole. */
#ifdef __clang__
#define DS__UNROLL _Pragma("clang loop unroll(full)")
#else
#define DS__UNROLL _Pragma("GCC unroll 32")
#endif

typedef struct ds__tile {
    const void *a; /* a[i, p] stands at word i * a_row + p; at i + p * a_row for a tile that takes it transposed */
    size_t a_row;
    const void *b; /* b[p, j] stands at word p * b_row + j, c alike */
    size_t b_row;
    size_t k;
    void *c;
    size_t c_row;
    bool add;
    /* Memory that is needed soon: step p touches the cache line of soon[p * soon_step]. Products only. */
    const float *soon;
    size_t soon_step;
    size_t columns; /* how many lanes of b exist: tiles with a mask only */
} ds__tile;

/* What a tile's code is specialised on, a constant for the compiler.  `vectors` registers hold a row of b. */
typedef struct ds__tile_kind {
    int rows, vectors;
    bool transposed; /* of a */
    bool masked;     /* the last vector of b has only the lanes that `columns` leaves it; its others count as zero */
    bool fetches;    /* touches `soon` */
} ds__tile_kind;

typedef void ds__tile_run(const ds__tile *tile);

/* A tile is a function for each number of rows: X(1) ... X(8) defines them, the list is the table's. */
#define DS__TILES_8(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define DS__TILE_TABLE_8(name)                                                                                         \
    { NULL, name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8 }

/* Takes a finished tile, [rows, nr] words without gaps, to C at (row, column): bias, activation, residual. */
typedef void ds__gemm_finish(const ds__gemm_args *args, const void *tile, size_t row, size_t rows, size_t column);

/* Where part `index` of `parts` nearly equal parts of [from, to) begins. */
static inline size_t ds__part_begin(size_t from, size_t to, size_t index, size_t parts) {
    return from + (to - from) * index / parts;
}

typedef struct ds__gemm_loops {
    size_t mr, nr;
    ds__tile_run *const *tiles; /* [mr + 1], by the number of rows; the first is unused */
    ds__gemm_finish *finish;
} ds__gemm_loops;

/* The operands as words. */
typedef struct ds__gemm_words {
    const float *a;
    size_t a_row;
    const float *w;
    size_t steps; /* words of a row of A, and rows of nr words in a panel of W */
    size_t panel; /* words from panel to panel */
} ds__gemm_words;

/* All tiles of the rows [m0, m1) against one panel of W, then the next panel: a panel comes from far memory once and
 * from the nearer caches for each further tile, while those tiles' steps fetch the panel after it.  With at most eight
 * rows A needs no packing: even if its stride maps all of them to one set of an 8-way cache they fit.  Rows are shared
 * out evenly (20 as 7 + 7 + 6, not 8 + 8 + 4), since small tiles use the registers badly. */
static inline void ds__gemm_run_rows(const ds__gemm_loops *loops, const ds__gemm_words *words,
                                     const ds__gemm_args *args, size_t m0, size_t m1, void *tile) {
    enum { LINE = 16 }; /* words in a cache line; a step fetches one at most */
    const size_t nr = loops->nr, rows_here = m1 - m0;
    size_t parts = (rows_here + loops->mr - 1) / loops->mr, step = 1;
    if (parts == 1 && rows_here == loops->mr && nr > LINE) parts = 2; /* no slower, and there is a tile to fetch in */
    while (step * parts < nr) step *= 2; /* the least power of two with which `parts` tiles touch a whole panel */
    for (size_t n = args->n0; n < args->n1; n += nr) {
        const float *panel = words->w + n / nr * words->panel;
        const float *next = n + nr < args->n1 ? panel + words->panel : words->w + args->n0 / nr * words->panel;
        for (size_t part = 0; part < parts; part++) {
            size_t row = ds__part_begin(m0, m1, part, parts), rows = ds__part_begin(m0, m1, part + 1, parts) - row;
            bool fetch = step <= LINE && part * step < nr; /* half a panel would confuse the machine's own fetching */
            loops->tiles[rows](&(ds__tile){.a = words->a + row * words->a_row,
                                           .a_row = words->a_row,
                                           .b = panel,
                                           .b_row = nr,
                                           .k = words->steps,
                                           .c = tile,
                                           .c_row = nr,
                                           .soon = next + (fetch ? part * step * words->steps : 0),
                                           .soon_step = fetch ? step : 0});
            loops->finish(args, tile, row, rows, n);
        }
    }
}

/* A whole call. `tile`: 64-byte aligned room for mr * nr words. */
static inline void ds__gemm_run(const ds__gemm_loops *loops, const ds__gemm_words *words, const ds__gemm_args *args,
                                void *tile) {
    enum { ROWS = 256 }; /* so much of A that it stays in the outer caches from panel to panel */
    const size_t blocks = (args->m1 - args->m0 + ROWS - 1) / ROWS;
    for (size_t i = 0; i < blocks; i++)
        ds__gemm_run_rows(loops, words, args, ds__part_begin(args->m0, args->m1, i, blocks),
                          ds__part_begin(args->m0, args->m1, i + 1, blocks), tile);
}

/* Bytes of a panel of `steps` rows of nr words with `extra` bytes behind them, a multiple of 64; false on overflow. */
static inline bool ds__gemm_panel(size_t nr, size_t steps, size_t extra, size_t *bytes) {
    if (steps > (SIZE_MAX - extra - 63) / (4 * nr)) return false;
    *bytes = (4 * nr * steps + extra + 63) / 64 * 64;
    return true;
}

/* Words from panel to panel, where ds__gemm_panel did not overflow. */
static inline size_t ds__gemm_panel_words(size_t nr, size_t steps, size_t extra) {
    return (4 * nr * steps + extra + 63) / 64 * 16;
}

#endif
