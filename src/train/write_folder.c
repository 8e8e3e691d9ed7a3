/* Writing a trained model as a folder of its own. */
#include "train/write_folder.h"

#include <stdio.h>

#include "base/context_internal.h"
#include "base/error.h"
#include "pipeline/copy_folder.h"
#include "pipeline/quantize_folder.h"
#include "train/write_tensors.h"

typedef struct job {
    const ds__folder_content *content;
    ds_save_dtype dtype;       /* of the file: F32 where the content is to be INT8 */
    bool has_dtype, has_torch; /* the spellings of dtype that the source's config.json has */
} job;

/* ---- config.json ---- */

/* num_labels goes where labels are new: id2label decides, and a second count could only disagree with it. */
static bool is_replaced(void *user, ds__str key) {
    static const char *const head_keys[] = {"architectures", "id2label", "label2id", "num_labels", "problem_type"};
    job *j = user;
    j->has_dtype = j->has_dtype || ds__str_is(key, "dtype");
    j->has_torch = j->has_torch || ds__str_is(key, "torch_dtype");
    for (size_t i = 0; j->content->labels > 0 && i < sizeof head_keys / sizeof *head_keys; i++)
        if (ds__str_is(key, head_keys[i])) return true;
    /* A temperature was fitted to the logits of the weights before. */
    return ds__str_is(key, "dtype") || ds__str_is(key, "torch_dtype") || ds__str_is(key, "quantization_config") ||
           ds__str_is(key, "temperature");
}

static void put_text(ds__json_writer *json, const char *key, const char *text) {
    ds__json_key(json, key);
    ds__json_put_string(json, ds__str_of(text));
}

/* The label's name; room: for one that is made up. */
static const char *label_name(const ds__folder_content *content, int32_t label, char room[24]) {
    if (content->label_names) return content->label_names[label];
    snprintf(room, 24, "LABEL_%d", label);
    return room;
}

static void put_labels(const ds__folder_content *content, ds__json_writer *json) {
    char room[24], number[16];
    ds__json_key(json, "id2label");
    ds__json_open_object(json);
    for (int32_t i = 0; i < content->labels; i++) {
        snprintf(number, sizeof number, "%d", i);
        put_text(json, number, label_name(content, i, room));
    }
    ds__json_close_object(json);
    ds__json_key(json, "label2id");
    ds__json_open_object(json);
    for (int32_t i = 0; i < content->labels; i++) {
        ds__json_key(json, label_name(content, i, room));
        ds__json_put_int(json, i);
    }
    ds__json_close_object(json);
}

static void add_members(void *user, ds__json_writer *json) {
    static const char *const problems[] = {[DS_PROBLEM_SINGLE_LABEL] = "single_label_classification",
                                           [DS_PROBLEM_MULTI_LABEL] = "multi_label_classification",
                                           [DS_PROBLEM_REGRESSION] = "regression"};
    static const char *const dtypes[] = {
        [DS_SAVE_FLOAT32] = "float32", [DS_SAVE_FLOAT16] = "float16", [DS_SAVE_BFLOAT16] = "bfloat16"};
    const job *j = user;
    const ds__folder_content *content = j->content;
    if (content->labels > 0) {
        ds__json_key(json, "architectures");
        ds__json_open_array(json);
        ds__json_put_string(json, ds__str_of(content->class_name));
        ds__json_close_array(json);
        put_labels(content, json);
        /* Heads on tokens have one problem only, and transformers has no key for it. */
        if (!ds__str_ends(ds__str_of(content->class_name), DS_STR("ForTokenClassification")))
            put_text(json, "problem_type", problems[content->problem]);
    }
    /* transformers before 4.56 knows the older spelling only, later ones know both. */
    if (j->has_dtype) put_text(json, "dtype", dtypes[j->dtype]);
    if (j->has_torch || !j->has_dtype) put_text(json, "torch_dtype", dtypes[j->dtype]);
}

/* ---- What is copied ---- */

/* What a tokenizer is read from, by how names begin: "tokenizer.json", "tokenizer_config.json", ...; and the licence,
 * which binds what is made of the model as well. Everything else in a folder is about the model it held before. */
static bool is_of_tokenizer(ds__str name) {
    static const char *const beginnings[] = {"tokenizer",    "vocab",         "merges", "special_tokens_map",
                                             "added_tokens", "sentencepiece", "spiece", "LICENSE"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (ds__str_starts(name, ds__str_of(beginnings[i]))) return true;
    return false;
}

/* "1_Pooling", as sentence-transformers names the folders of modules, or what modules.json has for it. */
static bool is_module(const ds__folder *source, ds__str name) {
    const char *pooling = source->pooling_at;
    size_t digits = 0;
    while (digits < name.size && name.data[digits] >= '0' && name.data[digits] <= '9') digits++;
    if (digits > 0 && digits < name.size && name.data[digits] == '_') return source->has_modules;
    return pooling && ds__str_equal((ds__str){pooling, strcspn(pooling, "/")}, name);
}

/* What sentence-transformers adds tells how to make vectors.  With a new head the folder is one of classes: with
 * modules.json it would still be taken for a model of vectors, and its head would be overlooked; unless it is both. */
static bool is_wanted(void *user, const char *name, bool is_folder) {
    const job *j = user;
    const bool vectors = j->content->labels == 0 || j->content->embeds;
    if (is_folder) return vectors && is_module(j->content->source, ds__str_of(name));
    if (is_of_tokenizer(ds__str_of(name))) return true;
    return vectors && (strcmp(name, "modules.json") == 0 || strcmp(name, "sentence_bert_config.json") == 0 ||
                       strcmp(name, "config_sentence_transformers.json") == 0);
}

/* ---- The folder ---- */

static ds_status write_files(ds__save *save, job *j, ds_error *error) {
    const ds__folder_content *content = j->content;
    ds__folder_copy copy = {content->source, save, is_wanted, is_replaced, add_members, j};
    DS_TRY(
        ds__tensors_write(save, "model.safetensors", content->tensors, content->tensor_count, j->dtype, NULL, error));
    DS_TRY(ds__folder_copy_files(&copy, error));
    return content->card ? ds__save_text(save, "README.md", ds__str_of(content->card), error) : DS_OK;
}

/* What quantising reads is a folder, so the floats are written beside `path` first; that folder never gets another than
 * its temporary name. */
static ds_status write_int8(ds_context *context, const char *path, job *j, ds_error *error) {
    static const ds_quantize_options all;
    ds__save save;
    ds__buffer beside;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    ds__buffer_init(&beside, &context->heap);
    ds__buffer_append(&beside, path, size);
    ds__buffer_text(&beside, ".tmp");
    const char *name = ds__buffer_cstr(&beside);
    ds_status status = name ? ds__save_begin(&context->heap, name, &save, error)
                            : ds__alloc_failed(&context->heap, size + 8, "a folder's path", error);
    ds__buffer_deinit(&beside);
    DS_TRY(status);
    status = write_files(&save, j, error);
    if (status == DS_OK) {
        const char *floats = ds__buffer_cstr(&save.temporary);
        status = floats ? ds__model_quantize(context, floats, path, &all, NULL, error)
                        : ds__alloc_failed(&context->heap, size + 8, "a folder's path", error);
    }
    ds__save_abandon(&save);
    return status;
}

ds_status ds__folder_write(ds_context *context, const char *path, const ds__folder_content *content, ds_error *error) {
    job j = {.content = content, .dtype = content->dtype};
    if (content->dtype == DS_SAVE_INT8) {
        j.dtype = DS_SAVE_FLOAT32;
        return write_int8(context, path, &j, error);
    }
    ds__save save;
    DS_TRY(ds__save_begin(&context->heap, path, &save, error));
    ds_status status = write_files(&save, &j, error);
    if (status == DS_OK) return ds__save_finish(&save, error);
    ds__save_abandon(&save);
    return status;
}
