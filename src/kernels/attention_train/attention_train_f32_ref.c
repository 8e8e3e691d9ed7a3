/* Attention in training in portable C: the lanes of the algorithm are the innermost loops. */
#include <math.h>

#include "kernels/attention_train/attention_train_loops.h"
#include "kernels/elementwise/vec_math_ref.h"

enum { LANES = 8 };

/* As far as the lanes that are worked on reach, which is not known here: all. */
static void transpose(const float *from, size_t ld, size_t rows, size_t columns, float scale, float *to) {
    for (size_t c = 0; c < columns; c++)
        for (size_t lane = 0; lane < LANES; lane++)
            to[c * LANES + lane] = lane < rows ? scale * from[lane * ld + c] : 0.0f;
}

/* One row of at most LANES columns; `columns` is a constant where that many there are. */
static inline void row_of(const ds__tile *operands, const float *a, size_t a_step, size_t n, float *c, size_t columns) {
    const float *b = (const float *)operands->b + n;
    float sums[LANES] = {0};
    if (operands->add)
        for (size_t j = 0; j < columns; j++) sums[j] = c[j];
    for (size_t p = 0; p < operands->k; p++)
        for (size_t j = 0; j < columns; j++) sums[j] += a[p * a_step] * b[p * operands->b_row + j];
    for (size_t j = 0; j < columns; j++) c[j] = sums[j];
}

static void product(const ds__tile *operands, size_t rows, bool turned, float *corner) {
    const size_t a_row = turned ? 1 : operands->a_row, a_step = turned ? operands->a_row : 1;
    (void)corner;
    for (size_t i = 0; i < rows; i++)
        for (size_t n = 0; n < operands->columns; n += LANES) {
            const float *a = (const float *)operands->a + i * a_row;
            float *c = (float *)operands->c + i * operands->c_row + n;
            if (operands->columns - n >= LANES) {
                row_of(operands, a, a_step, n, c, LANES);
            } else {
                row_of(operands, a, a_step, n, c, operands->columns - n);
            }
        }
}

/* 2^x; scores are in units of ln 2. */
static inline float weight_of(float x) { return exp2f(x); }

static float exponentials(float *scores, size_t keys, float top) {
    float total = 0.0f;
    for (size_t j = 0; j < keys; j++) {
        scores[j * LANES] = weight_of(scores[j * LANES] - top);
        total += scores[j * LANES];
    }
    return total;
}

static void weigh(const ds__train_block *block) {
    for (size_t lane = 0; lane < block->width; lane++) {
        float *scores = block->scores + lane, before = block->key ? block->top[lane] : -INFINITY, top = before;
        for (size_t j = 0; j < block->keys; j++)
            if (scores[j * LANES] > top) top = scores[j * LANES];
        const float total = exponentials(scores, block->keys, top);
        block->correction[lane] = block->key ? weight_of(before - top) : 0.0f;
        block->total[lane] = block->key ? block->total[lane] * block->correction[lane] + total : total;
        block->top[lane] = top;
    }
}

static void weigh_again(const ds__train_block *block) {
    for (size_t lane = 0; lane < block->width; lane++)
        exponentials(block->scores + lane, block->keys, block->top[lane]);
}

/* Dropout's words of four keys from block->key + j on. */
static void draw(const ds__train_block *block, size_t lane, size_t j, uint32_t words[4]) {
    const ds__dropout *dropout = &block->args->dropout;
    const uint32_t counter[4] = {(uint32_t)((block->key + j) / 4), ds__train_dropout_row(block, lane), dropout->site,
                                 dropout->draw};
    ds__philox(counter, dropout->seed, words);
}

static void drop(const ds__train_block *block) {
    const uint32_t threshold = ds__dropout_threshold(block->args->dropout.rate);
    for (size_t lane = 0; lane < block->queries; lane++)
        for (size_t j = 0; j < block->keys; j += 4) {
            uint32_t words[4];
            draw(block, lane, j, words);
            for (size_t i = 0; i < 4 && i < block->keys - j; i++)
                if (words[i] < threshold) block->scores[(j + i) * LANES + lane] = 0.0f;
        }
}

static void scale_rows(const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    for (size_t i = 0; i < block->queries; i++)
        for (size_t c = 0; c < args->head_dim; c++)
            args->out[(block->first + i) * args->ldo + c] *= block->correction[i];
}

static void dot_rows(const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    for (size_t i = 0; i < block->queries; i++) {
        const float *out = args->out + (block->first + i) * args->ldo;
        const float *dout = args->dout + (block->first + i) * args->lddo;
        float sum = 0.0f;
        for (size_t c = 0; c < args->head_dim; c++) sum += out[c] * dout[c];
        block->delta[i] = sum;
    }
}

static void differentiate(const ds__train_block *block) {
    const ds__attention_train_args *args = block->args;
    const bool drops = args->dropout.rate > 0;
    const float stays = ds__dropout_scale(args->dropout.rate);
    const uint32_t threshold = ds__dropout_threshold(args->dropout.rate);
    for (size_t lane = 0; lane < block->queries; lane++)
        for (size_t j = 0; j < block->keys; j += 4) {
            uint32_t words[4] = {0};
            if (drops) draw(block, lane, j, words);
            for (size_t i = 0; i < 4 && i < block->keys - j; i++) {
                float *score = block->scores + (j + i) * LANES + lane, *grad = block->grads + (j + i) * LANES + lane;
                const float p = *score / block->total[lane], factor = drops && words[i] < threshold ? 0.0f : stays;
                *score = p * factor;
                *grad = args->scale * p * (*grad * factor - block->delta[lane]);
            }
        }
}

static bool scratch_floats(size_t head_dim, size_t *floats) { return ds__train_scratch(LANES, head_dim, floats); }

static const ds__train_steps steps = {LANES, transpose,  product,  weigh,        weigh_again,
                                      drop,  scale_rows, dot_rows, differentiate};

static void forward(const ds__attention_train_args *args) { ds__train_forward(&steps, args); }
static void backward(const ds__attention_train_args *args) { ds__train_backward(&steps, args); }

const ds__attention_train_f32 ds__attention_train_f32_ref = {
    .kernel = DS_KERNEL_HEAD(attention_train, attention_train_f32, ref, "8 queries by 128 keys in portable C"),
    .scratch_floats = scratch_floats,
    .forward = forward,
    .backward = backward,
};
