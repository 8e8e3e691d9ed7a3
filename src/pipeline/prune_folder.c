/* Pruning a folder's vocabulary: which tokens stay, their rows of the embedding table, and the files around them. */
#include "pipeline/prune_folder.h"

#include "base/context_internal.h"
#include "base/error.h"
#include "formats/safetensors_header.h"
#include "pipeline/copy_folder.h"
#include "pipeline/prune_tokenizer.h"

enum { MOST_NAMED = 32, MOST_CONFIG_BYTES = 64 << 20 };

/* A member of config.json that names a token: "pad_token_id". */
typedef struct named_token {
    const char *key;
    int32_t id; /* -1: null */
} named_token;

typedef struct job {
    ds_context *context;
    const ds_prune_options *options;
    ds__folder folder;
    ds_tokenizer *tokenizer;
    ds__arena arena; /* names, lists */
    ds__save save;
    ds__kept_tokens kept;
    named_token named[MOST_NAMED];
    size_t named_count;
} job;

/* ---- config.json ---- */

static bool names_token(ds__str key) { return ds__str_ends(key, DS_STR("_token_id")); }

static void read_named(job *j, ds__json *json, ds__str key) {
    named_token named = {.id = -1};
    if (j->named_count == MOST_NAMED) {
        ds__json_fail(json, DS_UNSUPPORTED, "more than %d members name a token", MOST_NAMED);
        return;
    }
    named.key = ds__arena_copy(&j->arena, key).data;
    if (!ds__json_take_null(json)) named.id = (int32_t)ds__json_int(json, key, -1, DS__MAX_ID);
    if (!named.key) {
        ds_error error;
        ds__json_fail(json, ds__alloc_failed(j->arena.heap, key.size, "config.json", &error), "%s", error.message);
        return;
    }
    j->named[j->named_count++] = named;
}

static ds_status read_config(job *j, ds_error *error) {
    const char *path = j->folder.config.path;
    ds__buffer text;
    ds__json json;
    ds__buffer_init(&text, &j->context->heap);
    ds_status status = ds__file_read(path, MOST_CONFIG_BYTES, &text, error);
    if (status == DS_OK) {
        ds__json_init(&json, &j->context->heap, path, ds__buffer_str(&text));
        for (ds__str key; ds__json_next_key(&json, &key);) {
            if (names_token(key))
                read_named(j, &json, key);
            else
                ds__json_skip(&json);
        }
        status = ds__json_finish(&json, error);
    }
    ds__buffer_deinit(&text);
    return status;
}

static bool is_replaced(void *user, ds__str key) {
    (void)user;
    return names_token(key) || ds__str_is(key, "vocab_size");
}

static int32_t new_id(const job *j, int32_t id) { return id >= 0 && id < j->kept.size ? j->kept.ids[id] : -1; }

/* An id that no token has, which some configurations carry along from other models, becomes null. */
static void add_members(void *user, ds__json_writer *json) {
    const job *j = user;
    ds__json_key(json, "vocab_size");
    ds__json_put_int(json, j->kept.count);
    for (size_t i = 0; i < j->named_count; i++) {
        const int32_t id = new_id(j, j->named[i].id);
        ds__json_key(json, j->named[i].key);
        if (id >= 0)
            ds__json_put_int(json, id);
        else
            ds__json_put_null(json);
    }
}

/* generation_config.json names tokens too, and encoders do not generate. */
static bool is_wanted(void *user, const char *name, bool is_folder) {
    (void)user;
    return is_folder || (!ds__prune_rewrites(name) && strcmp(name, "generation_config.json") != 0);
}

/* ---- Weights ---- */

/* What has a row for each token: the table, in int8 with its scales, and the head that predicts masked words. */
static bool has_token_rows(const job *j, const ds__safetensor *tensor) {
    static const char *const endings[] = {"embeddings.word_embeddings.weight",
                                          "embeddings.word_embeddings.weight_scale",
                                          "predictions.decoder.weight",
                                          "predictions.decoder.bias",
                                          "predictions.bias",
                                          "vocab_projector.weight",
                                          "vocab_projector.bias"};
    if (tensor->rank < 1 || tensor->shape[0] != j->folder.config.vocab_size) return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ds__str_ends(tensor->name, ds__str_of(endings[i]))) return true;
    return false;
}

static ds__stored_tensor stored_of(const job *j, const ds__safetensor *t) {
    ds__stored_tensor stored = {t->name.data, t->dtype_name.data, t->rank, {0}, t->bytes};
    memcpy(stored.shape, t->shape, sizeof stored.shape);
    if (!has_token_rows(j, t)) return stored;
    stored.bytes = t->bytes / (size_t)t->shape[0] * (size_t)j->kept.count;
    stored.shape[0] = j->kept.count;
    return stored;
}

/* Neighbouring rows that stay are written together. */
static ds_status write_rows(job *j, const ds__safetensor *t, ds_error *error) {
    const size_t row = t->bytes / (size_t)t->shape[0];
    for (int32_t first = 0, end; first < j->kept.size; first = end) {
        end = first + 1;
        if (j->kept.ids[first] < 0) continue;
        while (end < j->kept.size && j->kept.ids[end] >= 0) end++;
        DS_TRY(ds__save_write(&j->save, t->data + (size_t)first * row, (size_t)(end - first) * row, error));
    }
    return DS_OK;
}

/* Wide types first, so that each tensor is aligned to its element. */
static size_t list_tensors(job *j, const ds__safetensor **list) {
    size_t count = 0;
    for (size_t element = 8; element > 0; element /= 2)
        for (size_t i = 0; i < ds__weights_count(j->folder.weights); i++) {
            const ds__safetensor *t = ds__weights_at(j->folder.weights, i);
            if ((t->known_dtype ? ds_dtype_size(t->dtype) : 1) == element) list[count++] = t;
        }
    return count;
}

static ds_status write_tensors(job *j, const ds__safetensor **list, size_t count, ds_error *error) {
    for (size_t i = 0; i < count; i++) {
        const ds__safetensor *t = list[i];
        DS_TRY(has_token_rows(j, t) ? write_rows(j, t, error) : ds__save_write(&j->save, t->data, t->bytes, error));
    }
    return DS_OK;
}

static ds_status write_weights(job *j, ds_prune_stats *stats, ds_error *error) {
    const size_t most = ds__weights_count(j->folder.weights) + 1;
    const ds__safetensor **list = ds__arena_zeroed(&j->arena, most * sizeof *list);
    ds__stored_tensor *stored = ds__arena_zeroed(&j->arena, most * sizeof *stored);
    if (!list || !stored) return ds__alloc_failed(&j->context->heap, most * sizeof *stored, "tensors", error);
    const size_t count = list_tensors(j, list);
    for (size_t i = 0; i < count; i++) {
        stored[i] = stored_of(j, list[i]);
        stats->bytes_before += list[i]->bytes;
        stats->bytes_after += stored[i].bytes;
    }
    ds__buffer header;
    ds__buffer_init(&header, &j->context->heap);
    ds_status status = ds__safetensors_header(stored, count, &header, error);
    if (status == DS_OK) status = ds__save_start(&j->save, "model.safetensors", error);
    if (status == DS_OK) status = ds__save_write(&j->save, header.data, header.size, error);
    if (status == DS_OK) status = write_tensors(j, list, count, error);
    ds__buffer_deinit(&header);
    return status == DS_OK ? ds__save_end(&j->save, error) : status;
}

/* ---- The folder ---- */

/* Builds the model's graph once, which says by name what is missing or misshapen; and finds the table. */
static ds_status check_model(job *j, ds_error *error) {
    ds_graph *graph;
    const ds__graph_wish wish = {.output = DS_OUTPUT_HIDDEN};
    bool found = false;
    DS_TRY(ds__graph_create(j->context, &graph, error));
    ds_status status = ds__folder_build_graph(&j->folder, &wish, graph, NULL, error);
    ds__graph_destroy(graph);
    DS_TRY(status);
    for (size_t i = 0; i < ds__weights_count(j->folder.weights) && !found; i++) {
        const ds__safetensor *t = ds__weights_at(j->folder.weights, i);
        found = has_token_rows(j, t) && ds__str_ends(t->name, DS_STR("embeddings.word_embeddings.weight"));
    }
    if (found) return DS_OK;
    return ds__fail(error, DS_UNSUPPORTED, "%s: no tensor is an embeddings.word_embeddings.weight of %d rows",
                    ds__weights_path(j->folder.weights), j->folder.config.vocab_size);
}

static ds_status choose(job *j, ds_error *error) {
    const ds__model_config *config = &j->folder.config;
    const int32_t size = ds_tokenizer_size(j->tokenizer);
    int32_t named[MOST_NAMED];
    if (size > config->vocab_size)
        return ds__fail(error, DS_BAD_FORMAT, "%s: vocab_size is %d, but the tokenizer has %d tokens", config->path,
                        config->vocab_size, size);
    if (j->options->count_size != (size_t)size)
        return ds__fail(error, DS_INVALID_ARGUMENT, "there are counts of %zu tokens, but %s has %d",
                        j->options->count_size, j->folder.path, size);
    for (size_t i = 0; i < j->named_count; i++) named[i] = j->named[i].id;
    const ds__prune_wish wish = {j->folder.path, j->options->counts, j->options->tokens, named, j->named_count};
    DS_TRY(ds__prune_choose(j->tokenizer, &wish, &j->arena, &j->kept, error));
    if (config->first_position == 0 || new_id(j, config->pad_token_id) == config->pad_token_id) return DS_OK;
    return ds__fail(error, DS_UNSUPPORTED,
                    "%s: pad_token_id is %d and would become %d, but this architecture counts positions from it",
                    config->path, config->pad_token_id, new_id(j, config->pad_token_id));
}

static ds_status write_all(job *j, ds_prune_stats *stats, ds_error *error) {
    const ds__folder_copy copy = {&j->folder, &j->save, is_wanted, is_replaced, add_members, j};
    DS_TRY(write_weights(j, stats, error));
    DS_TRY(ds__folder_copy_files(&copy, error));
    return ds__prune_write_tokenizer(j->tokenizer, j->folder.path, &j->kept, &j->save, error);
}

static ds_status run(job *j, const char *output, ds_prune_stats *stats, ds_error *error) {
    DS_TRY(check_model(j, error));
    DS_TRY(read_config(j, error));
    DS_TRY(choose(j, error));
    stats->tokens_before = (size_t)j->folder.config.vocab_size;
    stats->tokens_after = (size_t)j->kept.count;
    DS_TRY(ds__save_begin(&j->context->heap, output, &j->save, error));
    ds_status status = write_all(j, stats, error);
    if (status == DS_OK) return ds__save_finish(&j->save, error);
    ds__save_abandon(&j->save);
    return status;
}

ds_status ds__model_prune(ds_context *context, const char *folder, const char *output, const ds_prune_options *options,
                          ds_prune_stats *stats, ds_error *error) {
    job j = {.context = context, .options = options};
    ds_prune_stats unused;
    if (!stats) stats = &unused;
    *stats = (ds_prune_stats){0};
    DS_TRY(ds__folder_open(&context->heap, folder, NULL, &j.folder, error));
    ds__arena_init(&j.arena, &context->heap, 0);
    ds_status status = ds__tokenizer_open(&context->heap, folder, &j.tokenizer, error);
    if (status == DS_OK) status = run(&j, output, stats, error);
    ds__tokenizer_close(j.tokenizer);
    ds__arena_deinit(&j.arena);
    ds__folder_close(&j.folder);
    return status;
}
