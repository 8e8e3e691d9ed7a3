/* Adapters that peft saved, merged into their base models: the logits are peft's (tests/reference/make_adapters.py).
 * Our own: what a trainer saves as adapters is, over the base, the model that it saves merged, to the bit.  Hostile
 * ones are refused by name; the n-th allocation fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deepseek/train.h"
#include "support/model_case.h"
#include "support/scratch_folder.h"

static const struct {
    const char *name, *base;
    ds_head head;
} cases[] = {{"sequence", "bert_seq", DS_HEAD_SEQUENCE},
             {"new_head", "bert_base", DS_HEAD_SEQUENCE},
             {"tokens", "roberta_token", DS_HEAD_TOKEN},
             {"distilbert", "distilbert_seq", DS_HEAD_SEQUENCE}};

static ds_context *context;
static ds_error error;

static int open_context(void **state) {
    (void)state;
    return ds_context_create(&(ds_context_options){.threads = 1}, &context, &error) == DS_OK ? 0 : -1;
}

static int close_context(void **state) {
    (void)state;
    ds_context_destroy(context);
    return 0;
}

static const char *base_of(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, DS_TEST_DATA "/models/%s", name);
    return path;
}

/* The logits of a packed batch; to be given to free(). */
static float *logits_of(const char *folder, const char *adapter, const ds_packed_batch *batch, size_t rows) {
    ds_model *model = NULL;
    ds_session *session = NULL;
    const ds_model_options options = {.adapter = adapter};
    if (ds_model_open(context, folder, &options, &model, &error) != DS_OK ||
        ds_session_create(model, &session, &error) != DS_OK)
        fail_msg("%s, %s: %s", folder, adapter, error.message);
    const int32_t labels = ds_model_describe(model)->labels;
    float *out = calloc(rows * (size_t)labels, sizeof *out);
    assert_non_null(out);
    assert_int_equal(ds_forward(session, batch, DS_OUTPUT_LOGITS, out, &error), DS_OK);
    ds_session_destroy(session);
    ds_model_close(model);
    return out;
}

static void logits_are_those_of_peft(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char adapter[256], path[320];
        ds__safetensors *file;
        snprintf(adapter, sizeof adapter, DS_TEST_DATA "/adapters/%s", cases[k].name);
        snprintf(path, sizeof path, "%s/expected.safetensors", adapter);
        assert_int_equal(ds__safetensors_open(&context->heap, path, &file, &error), DS_OK);
        const ds__safetensor *ids = ds__safetensors_find(file, DS_STR("ids"));
        const ds__safetensor *starts = ds__safetensors_find(file, DS_STR("seq_start"));
        const ds__safetensor *expected = ds__safetensors_find(file, DS_STR("logits"));
        const size_t rows = (size_t)expected->shape[0], count = rows * (size_t)expected->shape[1];
        const ds_packed_batch batch = {(const void *)ids->data, NULL, (const void *)starts->data,
                                       (size_t)starts->shape[0] - 1};
        float *with = logits_of(base_of(cases[k].base), adapter, &batch, rows);
        const float *want = (const void *)expected->data;
        if (!(largest_difference(with, want, count) < 1e-4))
            fail_msg("%s: logits are off by %g", cases[k].name, largest_difference(with, want, count));
        if (k != 1) { /* which has no logits without */
            float *without = logits_of(base_of(cases[k].base), NULL, &batch, rows);
            assert_true(largest_difference(without, want, count) > 0.01);
            free(without);
        }
        free(with);
        ds__safetensors_close(file);
    }
}

static void heads_are_as_the_adapter_has_them(void **state) {
    (void)state;
    ds_model *model;
    ds_model_options options = {.adapter = DS_TEST_DATA "/adapters/new_head"};
    assert_int_equal(ds_model_open(context, base_of("bert_base"), &options, &model, &error), DS_OK);
    const ds_model_info *info = ds_model_describe(model);
    assert_int_equal(info->head, DS_HEAD_SEQUENCE);
    assert_int_equal(info->labels, 3);
    assert_string_equal(info->architecture, "BertForSequenceClassification");
    assert_string_equal(ds_model_label(model, 2), "LABEL_2");
    ds_model_close(model);
    options.adapter = DS_TEST_DATA "/adapters/sequence"; /* a head of the base's size keeps its names */
    assert_int_equal(ds_model_open(context, base_of("bert_seq"), &options, &model, &error), DS_OK);
    assert_string_equal(ds_model_label(model, 1), "exchange_rate");
    ds_model_close(model);
}

/* Adapters and the merged model of one trainer; and going on from the adapters is going on from the merged model. */
static void our_own_are_the_merged_model(void **state) {
    (void)state;
    static const char *const bases[] = {"bert_seq", "bert_base", "distilbert_seq", "roberta_seq", "bert_legacy"};
    static const int32_t ids[] = {2, 7, 8, 3, 2, 9, 3}, starts[] = {0, 4, 7}, labels[] = {0, 1};
    const ds_train_batch batch = {.tokens = {ids, NULL, starts, 2}, .labels = labels};
    for (size_t k = 0; k < sizeof bases / sizeof *bases; k++) {
        scratch_folder scratch;
        ds_trainer *trainer;
        ds_trainer_options how = {.labels = 3, .lora_rank = 2, .lora_alpha = 3, .schedule = DS_SCHEDULE_CONSTANT};
        const ds_save_options adapters = {.adapters = true};
        how.learning_rate = 0.1f;
        scratch_create(&scratch);
        const char *merged = scratch_path(&scratch, "merged"), *adapter = scratch_path(&scratch, "adapter");
        assert_int_equal(ds_trainer_create(context, base_of(bases[k]), &how, &trainer, &error), DS_OK);
        for (int i = 0; i < 2; i++) assert_int_equal(ds_trainer_step(trainer, &batch, NULL, &error), DS_OK);
        assert_int_equal(ds_trainer_save(trainer, merged, NULL, &error), DS_OK);
        assert_int_equal(ds_trainer_save(trainer, adapter, &adapters, &error), DS_OK);
        ds_trainer_destroy(trainer);
        float *a = logits_of(merged, NULL, &batch.tokens, 2),
              *b = logits_of(base_of(bases[k]), adapter, &batch.tokens, 2);
        assert_memory_equal(a, b, 2 * 3 * sizeof *a);
        free(a);
        free(b);
        ds_train_step from_merged, from_adapter;
        ds_trainer_options on = {.schedule = DS_SCHEDULE_CONSTANT, .dropout = -1};
        assert_int_equal(ds_trainer_create(context, merged, &on, &trainer, &error), DS_OK);
        assert_int_equal(ds_trainer_step(trainer, &batch, &from_merged, &error), DS_OK);
        ds_trainer_destroy(trainer);
        on.adapter = adapter;
        assert_int_equal(ds_trainer_create(context, base_of(bases[k]), &on, &trainer, &error), DS_OK);
        assert_int_equal(ds_trainer_step(trainer, &batch, &from_adapter, &error), DS_OK);
        ds_trainer_destroy(trainer);
        on.lora_rank = 2;
        assert_int_equal(ds_trainer_create(context, base_of(bases[k]), &on, &trainer, &error), DS_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "lora_rank is 2 over the merged adapter"));
        assert_true(from_merged.loss == from_adapter.loss && from_merged.gradient_norm == from_adapter.gradient_norm);
        scratch_destroy(&scratch);
    }
}

/* ---- What is refused ---- */

static ds_status open_adapter(const char *base, const char *adapter) {
    ds_model *model;
    const ds_model_options options = {.adapter = adapter};
    error = (ds_error){DS_OK, ""};
    ds_status status = ds_model_open(context, base_of(base), &options, &model, &error);
    if (status == DS_OK) ds_model_close(model);
    return status;
}

static void expect_refusal(const char *base, const char *adapter, ds_status status, const char *said) {
    const uint64_t before = ds_context_memory(context).bytes;
    const ds_status got = open_adapter(base, adapter);
    if (got != status || !strstr(error.message, said))
        fail_msg("%s: expected %s \"%s\", got %s: %s", base, ds_status_name(status), said, ds_status_name(got),
                 error.message);
    assert_int_equal(ds_context_memory(context).bytes, before);
}

/* One change to the adapter of the first case, and what is said to it. */
static const struct {
    bool header; /* the change is to the safetensors' header */
    const char *from, *to;
    ds_status status;
    const char *said;
} changes[] = {
    {false, "\"LORA\"", "\"IA3\"", DS_UNSUPPORTED, "peft_type is \"IA3\", expected \"LORA\""},
    {false, "\"peft_type\"", "\"peft_kind\"", DS_BAD_FORMAT, "has no peft_type"},
    {false, "\"use_dora\": false", "\"use_dora\": true", DS_UNSUPPORTED, "use_dora is true"},
    {false, "\"fan_in_fan_out\": false", "\"fan_in_fan_out\": true", DS_UNSUPPORTED, "fan_in_fan_out is true"},
    {false, "\"bias\": \"none\"", "\"bias\": \"all\"", DS_UNSUPPORTED, "bias is \"all\", expected \"none\""},
    {false, "\"rank_pattern\": {}", "\"rank_pattern\": {\"query\": 8}", DS_UNSUPPORTED,
     "rank_pattern is {\"query\": 8}"},
    {false, "\"layer_replication\": null", "\"layer_replication\": [[0, 1]]", DS_UNSUPPORTED, "layer_replication"},
    {false, "\"r\": 4", "\"r\": 3", DS_SHAPE_MISMATCH, "have the ranks 4 and 4, r in adapter_config.json is 3"},
    {false, "\"r\": 4", "\"r\": 0", DS_BAD_FORMAT, "r is 0, expected"},
    {false, "\"r\": 4", "\"r\": 4000000000", DS_BAD_FORMAT, "r is 4000000000, expected"},
    {false, "\"lora_alpha\": 8", "\"lora_alpha\": NaN", DS_BAD_FORMAT, "lora_alpha"},
    {true, "query.lora_A", "quary.lora_A", DS_BAD_FORMAT, "without"},
    {true, "[4,32]", "[32,4]", DS_SHAPE_MISMATCH, "have the ranks 32 and 4"},
    {true, "classifier.bias", "classified.bias", DS_NOT_FOUND, "for a module that the model does not have"},
    {true, "base_model.model.classifier.weight", "fine_model.model.classifier.weight", DS_NOT_FOUND, "for a module"},
    {true, "\"F32\"", "\"I32\"", DS_UNSUPPORTED, "I32"},
    {true, "[5,32]", "[32,5]", DS_SHAPE_MISMATCH, "classifier"},
};

static void hostile_adapters_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        scratch_folder scratch;
        scratch_copy(&scratch, DS_TEST_DATA "/adapters/sequence");
        if (changes[i].header)
            scratch_replace_header(&scratch, "adapter_model.safetensors", changes[i].from, changes[i].to);
        else
            scratch_replace(&scratch, "adapter_config.json", changes[i].from, changes[i].to);
        expect_refusal("bert_seq", scratch.path, changes[i].status, changes[i].said);
        scratch_destroy(&scratch);
    }
    expect_refusal("bert_multilabel", DS_TEST_DATA "/adapters/sequence", DS_SHAPE_MISMATCH, "of the model is [24, 24]");
    expect_refusal("distilbert_seq", DS_TEST_DATA "/adapters/sequence", DS_NOT_FOUND, "does not have");
    expect_refusal("bert_seq", DS_TEST_DATA "/models/bert_seq", DS_NOT_FOUND, "adapter_config.json");
    expect_refusal("bert_seq", DS_TEST_DATA "/adapters/none", DS_NOT_FOUND, "adapter_config.json");
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    const uint64_t idle = ds_context_memory(context).bytes;
    for (uint64_t n = 1;; n++) {
        const uint64_t before = ds_context_memory(context).allocations;
        context->heap.fail_at = before + n;
        const ds_status status = open_adapter("bert_base", DS_TEST_DATA "/adapters/new_head");
        context->heap.fail_at = 0;
        assert_int_equal(ds_context_memory(context).bytes, idle);
        const bool reached = ds_context_memory(context).allocations >= before + n;
        if (status != (reached ? DS_OUT_OF_MEMORY : DS_OK))
            fail_msg("allocation %d: %s: %s", (int)n, ds_status_name(status), error.message);
        if (!reached) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_peft),     cmocka_unit_test(heads_are_as_the_adapter_has_them),
        cmocka_unit_test(our_own_are_the_merged_model), cmocka_unit_test(hostile_adapters_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("adapters", tests, open_context, close_context);
}
