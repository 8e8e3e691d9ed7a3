/* bfloat16 and int8 against float32 on every tiny model: how far hidden states and logits move, that what is excluded
 * stays exactly where it was, and that no precision makes a row depend on threads or on its batch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deepseek/machine.h"
#include "support/model_case.h"

static const char *const folders[] = {"bert_base", "bert_bf16",  "bert_f16",        "bert_relu",    "bert_seq",
                                      "bert_pair", "bert_token", "distilbert_base", "roberta_base", "st_cls"};

enum { FOLDERS = sizeof folders / sizeof *folders, TOKENS = 90, TEXTS = 3 };

static ds_error error;

/* Three texts of 8, 25 and 57 tokens. */
static const int32_t starts[TEXTS + 1] = {0, 8, 33, TOKENS};

/* The last hidden state of the batch, [TOKENS, hidden]; free() it. */
static float *hidden(const char *name, int threads, const ds_model_options *options, ds_model_info *info) {
    ds_context *context;
    ds_model *model;
    ds_session *session;
    ds_context_options with = {.threads = threads};
    char folder[512];
    int32_t ids[TOKENS];
    snprintf(folder, sizeof folder, DS_TEST_DATA "/models/%s", name);
    assert_int_equal(ds_context_create(&with, &context, &error), DS_OK);
    if (ds_model_open(context, folder, options, &model, &error) != DS_OK) fail_msg("%s", error.message);
    assert_int_equal(ds_session_create(model, &session, &error), DS_OK);
    *info = *ds_model_describe(model);
    for (int32_t i = 0; i < TOKENS; i++) ids[i] = (i * 37 + 5) % info->vocab_size;
    float *out = calloc((size_t)TOKENS * (size_t)info->hidden_size, sizeof *out);
    assert_non_null(out);
    ds_packed_batch batch = {ids, NULL, starts, TEXTS};
    if (ds_forward(session, &batch, DS_OUTPUT_HIDDEN, out, &error) != DS_OK) fail_msg("%s", error.message);
    ds_session_destroy(session);
    ds_model_close(model);
    ds_context_destroy(context);
    return out;
}

/* The cosine of two rows' angle; 0 when something is not finite. */
static double cosine(const float *a, const float *b, size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    double value = ab / sqrt(aa * bb);
    return isfinite(value) ? value : 0;
}

/* Against float32, for each token: not nearer than quantising moves it, and not the same bits, or nothing was. */
static void check_precision(const ds_model_options *options, double least) {
    for (int f = 0; f < FOLDERS; f++) {
        ds_model_info info;
        float *exact = hidden(folders[f], 2, &(ds_model_options){0}, &info);
        float *narrow = hidden(folders[f], 2, options, &info);
        size_t width = (size_t)info.hidden_size;
        for (size_t i = 0; i < TOKENS; i++) {
            double c = cosine(exact + i * width, narrow + i * width, width);
            if (!(c >= least)) fail_msg("%s: token %zu: cosine %.6f, expected %.6f", folders[f], i, c, least);
        }
        assert_memory_not_equal(exact, narrow, TOKENS * width * sizeof *exact);
        free(exact);
        free(narrow);
    }
}

static void bfloat16_stays_near_float32(void **state) {
    (void)state;
    check_precision(&(ds_model_options){.precision = DS_PRECISION_BFLOAT16}, 0.9995);
}

static void int8_stays_near_float32(void **state) {
    (void)state;
    check_precision(&(ds_model_options){.quantization = DS_QUANTIZATION_INT8}, 0.998);
    check_precision(&(ds_model_options){.quantization = DS_QUANTIZATION_INT8, .precision = DS_PRECISION_BFLOAT16},
                    0.998);
}

static void what_is_excluded_keeps_its_bits(void **state) {
    (void)state;
    static const char *const all[] = {"*"};
    static const char *const some[] = {"nothing", "*embeddings*", "*query*"};
    ds_model_info info;
    ds_model_options options = {.quantization = DS_QUANTIZATION_INT8, .exclude = all, .exclude_count = 1};
    float *exact = hidden("bert_base", 1, &(ds_model_options){0}, &info);
    assert_int_equal(info.int8_weights, 0);
    float *excluded = hidden("bert_base", 1, &options, &info);
    assert_int_equal(info.int8_weights, 0);
    assert_memory_equal(exact, excluded, TOKENS * (size_t)info.hidden_size * sizeof *exact);
    free(excluded);
    free(hidden("bert_base", 1, &(ds_model_options){.quantization = DS_QUANTIZATION_INT8}, &info));
    const int32_t whole = info.int8_weights;
    assert_int_equal(whole, 6 * info.layers + 3);
    options.exclude = some;
    options.exclude_count = 3;
    free(hidden("bert_base", 1, &options, &info));
    assert_int_equal(info.int8_weights, whole - 3 - info.layers);
    free(exact);
}

static void rows_depend_on_nothing_else(void **state) {
    (void)state;
    const ds_model_options ways[] = {{.precision = DS_PRECISION_BFLOAT16}, {.quantization = DS_QUANTIZATION_INT8}};
    for (int w = 0; w < 2; w++) {
        ds_model_info info;
        float *one = hidden("bert_seq", 1, &ways[w], &info), *four = hidden("bert_seq", 4, &ways[w], &info);
        assert_memory_equal(one, four, TOKENS * (size_t)info.hidden_size * sizeof *one);
        float *again = hidden("bert_seq", 4, &ways[w], &info);
        assert_memory_equal(four, again, TOKENS * (size_t)info.hidden_size * sizeof *one);
        free(one);
        free(four);
        free(again);
    }
}

static void auto_says_what_it_took(void **state) {
    (void)state;
    ds_model_info info;
    free(hidden("bert_base", 1, &(ds_model_options){.precision = DS_PRECISION_AUTO}, &info));
    bool has_products = false;
    for (size_t i = 0; i < ds_kernel_count(); i++)
        has_products |= ds_kernel_at(i).used && strcmp(ds_kernel_at(i).name, "gemm_bf16_avx512bf16") == 0;
    assert_int_equal(info.precision, has_products ? DS_PRECISION_BFLOAT16 : DS_PRECISION_FLOAT32);
    assert_non_null(strstr(info.precision_why, "this CPU"));
    free(hidden("bert_base", 1, &(ds_model_options){0}, &info));
    assert_int_equal(info.precision, DS_PRECISION_FLOAT32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bfloat16_stays_near_float32),     cmocka_unit_test(int8_stays_near_float32),
        cmocka_unit_test(what_is_excluded_keeps_its_bits), cmocka_unit_test(rows_depend_on_nothing_else),
        cmocka_unit_test(auto_says_what_it_took),
    };
    return cmocka_run_group_tests_name("precision", tests, NULL, NULL);
}
