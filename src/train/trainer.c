/* Creating a trainer: what the options and the folder decide, the programs' memory, the plan. */
#include "train/trainer.h"

#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "ops/ops.h"

enum {
    MICRO_TOKENS = 4096,
    BESIDE_BYTES = 8 << 20, /* batches, an evaluation's results, files that are copied when the model is saved */
};

static ds_status copy_texts(ds_trainer *trainer, const char *const **list, size_t count, ds_error *error) {
    const char **copies = ds__arena_zeroed(&trainer->arena, (count + 1) * sizeof *copies);
    bool ok = copies != NULL;
    for (size_t i = 0; ok && *list && i < count; i++)
        ok = (copies[i] = ds__arena_copy(&trainer->arena, ds__str_of((*list)[i])).data) != NULL;
    if (!ok) return ds__alloc_failed(&trainer->context->heap, count * sizeof *copies, "a trainer's options", error);
    if (*list) *list = copies;
    return DS_OK;
}

static void put_default(float *value, float standard) {
    if (*value == 0) *value = standard;
}

static ds_status check_number(const char *name, double value, double low, double high, ds_error *error) {
    if (value >= low && value <= high) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "%s is %g, expected %g to %g", name, value, low, high);
}

static ds_status settle_options(ds_trainer *trainer, ds_error *error) {
    ds_trainer_options *o = &trainer->options;
    put_default(&o->learning_rate, 5e-5f);
    put_default(&o->weight_decay, 0.01f);
    put_default(&o->beta1, 0.9f);
    put_default(&o->beta2, 0.999f);
    put_default(&o->epsilon, 1e-8f);
    put_default(&o->max_grad_norm, 1.0f);
    if (o->weight_decay < 0) o->weight_decay = 0;
    DS_TRY(check_number("learning_rate", o->learning_rate, 0, 100, error));
    DS_TRY(check_number("weight_decay", o->weight_decay, 0, 10, error));
    DS_TRY(check_number("beta1", o->beta1, 0, 0.999999, error));
    DS_TRY(check_number("beta2", o->beta2, 0, 0.9999999, error));
    DS_TRY(check_number("momentum", o->momentum, 0, 1, error));
    DS_TRY(check_number("label_smoothing", o->label_smoothing, 0, 0.999, error));
    DS_TRY(check_number("layer_decay", o->layer_decay, 0, 1, error));
    DS_TRY(check_number("keep_vectors", o->keep_vectors, 0, 1e6, error));
    DS_TRY(check_number("dropout", o->dropout, -1, 0.99, error));
    DS_TRY(check_number("lora_rank", o->lora_rank, 0, 4096, error));
    if (o->lora_rank && trainer->folder.adapter)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "lora_rank is %d over the merged adapter %s: new adapters would have no base model that they "
                        "could be loaded over; save the merged model first, and train that",
                        o->lora_rank, ds__safetensors_path(trainer->folder.adapter));
    if (o->schedule != DS_SCHEDULE_CONSTANT && o->total_steps < 1)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "total_steps is %lld, expected at least 1: the schedule needs to know where it ends",
                        (long long)o->total_steps);
    if (o->class_weights && o->label_smoothing != 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "class weights and a label smoothing of %g exclude each other",
                        (double)o->label_smoothing);
    DS_TRY(copy_texts(trainer, &o->freeze, o->freeze_count, error));
    return copy_texts(trainer, &o->lora_targets, o->lora_target_count, error);
}

/* Which loss goes with which task; the first one is the task's own. */
static ds_status settle_loss(ds_trainer *trainer, ds_error *error) {
    static const ds_loss allowed[][4] = {
        [DS_TRAIN_CLASSIFICATION] = {DS_LOSS_CROSS_ENTROPY, DS_LOSS_SOFT_LABELS},
        [DS_TRAIN_MULTI_LABEL] = {DS_LOSS_BINARY_CROSS_ENTROPY},
        [DS_TRAIN_REGRESSION] = {DS_LOSS_SQUARED_ERROR},
        [DS_TRAIN_TAGGING] = {DS_LOSS_CROSS_ENTROPY},
        [DS_TRAIN_EMBEDDING] = {DS_LOSS_COSINE, DS_LOSS_IN_BATCH_NEGATIVES, DS_LOSS_SQUARED_ERROR},
    };
    ds_trainer_info *info = &trainer->info;
    info->loss = trainer->options.loss == DS_LOSS_AUTO ? allowed[info->task][0] : trainer->options.loss;
    if (trainer->options.keep_vectors > 0 &&
        (info->task != DS_TRAIN_CLASSIFICATION || info->loss != DS_LOSS_CROSS_ENTROPY))
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "keep_vectors is %g, which goes with classification by cross-entropy only",
                        (double)trainer->options.keep_vectors);
    for (int i = 0; i < 4; i++)
        if (allowed[info->task][i] == info->loss) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "loss %d does not go with task %d (DS_LOSS_*, DS_TRAIN_*)",
                    (int)info->loss, (int)info->task);
}

static ds_train_task task_of_folder(const ds__model_config *config) {
    if (config->head == DS_HEAD_TOKEN) return DS_TRAIN_TAGGING;
    if (config->head == DS_HEAD_SEQUENCE && config->problem == DS_PROBLEM_MULTI_LABEL) return DS_TRAIN_MULTI_LABEL;
    if (config->head == DS_HEAD_SEQUENCE && config->problem == DS_PROBLEM_REGRESSION) return DS_TRAIN_REGRESSION;
    return DS_TRAIN_CLASSIFICATION;
}

/* The names of a new head's labels: the caller's, else "LABEL_0", ... */
static ds_status name_labels(ds_trainer *trainer, int32_t labels, ds_error *error) {
    const char **names = ds__arena_zeroed(&trainer->arena, ((size_t)labels + 1) * sizeof *names);
    bool ok = names != NULL;
    for (int32_t i = 0; ok && i < labels; i++) {
        char standard[32];
        snprintf(standard, sizeof standard, "LABEL_%d", i);
        const char *name = trainer->options.label_names ? trainer->options.label_names[i] : standard;
        ok = (names[i] = ds__arena_copy(&trainer->arena, ds__str_of(name)).data) != NULL;
    }
    if (!ok) return ds__alloc_failed(&trainer->context->heap, (size_t)labels * sizeof *names, "names of labels", error);
    trainer->folder.config.label_names = names;
    return DS_OK;
}

/* Makes the configuration that of the model in training, and tells whether its head is new. */
static ds_status settle_head(ds_trainer *trainer, ds_error *error) {
    ds__model_config *config = &trainer->folder.config;
    ds_trainer_info *info = &trainer->info;
    const ds_trainer_options *options = &trainer->options;
    info->task = options->task == DS_TRAIN_AUTO ? task_of_folder(config) : options->task;
    DS_TRY(settle_loss(trainer, error));
    if (info->task == DS_TRAIN_EMBEDDING) {
        config->head = DS_HEAD_NONE;
        config->labels = 0;
        info->labels = config->hidden_size;
        return DS_OK;
    }
    const ds_head head = info->task == DS_TRAIN_TAGGING ? DS_HEAD_TOKEN : DS_HEAD_SEQUENCE;
    const int32_t labels = options->labels ? options->labels : config->head == head ? config->labels : 0;
    if (labels < 1 || labels > 1 << 20)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "labels is %d, expected 1 to %d: the folder has no head whose labels could be taken", labels,
                        1 << 20);
    info->new_head = config->head != head || config->labels != labels;
    if (info->new_head || options->label_names) DS_TRY(name_labels(trainer, labels, error));
    config->head = head;
    config->labels = info->labels = labels;
    config->problem = info->task == DS_TRAIN_MULTI_LABEL  ? DS_PROBLEM_MULTI_LABEL
                      : info->task == DS_TRAIN_REGRESSION ? DS_PROBLEM_REGRESSION
                                                          : DS_PROBLEM_SINGLE_LABEL;
    if (options->class_weights) {
        const size_t bytes = (size_t)labels * sizeof *options->class_weights;
        float *copy = ds__arena_alloc(&trainer->arena, bytes);
        if (!copy) return ds__alloc_failed(&trainer->context->heap, bytes, "class weights", error);
        memcpy(copy, options->class_weights, bytes);
        trainer->options.class_weights = copy;
    }
    return DS_OK;
}

static void settle_rates(ds_trainer *trainer) {
    ds__model_config *config = &trainer->folder.config;
    const float rate = trainer->options.dropout;
    if (rate > 0) config->hidden_dropout = config->attention_dropout = config->classifier_dropout = rate;
}

static void settle_precision(ds_trainer *trainer) {
    ds_trainer_info *info = &trainer->info;
    bool narrow = trainer->options.precision == DS_PRECISION_BFLOAT16;
    info->precision_why = "as asked for";
    if (trainer->options.precision == DS_PRECISION_AUTO) {
        info->precision_why = "the first backend knows float32 only";
        narrow =
            trainer->backends[0]->fastest && trainer->backends[0]->fastest(&info->precision_why) == DS__PRECISION_BF16;
    }
    info->precision = narrow ? DS_PRECISION_BFLOAT16 : DS_PRECISION_FLOAT32;
}

/* Bytes of activations and scratch for micro-batches of so many tokens in texts of eight. */
static ds_status measure(ds_trainer *trainer, size_t tokens, ds_error *error) {
    ds_trainer_info *info = &trainer->info;
    ds__built *built;
    ds__program_memory memory;
    int64_t symbols[DS__MAX_SYMBOLS] = {0};
    DS_TRY(ds__trainer_program(trainer, DS__TRAIN_FIRST, &built, error));
    symbols[built->tokens_symbol] = (int64_t)tokens;
    symbols[built->texts_symbol] = (int64_t)tokens / 8 + 1;
    DS_TRY(ds__program_memory_for(built->program, symbols, &memory, error));
    info->micro_batch_tokens = tokens;
    info->activations = memory.activations;
    info->scratch = memory.scratch;
    info->gradients = trainer->updates ? 0 : (uint64_t)info->trained_parameters * sizeof(float);
    info->peak = trainer->context->heap.bytes + info->gradients + memory.activations + memory.scratch + BESIDE_BYTES;
    return DS_OK;
}

static void drop_programs(ds_trainer *trainer) {
    for (int i = 0; i < DS__TRAIN_PROGRAMS; i++) ds__built_drop(&trainer->built[i], &trainer->context->heap);
}

/* The plan for another way to make a step. */
static ds_status replan(ds_trainer *trainer, bool updates, size_t tokens, ds_error *error) {
    drop_programs(trainer);
    trainer->updates = updates;
    return measure(trainer, tokens, error);
}

/* memory_efficient: the smaller of two plans.  Micro-batches of one longest text have next to no activations, but add
 * their gradients up; the whole batch at once can apply each gradient where it arises, unless all are clipped. */
static ds_status plan_smallest(ds_trainer *trainer, size_t whole, size_t least, ds_error *error) {
    ds_trainer_info *info = &trainer->info;
    DS_TRY(measure(trainer, least, error));
    if (trainer->options.max_grad_norm > 0) {
        info->plan_why = "micro-batches of one longest text; all gradients are kept, which clipping needs";
        return DS_OK;
    }
    const double parts = (double)info->peak;
    DS_TRY(replan(trainer, true, whole, error));
    const double at_once = (double)info->peak;
    if (at_once >= parts) DS_TRY(replan(trainer, false, least, error));
    enum { SENTENCE = 256, MEGABYTE = 1 << 20 };
    char *why = ds__arena_alloc(&trainer->arena, SENTENCE);
    if (!why) return ds__alloc_failed(&trainer->context->heap, SENTENCE, "a plan", error);
    if (trainer->updates)
        snprintf(why, SENTENCE,
                 "the whole batch at once, its gradients applied where they arise, takes %.1f MB; micro-batches of one "
                 "longest text that add their gradients up would take %.1f MB",
                 at_once / MEGABYTE, parts / MEGABYTE);
    else
        snprintf(why, SENTENCE,
                 "micro-batches of one longest text that add their gradients up take %.1f MB; the whole batch at once, "
                 "its gradients applied where they arise, would take %.1f MB",
                 parts / MEGABYTE, at_once / MEGABYTE);
    info->plan_why = why;
    return DS_OK;
}

/* Under a memory limit: smaller micro-batches first, down to one longest text, then recomputing. */
static ds_status plan(ds_trainer *trainer, ds_error *error) {
    ds_trainer_info *info = &trainer->info;
    const ds_trainer_options *options = &trainer->options;
    const uint64_t limit = trainer->context->heap.limit;
    size_t tokens = options->micro_batch_tokens ? options->micro_batch_tokens : MICRO_TOKENS;
    const size_t longest = (size_t)options->max_tokens * (ds__trainer_pairs(trainer) ? 2 : 1);
    const size_t least = info->loss == DS_LOSS_IN_BATCH_NEGATIVES ? tokens : longest; /* they are one micro-batch */
    info->gradient_checkpointing = options->gradient_checkpointing || options->memory_efficient;
    info->plan_why = "";
    DS_TRY(options->memory_efficient ? plan_smallest(trainer, tokens, least, error) : measure(trainer, tokens, error));
    tokens = info->micro_batch_tokens;
    while (limit && info->peak > limit && tokens > least && !trainer->updates) {
        tokens = tokens / 2 > least ? tokens / 2 : least;
        info->plan_why = "smaller micro-batches, to keep to the memory limit";
        DS_TRY(measure(trainer, tokens, error));
    }
    if (!limit || info->peak <= limit) return DS_OK;
    if (!info->gradient_checkpointing) {
        info->gradient_checkpointing = true;
        info->plan_why = "smallest micro-batches and gradient checkpointing, to keep to the memory limit";
        DS_TRY(replan(trainer, false, tokens, error));
    }
    if (info->peak <= limit) return DS_OK;
    return ds__fail(error, DS_MEMORY_LIMIT,
                    "training needs %llu bytes even in micro-batches of %zu tokens with gradient checkpointing, the "
                    "limit is %llu; %sshorter texts (--max-seq-len), SGD, or LoRA need less",
                    (unsigned long long)info->peak, tokens, (unsigned long long)limit,
                    trainer->updates ? "smaller batches (--batch-size), " : "");
}

/* What the plan left to make: the gradients' memory, which the programs then write to. */
static ds_status keep_gradients(ds_trainer *trainer, ds_error *error) {
    if (trainer->updates) return DS_OK;
    drop_programs(trainer);
    return ds__parameters_reserve(&trainer->parameters, true, 0, error);
}

/* Rows and lengths for programs that update their parameters. */
static ds_status reserve_updates(ds_trainer *trainer, ds_error *error) {
    const size_t count = trainer->parameters.count;
    trainer->settings = ds__arena_zeroed(&trainer->arena, count * DS__UPDATE_COLUMNS * sizeof *trainer->settings);
    trainer->lengths = ds__arena_zeroed(&trainer->arena, count * sizeof *trainer->lengths);
    if (trainer->settings && trainer->lengths) return DS_OK;
    return ds__alloc_failed(&trainer->context->heap, count * sizeof *trainer->lengths, "an optimiser's settings",
                            error);
}

static ds_status reserve(ds_trainer *trainer, ds_error *error) {
    ds_trainer_info *info = &trainer->info;
    ds__built *built;
    DS_TRY(ds__trainer_program(trainer, DS__TRAIN_RESULT, &built, error));     /* makes all parameters */
    for (size_t i = 0; i < ds__weights_shards(trainer->folder.weights); i++) { /* read, and not needed any more */
        const ds__file_map *map = ds__weights_map(trainer->folder.weights, i);
        ds__file_map_drop(map, 0, map->size);
    }
    const int moments = ds__optimizer_moments(&trainer->options);
    DS_TRY(ds__parameters_reserve(&trainer->parameters, false, moments, error));
    info->parameters = (int64_t)(trainer->parameters.bytes / sizeof(float));
    info->trained_parameters = ds__parameters_trained(&trainer->parameters);
    if (info->trained_parameters == 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "freeze names all %zu tensors of the model, so none is trained",
                        trainer->parameters.count);
    info->weights = trainer->parameters.bytes;
    info->optimizer = (uint64_t)info->trained_parameters * sizeof(float) * (uint64_t)moments;
    return trainer->options.memory_efficient ? reserve_updates(trainer, error) : DS_OK;
}

static ds_status prepare(ds_trainer *trainer, const char *folder, ds_error *error) {
    ds_context *context = trainer->context;
    DS_TRY(ds__folder_open(&context->heap, folder, trainer->options.adapter, &trainer->folder, error));
    trainer->options.adapter = NULL; /* the caller's; it has been merged */
    DS_TRY(settle_options(trainer, error));
    DS_TRY(settle_head(trainer, error));
    settle_rates(trainer);
    settle_precision(trainer);
    trainer->model = trainer->folder.info;
    trainer->info.model = &trainer->model;
    const int32_t most = ds__max_tokens(&trainer->folder.config);
    DS_TRY(check_number("max_tokens", trainer->options.max_tokens, 0, INT32_MAX, error));
    if (trainer->options.max_tokens == 0 || trainer->options.max_tokens > most) trainer->options.max_tokens = most;
    DS_TRY(ds_tokenizer_open(context, folder, &trainer->tokenizer, error));
    ds__parameters_init(&trainer->parameters, &trainer->folder, &trainer->options, &context->heap);
    DS_TRY(ds__weight_store_create(context, &trainer->store, error));
    DS_TRY(reserve(trainer, error));
    DS_TRY(plan(trainer, error));
    return keep_gradients(trainer, error);
}

ds_status ds__trainer_create(ds_context *context, const char *folder, const ds_trainer_options *options,
                             const ds__backend *const *backends, size_t backend_count, ds_trainer **out,
                             ds_error *error) {
    ds_trainer *trainer = ds__alloc_zeroed(&context->heap, sizeof *trainer);
    if (!trainer) return ds__alloc_failed(&context->heap, sizeof *trainer, "a trainer", error);
    trainer->context = context;
    trainer->options = *options;
    trainer->backends = backends;
    trainer->backend_count = backend_count;
    ds__arena_init(&trainer->arena, &context->heap, 4096);
    ds__workspace_init(&trainer->workspace, &context->heap);
    ds_status status = prepare(trainer, folder, error);
    if (status != DS_OK) {
        ds__trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return DS_OK;
}

void ds__trainer_destroy(ds_trainer *trainer) {
    if (!trainer) return;
    ds__heap *heap = &trainer->context->heap;
    drop_programs(trainer);
    ds__workspace_deinit(&trainer->workspace);
    if (trainer->parameters.heap) ds__parameters_deinit(&trainer->parameters);
    if (trainer->store) ds__weight_store_destroy(trainer->store);
    if (trainer->tokenizer) ds_tokenizer_close(trainer->tokenizer);
    if (trainer->folder.arena.heap) ds__folder_close(&trainer->folder);
    ds__free(heap, trainer->positions, trainer->token_capacity * sizeof *trainer->positions);
    ds__free(heap, trainer->zeros, trainer->zero_capacity * sizeof *trainer->zeros);
    ds__free(heap, trainer->starts, trainer->start_capacity * sizeof *trainer->starts);
    ds__free(heap, trainer->row_weights, trainer->weight_capacity * sizeof *trainer->row_weights);
    ds__free(heap, trainer->losses, trainer->loss_capacity * sizeof *trainer->losses);
    ds__free(heap, trainer->state, trainer->state_bytes);
    ds__arena_deinit(&trainer->arena);
    ds__free(heap, trainer, sizeof *trainer);
}
