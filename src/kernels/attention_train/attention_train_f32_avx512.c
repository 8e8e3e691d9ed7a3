/* Attention in training with 512-bit registers: 32 queries in the lanes of two registers (16 in one when there are no
 * more). */
#include "kernels/attention_train/attention_train_loops.h"
#include "kernels/gemm/gemm_micro_avx512.h"
#include "kernels/grad/vec_philox_avx512.h"

enum { LANES = 16 * DS__TILE_VECTORS_AVX512, ROWS = DS__TILE_ROWS_AVX512 };

#define TILES(rows_)                                                                                                   \
    static void wide_##rows_(const ds__tile *tile) {                                                                   \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 2}, tile);                                           \
    }                                                                                                                  \
    static void narrow_##rows_(const ds__tile *tile) {                                                                 \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 1, .masked = true}, tile);                           \
    }                                                                                                                  \
    static void turned_##rows_(const ds__tile *tile) {                                                                 \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 2, .transposed = true}, tile);                       \
    }                                                                                                                  \
    static void turned_narrow_##rows_(const ds__tile *tile) {                                                          \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 1, .transposed = true, .masked = true}, tile);       \
    }
DS__TILES_8(TILES)

static ds__tile_run *const wide[ROWS + 1] = DS__TILE_TABLE_8(wide_);
static ds__tile_run *const narrow[ROWS + 1] = DS__TILE_TABLE_8(narrow_);
static ds__tile_run *const turned_wide[ROWS + 1] = DS__TILE_TABLE_8(turned_);
static ds__tile_run *const turned_narrow[ROWS + 1] = DS__TILE_TABLE_8(turned_narrow_);

static void product(const ds__tile *operands, size_t rows, bool turned, float *corner) {
    static const ds__train_tiles tiles = {ROWS, 16, {wide, turned_wide}, {narrow, turned_narrow}};
    ds__train_multiply(&tiles, operands, rows, turned, corner);
}

static void transpose(const float *from, size_t ld, size_t rows, size_t columns, float scale, float *to) {
    for (size_t lane = 0; lane < rows; lane += 16)
        for (size_t c = 0; c < columns; c += 16)
            ds__transpose_avx512(from + lane * ld + c, ld, rows - lane < 16 ? rows - lane : 16,
                                 columns - c < 16 ? columns - c : 16, scale, to + c * LANES + lane, LANES);
}

/* 2^x for x <= 0: -infinity gives exactly 0, NaN stays. */
static inline __m512 weight_of(__m512 x) {
    return ds__exp2_scaled_avx512(_mm512_max_ps(_mm512_set1_ps(-200.0f), x), 1.0f);
}

/* Exponentials of one register of lanes, in the place of the scores; returns their sum, in the order of the keys. */
static inline __m512 exponentials(float *scores, size_t keys, __m512 top) {
    __m512 total = _mm512_setzero_ps();
    for (size_t j = 0; j < keys; j++) {
        const __m512 weight = weight_of(_mm512_sub_ps(_mm512_loadu_ps(scores + j * LANES), top));
        _mm512_storeu_ps(scores + j * LANES, weight);
        total = _mm512_add_ps(total, weight);
    }
    return total;
}

static void weigh(const ds__train_block *block) {
    for (size_t lane = 0; lane < block->width; lane += 16) {
        float *scores = block->scores + lane;
        const __m512 before = block->key ? _mm512_loadu_ps(block->top + lane) : _mm512_set1_ps(-__builtin_inff());
        __m512 top = before, other = before, correction = _mm512_setzero_ps();
        size_t j = 0;
        for (; j + 2 <= block->keys; j += 2) { /* two chains: a maximum takes longer than a load */
            top = _mm512_max_ps(top, _mm512_loadu_ps(scores + j * LANES));
            other = _mm512_max_ps(other, _mm512_loadu_ps(scores + (j + 1) * LANES));
        }
        if (j < block->keys) top = _mm512_max_ps(top, _mm512_loadu_ps(scores + j * LANES));
        top = _mm512_max_ps(top, other);
        __m512 total = exponentials(scores, block->keys, top);
        if (block->key) {
            /* Exactly 1 where `top` stands, so that a tile that a lane does not see at all leaves no trace. */
            const __mmask16 stands = _mm512_cmp_ps_mask(before, top, _CMP_EQ_OQ);
            correction = weight_of(_mm512_sub_ps(before, top));
            correction = _mm512_mask_mov_ps(correction, stands, _mm512_set1_ps(1.0f));
            total = _mm512_fmadd_ps(_mm512_loadu_ps(block->total + lane), correction, total);
        }
        _mm512_storeu_ps(block->top + lane, top);
        _mm512_storeu_ps(block->total + lane, total);
        _mm512_storeu_ps(block->correction + lane, correction);
    }
}

static void weigh_again(const ds__train_block *block) {
    for (size_t lane = 0; lane < block->width; lane += 16)
        exponentials(block->scores + lane, block->keys, _mm512_loadu_ps(block->top + lane));
}

/* Dropout's rows of sixteen lanes. */
static inline __m512i rows_of(const ds__train_block *block, size_t lane) {
    const __m512i numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(_mm512_set1_epi32((int)ds__train_dropout_row(block, lane)),
                            _mm512_mullo_epi32(numbers, _mm512_set1_epi32((int)block->args->dropout_step)));
}

static void drop(const ds__train_block *block) {
    const ds__dropout dropout = block->args->dropout;
    const __m512i threshold = _mm512_set1_epi32((int)ds__dropout_threshold(dropout.rate));
    for (size_t lane = 0; lane < block->width; lane += 16) {
        const __m512i rows = rows_of(block, lane);
        for (size_t j = 0; j < block->keys; j += 4) {
            float *scores = block->scores + j * LANES + lane;
            __m512i words[4];
            ds__philox_rows_avx512(&dropout, rows, (uint32_t)((block->key + j) / 4), words);
            for (size_t i = 0; i < 4 && i < block->keys - j; i++)
                _mm512_mask_storeu_ps(scores + i * LANES, _mm512_cmplt_epu32_mask(words[i], threshold),
                                      _mm512_setzero_ps());
        }
    }
}

static void scale_rows(const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    const size_t d = args->head_dim;
    for (size_t i = 0; i < block->queries; i++) {
        float *out = args->out + (block->first + i) * args->ldo;
        const __m512 factor = _mm512_set1_ps(block->correction[i]);
        for (size_t c = 0; c < d; c += 16) {
            const __mmask16 some = ds__tail_avx512(d - c < 16 ? d - c : 16);
            _mm512_mask_storeu_ps(out + c, some, _mm512_mul_ps(_mm512_maskz_loadu_ps(some, out + c), factor));
        }
    }
}

/* Sums across the lanes of sixteen registers, one for each row, come out of a transposition all at once. */
static void dot_rows(const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    const size_t d = args->head_dim;
    for (size_t lane = 0; lane < block->queries; lane += 16) {
        __m512 sums[16];
        for (size_t i = 0; i < 16; i++) {
            sums[i] = _mm512_setzero_ps();
            if (lane + i >= block->queries) continue;
            const float *out = args->out + (block->first + lane + i) * args->ldo;
            const float *dout = args->dout + (block->first + lane + i) * args->lddo;
            for (size_t c = 0; c < d; c += 16) {
                const __mmask16 some = ds__tail_avx512(d - c < 16 ? d - c : 16);
                sums[i] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(some, out + c), _mm512_maskz_loadu_ps(some, dout + c),
                                          sums[i]);
            }
        }
        ds__transpose_words_avx512(sums);
        for (size_t step = 8; step > 0; step /= 2)
            for (size_t i = 0; i < step; i++) sums[i] = _mm512_add_ps(sums[i], sums[i + step]);
        _mm512_storeu_ps(block->delta + lane, sums[0]);
    }
}

/* What is the same for all keys of a register of lanes. */
typedef struct lane_terms {
    __m512 part, delta; /* 1 / total; dout.out */
    __m512 scale, stays;
} lane_terms;

DS__VEC_INLINE void differentiate_key(const lane_terms *terms, __mmask16 keep, float *scores, float *grads) {
    const __m512 p = _mm512_mul_ps(_mm512_loadu_ps(scores), terms->part);
    const __m512 dp = _mm512_maskz_mul_ps(keep, _mm512_loadu_ps(grads), terms->stays);
    _mm512_storeu_ps(scores, _mm512_maskz_mul_ps(keep, p, terms->stays));
    _mm512_storeu_ps(grads, _mm512_mul_ps(_mm512_mul_ps(p, terms->scale), _mm512_sub_ps(dp, terms->delta)));
}

static void differentiate(const ds__train_block *block) {
    const ds__dropout dropout = block->args->dropout;
    const __m512i threshold = _mm512_set1_epi32((int)ds__dropout_threshold(dropout.rate));
    for (size_t lane = 0; lane < block->width; lane += 16) {
        const lane_terms terms = {
            .part = _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_loadu_ps(block->total + lane)),
            .delta = _mm512_loadu_ps(block->delta + lane),
            .scale = _mm512_set1_ps(block->args->scale),
            .stays = _mm512_set1_ps(ds__dropout_scale(dropout.rate)),
        };
        const __m512i rows = rows_of(block, lane);
        float *scores = block->scores + lane, *grads = block->grads + lane;
        if (!(dropout.rate > 0)) {
            for (size_t j = 0; j < block->keys; j++)
                differentiate_key(&terms, 0xffff, scores + j * LANES, grads + j * LANES);
            continue;
        }
        for (size_t j = 0; j < block->keys; j += 4) {
            __m512i words[4];
            ds__philox_rows_avx512(&dropout, rows, (uint32_t)((block->key + j) / 4), words);
            for (size_t i = 0; i < 4 && i < block->keys - j; i++)
                differentiate_key(&terms, _mm512_cmpge_epu32_mask(words[i], threshold), scores + (j + i) * LANES,
                                  grads + (j + i) * LANES);
        }
    }
}

static bool scratch_floats(size_t head_dim, size_t *floats) { return ds__train_scratch(LANES, head_dim, floats); }

static const ds__train_steps steps = {LANES, transpose,  product,  weigh,        weigh_again,
                                      drop,  scale_rows, dot_rows, differentiate};

static void forward(const ds__attention_train_args *args) { ds__train_forward(&steps, args); }
static void backward(const ds__attention_train_args *args) { ds__train_backward(&steps, args); }

const ds__attention_train_f32 ds__attention_train_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(attention_train, attention_train_f32, avx512, "32 queries by 128 keys, 512-bit registers"),
    .scratch_floats = scratch_floats,
    .forward = forward,
    .backward = backward,
};
