/* The n-th allocation fails, for every n, through load, run and close of a tiny model; then the n-th read does. Each
 * time: the right status, a sentence, and every byte given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/model_case.h"

static ds_error error;

/* The whole life of a model; every function's status is looked at. */
static ds_status live(ds_context *context, const char *folder) {
    ds_model *model = NULL;
    ds_session *session = NULL;
    float out[3 * 64];
    static const ds_text texts[] = {
        {"Where is my new card?", 21}, {"Hi", 2}, {"the transfer fee \xF0\x9F\x8D\x95", 21}};
    ds_status status = ds_model_open(context, folder, NULL, &model, &error);
    if (status == DS_OK) status = ds_session_create(model, &session, &error);
    if (status == DS_OK) status = ds_embed(session, texts, 3, NULL, out, NULL, &error);
    if (status == DS_OK && ds_model_describe(model)->head == DS_HEAD_SEQUENCE)
        status = ds_classify(session, texts, texts, 3, NULL, out, NULL, &error);
    if (status == DS_OK && ds_model_describe(model)->head == DS_HEAD_TOKEN)
        status = ds_tag(session, texts, 3, NULL, NULL, &error);
    ds_session_destroy(session);
    ds_model_close(model);
    return status;
}

static const char *const models[] = {"bert_seq", "bert_token",      "roberta_seq", "bert_sharded",
                                     "st_max",   "bert_vocab_only", "bert_f16"};

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        ds_context *context;
        char folder[512];
        ds_context_options options = {.threads = 1};
        snprintf(folder, sizeof folder, DS_TEST_DATA "/models/%s", models[k]);
        assert_int_equal(ds_context_create(&options, &context, &error), DS_OK);
        uint64_t idle = ds_context_memory(context).bytes, failures = 0;
        for (uint64_t n = 1;; n++, failures++) {
            uint64_t before = ds_context_memory(context).allocations;
            context->heap.fail_at = before + n;
            error = (ds_error){0};
            ds_status status = live(context, folder);
            context->heap.fail_at = 0;
            if (ds_context_memory(context).bytes != idle)
                fail_msg("%s: allocation %d failed and %d bytes were lost", models[k], (int)n,
                         (int)(ds_context_memory(context).bytes - idle));
            bool reached = ds_context_memory(context).allocations >= before + n;
            if (!reached) {
                assert_int_equal(status, DS_OK);
                break;
            }
            if (status != DS_OUT_OF_MEMORY)
                fail_msg("%s: allocation %d failed and the status was %s: %s", models[k], (int)n,
                         ds_status_name(status), error.message);
            if (!*error.message) fail_msg("%s: allocation %d failed without a sentence", models[k], (int)n);
        }
        printf("%s: each of %d allocations failed once\n", models[k], (int)failures);
        assert_true(failures > 20);
        ds_context_destroy(context);
    }
}

static void every_read_may_be_short_or_fail(void **state) {
    (void)state;
    ds_context *context;
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    uint64_t idle = ds_context_memory(context).bytes;
    for (uint64_t n = 1; n <= 12; n++) {
        ds__file_inject_read_fault(n, DS__READ_SHORT);
        if (live(context, DS_TEST_DATA "/models/bert_seq_st") != DS_OK)
            fail_msg("read %d short: %s", (int)n, error.message);
        ds__file_inject_read_fault(n, DS__READ_FAIL);
        ds_status status = live(context, DS_TEST_DATA "/models/bert_seq_st");
        if (n == 1) assert_int_equal(status, DS_IO);
        assert_true(status == DS_OK || status == DS_IO);
        assert_int_equal(ds_context_memory(context).bytes, idle);
    }
    ds__file_inject_read_fault(0, DS__READ_SHORT);
    ds_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_read_may_be_short_or_fail),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
