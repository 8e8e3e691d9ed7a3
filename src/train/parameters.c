/* Parameters; see the header. */
#include "train/parameters.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "tensor/convert.h"

void ds__parameters_init(ds__parameters *parameters, const ds__folder *folder, const ds_trainer_options *options,
                         ds__heap *heap) {
    *parameters = (ds__parameters){.heap = heap, .folder = folder, .options = options};
    ds__arena_init(&parameters->arena, heap, 4096);
}

void ds__parameters_deinit(ds__parameters *parameters) {
    for (size_t i = 0; i < parameters->count; i++) {
        ds__parameter *p = &parameters->items[i];
        const size_t bytes = p->elements * sizeof(float);
        ds__free(parameters->heap, p->data, bytes);
        ds__free(parameters->heap, p->gradient, bytes);
        ds__free(parameters->heap, p->first, bytes);
        ds__free(parameters->heap, p->second, bytes);
    }
    ds__free(parameters->heap, parameters->items, parameters->capacity * sizeof *parameters->items);
    ds__arena_deinit(&parameters->arena);
}

ds__parameter *ds__parameters_find(const ds__parameters *parameters, const char *name) {
    for (size_t i = 0; i < parameters->count; i++)
        if (strcmp(parameters->items[i].name, name) == 0) return &parameters->items[i];
    return NULL;
}

static bool matches(const char *const *patterns, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (fnmatch(patterns[i], name, 0) == 0) return true;
    return false;
}

static bool is_head(const char *name) {
    return strncmp(name, "classifier", 10) == 0 || strncmp(name, "pre_classifier", 14) == 0 || strstr(name, "pooler.");
}

/* With adapters the model they stand beside is frozen, all but its head. */
static bool is_trained(const ds__parameters *parameters, const char *name) {
    const ds_trainer_options *options = parameters->options;
    if (matches(options->freeze, options->freeze_count, name)) return false;
    return options->lora_rank == 0 || strstr(name, ".lora_") || is_head(name);
}

/* Layer l of L counts decay^(L - l), embeddings decay^(L + 1), heads 1. */
static float rate_of(const ds__parameters *parameters, const char *name) {
    const float decay = parameters->options->layer_decay;
    const int32_t layers = parameters->folder->config.layers;
    const char *layer = strstr(name, "layer.");
    if (decay == 0) return 1;
    if (strstr(name, "embeddings.")) return powf(decay, (float)(layers + 1));
    return layer ? powf(decay, (float)(layers - (int32_t)strtol(layer + 6, NULL, 10))) : 1;
}

/* Normally distributed with the configuration's deviation (Box and Muller 1958); biases are 0.  LoRA draws A like
 * torch.nn.Linear (uniform within 1 / sqrt(inputs)) and starts with B = 0. */
static void draw(const ds__parameters *parameters, ds__parameter *p) {
    ds__random random = {parameters->options->seed};
    for (const char *c = p->name; *c; c++) random.state = random.state * 31 + (unsigned char)*c;
    if (p->rank < 2 || strstr(p->name, ".lora_B.")) {
        memset(p->data, 0, p->elements * sizeof *p->data);
        return;
    }
    if (strstr(p->name, ".lora_A.")) {
        const float bound = 1 / sqrtf((float)p->shape[1]);
        for (size_t i = 0; i < p->elements; i++) p->data[i] = bound * ds__random_f32(&random);
        return;
    }
    for (size_t i = 0; i < p->elements; i++) {
        const double u = ((double)(ds__random_u64(&random) >> 11) + 1) * 0x1p-53, v = (double)ds__random_f32(&random);
        p->data[i] = (float)(parameters->folder->config.initializer_range * sqrt(-2 * log(u)) * cos(M_PI * v));
    }
}

/* Rows of 8-bit codes with their scales, which stand beside them as NAME_scale. */
static ds_status read_codes(const ds__parameters *parameters, const ds__safetensor *stored, ds__parameter *p,
                            ds_error *error) {
    char name[256];
    snprintf(name, sizeof name, "%s_scale", stored->name.data);
    const ds__safetensor *scales = ds__weights_find(parameters->folder->weights, ds__str_of(name), NULL);
    if (!scales || !scales->known_dtype || scales->dtype != DS_F32 || scales->rank != 1 ||
        scales->shape[0] != p->shape[0])
        return ds__fail(error, DS_SHAPE_MISMATCH, "%s: tensor \"%s\" is stored as I8, but \"%s\" is not F32[%lld]",
                        stored->path, stored->name.data, name, (long long)p->shape[0]);
    const size_t cols = (size_t)p->shape[1];
    for (size_t row = 0; row < (size_t)p->shape[0]; row++) {
        float scale;
        memcpy(&scale, scales->data + row * sizeof scale, sizeof scale);
        for (size_t c = 0; c < cols; c++) p->data[row * cols + c] = scale * (float)(int8_t)stored->data[row * cols + c];
    }
    return DS_OK;
}

static ds_status fill(const ds__parameters *parameters, const ds__safetensor *stored, ds__parameter *p,
                      ds_error *error) {
    if (!stored) {
        draw(parameters, p);
        return DS_OK;
    }
    if (stored->dtype == DS_I8) return read_codes(parameters, stored, p, error);
    if (stored->dtype == DS_F32) {
        memcpy(p->data, stored->data, p->elements * sizeof *p->data);
        return DS_OK;
    }
    if (ds__widen_to_f32(stored->dtype, stored->data, p->data, p->elements) == DS_OK) return DS_OK;
    return ds__fail(error, DS_UNSUPPORTED, "%s: tensor \"%s\" is stored as %s, expected F32, F16, BF16 or I8",
                    stored->path, stored->name.data, stored->dtype_name.data);
}

float *ds__parameters_get(void *own, const char *name, const ds__safetensor *stored, int rank, const int64_t *shape,
                          ds_error *error) {
    ds__parameters *parameters = own;
    ds__parameter *known = ds__parameters_find(parameters, name);
    if (known) return known->data;
    ds__parameter p = {.rank = rank, .elements = 1};
    p.name = ds__arena_copy(&parameters->arena, ds__str_of(name)).data;
    for (int i = 0; i < rank; i++) {
        p.shape[i] = shape[i];
        p.elements *= (size_t)shape[i]; /* the configuration's sizes, which were checked, or the file's */
    }
    const size_t bytes = p.elements * sizeof(float);
    if (!p.name ||
        !ds__grow(parameters->heap, (void **)&parameters->items, &parameters->capacity, parameters->count + 1,
                  sizeof p) ||
        !(p.data = ds__alloc(parameters->heap, bytes))) {
        ds__alloc_failed(parameters->heap, bytes, name, error);
        return NULL;
    }
    p.stored = stored;
    p.trained = is_trained(parameters, name);
    p.decays = rank > 1;
    p.rate = rate_of(parameters, name);
    if (fill(parameters, stored, &p, error) != DS_OK) {
        ds__free(parameters->heap, p.data, bytes);
        return NULL;
    }
    parameters->bytes += bytes;
    parameters->items[parameters->count++] = p;
    return p.data;
}

int32_t ds__parameters_adapter(void *own, const char *name, float *scale) {
    static const char *const standard[] = {"*.query", "*.value", "*.q_lin", "*.v_lin"};
    const ds__parameters *parameters = own;
    const ds_trainer_options *options = parameters->options;
    const bool chosen = options->lora_target_count ? matches(options->lora_targets, options->lora_target_count, name)
                                                   : matches(standard, sizeof standard / sizeof *standard, name);
    if (options->lora_rank == 0 || !chosen) return 0;
    *scale = (options->lora_alpha == 0 ? (float)options->lora_rank : options->lora_alpha) / (float)options->lora_rank;
    return options->lora_rank;
}

static bool make(ds__heap *heap, float **memory, size_t elements) {
    if (!*memory) *memory = ds__alloc_zeroed(heap, elements * sizeof **memory);
    return *memory != NULL;
}

ds_status ds__parameters_reserve(ds__parameters *parameters, bool gradients, int moments, ds_error *error) {
    for (size_t i = 0; i < parameters->count; i++) {
        ds__parameter *p = &parameters->items[i];
        if (!p->trained) continue;
        if ((gradients && !make(parameters->heap, &p->gradient, p->elements)) ||
            (moments > 0 && !make(parameters->heap, &p->first, p->elements)) ||
            (moments > 1 && !make(parameters->heap, &p->second, p->elements)))
            return ds__alloc_failed(parameters->heap, p->elements * sizeof(float), p->name, error);
    }
    return DS_OK;
}

static ds_status interpolate(const ds__parameters *parameters, ds__parameter *p, float share, ds_error *error) {
    const size_t bytes = p->elements * sizeof(float);
    ds__parameter before = *p;
    before.data = p->gradient ? p->gradient : ds__alloc(parameters->heap, bytes);
    if (!before.data) return ds__alloc_failed(parameters->heap, bytes, p->name, error);
    const ds_status status = fill(parameters, p->stored, &before, error);
    for (size_t i = 0; i < p->elements && status == DS_OK; i++) p->data[i] += share * (before.data[i] - p->data[i]);
    if (!p->gradient) ds__free(parameters->heap, before.data, bytes);
    return status;
}

ds_status ds__parameters_interpolate(ds__parameters *parameters, float share, ds_error *error) {
    for (size_t i = 0; i < parameters->count; i++) {
        ds__parameter *p = &parameters->items[i];
        if (p->trained && p->stored && !is_head(p->name)) DS_TRY(interpolate(parameters, p, share, error));
    }
    return DS_OK;
}

int64_t ds__parameters_trained(const ds__parameters *parameters) {
    int64_t elements = 0;
    for (size_t i = 0; i < parameters->count; i++)
        if (parameters->items[i].trained) elements += (int64_t)parameters->items[i].elements;
    return elements;
}
