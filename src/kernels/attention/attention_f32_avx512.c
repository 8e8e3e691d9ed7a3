/* Attention with 512-bit registers: 32 queries in the lanes of two registers (16 in one when there are no more). */
#include "kernels/attention/attention_loops.h"
#include "kernels/gemm/gemm_micro_avx512.h"

enum { LANES = 16 * DS__TILE_VECTORS_AVX512, ROWS = DS__TILE_ROWS_AVX512 };

/* scores: [keys, lanes] = k * queries_t, in both registers of lanes or in one.  values: [queries, columns] += weights^T
 * * v, two registers of columns, or the rest of head_dim in one. */
#define TILES(rows_)                                                                                                   \
    static void scores_##rows_(const ds__tile *tile) {                                                                 \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 2}, tile);                                           \
    }                                                                                                                  \
    static void scores_half_##rows_(const ds__tile *tile) {                                                            \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 1}, tile);                                           \
    }                                                                                                                  \
    static void values_##rows_(const ds__tile *tile) {                                                                 \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 2, .transposed = true}, tile);                       \
    }                                                                                                                  \
    static void values_tail_##rows_(const ds__tile *tile) {                                                            \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 1, .transposed = true, .masked = true}, tile);       \
    }
DS__TILES_8(TILES)

static ds__tile_run *const score_tiles[2][ROWS + 1] = {DS__TILE_TABLE_8(scores_half_), DS__TILE_TABLE_8(scores_)};
static ds__tile_run *const value_tiles[ROWS + 1] = DS__TILE_TABLE_8(values_);
static ds__tile_run *const value_tail_tiles[ROWS + 1] = DS__TILE_TABLE_8(values_tail_);

/* Short texts and the last block of a longer one often fill only the first register. */
static size_t vectors_of(const ds__attention_block *block) { return block->queries > 16 ? 2 : 1; }

/* Scores are kept in units of ln 2, so that 2^x serves as exp. */
static void load(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    const size_t d = args->head_dim;
    for (size_t lane = 0; lane < block->queries; lane += 16) {
        size_t rows = block->queries - lane < 16 ? block->queries - lane : 16;
        const float *q = args->q + (block->first + lane) * args->ldq;
        for (size_t c = 0; c < d; c += 16)
            ds__transpose_avx512(q + c, args->ldq, rows, d - c < 16 ? d - c : 16, args->scale * DS__LOG2_E,
                                 block->queries_t + c * LANES + lane, LANES);
    }
}

/* k is read where it lies: a tile takes a few of its rows and broadcasts their elements. */
static void score(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    const size_t parts = (block->keys + ROWS - 1) / ROWS;
    for (size_t part = 0; part < parts; part++) {
        size_t j = ds__part_begin(0, block->keys, part, parts);
        size_t rows = ds__part_begin(0, block->keys, part + 1, parts) - j;
        score_tiles[vectors_of(block) - 1][rows](&(ds__tile){.a = block->k + j * block->ldk,
                                                             .a_row = block->ldk,
                                                             .b = block->queries_t,
                                                             .b_row = LANES,
                                                             .k = args->head_dim,
                                                             .c = block->scores + j * LANES,
                                                             .c_row = LANES});
    }
}

/* -infinity wherever a lane does not see a key; also in lanes that nobody reads. */
static void mask(const ds__attention_block *block) {
    const __m512 never = _mm512_set1_ps(-__builtin_inff());
    for (size_t j = 0; j < block->keys; j++) {
        const uint32_t blind = (uint32_t)((1ull << ds__attention_blind(block, block->key + j)) - 1);
        _mm512_mask_storeu_ps(block->scores + j * LANES, (__mmask16)blind, never);
        _mm512_mask_storeu_ps(block->scores + j * LANES + 16, (__mmask16)(blind >> 16), never);
    }
}

/* 2^x for x <= 0: -infinity gives exactly 0, NaN stays. */
static inline __m512 weight_of(__m512 x) {
    return ds__exp2_scaled_avx512(_mm512_max_ps(_mm512_set1_ps(-200.0f), x), 1.0f);
}

/* Sums and maxima run down the keys, lane by lane, always in the order of the keys. */
static void weigh(const ds__attention_block *block) {
    if (ds__attention_masked(block)) mask(block);
    for (size_t lane = 0; lane < 16 * vectors_of(block); lane += 16) {
        float *scores = block->scores + lane;
        const __m512 before = block->key ? _mm512_loadu_ps(block->top + lane) : _mm512_set1_ps(-__builtin_inff());
        __m512 top = before, other = before, total = _mm512_setzero_ps(), correction = total;
        size_t j = 0;
        for (; j + 2 <= block->keys; j += 2) { /* two chains: a maximum takes longer than a load */
            top = _mm512_max_ps(top, _mm512_loadu_ps(scores + j * LANES));
            other = _mm512_max_ps(other, _mm512_loadu_ps(scores + (j + 1) * LANES));
        }
        if (j < block->keys) top = _mm512_max_ps(top, _mm512_loadu_ps(scores + j * LANES));
        top = _mm512_max_ps(top, other);
        for (j = 0; j < block->keys; j++) {
            __m512 weight = weight_of(_mm512_sub_ps(_mm512_loadu_ps(scores + j * LANES), top));
            _mm512_storeu_ps(scores + j * LANES, weight);
            total = _mm512_add_ps(total, weight);
        }
        if (block->key) {
            /* Exactly 1 where `top` stands, so that a tile that a lane does not see at all leaves no trace. */
            __mmask16 stands = _mm512_cmp_ps_mask(before, top, _CMP_EQ_OQ);
            correction = weight_of(_mm512_sub_ps(before, top));
            correction = _mm512_mask_mov_ps(correction, stands, _mm512_set1_ps(1.0f));
            total = _mm512_fmadd_ps(_mm512_loadu_ps(block->total + lane), correction, total);
        }
        _mm512_storeu_ps(block->top + lane, top);
        _mm512_storeu_ps(block->total + lane, total);
        _mm512_storeu_ps(block->correction + lane, correction);
    }
}

/* The older tiles' sums, which were weighed against a lower `top`. */
static void scale_down(const ds__attention_block *block) {
    for (size_t i = 0; i < block->queries; i++) {
        float *sums = block->sums + i * block->sums_row;
        const __m512 correction = _mm512_set1_ps(block->correction[i]);
        for (size_t c = 0; c < block->args->head_dim; c += 16)
            _mm512_storeu_ps(sums + c, _mm512_mul_ps(_mm512_loadu_ps(sums + c), correction));
    }
}

/* v, too, is read where it lies, once for each tile of queries. */
static void sum_up(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    const size_t parts = (block->queries + ROWS - 1) / ROWS, d = args->head_dim;
    if (block->key) scale_down(block);
    for (size_t part = 0; part < parts; part++) {
        size_t i = ds__part_begin(0, block->queries, part, parts);
        size_t rows = ds__part_begin(0, block->queries, part + 1, parts) - i;
        ds__tile tile = {.a = block->scores + i,
                         .a_row = LANES,
                         .b_row = block->ldv,
                         .k = block->keys,
                         .c_row = block->sums_row,
                         .add = block->key != 0};
        for (size_t c = 0, step; c < d; c += step) {
            tile.b = block->v + c;
            tile.c = block->sums + i * block->sums_row + c;
            step = d - c >= 32 ? 32 : 16;
            tile.columns = d - c < 16 ? d - c : 16;
            (step == 32 ? value_tiles : value_tail_tiles)[rows](&tile);
        }
    }
}

static void store(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    const size_t d = args->head_dim;
    for (size_t i = 0; i < block->queries; i++) {
        const __m512 part = _mm512_set1_ps(1.0f / block->total[i]);
        for (size_t c = 0; c < d; c += 16) {
            __m512 out = _mm512_mul_ps(_mm512_loadu_ps(block->sums + i * block->sums_row + c), part);
            _mm512_mask_storeu_ps(args->out + (block->first + i) * args->ldo + c,
                                  ds__tail_avx512(d - c < 16 ? d - c : 16), out);
        }
    }
}

static bool scratch_floats(size_t head_dim, size_t *floats) { return ds__attention_scratch(LANES, head_dim, floats); }

static void run(const ds__attention_f32_args *args) {
    static const ds__attention_steps steps = {LANES, load, score, weigh, sum_up, store};
    ds__attention_run(&steps, args);
}

const ds__attention_f32 ds__attention_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(attention, attention_f32, avx512, "32 queries by 128 keys, 512-bit registers"),
    .query_block = LANES,
    .query_group = LANES * DS__ATTENTION_GROUP,
    .scratch_floats = scratch_floats,
    .run = run,
};
