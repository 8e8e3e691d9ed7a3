/* One file or many: see the header. */
#include "formats/safetensors_index.h"

#include "base/error.h"
#include "formats/json.h"

enum { MAX_SHARDS = 1024, MAX_INDEX_BYTES = 64 << 20 };

struct ds__weights {
    ds__heap *heap;
    ds__arena arena; /* path, names of shards */
    const char *path;
    ds__safetensors **shards;
    ds__str *shard_names; /* [shard_count]: as the index spells them */
    size_t shard_count, shard_capacity, name_capacity;
    ds__safetensor **added; /* those of ds__weights_put that no file has a name for */
    size_t added_count, added_capacity;
};

static const char single_name[] = "model.safetensors", index_name[] = "model.safetensors.index.json";

size_t ds__weights_shards(const ds__weights *weights) { return weights->shard_count; }
const ds__file_map *ds__weights_map(const ds__weights *weights, size_t shard) {
    return ds__safetensors_map(weights->shards[shard]);
}
const char *ds__weights_path(const ds__weights *weights) { return weights->path; }

size_t ds__weights_count(const ds__weights *weights) {
    size_t count = 0;
    for (size_t i = 0; i < weights->shard_count; i++) count += ds__safetensors_count(weights->shards[i]);
    return count + weights->added_count;
}

const ds__safetensor *ds__weights_at(const ds__weights *weights, size_t index) {
    size_t shard = 0;
    while (shard < weights->shard_count && index >= ds__safetensors_count(weights->shards[shard]))
        index -= ds__safetensors_count(weights->shards[shard++]);
    if (shard == weights->shard_count) return weights->added[index];
    return ds__safetensors_at(weights->shards[shard], index);
}

const ds__safetensor *ds__weights_find(const ds__weights *weights, ds__str name, size_t *index) {
    size_t before = 0;
    for (size_t i = 0; i < weights->shard_count; i++) {
        const ds__safetensor *found = ds__safetensors_find(weights->shards[i], name);
        if (found && index) *index = before + (size_t)(found - ds__safetensors_at(weights->shards[i], 0));
        if (found) return found;
        before += ds__safetensors_count(weights->shards[i]);
    }
    for (size_t i = 0; i < weights->added_count; i++) {
        if (!ds__str_equal(weights->added[i]->name, name)) continue;
        if (index) *index = before + i;
        return weights->added[i];
    }
    return NULL;
}

ds_status ds__weights_put(ds__weights *weights, const ds__safetensor *tensor, ds_error *error) {
    for (size_t i = 0; i < weights->shard_count; i++) {
        const ds__safetensor *found = ds__safetensors_find(weights->shards[i], tensor->name);
        if (!found) continue;
        ds__safetensors_replace(weights->shards[i], (size_t)(found - ds__safetensors_at(weights->shards[i], 0)),
                                tensor);
        return DS_OK;
    }
    ds__safetensor *copy = ds__arena_alloc(&weights->arena, sizeof *copy);
    if (!copy || !ds__grow(weights->heap, (void **)&weights->added, &weights->added_capacity, weights->added_count + 1,
                           sizeof *weights->added))
        return ds__alloc_failed(weights->heap, sizeof *copy, "a tensor", error);
    *copy = *tensor;
    weights->added[weights->added_count++] = copy;
    return DS_OK;
}

void ds__weights_close(ds__weights *weights) {
    if (!weights) return;
    ds__heap *heap = weights->heap;
    for (size_t i = 0; i < weights->shard_count; i++) ds__safetensors_close(weights->shards[i]);
    ds__free(heap, weights->shards, weights->shard_capacity * sizeof *weights->shards);
    ds__free(heap, weights->added, weights->added_capacity * sizeof *weights->added);
    ds__free(heap, weights->shard_names, weights->name_capacity * sizeof *weights->shard_names);
    ds__arena_deinit(&weights->arena);
    ds__free(heap, weights, sizeof *weights);
}

static ds_status open_shard(ds__weights *weights, const char *path, ds__str name, ds_error *error) {
    ds__safetensors *shard;
    if (!ds__grow(weights->heap, (void **)&weights->shards, &weights->shard_capacity, weights->shard_count + 1,
                  sizeof *weights->shards) ||
        !ds__grow(weights->heap, (void **)&weights->shard_names, &weights->name_capacity, weights->shard_count + 1,
                  sizeof *weights->shard_names))
        return ds__alloc_failed(weights->heap, sizeof *weights->shards, "the list of weight files", error);
    DS_TRY(ds__safetensors_open(weights->heap, path, &shard, error));
    weights->shard_names[weights->shard_count] = name;
    weights->shards[weights->shard_count++] = shard;
    return DS_OK;
}

/* Whether a name from the index is a plain file name in the folder. */
static bool stays_inside(ds__str name) {
    return name.size && name.size < 256 && !memchr(name.data, '/', name.size) && !memchr(name.data, '\0', name.size) &&
           !ds__str_is(name, ".") && !ds__str_is(name, "..");
}

/* The shard of that name, opened if it is new; NULL after an error, which is the reader's. */
static ds__safetensors *find_shard(ds__weights *weights, ds__json *json, const char *folder, ds__str name) {
    for (size_t i = 0; i < weights->shard_count; i++)
        if (ds__str_equal(weights->shard_names[i], name)) return weights->shards[i];
    if (!stays_inside(name)) {
        ds__json_fail(json, DS_BAD_FORMAT,
                      "weight_map names the file \"%.*s\", expected a name in the model's own folder",
                      DS_STR_ARG(name));
        return NULL;
    }
    if (weights->shard_count == MAX_SHARDS) {
        ds__json_fail(json, DS_UNSUPPORTED, "weight_map names more than %d files", MAX_SHARDS);
        return NULL;
    }
    ds_error problem;
    ds__buffer path;
    ds__buffer_init(&path, weights->heap);
    ds__str copy = ds__arena_copy(&weights->arena, name);
    const char *text = copy.data ? ds__path_join(&path, folder, copy.data) : NULL;
    ds_status status = text ? open_shard(weights, text, copy, &problem)
                            : ds__alloc_failed(weights->heap, name.size, "a file's name", &problem);
    ds__buffer_deinit(&path);
    if (status == DS_OK) return weights->shards[weights->shard_count - 1];
    ds__json_fail(json, status, "%s", problem.message);
    return NULL;
}

static void read_weight_map(ds__weights *weights, ds__json *json, const char *folder) {
    for (ds__str tensor; ds__json_next_key(json, &tensor);) {
        ds__str name = ds__json_string(json, DS_STR("weight_map's file"));
        ds__safetensors *shard = ds__json_ok(json) ? find_shard(weights, json, folder, name) : NULL;
        if (shard && !ds__safetensors_find(shard, tensor))
            ds__json_fail(json, DS_BAD_FORMAT, "weight_map says that \"%.*s\" is in %.*s, which has no such tensor",
                          DS_STR_ARG(tensor), DS_STR_ARG(name));
    }
}

/* A name in two shards would leave open which of the tensors is meant. */
static ds_status check_shards(const ds__weights *weights, ds_error *error) {
    for (size_t i = 1; i < weights->shard_count; i++) {
        for (size_t j = 0; j < ds__safetensors_count(weights->shards[i]); j++) {
            const ds__safetensor *tensor = ds__safetensors_at(weights->shards[i], j);
            const ds__safetensor *first = ds__weights_find(weights, tensor->name, NULL);
            if (first != tensor)
                return ds__fail(error, DS_BAD_FORMAT, "tensor \"%.*s\" is in %s and in %s", DS_STR_ARG(tensor->name),
                                first->path, tensor->path);
        }
    }
    return DS_OK;
}

static ds_status read_index(ds__weights *weights, const char *folder, ds_error *error) {
    ds__buffer text;
    ds__buffer_init(&text, weights->heap);
    ds_status status = ds__file_read(weights->path, MAX_INDEX_BYTES, &text, error);
    if (status == DS_OK) {
        ds__json json;
        ds__json_init(&json, weights->heap, weights->path, ds__buffer_str(&text));
        for (ds__str key; ds__json_next_key(&json, &key);) {
            if (ds__str_is(key, "weight_map"))
                read_weight_map(weights, &json, folder);
            else
                ds__json_skip(&json);
        }
        status = ds__json_finish(&json, error);
        if (status == DS_OK && weights->shard_count == 0)
            status = ds__fail(error, DS_BAD_FORMAT, "%s: weight_map names no tensor", weights->path);
        if (status == DS_OK) status = check_shards(weights, error);
    }
    ds__buffer_deinit(&text);
    return status;
}

/* Nothing readable is there: say what is there instead, and what to do. */
static ds_status nothing_found(ds__heap *heap, const char *folder, ds_error *error) {
    static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                         "tf_model.h5",       "flax_model.msgpack",
                                         "model.onnx",        "model.gguf"};
    ds__buffer path;
    ds__buffer_init(&path, heap);
    const char *found = NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others && !found; i++) {
        const char *text = ds__path_join(&path, folder, others[i]);
        if (text && ds__file_exists(text)) found = others[i];
    }
    ds__buffer_deinit(&path);
    if (found)
        return ds__fail(error, DS_UNSUPPORTED,
                        "%s: has %s, which is not supported, and no %s; convert it with "
                        "transformers: model.save_pretrained(folder, safe_serialization=True)",
                        folder, found, single_name);
    return ds__fail(error, DS_NOT_FOUND, "%s: has neither %s nor %s", folder, single_name, index_name);
}

static ds_status open_any(ds__weights *weights, const char *folder, ds_error *error) {
    ds__buffer path;
    ds__buffer_init(&path, weights->heap);
    const char *single = ds__path_join(&path, folder, single_name);
    bool is_single = single && ds__file_exists(single);
    if (single && !is_single) single = ds__path_join(&path, folder, index_name);
    bool is_index = single && !is_single && ds__file_exists(single);
    weights->path = single ? ds__arena_copy(&weights->arena, ds__buffer_str(&path)).data : NULL;
    ds_status status = DS_OK;
    if (!weights->path)
        status = ds__alloc_failed(weights->heap, strlen(folder), "a file's path", error);
    else if (is_single)
        status = open_shard(weights, weights->path, DS_STR("model.safetensors"), error);
    else if (is_index)
        status = read_index(weights, folder, error);
    else
        status = nothing_found(weights->heap, folder, error);
    ds__buffer_deinit(&path);
    return status;
}

ds_status ds__weights_open(ds__heap *heap, const char *folder, ds__weights **out, ds_error *error) {
    ds__weights *weights = ds__alloc_zeroed(heap, sizeof *weights);
    if (!weights) return ds__alloc_failed(heap, sizeof *weights, "weights", error);
    weights->heap = heap;
    ds__arena_init(&weights->arena, heap, 0);
    ds_status status = open_any(weights, folder, error);
    if (status != DS_OK) {
        ds__weights_close(weights);
        return status;
    }
    *out = weights;
    return DS_OK;
}
