/* Opening a model folder: config.json, modules.json, the weights; and the graphs that come of them. */
#include "pipeline/folder.h"

#include "base/error.h"
#include "base/file.h"
#include "ops/ops.h"
#include "pipeline/adapter.h"
#include "pipeline/modules.h"

/* |x| under which a vector is not made longer; torch.nn.functional.normalize has the same. */
static const float NORMALIZE_EPSILON = 1e-12f;

static ds_status check_path(const char *path, ds_error *error) {
    if (ds__folder_exists(path)) return DS_OK;
    if (ds__file_exists(path))
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: is a file, expected a model folder (with config.json in it)",
                        path);
    return ds__fail(error, DS_NOT_FOUND, "%s: there is no such folder", path);
}

static ds_status read_config(ds__folder *folder, ds_error *error) {
    ds_status status =
        ds__model_config_read(&folder->arena, folder->path, &folder->config, &folder->architecture, error);
    if (status != DS_NOT_FOUND) return status;
    return ds__fail(error, status, "%s: has no config.json, expected a model folder as Hugging Face stores it",
                    folder->path);
}

static int64_t elements(const ds__safetensor *tensor) {
    int64_t count = 1; /* the file's size bounds it, except for types that are not known, which count as nothing */
    if (!tensor->known_dtype) return 0;
    for (int i = 0; i < tensor->rank; i++) count *= tensor->shape[i];
    return count;
}

static void describe(ds__folder *folder) {
    const ds__model_config *config = &folder->config;
    int64_t parameters = 0;
    for (size_t i = 0; i < ds__weights_count(folder->weights); i++)
        parameters += elements(ds__weights_at(folder->weights, i));
    folder->info = (ds_model_info){
        .folder = folder->path,
        .architecture = config->architecture,
        .model_type = config->model_type,
        .parameters = parameters,
        .layers = config->layers,
        .hidden_size = config->hidden_size,
        .heads = config->heads,
        .intermediate_size = config->intermediate_size,
        .vocab_size = config->vocab_size,
        .max_tokens = ds__max_tokens(config),
        .head = config->head,
        .problem = config->problem,
        .labels = config->labels,
        .temperature = config->temperature,
        .pooling = folder->pooling,
        .normalize = folder->normalize,
        .embed_max_tokens = folder->embed_max_tokens,
    };
}

static ds_status open_parts(ds__folder *folder, const char *path, const char *adapter, ds_error *error) {
    ds__heap *heap = folder->arena.heap;
    ds__modules modules;
    folder->path = ds__arena_copy(&folder->arena, ds__str_of(path)).data;
    if (!folder->path) return ds__alloc_failed(heap, strlen(path) + 1, "the folder's path", error);
    DS_TRY(check_path(path, error));
    /* In this order, because modules.json may say that config.json is somewhere else. */
    DS_TRY(ds__modules_read(&folder->arena, path, &modules, error));
    DS_TRY(read_config(folder, error));
    DS_TRY(ds__modules_configure(heap, path, &folder->config, &modules, error));
    DS_TRY(ds__weights_open(heap, path, &folder->weights, error));
    if (adapter) DS_TRY(ds__adapter_merge(folder, adapter, error));
    DS_TRY(ds__model_config_find_head(&folder->arena, &folder->config, folder->architecture, folder->weights, error));
    folder->has_modules = modules.present;
    folder->pooling_at = modules.pooling_at;
    folder->pooling = modules.pooling;
    folder->normalize = modules.normalize;
    folder->embed_max_tokens = modules.max_tokens;
    describe(folder);
    return DS_OK;
}

ds_status ds__folder_open(ds__heap *heap, const char *path, const char *adapter, ds__folder *out, ds_error *error) {
    *out = (ds__folder){0};
    ds__arena_init(&out->arena, heap, 0);
    ds_status status = open_parts(out, path, adapter, error);
    if (status != DS_OK) ds__folder_close(out);
    return status;
}

void ds__folder_close(ds__folder *folder) {
    ds__weights_close(folder->weights);
    ds__safetensors_close(folder->adapter);
    ds__arena_deinit(&folder->arena);
    *folder = (ds__folder){0};
}

ds_value ds__folder_pool(ds__model_builder *builder, ds_pooling pooling, bool normalize) {
    ds__pool_kind kind = pooling == DS_POOLING_CLS   ? DS__POOL_FIRST
                         : pooling == DS_POOLING_MAX ? DS__POOL_MAX
                                                     : DS__POOL_MEAN;
    ds_value rows = ds__pool_rows(builder->graph, builder->hidden, builder->seq_start, kind);
    return normalize ? ds__l2_normalize(builder->graph, rows, NORMALIZE_EPSILON) : rows;
}

ds_value ds__folder_build(const ds__folder *folder, const ds__graph_wish *wish, ds_graph *graph, bool *used,
                          ds__model_builder *builder) {
    const ds__architecture *architecture = folder->architecture;
    ds__model_builder_init(builder, graph, architecture, &folder->config, folder->weights, used, wish->training);
    builder->plan = wish->plan;
    const ds_value out = builder->hidden = architecture->encode(builder);
    builder->plan.precision = wish->plan.otherwise; /* a head is small, and what it decides is near its result */
    builder->in_head = true;
    if (wish->output == DS_OUTPUT_EMBEDDING) return ds__folder_pool(builder, wish->pooling, wish->normalize);
    return wish->output == DS_OUTPUT_LOGITS ? architecture->classify(builder, out) : out;
}

ds_status ds__folder_build_graph(const ds__folder *folder, const ds__graph_wish *wish, ds_graph *graph, bool *used,
                                 ds_error *error) {
    const ds__architecture *architecture = folder->architecture;
    const ds__model_config *config = &folder->config;
    if (wish->output == DS_OUTPUT_LOGITS && config->head == DS_HEAD_NONE)
        return ds__fail(error, DS_UNSUPPORTED,
                        "%s: the model is a %s, which has no head that this version can run; classes need a "
                        "%sForSequenceClassification or %sForTokenClassification",
                        folder->path, config->architecture, architecture->class_name, architecture->class_name);
    ds__model_builder builder;
    ds__graph_output(graph, "out", ds__folder_build(folder, wish, graph, used, &builder));
    if (ds__graph_ok(graph)) return DS_OK;
    return ds__fail(error, graph->error.status, "%s", graph->error.message);
}
