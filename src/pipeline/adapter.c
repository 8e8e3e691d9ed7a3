/* Merging an adapter; see the header. */
#include "pipeline/adapter.h"

#include <math.h>
#include <stdio.h>

#include "base/error.h"
#include "models/config_file.h"
#include "tensor/convert.h"

enum { MAX_RANK = 4096, MAX_TENSORS = 8192, NAME_SIZE = 256 };

/* What adapter_config.json says. */
typedef struct adapter_config {
    int64_t rank;
    double alpha;
    bool rank_stabilised; /* alpha / sqrt(rank) (Kalajdzievski 2023) in place of alpha / rank */
    ds_head head;         /* of task_type; NONE: another one, or none is named */
} adapter_config;

/* An adapter being merged. */
typedef struct merge {
    ds__folder *folder;
    ds__safetensors *file;
    adapter_config config;
    const ds__safetensor *head; /* the matrix that makes logits; NULL: the adapter has none */
} merge;

void ds__low_rank_add(const ds__low_rank *low, float *weight, double *row) {
    for (size_t r = 0; r < low->rows; r++) {
        for (size_t c = 0; c < low->cols; c++) row[c] = 0;
        for (size_t k = 0; k < low->rank; k++) {
            const double factor = (double)low->b[r * low->rank + k];
            for (size_t c = 0; c < low->cols; c++) row[c] += factor * (double)low->a[k * low->cols + c];
        }
        for (size_t c = 0; c < low->cols; c++)
            weight[r * low->cols + c] = (float)((double)weight[r * low->cols + c] + low->scale * row[c]);
    }
}

/* ---- adapter_config.json ---- */

static void expect_text(ds__json *json, ds__str key, const char *expected) {
    ds__str text = ds__json_string(json, key);
    if (ds__json_ok(json) && !ds__str_is(text, expected))
        ds__json_fail(json, DS_UNSUPPORTED, "%.*s is \"%.*s\", expected \"%s\"", DS_STR_ARG(key), DS_STR_ARG(text),
                      expected);
}

static bool read_switch(ds__json *json, ds__str key) { return !ds__json_take_null(json) && ds__json_bool(json, key); }

/* Keys that plain LoRA leaves null, false or empty: with another value the adapter means more than its matrices say.
 * false: it is none of them. */
static bool read_plain(ds__json *json, ds__str key) {
    static const char *const keys[] = {
        "use_dora",     "fan_in_fan_out", "lora_bias",         "use_qalora",   "use_bdlora",
        "rank_pattern", "alpha_pattern",  "layer_replication", "arrow_config", "alora_invocation_tokens",
        "kasa_config",  "velora_config",  "monteclora_config",
    };
    static const char *const nothing[] = {"null", "false", "{}", "[]"};
    size_t found = 0, i = 0;
    while (found < sizeof keys / sizeof *keys && !ds__str_is(key, keys[found])) found++;
    if (found == sizeof keys / sizeof *keys) return false;
    const ds__str value = ds__json_raw(json);
    while (i < 4 && !ds__str_is(value, nothing[i])) i++;
    if (i == 4 && ds__json_ok(json))
        ds__json_fail(json, DS_UNSUPPORTED,
                      "%s is %.*s, expected null, false or nothing in it: only plain LoRA can be "
                      "merged",
                      keys[found], (int)(value.size < 60 ? value.size : 60), value.data);
    return true;
}

static void read_key(adapter_config *config, ds__json *json, ds__str key, bool *has_type) {
    if (ds__str_is(key, "peft_type")) {
        *has_type = true;
        expect_text(json, key, "LORA");
    } else if (ds__str_is(key, "bias")) {
        expect_text(json, key, "none");
    } else if (ds__str_is(key, "r")) {
        config->rank = ds__json_int(json, key, 1, MAX_RANK);
    } else if (ds__str_is(key, "lora_alpha")) {
        config->alpha = ds__json_number(json, key, -1e6, 1e6);
    } else if (ds__str_is(key, "use_rslora")) {
        config->rank_stabilised = read_switch(json, key);
    } else if (ds__str_is(key, "task_type")) {
        ds__str task = ds__json_take_null(json) ? DS_STR("") : ds__json_string(json, key);
        config->head = ds__str_is(task, "SEQ_CLS")     ? DS_HEAD_SEQUENCE
                       : ds__str_is(task, "TOKEN_CLS") ? DS_HEAD_TOKEN
                                                       : DS_HEAD_NONE;
    } else if (!read_plain(json, key)) {
        ds__json_skip(json);
    }
}

static ds_status read_config(ds__heap *heap, const char *path, adapter_config *config, ds_error *error) {
    ds__config_file file;
    ds__json json;
    bool has_type = false;
    *config = (adapter_config){.rank = 8, .alpha = 8}; /* as in peft.LoraConfig */
    DS_TRY(ds__config_file_open(&file, heap, path, "adapter_config.json", error));
    ds__json_init(&json, heap, file.path, file.text);
    for (ds__str key; ds__json_next_key(&json, &key);) read_key(config, &json, key, &has_type);
    ds_status status = ds__json_finish(&json, error);
    if (status == DS_OK && !has_type)
        status = ds__fail(error, DS_BAD_FORMAT, "%s: has no peft_type, expected \"LORA\"", file.path);
    ds__config_file_close(&file);
    return status;
}

/* ---- Tensors ---- */

static bool is_matrix(const ds__safetensor *t) {
    return t->rank == 2 && t->known_dtype && (t->dtype == DS_F32 || t->dtype == DS_F16 || t->dtype == DS_BF16);
}

static ds_status no_memory(const merge *m, size_t bytes, ds_error *error) {
    return ds__alloc_failed(m->folder->arena.heap, bytes, "weights with an adapter", error);
}

/* The weight called `name` (of `size` bytes) with `ending` behind it: as it is, with the architecture's prefix, or
 * without it. NULL: the model has none. */
static const ds__safetensor *find_weight(const merge *m, const char *name, size_t size, const char *ending) {
    char full[2 * NAME_SIZE];
    const char *prefix = m->folder->architecture->weight_prefix;
    const size_t cut = ds__str_starts((ds__str){name, size}, ds__str_of(prefix)) ? strlen(prefix) : 0;
    const char *const fronts[] = {"", prefix, ""};
    for (int i = 0; i < 3 && size < NAME_SIZE; i++) {
        const size_t skipped = i == 2 ? cut : 0;
        snprintf(full, sizeof full, "%s%.*s%s", fronts[i], (int)(size - skipped), name + skipped, ending);
        const ds__safetensor *found = ds__weights_find(m->folder->weights, ds__str_of(full), NULL);
        if (found) return found;
    }
    return NULL;
}

/* The tensor's elements as floats in `memory`. */
static ds_status widen(const merge *m, const ds__safetensor *t, ds__arena *memory, float **out, ds_error *error) {
    const size_t elements = t->bytes / ds_dtype_size(t->dtype);
    size_t bytes;
    if (!ds__size_mul(elements, sizeof **out, &bytes) || !(*out = ds__arena_alloc(memory, bytes)))
        return no_memory(m, elements * sizeof **out, error);
    if (t->dtype != DS_F32) return ds__widen_to_f32(t->dtype, t->data, *out, elements);
    memcpy(*out, t->data, bytes);
    return DS_OK;
}

static ds_status check_pair(const merge *m, const ds__safetensor *a, const ds__safetensor *b, const ds__safetensor *w,
                            ds_error *error) {
    const int64_t rank = m->config.rank;
    const ds__safetensor *wrong = !is_matrix(a) ? a : !is_matrix(b) ? b : !is_matrix(w) ? w : NULL;
    if (wrong)
        return ds__fail(error, DS_UNSUPPORTED,
                        "%s: \"%s\" is stored as %s with %d dimensions; adapters are matrices of F32, F16 or BF16, and "
                        "so is what they are merged into",
                        wrong->path, wrong->name.data, wrong->dtype_name.data, wrong->rank);
    if (a->shape[0] != rank || b->shape[1] != rank)
        return ds__fail(error, DS_SHAPE_MISMATCH,
                        "%s: \"%s\" and its lora_B have the ranks %lld and %lld, r in adapter_config.json is %lld",
                        a->path, a->name.data, (long long)a->shape[0], (long long)b->shape[1], (long long)rank);
    if (a->shape[1] != w->shape[1] || b->shape[0] != w->shape[0])
        return ds__fail(error, DS_SHAPE_MISMATCH,
                        "%s: \"%s\" is for a weight of [%lld, %lld], \"%s\" of the model is [%lld, %lld]", a->path,
                        a->name.data, (long long)b->shape[0], (long long)a->shape[1], w->name.data,
                        (long long)w->shape[0], (long long)w->shape[1]);
    return DS_OK;
}

static ds_status merge_pair(const merge *m, const ds__safetensor *a, const ds__safetensor *b, const ds__safetensor *w,
                            ds_error *error) {
    DS_TRY(check_pair(m, a, b, w, error));
    ds__arena memory;
    ds__low_rank low = {.rows = (size_t)w->shape[0], .cols = (size_t)w->shape[1], .rank = (size_t)m->config.rank};
    const double rank = (double)m->config.rank;
    low.scale = m->config.alpha / (m->config.rank_stabilised ? sqrt(rank) : rank);
    ds__safetensor merged = *w;
    float *weight = NULL, *left = NULL, *right = NULL;
    ds__arena_init(&memory, m->folder->arena.heap, 0);
    double *row = ds__arena_alloc(&memory, low.cols * sizeof *row);
    ds_status status = row ? widen(m, a, &memory, &left, error) : no_memory(m, low.cols * sizeof *row, error);
    if (status == DS_OK) status = widen(m, b, &memory, &right, error);
    if (status == DS_OK) status = widen(m, w, &m->folder->arena, &weight, error);
    if (status == DS_OK) {
        low.a = left;
        low.b = right;
        ds__low_rank_add(&low, weight, row);
        merged.dtype = DS_F32;
        merged.dtype_name = DS_STR("F32");
        merged.data = (const unsigned char *)weight;
        merged.bytes = low.rows * low.cols * sizeof *weight;
        status = ds__weights_put(m->folder->weights, &merged, error);
    }
    ds__arena_deinit(&memory);
    return status;
}

static bool is_of_head(ds__str name) {
    return ds__str_starts(name, DS_STR("classifier.")) || ds__str_starts(name, DS_STR("pre_classifier.")) ||
           strstr(name.data, "pooler.dense.");
}

static ds_status no_module(const ds__safetensor *t, ds_error *error) {
    return ds__fail(error, DS_NOT_FOUND,
                    "%s: tensor \"%s\" is for a module that the model does not have; is it the adapter's base model?",
                    t->path, t->name.data);
}

/* A tensor of a module that was saved whole. name: within the model. */
static ds_status put_whole(merge *m, const ds__safetensor *t, ds__str name, ds_error *error) {
    const ds__safetensor *known = find_weight(m, name.data, name.size, "");
    const bool head = is_of_head(name),
               logits = ds__str_is(name, "classifier.weight") || ds__str_is(name, "classifier.out_proj.weight");
    if (!known && !head) return no_module(t, error);
    if (known && !logits && !ds__str_is(name, "classifier.bias") && !ds__str_is(name, "classifier.out_proj.bias") &&
        (known->rank != t->rank || memcmp(known->shape, t->shape, (size_t)t->rank * sizeof *t->shape) != 0))
        return ds__fail(error, DS_SHAPE_MISMATCH, "%s: tensor \"%s\" has another shape than \"%s\" of the model",
                        t->path, t->name.data, known->name.data);
    ds__safetensor put = *t;
    put.name = known ? known->name : name;
    if (logits) m->head = t;
    return ds__weights_put(m->folder->weights, &put, error);
}

/* One tensor of the file; those of lora_B go with their lora_A. */
static ds_status take(merge *m, const ds__safetensor *t, ds_error *error) {
    static const char front[] = "base_model.model.", a_end[] = ".lora_A.weight", b_end[] = ".lora_B.weight";
    const ds__str whole = t->name;
    if (!ds__str_starts(whole, DS_STR(front)) || whole.size >= NAME_SIZE || strlen(whole.data) != whole.size)
        return no_module(t, error);
    const ds__str name = {whole.data + sizeof front - 1, whole.size - (sizeof front - 1)};
    const bool is_a = ds__str_ends(name, DS_STR(a_end));
    if (!is_a && !ds__str_ends(name, DS_STR(b_end))) return put_whole(m, t, name, error);
    char other[NAME_SIZE];
    const size_t stem = name.size - (sizeof a_end - 1);
    snprintf(other, sizeof other, "%s%.*s%s", front, (int)stem, name.data, is_a ? b_end : a_end);
    const ds__safetensor *pair = ds__safetensors_find(m->file, ds__str_of(other));
    if (!pair) return ds__fail(error, DS_BAD_FORMAT, "%s: has \"%s\" without \"%s\"", t->path, whole.data, other);
    const ds__safetensor *weight = find_weight(m, name.data, stem, ".weight");
    if (!weight) return no_module(t, error);
    return is_a ? merge_pair(m, t, pair, weight, error) : DS_OK;
}

/* ---- The head ---- */

static ds_status settle_head(const merge *m, ds_error *error) {
    ds__model_config *config = &m->folder->config;
    ds__arena *arena = &m->folder->arena;
    if (!m->head) return DS_OK;
    const ds_head head = m->config.head != DS_HEAD_NONE ? m->config.head : config->head;
    const int64_t labels = m->head->shape[0];
    if (head == DS_HEAD_NONE)
        return ds__fail(error, DS_BAD_FORMAT,
                        "%s: has a classifier, but task_type in adapter_config.json is neither SEQ_CLS nor TOKEN_CLS, "
                        "and the model has no head",
                        m->head->path);
    if (m->head->rank != 2 || labels < 1 || labels > 1 << 20)
        return ds__fail(error, DS_SHAPE_MISMATCH, "%s: \"%s\" has %lld rows, expected a matrix with 1 to %d labels",
                        m->head->path, m->head->name.data, (long long)(m->head->rank ? labels : 0), 1 << 20);
    if (config->head == head && config->labels == labels) return DS_OK;
    const char **names = ds__arena_zeroed(arena, (size_t)labels * sizeof *names);
    char text[128];
    for (int64_t i = 0; names && i < labels; i++) {
        snprintf(text, sizeof text, "LABEL_%lld", (long long)i);
        if (!(names[i] = ds__arena_copy(arena, ds__str_of(text)).data)) names = NULL;
    }
    snprintf(text, sizeof text, "%sFor%sClassification", m->folder->architecture->class_name,
             head == DS_HEAD_TOKEN ? "Token" : "Sequence");
    config->architecture = ds__arena_copy(arena, ds__str_of(text)).data;
    if (!names || !config->architecture) return no_memory(m, (size_t)labels * sizeof *names, error);
    config->head = head;
    config->labels = (int32_t)labels;
    config->label_names = names;
    config->problem = head == DS_HEAD_SEQUENCE && labels == 1 ? DS_PROBLEM_REGRESSION : DS_PROBLEM_SINGLE_LABEL;
    return DS_OK;
}

static ds_status open_file(merge *m, const char *path, ds_error *error) {
    ds__heap *heap = m->folder->arena.heap;
    ds__buffer name;
    ds__buffer_init(&name, heap);
    const char *full = ds__path_join(&name, path, "adapter_model.safetensors");
    ds_status status = full ? ds__safetensors_open(heap, full, &m->file, error)
                            : ds__alloc_failed(heap, strlen(path) + 32, "an adapter's path", error);
    ds__buffer_deinit(&name);
    m->folder->adapter = m->file;
    return status;
}

ds_status ds__adapter_merge(ds__folder *folder, const char *path, ds_error *error) {
    merge m = {.folder = folder};
    DS_TRY(read_config(folder->arena.heap, path, &m.config, error));
    DS_TRY(open_file(&m, path, error));
    const size_t count = ds__safetensors_count(m.file);
    if (count == 0 || count > MAX_TENSORS)
        return ds__fail(error, DS_BAD_FORMAT, "%s: has %zu tensors, expected 1 to %d", ds__safetensors_path(m.file),
                        count, MAX_TENSORS);
    for (size_t i = 0; i < count; i++) DS_TRY(take(&m, ds__safetensors_at(m.file, i), error));
    return settle_head(&m, error);
}
