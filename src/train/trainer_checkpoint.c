/* A trainer to a checkpoint and back, and to a model's folder. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/error.h"
#include "pipeline/adapter.h"
#include "train/trainer_checkpoint.h"
#include "train/write_folder.h"
#include "train/write_tensors.h"

/* One line that two runs share only when a step of one is a step of the other. */
static void describe(const ds_trainer *trainer, ds__buffer *out) {
    const ds__model_config *config = &trainer->folder.config;
    const ds_trainer_options *o = &trainer->options;
    ds__buffer_printf(out,
                      "%s %dx%d vocabulary=%d task=%d loss=%d labels=%d optimizer=%d rate=%g decay=%g beta=%g,%g "
                      "momentum=%g clip=%g schedule=%d steps=%lld warmup=%lld smoothing=%g seed=%llu dropout=%g "
                      "precision=%s int8=%d lora=%d,%g layer_decay=%g keep=%g trained=%lld micro=%zu tensors=%zu",
                      config->model_type, config->layers, config->hidden_size, config->vocab_size,
                      (int)trainer->info.task, (int)trainer->info.loss, trainer->info.labels, (int)o->optimizer,
                      (double)o->learning_rate, (double)o->weight_decay, (double)o->beta1, (double)o->beta2,
                      (double)o->momentum, (double)o->max_grad_norm, (int)o->schedule, (long long)o->total_steps,
                      (long long)o->warmup_steps, (double)o->label_smoothing, (unsigned long long)o->seed,
                      (double)o->dropout, ds_precision_name(trainer->info.precision), (int)o->quantization_aware,
                      o->lora_rank, (double)o->lora_alpha, (double)o->layer_decay, (double)o->keep_vectors,
                      (long long)trainer->info.trained_parameters, trainer->info.micro_batch_tokens,
                      trainer->parameters.count);
    for (size_t i = 0; i < o->freeze_count; i++) ds__buffer_printf(out, " frozen=%s", o->freeze[i]);
}

static const char *const moment_names[] = {"first", "second"};

/* What a checkpoint holds: the trained weights under their own names, moments as "first.NAME" and "second.NAME". */
static ds_status list(ds_trainer *trainer, ds__arena *memory, ds__checkpoint *out, ds_error *error) {
    const ds__parameters *parameters = &trainer->parameters;
    out->weights = ds__arena_zeroed(memory, (parameters->count + 1) * sizeof *out->weights);
    out->moments = ds__arena_zeroed(memory, (2 * parameters->count + 1) * sizeof *out->moments);
    bool ok = out->weights && out->moments;
    for (size_t i = 0; ok && i < parameters->count; i++) {
        const ds__parameter *p = &parameters->items[i];
        if (!p->trained) continue;
        ds__kept_tensor kept = {.name = p->name, .rank = p->rank, .data = p->data};
        memcpy(kept.shape, p->shape, sizeof kept.shape);
        out->weights[out->weight_count++] = kept;
        float *const moments[] = {p->first, p->second};
        for (int m = 0; ok && m < 2; m++) {
            const size_t size = strlen(p->name) + 16;
            char *name = ds__arena_alloc(memory, size);
            ok = name != NULL;
            if (!ok || !moments[m]) continue;
            snprintf(name, size, "%s.%s", moment_names[m], p->name);
            kept.name = name;
            kept.data = moments[m];
            out->moments[out->moment_count++] = kept;
        }
    }
    return ok ? DS_OK
              : ds__alloc_failed(&trainer->context->heap, parameters->count * sizeof(ds__kept_tensor), "a checkpoint",
                                 error);
}

/* The most capable instruction set that kernels may use here: another one means other bits. */
static const char *kernels_here(void) {
    ds__isa best = DS__ISA_ref;
    for (int isa = 0; isa < DS__ISA_COUNT; isa++)
        if (ds__cpu_allows((ds__isa)isa)) best = (ds__isa)isa;
    return ds__isa_name(best);
}

ds_status ds__trainer_save_checkpoint(ds_trainer *trainer, const char *path, const char *state, ds_error *error) {
    ds__heap *heap = &trainer->context->heap;
    ds__arena memory;
    ds__buffer fingerprint, text;
    ds__arena_init(&memory, heap, 0);
    ds__buffer_init(&fingerprint, heap);
    ds__buffer_init(&text, heap);
    describe(trainer, &fingerprint);
    ds__buffer_printf(&text, "%u %s", (unsigned)trainer->draw, state ? state : "");
    ds__checkpoint checkpoint = {.kernels = kernels_here(), .step = trainer->step};
    checkpoint.fingerprint = ds__buffer_cstr(&fingerprint);
    checkpoint.state = ds__buffer_cstr(&text);
    ds_status status = checkpoint.fingerprint && checkpoint.state ? list(trainer, &memory, &checkpoint, error)
                                                                  : ds__alloc_failed(heap, 1024, "a checkpoint", error);
    if (status == DS_OK) status = ds__checkpoint_write(heap, path, &checkpoint, error);
    ds__buffer_deinit(&text);
    ds__buffer_deinit(&fingerprint);
    ds__arena_deinit(&memory);
    return status;
}

/* Takes the draw off the front of the text and keeps the rest for the caller. */
static ds_status keep_state(ds_trainer *trainer, const ds__checkpoint *checkpoint, ds_error *error) {
    ds__heap *heap = &trainer->context->heap;
    char *end;
    const unsigned long draw = strtoul(checkpoint->state, &end, 10);
    if (*end != ' ' || draw > UINT32_MAX)
        return ds__fail(error, DS_BAD_FORMAT, "the checkpoint's state begins with \"%.20s\", expected a number",
                        checkpoint->state);
    const size_t bytes = strlen(end + 1) + 1;
    char *copy = ds__alloc(heap, bytes);
    if (!copy) return ds__alloc_failed(heap, bytes, "a checkpoint's state", error);
    memcpy(copy, end + 1, bytes);
    ds__free(heap, trainer->state, trainer->state_bytes);
    trainer->state = copy;
    trainer->state_bytes = bytes;
    trainer->draw = (uint32_t)draw;
    trainer->step = checkpoint->step;
    return DS_OK;
}

ds_status ds__trainer_load_checkpoint(ds_trainer *trainer, const char *path, const char **state, ds_error *error) {
    ds__heap *heap = &trainer->context->heap;
    ds__arena memory;
    ds__buffer fingerprint, texts;
    ds__arena_init(&memory, heap, 0);
    ds__buffer_init(&fingerprint, heap);
    ds__buffer_init(&texts, heap);
    describe(trainer, &fingerprint);
    ds__checkpoint checkpoint = {.fingerprint = ds__buffer_cstr(&fingerprint)};
    ds_status status = checkpoint.fingerprint ? list(trainer, &memory, &checkpoint, error)
                                              : ds__alloc_failed(heap, 1024, "a checkpoint", error);
    if (status == DS_OK) status = ds__checkpoint_read(heap, path, &checkpoint, &texts, error);
    if (status == DS_OK && strcmp(checkpoint.kernels, kernels_here()) != 0)
        ds__log(trainer->context, DS_LOG_WARNING,
                "%s was written with %s kernels, here they are %s: going on gives other bits than never having stopped",
                path, checkpoint.kernels, kernels_here());
    if (status == DS_OK) status = keep_state(trainer, &checkpoint, error);
    if (status == DS_OK && state) *state = trainer->state;
    ds__buffer_deinit(&texts);
    ds__buffer_deinit(&fingerprint);
    ds__arena_deinit(&memory);
    return status;
}

/* ---- The folder ---- */

static const char *class_name(const ds_trainer *trainer, ds__arena *memory) {
    const ds_head head = trainer->folder.config.head;
    const char *first = trainer->folder.architecture->class_name;
    const char *last = head == DS_HEAD_TOKEN ? "ForTokenClassification" : "ForSequenceClassification";
    const size_t size = strlen(first) + strlen(last) + 1;
    char *name = ds__arena_alloc(memory, size);
    if (name) snprintf(name, size, "%s%s", first, last);
    return name;
}

/* weight + scale * B * A, into new memory. */
static float *merged(const ds_trainer *trainer, ds__arena *memory, const ds__parameter *weight, const ds__parameter *a,
                     const ds__parameter *b) {
    const ds_trainer_options *o = &trainer->options;
    const ds__low_rank low = {
        .rows = (size_t)weight->shape[0],
        .cols = (size_t)weight->shape[1],
        .rank = (size_t)a->shape[0],
        .scale = (o->lora_alpha == 0 ? (double)o->lora_rank : (double)o->lora_alpha) / o->lora_rank,
        .a = a->data,
        .b = b->data,
    };
    float *out = ds__arena_alloc(memory, weight->elements * sizeof *out);
    double *row = ds__arena_alloc(memory, low.cols * sizeof *row);
    if (!out || !row) return NULL;
    memcpy(out, weight->data, weight->elements * sizeof *out);
    ds__low_rank_add(&low, out, row);
    return out;
}

/* A's or B's tensor beside a weight ("X.weight" -> "X.lora_A.weight"); NULL: it has none. */
static const ds__parameter *adapter_of(const ds__parameters *parameters, const ds__parameter *weight, char which) {
    char name[320];
    const int stem = (int)strlen(weight->name) - (int)strlen(".weight");
    if (weight->rank != 2 || stem < 1) return NULL;
    snprintf(name, sizeof name, "%.*s.lora_%c.weight", stem, weight->name, which);
    return ds__parameters_find(parameters, name);
}

/* The trainer's own tensors, adapters merged. */
static ds_status own_tensors(ds_trainer *trainer, ds__arena *memory, ds__kept_tensor *tensors, size_t *count,
                             ds_error *error) {
    const ds__parameters *parameters = &trainer->parameters;
    for (size_t i = 0; i < parameters->count; i++) {
        const ds__parameter *p = &parameters->items[i];
        if (strstr(p->name, ".lora_")) continue;
        ds__kept_tensor kept = {.name = p->name, .rank = p->rank, .data = p->data};
        memcpy(kept.shape, p->shape, sizeof kept.shape);
        const ds__parameter *a = adapter_of(parameters, p, 'A'), *b = adapter_of(parameters, p, 'B');
        if (a && b && !(kept.data = merged(trainer, memory, p, a, b)))
            return ds__alloc_failed(&trainer->context->heap, p->elements * sizeof(float), p->name, error);
        tensors[(*count)++] = kept;
    }
    return DS_OK;
}

/* A parameter of the trainer's is made of it, or of the codes that it holds the scales of. */
static bool is_taken(const ds__parameters *parameters, ds__str name) {
    for (size_t i = 0; i < parameters->count; i++) {
        const size_t size = strlen(parameters->items[i].name);
        if (name.size < size || memcmp(name.data, parameters->items[i].name, size) != 0) continue;
        if (name.size == size || strcmp(name.data + size, "_scale") == 0) return true;
    }
    return false;
}

/* Tensors of the folder that no graph has used, of `element` bytes each; they go over as they are. A head makes another
 * class of the model, which need not have them. */
static void other_tensors(const ds_trainer *trainer, size_t element, ds__kept_tensor *tensors, size_t *count) {
    const ds__weights *weights = trainer->folder.weights;
    for (size_t i = 0; i < ds__weights_count(weights) && trainer->folder.config.head == DS_HEAD_NONE; i++) {
        const ds__safetensor *t = ds__weights_at(weights, i);
        ds__kept_tensor kept = {.name = t->name.data, .rank = t->rank, .stored = t};
        if (ds__kept_element(&kept, DS_SAVE_FLOAT32) != element || is_taken(&trainer->parameters, t->name)) continue;
        memcpy(kept.shape, t->shape, sizeof kept.shape);
        tensors[(*count)++] = kept;
    }
}

/* The tensors of the whole model, wide types first. */
static ds_status whole_model(ds_trainer *trainer, ds__arena *memory, ds_save_dtype dtype, ds__folder_content *content,
                             ds_error *error) {
    const size_t most = trainer->parameters.count + ds__weights_count(trainer->folder.weights) + 1;
    ds__kept_tensor *tensors = ds__arena_zeroed(memory, most * sizeof *tensors);
    if (!tensors) return ds__alloc_failed(&trainer->context->heap, most * sizeof *tensors, "a model's tensors", error);
    const size_t own = dtype == DS_SAVE_FLOAT16 || dtype == DS_SAVE_BFLOAT16 ? 2 : 4;
    for (size_t element = 8; element > 0; element /= 2) {
        other_tensors(trainer, element, tensors, &content->tensor_count);
        if (element == own) DS_TRY(own_tensors(trainer, memory, tensors, &content->tensor_count, error));
    }
    content->tensors = tensors;
    return DS_OK;
}

/* A list of names, each of them once. */
typedef struct name_list {
    const char **items;
    size_t count;
} name_list;

static bool add_name(ds__arena *memory, name_list *list, ds__str name) {
    for (size_t i = 0; i < list->count; i++)
        if (ds__str_is(name, list->items[i])) return true;
    const char *copy = ds__arena_copy(memory, name).data;
    if (copy) list->items[list->count++] = copy;
    return copy != NULL;
}

/* What peft calls the module that a trained tensor belongs to: of an adapter the last part ("query"), of a head the
 * part that it is saved by ("classifier", "pooler"). */
static bool name_module(ds__arena *memory, const char *tensor, name_list *targets, name_list *saved) {
    static const char *const heads[] = {"pre_classifier", "classifier", "pooler"};
    const char *end = strstr(tensor, ".lora_"), *begin = end;
    while (begin && begin > tensor && begin[-1] != '.') begin--;
    if (end) return add_name(memory, targets, (ds__str){begin, (size_t)(end - begin)});
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strstr(tensor, heads[i])) return add_name(memory, saved, ds__str_of(heads[i]));
    return true;
}

static ds_status save_adapters(ds_trainer *trainer, const char *path, ds__arena *memory, ds_error *error) {
    const ds__parameters *parameters = &trainer->parameters;
    const ds_trainer_options *o = &trainer->options;
    const ds_train_task task = trainer->info.task;
    if (o->lora_rank == 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: there are no adapters to save, lora_rank is 0", path);
    ds__kept_tensor *tensors = ds__arena_zeroed(memory, (parameters->count + 1) * sizeof *tensors);
    name_list targets = {ds__arena_zeroed(memory, (parameters->count + 1) * sizeof(char *)), 0};
    name_list saved = {ds__arena_zeroed(memory, (parameters->count + 1) * sizeof(char *)), 0};
    size_t count = 0;
    bool ok = tensors && targets.items && saved.items;
    for (size_t i = 0; ok && i < parameters->count; i++) {
        const ds__parameter *p = &parameters->items[i];
        if (!p->trained) continue;
        const char *prefix = trainer->folder.architecture->weight_prefix, *short_name = p->name;
        if (task == DS_TRAIN_EMBEDDING && ds__str_starts(ds__str_of(p->name), ds__str_of(prefix)))
            short_name += strlen(prefix); /* the class without a head has none */
        const size_t size = strlen(short_name) + 32;
        char *name = ds__arena_alloc(memory, size);
        ok = name && name_module(memory, p->name, &targets, &saved);
        if (!ok) break;
        snprintf(name, size, "base_model.model.%s", short_name);
        tensors[count] = (ds__kept_tensor){.name = name, .rank = p->rank, .data = p->data};
        memcpy(tensors[count++].shape, p->shape, sizeof p->shape);
    }
    if (!ok) return ds__alloc_failed(&trainer->context->heap, parameters->count * sizeof *tensors, "adapters", error);
    const ds__adapter_content content = {
        .base_name = trainer->folder.path,
        .rank = o->lora_rank,
        .alpha = o->lora_alpha == 0 ? (float)o->lora_rank : o->lora_alpha,
        .targets = targets.items,
        .target_count = targets.count,
        .saved_modules = saved.items,
        .saved_count = saved.count,
        .task_type = task == DS_TRAIN_EMBEDDING ? "FEATURE_EXTRACTION"
                     : task == DS_TRAIN_TAGGING ? "TOKEN_CLS"
                                                : "SEQ_CLS",
        .tensors = tensors,
        .tensor_count = count,
    };
    return ds__adapter_write(trainer->context, path, &content, error);
}

ds_status ds__trainer_save(ds_trainer *trainer, const char *path, const ds_save_options *options, ds_error *error) {
    static const ds_save_options defaults;
    if (!options) options = &defaults;
    ds__arena memory;
    ds__arena_init(&memory, &trainer->context->heap, 0);
    ds_status status = DS_OK;
    if (options->adapters) {
        status = save_adapters(trainer, path, &memory, error);
    } else {
        ds__folder_content content = {.source = &trainer->folder, .dtype = options->dtype, .card = options->card};
        status = whole_model(trainer, &memory, options->dtype, &content, error);
        if (trainer->folder.config.head != DS_HEAD_NONE) {
            content.class_name = class_name(trainer, &memory);
            content.labels = trainer->info.labels;
            content.label_names = trainer->folder.config.label_names;
            content.problem = trainer->folder.config.problem;
            content.embeds = trainer->options.keep_vectors > 0;
            if (status == DS_OK && !content.class_name)
                status = ds__alloc_failed(&trainer->context->heap, 64, "a class name", error);
        }
        if (status == DS_OK) status = ds__folder_write(trainer->context, path, &content, error);
    }
    ds__arena_deinit(&memory);
    return status;
}
