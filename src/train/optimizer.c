/* AdamW and SGD; see the header.  Parameters are cut into chunks of a constant size, which are the tasks. */
#include "train/optimizer.h"

#include <math.h>

#include "kernels/optim/optim.h"
#include "ops/ops.h"

enum { CHUNK = 1 << 16 };

double ds__schedule_at(ds_schedule schedule, int64_t step, int64_t warmup, int64_t total) {
    const double done = (double)(step - 1);
    if (step - 1 < warmup) return done / (double)(warmup > 1 ? warmup : 1);
    const double left = (double)(total - warmup > 1 ? total - warmup : 1), share = (done - (double)warmup) / left;
    switch (schedule) {
    case DS_SCHEDULE_LINEAR: return share < 1 ? 1 - share : 0;
    case DS_SCHEDULE_COSINE: return share < 1 ? 0.5 * (1 + cos(M_PI * share)) : 0;
    case DS_SCHEDULE_CONSTANT: break;
    }
    return 1;
}

int ds__optimizer_moments(const ds_trainer_options *options) {
    if (options->optimizer == DS_OPTIMIZER_ADAMW) return 2;
    return options->momentum != 0 ? 1 : 0;
}

typedef struct sweep {
    ds__parameters *parameters;
    double *sums; /* of the chunks from `from` on */
    int from;
    int64_t step;
    float rate, scale;
} sweep;

/* The parameter that chunk `task` of all trained ones lies in, and where. */
static ds__parameter *chunk_of(const ds__parameters *parameters, int task, size_t *first, size_t *count) {
    size_t before = 0;
    for (size_t i = 0; i < parameters->count; i++) {
        ds__parameter *p = &parameters->items[i];
        if (!p->trained) continue;
        const size_t chunks = (p->elements + CHUNK - 1) / CHUNK;
        if ((size_t)task < before + chunks) {
            *first = ((size_t)task - before) * CHUNK;
            *count = p->elements - *first < CHUNK ? p->elements - *first : CHUNK;
            return p;
        }
        before += chunks;
    }
    return NULL;
}

static int chunk_count(const ds__parameters *parameters) {
    size_t chunks = 0;
    for (size_t i = 0; i < parameters->count; i++)
        if (parameters->items[i].trained) chunks += (parameters->items[i].elements + CHUNK - 1) / CHUNK;
    return (int)chunks;
}

static void sum_chunk(void *argument, int task, int worker) {
    (void)worker;
    const sweep *s = argument;
    size_t first, count;
    const ds__parameter *p = chunk_of(s->parameters, s->from + task, &first, &count);
    s->sums[task] = ds__optim_f32_choose()->sum_of_squares(p->gradient + first, count);
}

double ds__gradient_norm(const ds__parameters *parameters, ds__pool *pool) {
    enum { AT_ONCE = 512 }; /* chunks, so that the sums need no memory of their own */
    const int chunks = chunk_count(parameters);
    double sums[AT_ONCE], total = 0;
    sweep s = {.parameters = (ds__parameters *)parameters, .sums = sums};
    for (; s.from < chunks; s.from += AT_ONCE) {
        const int many = chunks - s.from < AT_ONCE ? chunks - s.from : AT_ONCE;
        ds__pool_run(pool, many, sum_chunk, &s);
        for (int i = 0; i < many; i++) total += sums[i];
    }
    return sqrt(total);
}

static ds__adamw adamw_of(const ds_trainer_options *options, const ds__parameter *p, const sweep *s) {
    const float rate = s->rate * p->rate, decay = p->decays ? options->weight_decay : 0;
    const double beta1 = options->beta1, beta2 = options->beta2, step = (double)s->step;
    return (ds__adamw){
        .grad_scale = s->scale,
        .decay = (float)(1 - (double)rate * (double)decay),
        .step_size = (float)((double)rate / (1 - pow(beta1, step))),
        .v_correction = (float)(1 / sqrt(1 - pow(beta2, step))),
        .epsilon = options->epsilon,
        .one_minus_beta1 = (float)(1 - beta1),
        .beta2 = options->beta2,
        .one_minus_beta2 = (float)(1 - beta2),
    };
}

static ds__sgd sgd_of(const ds_trainer_options *options, const ds__parameter *p, const sweep *s) {
    return (ds__sgd){s->scale, p->decays ? options->weight_decay : 0, options->momentum, s->rate * p->rate};
}

static void update_chunk(void *argument, int task, int worker) {
    (void)worker;
    const sweep *s = argument;
    const ds_trainer_options *options = s->parameters->options;
    size_t first = 0, count = 0;
    ds__parameter *p = chunk_of(s->parameters, task, &first, &count);
    if (options->optimizer == DS_OPTIMIZER_SGD) {
        const ds__sgd with = sgd_of(options, p, s);
        ds__optim_f32_choose()->sgd(&with, p->gradient + first, p->data + first, p->first ? p->first + first : NULL,
                                    count);
        return;
    }
    const ds__adamw with = adamw_of(options, p, s);
    ds__optim_f32_choose()->adamw(&with, p->gradient + first, p->data + first, p->first + first, p->second + first,
                                  count);
}

void ds__optimizer_step(ds__parameters *parameters, ds__pool *pool, int64_t step, float rate, float gradient_scale) {
    sweep s = {.parameters = parameters, .step = step, .rate = rate, .scale = gradient_scale};
    ds__pool_run(pool, chunk_count(parameters), update_chunk, &s);
}

void ds__optimizer_settings(const ds__parameters *parameters, const ds__parameter *parameter, int64_t step, float rate,
                            float *out) {
    const sweep s = {.step = step, .rate = rate, .scale = 1};
    out[DS__UPDATE_SCALE] = s.scale;
    if (parameters->options->optimizer == DS_OPTIMIZER_SGD) {
        const ds__sgd with = sgd_of(parameters->options, parameter, &s);
        out[DS__SGD_WEIGHT_DECAY] = with.weight_decay;
        out[DS__SGD_MOMENTUM] = with.momentum;
        out[DS__SGD_RATE] = with.rate;
        return;
    }
    const ds__adamw with = adamw_of(parameters->options, parameter, &s);
    out[DS__ADAMW_DECAY] = with.decay;
    out[DS__ADAMW_STEP_SIZE] = with.step_size;
    out[DS__ADAMW_V_CORRECTION] = with.v_correction;
    out[DS__ADAMW_EPSILON] = with.epsilon;
    out[DS__ADAMW_ONE_MINUS_BETA1] = with.one_minus_beta1;
    out[DS__ADAMW_BETA2] = with.beta2;
    out[DS__ADAMW_ONE_MINUS_BETA2] = with.one_minus_beta2;
}
