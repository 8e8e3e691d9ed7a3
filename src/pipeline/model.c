/* Opening a model, and making its programs. */
#include "pipeline/model.h"

#include "base/env.h"
#include "base/error.h"

/* Fills the places of the inputs and symbols by name. */
static void index_graph(ds__task_program *entry) {
    const ds_graph *graph = ds__program_graph(entry->program);
    entry->ids = entry->positions = entry->type_ids = entry->seq_start = -1;
    entry->tokens_symbol = entry->texts_symbol = -1;
    int32_t place = 0;
    for (size_t v = 0; v < graph->value_count; v++) {
        const ds__value *value = &graph->values[v];
        if (value->kind != DS__VALUE_INPUT) continue;
        if (strcmp(value->name, "ids") == 0) entry->ids = place;
        if (strcmp(value->name, "positions") == 0) entry->positions = place;
        if (strcmp(value->name, "type_ids") == 0) entry->type_ids = place;
        if (strcmp(value->name, "seq_start") == 0) entry->seq_start = place;
        place++;
    }
    for (int32_t i = 0; i < graph->symbol_count; i++) {
        if (strcmp(graph->symbols[i], "T") == 0) entry->tokens_symbol = i;
        if (strcmp(graph->symbols[i], "B") == 0) entry->texts_symbol = i;
    }
}

void ds__task_symbols(const ds__task_program *program, int64_t tokens, int64_t texts,
                      int64_t symbols[DS__MAX_SYMBOLS]) {
    for (int i = 0; i < DS__MAX_SYMBOLS; i++) symbols[i] = 0;
    if (program->tokens_symbol >= 0) symbols[program->tokens_symbol] = tokens;
    if (program->texts_symbol >= 0) symbols[program->texts_symbol] = texts;
}

static ds_status make_program(ds_model *model, ds__task task, ds__task_program *entry, ds_error *error) {
    ds_graph *graph;
    int embed = task >= DS__TASK_EMBED ? task - DS__TASK_EMBED : 0;
    ds__graph_wish wish = {
        .output = task == DS__TASK_HIDDEN   ? DS_OUTPUT_HIDDEN
                  : task == DS__TASK_LOGITS ? DS_OUTPUT_LOGITS
                                            : DS_OUTPUT_EMBEDDING,
        .pooling = (ds_pooling)(DS_POOLING_MEAN + embed / 2),
        .normalize = embed % 2 == 1,
        .plan = model->plan,
    };
    DS_TRY(ds__graph_create(model->context, &graph, error));
    ds_status status = ds__folder_build_graph(&model->folder, &wish, graph, NULL, error);
    if (status != DS_OK) {
        ds__graph_destroy(graph);
        return status;
    }
    ds__program_options options = {model->backends, model->backend_count, {ds__env_passes_off(), ds__env_dump()}};
    DS_TRY(ds__program_create(graph, model->store, &options, &entry->program, error));
    index_graph(entry);
    return DS_OK;
}

ds_status ds__model_program(ds_model *model, ds__task task, const ds__task_program **out, ds_error *error) {
    pthread_mutex_lock(&model->lock);
    ds__task_program *entry = &model->programs[task];
    ds_status status = entry->program ? DS_OK : make_program(model, task, entry, error);
    pthread_mutex_unlock(&model->lock);
    *out = entry;
    return status;
}

/* The tokenizer must not make ids that the embedding table has no row for. */
static ds_status open_tokenizer(ds_model *model, ds_error *error) {
    DS_TRY(ds_tokenizer_open(model->context, model->folder.path, &model->tokenizer, error));
    int32_t tokens = ds_tokenizer_size(model->tokenizer), rows = model->folder.config.vocab_size;
    if (tokens > rows)
        return ds__fail(error, DS_SHAPE_MISMATCH,
                        "%s: the tokenizer has %d tokens, but vocab_size in config.json is %d", model->folder.path,
                        tokens, rows);
    return DS_OK;
}

/* Makes the precision plan: AUTO as the first backend says, patterns copied, since programs are made later too. */
static ds_status plan_precision(ds_model *model, const ds_model_options *options, ds_error *error) {
    ds__arena *arena = &model->folder.arena;
    bool narrow = options->precision == DS_PRECISION_BFLOAT16;
    const char **patterns = ds__arena_zeroed(arena, (options->exclude_count + 1) * sizeof *patterns);
    bool copied = patterns != NULL;
    for (size_t i = 0; copied && i < options->exclude_count; i++) {
        patterns[i] = ds__arena_copy(arena, ds__str_of(options->exclude[i])).data;
        copied = patterns[i] != NULL;
    }
    if (!copied) return ds__alloc_failed(&model->context->heap, sizeof *patterns, "patterns of weights", error);
    model->info.precision_why = "as asked for";
    if (options->precision == DS_PRECISION_AUTO) {
        model->info.precision_why = "the first backend knows float32 only";
        narrow = model->backends[0]->fastest &&
                 model->backends[0]->fastest(&model->info.precision_why) == DS__PRECISION_BF16;
    }
    model->info.precision = narrow ? DS_PRECISION_BFLOAT16 : DS_PRECISION_FLOAT32;
    model->plan.otherwise = narrow ? DS__PRECISION_BF16 : DS__PRECISION_F32;
    model->plan.precision = options->quantization == DS_QUANTIZATION_INT8 ? DS__PRECISION_INT8 : model->plan.otherwise;
    model->plan.exclude = patterns;
    model->plan.exclude_count = options->exclude_count;
    return DS_OK;
}

static void count_int8(ds_model *model, const ds__program *program) {
    const ds_graph *graph = ds__program_graph(program);
    for (size_t v = 0; v < graph->value_count; v++)
        model->info.int8_weights += graph->values[v].precision == DS__PRECISION_INT8 && !graph->values[v].part_count;
}

static ds_status prepare(ds_model *model, const ds_model_options *options, ds_error *error) {
    const ds__folder *folder = &model->folder;
    const ds__task_program *first;
    DS_TRY(plan_precision(model, options, error));
    DS_TRY(ds__weight_store_create(model->context, &model->store, error));
    for (size_t i = 0; i < ds__weights_shards(folder->weights); i++)
        DS_TRY(ds__weight_store_add_map(model->store, ds__weights_map(folder->weights, i), error));
    if (!options->without_tokenizer) DS_TRY(open_tokenizer(model, error));
    /* The programs that will be asked for first are made now, so that a bad tensor is found and time is spent here. */
    if (model->info.head != DS_HEAD_NONE) DS_TRY(ds__model_program(model, DS__TASK_LOGITS, &first, error));
    DS_TRY(ds__model_program(model, ds__embed_task(folder->pooling, folder->normalize), &first, error));
    count_int8(model, first->program);
    return DS_OK;
}

ds_status ds__model_open(ds_context *context, const char *path, const ds_model_options *options,
                         const ds__backend *const *backends, size_t backend_count, ds_model **out, ds_error *error) {
    ds_model *model = ds__alloc_zeroed(&context->heap, sizeof *model);
    if (!model) return ds__alloc_failed(&context->heap, sizeof *model, "a model", error);
    model->context = context;
    model->backends = backends;
    model->backend_count = backend_count;
    ds_status status = ds__folder_open(&context->heap, path, options ? options->adapter : NULL, &model->folder, error);
    if (status != DS_OK) {
        ds__free(&context->heap, model, sizeof *model);
        return status;
    }
    pthread_mutex_init(&model->lock, NULL);
    model->info = model->folder.info;
    status = prepare(model, options, error);
    if (status != DS_OK) {
        ds__model_close(model);
        return status;
    }
    *out = model;
    return DS_OK;
}

void ds__model_close(ds_model *model) {
    if (!model) return;
    ds__heap *heap = &model->context->heap;
    for (int i = 0; i < DS__TASK_COUNT; i++) ds__program_destroy(model->programs[i].program);
    ds__weight_store_destroy(model->store);
    if (model->tokenizer) ds_tokenizer_close(model->tokenizer);
    ds__folder_close(&model->folder);
    pthread_mutex_destroy(&model->lock);
    ds__free(heap, model, sizeof *model);
}

const char *ds__model_label(const ds_model *model, int32_t label) {
    return label >= 0 && label < model->info.labels ? model->folder.config.label_names[label] : NULL;
}

ds_status ds__model_plan(ds_model *model, size_t tokens, size_t texts, ds_memory_plan *plan, ds_error *error) {
    const ds__task_program *entry;
    ds__program_memory memory;
    int64_t symbols[DS__MAX_SYMBOLS];
    if (tokens > DS__MAX_DIM || texts > tokens)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "a batch of %zu tokens in %zu texts; expected at most %d and at most as "
                        "many texts as tokens",
                        tokens, texts, DS__MAX_DIM);
    ds__task task = model->info.head == DS_HEAD_NONE ? ds__embed_task(model->folder.pooling, model->folder.normalize)
                                                     : DS__TASK_LOGITS;
    DS_TRY(ds__model_program(model, task, &entry, error));
    ds__task_symbols(entry, (int64_t)tokens, (int64_t)texts, symbols);
    DS_TRY(ds__program_memory_for(entry->program, symbols, &memory, error));
    uint64_t stored = 0;
    for (size_t i = 0; i < ds__weights_shards(model->folder.weights); i++)
        stored += ds__weights_map(model->folder.weights, i)->size;
    plan->packed_weights = ds__weight_store_bytes(model->store);
    plan->mapped_weights = stored;
    plan->activations = memory.activations;
    plan->activations_unplanned = memory.side_by_side;
    plan->scratch = memory.scratch;
    return DS_OK;
}
