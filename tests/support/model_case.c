/* Tiny models; see the header. */
#include "support/model_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"

static const char *const names[] = {
    "bert_base",      "bert_bf16",        "bert_f16",        "bert_gelu_new",    "bert_legacy",     "bert_multilabel",
    "bert_pair",      "bert_prefix",      "bert_prefixless", "bert_regression",  "bert_relu",       "bert_seq",
    "bert_seq_st",    "bert_sharded",     "bert_token",      "bert_vocab_cased", "bert_vocab_only", "distilbert_base",
    "distilbert_seq", "distilbert_token", "roberta_base",    "roberta_seq",      "roberta_token",   "st_cls",
    "st_max",         "st_mean",
};

size_t model_case_count(void) { return sizeof names / sizeof *names; }
const char *model_case_name(size_t index) { return names[index]; }

/* Cuts the file into lines, and each at its tab when the file is a .tsv. */
static void split_lines(model_case *model, bool tabs) {
    size_t capacity = 0;
    const char *line = model->file.data, *end = line + model->file.size;
    if (tabs) line = strchr(line, '\n') + 1; /* the header */
    for (const char *c = line; c < end; c++) capacity += *c == '\n';
    model->texts = calloc(capacity, sizeof *model->texts);
    model->pairs = tabs ? calloc(capacity, sizeof *model->pairs) : NULL;
    for (; line < end; model->count++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *tab = tabs ? memchr(line, '\t', (size_t)(stop - line)) : NULL;
        model->texts[model->count] = (ds_text){line, (size_t)((tab ? tab : stop) - line)};
        if (tab) model->pairs[model->count] = (ds_text){tab + 1, (size_t)(stop - tab - 1)};
        line = stop + 1;
    }
}

void model_case_open(model_case *model, ds_context *context, const char *data_folder, const char *model_folder) {
    char path[640];
    ds_error error;
    *model = (model_case){.context = context};
    snprintf(model->folder, sizeof model->folder, "%s", model_folder);
    snprintf(path, sizeof path, "%s/expected.safetensors", data_folder);
    if (ds__safetensors_open(&context->heap, path, &model->expected, &error) != DS_OK) fail_msg("%s", error.message);
    ds__buffer_init(&model->file, &context->heap);
    snprintf(path, sizeof path, "%s/texts.tsv", data_folder);
    bool tabs = ds__file_exists(path);
    if (!tabs) snprintf(path, sizeof path, "%s/texts.txt", data_folder);
    if (ds__file_read(path, 1 << 20, &model->file, &error) != DS_OK) fail_msg("%s", error.message);
    split_lines(model, tabs);
    model->tokens = (size_t)model_case_ints(model, "seq_start")[model->count];
}

void model_case_open_tiny(model_case *model, ds_context *context, const char *name) {
    char folder[512];
    snprintf(folder, sizeof folder, DS_TEST_DATA "/models/%s", name);
    model_case_open(model, context, folder, folder);
}

void model_case_close(model_case *model) {
    ds__safetensors_close(model->expected);
    ds__buffer_deinit(&model->file);
    free(model->texts);
    free(model->pairs);
}

static const void *find(const model_case *model, const char *name, ds_dtype dtype) {
    const ds__safetensor *tensor = ds__safetensors_find(model->expected, ds__str_of(name));
    if (!tensor) return NULL;
    assert_int_equal(tensor->dtype, dtype);
    return tensor->data;
}

const float *model_case_floats(const model_case *model, const char *name) { return find(model, name, DS_F32); }
const int32_t *model_case_ints(const model_case *model, const char *name) { return find(model, name, DS_I32); }

double largest_difference(const float *a, const float *b, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= largest)) largest = difference; /* also takes a NaN */
    }
    return largest;
}

ds_model *must_open(ds_context *context, const char *folder) {
    ds_model *model = NULL;
    ds_error error;
    if (ds_model_open(context, folder, NULL, &model, &error) != DS_OK) fail_msg("%s", error.message);
    return model;
}

ds_session *must_session(ds_model *model) {
    ds_session *session = NULL;
    ds_error error;
    if (ds_session_create(model, &session, &error) != DS_OK) fail_msg("%s", error.message);
    return session;
}

const char *minilm_folder(void) {
    const char *given = getenv("DS_TEST_MINILM"), *folder = given ? given : DS_TEST_DATA "/../../build/models/minilm";
    if (ds__folder_exists(folder)) return folder;
    printf("skipped: %s is not there; tools/get-minilm fetches it, or DS_TEST_MINILM names its folder\n", folder);
    return NULL;
}
