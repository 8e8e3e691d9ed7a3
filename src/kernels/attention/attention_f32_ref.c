/* Attention in portable C: the lanes of the algorithm are the innermost loops. */
#include <math.h>

#include "kernels/attention/attention_loops.h"
#include "kernels/elementwise/vec_math_ref.h"

enum { LANES = 8 };

static void load(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    for (size_t c = 0; c < args->head_dim; c++)
        for (size_t lane = 0; lane < LANES; lane++)
            block->queries_t[c * LANES + lane] =
                lane < block->queries ? args->scale * args->q[(block->first + lane) * args->ldq + c] : 0.0f;
}

static void score(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    for (size_t j = 0; j < block->keys; j++) {
        const float *k = block->k + j * block->ldk;
        float sums[LANES] = {0};
        for (size_t c = 0; c < args->head_dim; c++)
            for (size_t lane = 0; lane < LANES; lane++) sums[lane] += k[c] * block->queries_t[c * LANES + lane];
        for (size_t lane = 0; lane < LANES; lane++) block->scores[j * LANES + lane] = sums[lane];
    }
}

static void mask(const ds__attention_block *block) {
    for (size_t j = 0; j < block->keys; j++) {
        size_t blind = ds__attention_blind(block, block->key + j);
        for (size_t lane = 0; lane < blind; lane++) block->scores[j * LANES + lane] = -INFINITY;
    }
}

static void weigh(const ds__attention_block *block) {
    if (ds__attention_masked(block)) mask(block);
    for (size_t lane = 0; lane < LANES; lane++) {
        float top = block->key ? block->top[lane] : -INFINITY, total = 0.0f;
        for (size_t j = 0; j < block->keys; j++) {
            float score_here = block->scores[j * LANES + lane];
            if (score_here > top) top = score_here;
        }
        for (size_t j = 0; j < block->keys; j++) {
            float *weight = &block->scores[j * LANES + lane];
            *weight = ds__exp_ref(*weight - top);
            total += *weight;
        }
        block->correction[lane] = block->key ? ds__exp_ref(block->top[lane] - top) : 0.0f;
        block->total[lane] = block->key ? block->total[lane] * block->correction[lane] + total : total;
        block->top[lane] = top;
    }
}

static void sum_up(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    for (size_t i = 0; i < block->queries; i++) {
        float *sums = block->sums + i * block->sums_row;
        for (size_t c = 0; c < args->head_dim; c++) sums[c] = block->key ? sums[c] * block->correction[i] : 0.0f;
        for (size_t j = 0; j < block->keys; j++) {
            const float *v = block->v + j * block->ldv;
            for (size_t c = 0; c < args->head_dim; c++) sums[c] += block->scores[j * LANES + i] * v[c];
        }
    }
}

static void store(const ds__attention_block *block) {
    const ds__attention_f32_args *args = block->args;
    for (size_t i = 0; i < block->queries; i++)
        for (size_t c = 0; c < args->head_dim; c++)
            args->out[(block->first + i) * args->ldo + c] = block->sums[i * block->sums_row + c] / block->total[i];
}

static bool scratch_floats(size_t head_dim, size_t *floats) { return ds__attention_scratch(LANES, head_dim, floats); }

static void run(const ds__attention_f32_args *args) {
    static const ds__attention_steps steps = {LANES, load, score, weigh, sum_up, store};
    ds__attention_run(&steps, args);
}

const ds__attention_f32 ds__attention_f32_ref = {
    .kernel = DS_KERNEL_HEAD(attention, attention_f32, ref, "8 queries by 128 keys in portable C"),
    .query_block = LANES,
    .query_group = LANES * DS__ATTENTION_GROUP,
    .scratch_floats = scratch_floats,
    .run = run,
};
