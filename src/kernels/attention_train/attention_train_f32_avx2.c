/* Attention in training with 256-bit registers: 16 queries in the lanes of two registers (8 in one when there are no
 * more). */
#include "kernels/attention_train/attention_train_loops.h"
#include "kernels/gemm/gemm_micro_avx2.h"
#include "kernels/grad/vec_philox_avx2.h"

enum { LANES = 8 * DS__TILE_VECTORS_AVX2, ROWS = DS__TILE_ROWS_AVX2 };

#define TILES(rows_)                                                                                                   \
    static void wide_##rows_(const ds__tile *tile) {                                                                   \
        ds__tile_avx2((ds__tile_kind){.rows = rows_, .vectors = 2}, tile);                                             \
    }                                                                                                                  \
    static void narrow_##rows_(const ds__tile *tile) {                                                                 \
        ds__tile_avx2((ds__tile_kind){.rows = rows_, .vectors = 1, .masked = true}, tile);                             \
    }                                                                                                                  \
    static void turned_##rows_(const ds__tile *tile) {                                                                 \
        ds__tile_avx2((ds__tile_kind){.rows = rows_, .vectors = 2, .transposed = true}, tile);                         \
    }                                                                                                                  \
    static void turned_narrow_##rows_(const ds__tile *tile) {                                                          \
        ds__tile_avx2((ds__tile_kind){.rows = rows_, .vectors = 1, .transposed = true, .masked = true}, tile);         \
    }
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)

#define BY_ROWS(name)                                                                                                  \
    { NULL, name##1, name##2, name##3, name##4, name##5, name##6 }
static ds__tile_run *const wide[ROWS + 1] = BY_ROWS(wide_);
static ds__tile_run *const narrow[ROWS + 1] = BY_ROWS(narrow_);
static ds__tile_run *const turned_wide[ROWS + 1] = BY_ROWS(turned_);
static ds__tile_run *const turned_narrow[ROWS + 1] = BY_ROWS(turned_narrow_);

static void product(const ds__tile *operands, size_t rows, bool turned, float *corner) {
    static const ds__train_tiles tiles = {ROWS, 8, {wide, turned_wide}, {narrow, turned_narrow}};
    ds__train_multiply(&tiles, operands, rows, turned, corner);
}

static void transpose(const float *from, size_t ld, size_t rows, size_t columns, float scale, float *to) {
    for (size_t lane = 0; lane < rows; lane += 8)
        for (size_t c = 0; c < columns; c += 8)
            ds__transpose_avx2(from + lane * ld + c, ld, rows - lane < 8 ? rows - lane : 8,
                               columns - c < 8 ? columns - c : 8, scale, to + c * LANES + lane, LANES);
}

/* 2^x for x <= 0: 0 from 2^-125 down, -infinity included; NaN stays. */
static inline __m256 weight_of(__m256 x) {
    const __m256 least = _mm256_set1_ps(-125.0f);
    __m256 too_low = _mm256_cmp_ps(x, least, _CMP_LE_OQ);
    return _mm256_andnot_ps(too_low, ds__exp2_scaled_avx2(_mm256_max_ps(least, x), 1.0f));
}

/* Exponentials of one register of lanes, in the place of the scores; returns their sum, in the order of the keys. */
static inline __m256 exponentials(float *scores, size_t keys, __m256 top) {
    __m256 total = _mm256_setzero_ps();
    for (size_t j = 0; j < keys; j++) {
        const __m256 weight = weight_of(_mm256_sub_ps(_mm256_loadu_ps(scores + j * LANES), top));
        _mm256_storeu_ps(scores + j * LANES, weight);
        total = _mm256_add_ps(total, weight);
    }
    return total;
}

static void weigh(const ds__train_block *block) {
    for (size_t lane = 0; lane < block->width; lane += 8) {
        float *scores = block->scores + lane;
        const __m256 before = block->key ? _mm256_loadu_ps(block->top + lane) : _mm256_set1_ps(-__builtin_inff());
        __m256 top = before, other = before, correction = _mm256_setzero_ps();
        size_t j = 0;
        for (; j + 2 <= block->keys; j += 2) { /* two chains: a maximum takes longer than a load */
            top = _mm256_max_ps(top, _mm256_loadu_ps(scores + j * LANES));
            other = _mm256_max_ps(other, _mm256_loadu_ps(scores + (j + 1) * LANES));
        }
        if (j < block->keys) top = _mm256_max_ps(top, _mm256_loadu_ps(scores + j * LANES));
        top = _mm256_max_ps(top, other);
        __m256 total = exponentials(scores, block->keys, top);
        if (block->key) {
            /* Exactly 1 where `top` stands, so that a tile that a lane does not see at all leaves no trace. */
            const __m256 stands = _mm256_cmp_ps(before, top, _CMP_EQ_OQ);
            correction = weight_of(_mm256_sub_ps(before, top));
            correction = _mm256_blendv_ps(correction, _mm256_set1_ps(1.0f), stands);
            total = _mm256_fmadd_ps(_mm256_loadu_ps(block->total + lane), correction, total);
        }
        _mm256_storeu_ps(block->top + lane, top);
        _mm256_storeu_ps(block->total + lane, total);
        _mm256_storeu_ps(block->correction + lane, correction);
    }
}

static void weigh_again(const ds__train_block *block) {
    for (size_t lane = 0; lane < block->width; lane += 8)
        exponentials(block->scores + lane, block->keys, _mm256_loadu_ps(block->top + lane));
}

/* Dropout's rows of eight lanes. */
static inline __m256i rows_of(const ds__train_block *block, size_t lane) {
    const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_add_epi32(_mm256_set1_epi32((int)ds__train_dropout_row(block, lane)),
                            _mm256_mullo_epi32(numbers, _mm256_set1_epi32((int)block->args->dropout_step)));
}

/* All bits where a word, which is not less than the threshold, keeps its element. */
static inline __m256 keeps(__m256i word, __m256i threshold) {
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_max_epu32(word, threshold), word));
}

static void drop(const ds__train_block *block) {
    const ds__dropout dropout = block->args->dropout;
    const __m256i threshold = _mm256_set1_epi32((int)ds__dropout_threshold(dropout.rate));
    for (size_t lane = 0; lane < block->width; lane += 8) {
        const __m256i rows = rows_of(block, lane);
        for (size_t j = 0; j < block->keys; j += 4) {
            __m256i words[4];
            ds__philox_rows_avx2(&dropout, rows, (uint32_t)((block->key + j) / 4), words);
            for (size_t i = 0; i < 4 && i < block->keys - j; i++) {
                float *scores = block->scores + (j + i) * LANES + lane;
                _mm256_storeu_ps(scores, _mm256_and_ps(_mm256_loadu_ps(scores), keeps(words[i], threshold)));
            }
        }
    }
}

static void scale_rows(const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    const size_t d = args->head_dim, whole = d / 8 * 8;
    for (size_t i = 0; i < block->queries; i++) {
        float *out = args->out + (block->first + i) * args->ldo;
        const __m256 factor = _mm256_set1_ps(block->correction[i]);
        for (size_t c = 0; c < whole; c += 8)
            _mm256_storeu_ps(out + c, _mm256_mul_ps(_mm256_loadu_ps(out + c), factor));
        for (size_t c = whole; c < d; c++) out[c] *= block->correction[i]; /* masked stores are slow on some machines */
    }
}

/* Sums across the lanes of eight registers, one for each row, come out of a transposition all at once. */
static void dot_rows(const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    const size_t d = args->head_dim;
    for (size_t lane = 0; lane < block->queries; lane += 8) {
        __m256 sums[8];
        for (size_t i = 0; i < 8; i++) {
            sums[i] = _mm256_setzero_ps();
            if (lane + i >= block->queries) continue;
            const float *out = args->out + (block->first + lane + i) * args->ldo;
            const float *dout = args->dout + (block->first + lane + i) * args->lddo;
            for (size_t c = 0; c < d; c += 8) {
                const __m256i some = ds__tail_avx2(d - c < 8 ? d - c : 8);
                sums[i] =
                    _mm256_fmadd_ps(_mm256_maskload_ps(out + c, some), _mm256_maskload_ps(dout + c, some), sums[i]);
            }
        }
        ds__transpose_words_avx2(sums);
        for (size_t step = 4; step > 0; step /= 2)
            for (size_t i = 0; i < step; i++) sums[i] = _mm256_add_ps(sums[i], sums[i + step]);
        _mm256_storeu_ps(block->delta + lane, sums[0]);
    }
}

/* What is the same for all keys of a register of lanes. */
typedef struct lane_terms {
    __m256 part, delta; /* 1 / total; dout.out */
    __m256 scale, stays;
} lane_terms;

DS__VEC_INLINE void differentiate_key(const lane_terms *terms, __m256 keep, float *scores, float *grads) {
    const __m256 p = _mm256_mul_ps(_mm256_loadu_ps(scores), terms->part);
    const __m256 dp = _mm256_and_ps(keep, _mm256_mul_ps(_mm256_loadu_ps(grads), terms->stays));
    _mm256_storeu_ps(scores, _mm256_and_ps(keep, _mm256_mul_ps(p, terms->stays)));
    _mm256_storeu_ps(grads, _mm256_mul_ps(_mm256_mul_ps(p, terms->scale), _mm256_sub_ps(dp, terms->delta)));
}

static void differentiate(const ds__train_block *block) {
    const ds__dropout dropout = block->args->dropout;
    const __m256i threshold = _mm256_set1_epi32((int)ds__dropout_threshold(dropout.rate));
    for (size_t lane = 0; lane < block->width; lane += 8) {
        const lane_terms terms = {
            .part = _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_loadu_ps(block->total + lane)),
            .delta = _mm256_loadu_ps(block->delta + lane),
            .scale = _mm256_set1_ps(block->args->scale),
            .stays = _mm256_set1_ps(ds__dropout_scale(dropout.rate)),
        };
        const __m256i rows = rows_of(block, lane);
        const __m256 all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
        float *scores = block->scores + lane, *grads = block->grads + lane;
        if (!(dropout.rate > 0)) {
            for (size_t j = 0; j < block->keys; j++)
                differentiate_key(&terms, all, scores + j * LANES, grads + j * LANES);
            continue;
        }
        for (size_t j = 0; j < block->keys; j += 4) {
            __m256i words[4];
            ds__philox_rows_avx2(&dropout, rows, (uint32_t)((block->key + j) / 4), words);
            for (size_t i = 0; i < 4 && i < block->keys - j; i++)
                differentiate_key(&terms, keeps(words[i], threshold), scores + (j + i) * LANES,
                                  grads + (j + i) * LANES);
        }
    }
}

static bool scratch_floats(size_t head_dim, size_t *floats) { return ds__train_scratch(LANES, head_dim, floats); }

static const ds__train_steps steps = {LANES, transpose,  product,  weigh,        weigh_again,
                                      drop,  scale_rows, dot_rows, differentiate};

static void forward(const ds__attention_train_args *args) { ds__train_forward(&steps, args); }
static void backward(const ds__attention_train_args *args) { ds__train_backward(&steps, args); }

const ds__attention_train_f32 ds__attention_train_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(attention_train, attention_train_f32, avx2, "16 queries by 128 keys, 256-bit registers"),
    .scratch_floats = scratch_floats,
    .forward = forward,
    .backward = backward,
};
