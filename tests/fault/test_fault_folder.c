/* The n-th allocation fails, for every n, through opening a folder, building its graphs and closing it; then the n-th
 * read is short or fails.  Each time: the right status, a sentence, and every byte given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/context_internal.h"
#include "base/file.h"
#include "pipeline/folder.h"

static ds_error error;

static ds_status build(ds_context *context, const ds__folder *folder, ds_output output) {
    ds_graph *graph;
    ds_status status = ds__graph_create(context, &graph, &error);
    if (status != DS_OK) return status;
    ds__graph_wish wish = {.output = output, .pooling = folder->pooling, .normalize = folder->normalize};
    status = ds__folder_build_graph(folder, &wish, graph, NULL, &error);
    ds__graph_destroy(graph);
    return status;
}

static ds_status live(ds_context *context, const char *path) {
    ds__folder folder;
    ds_status status = ds__folder_open(&context->heap, path, NULL, &folder, &error);
    if (status != DS_OK) return status;
    status = build(context, &folder, DS_OUTPUT_EMBEDDING);
    if (status == DS_OK && folder.config.head != DS_HEAD_NONE) status = build(context, &folder, DS_OUTPUT_LOGITS);
    ds__folder_close(&folder);
    return status;
}

/* Between them: modules.json in both spellings, shards, label names, names made up, a folder without tokenizer.json. */
static const char *const models[] = {"bert_seq_st", "st_cls",           "bert_sharded",
                                     "roberta_seq", "distilbert_token", "bert_vocab_only"};
enum { MODELS = sizeof models / sizeof *models };

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (size_t k = 0; k < MODELS; k++) {
        ds_context *context;
        char path[512];
        ds_context_options options = {.threads = 1};
        snprintf(path, sizeof path, "%s/models/%s", DS_TEST_DATA, models[k]);
        assert_int_equal(ds_context_create(&options, &context, &error), DS_OK);
        uint64_t idle = ds_context_memory(context).bytes, n = 1;
        for (;; n++) {
            uint64_t before = ds_context_memory(context).allocations;
            context->heap.fail_at = before + n;
            error = (ds_error){DS_OK, ""};
            ds_status status = live(context, path);
            context->heap.fail_at = 0;
            if (ds_context_memory(context).bytes != idle)
                fail_msg("%s: allocation %d failed and %d bytes were lost", models[k], (int)n,
                         (int)(ds_context_memory(context).bytes - idle));
            if (ds_context_memory(context).allocations < before + n) {
                assert_int_equal(status, DS_OK);
                break;
            }
            if (status != DS_OUT_OF_MEMORY || error.status != status || !*error.message)
                fail_msg("%s: allocation %d failed and the status was %s: %s", models[k], (int)n,
                         ds_status_name(status), error.message);
        }
        printf("%s: each of %d allocations failed once\n", models[k], (int)n - 1);
        assert_true(n > 20);
        ds_context_destroy(context);
    }
}

/* With a limit the folder opens or is refused for lack of memory; limits grow until one suffices. */
static void every_limit_is_kept(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s", DS_TEST_DATA, models[0]);
    bool opened = false;
    for (uint64_t limit = 8 << 10; limit < 1 << 20 && !opened; limit += 8 << 10) {
        ds_context *context;
        ds_context_options options = {.threads = 1, .memory_limit = limit};
        if (ds_context_create(&options, &context, &error) != DS_OK) continue;
        uint64_t idle = ds_context_memory(context).bytes;
        ds_status status = live(context, path);
        opened = status == DS_OK;
        if (!opened && status != DS_MEMORY_LIMIT && status != DS_OUT_OF_MEMORY)
            fail_msg("%s: %s", ds_status_name(status), error.message);
        assert_int_equal(ds_context_memory(context).bytes, idle);
        assert_true(ds_context_memory(context).peak_bytes <= limit);
        ds_context_destroy(context);
    }
    assert_true(opened);
}

static void every_read_may_be_short_or_fail(void **state) {
    (void)state;
    for (size_t k = 0; k < MODELS; k++) {
        ds_context *context;
        char path[512];
        snprintf(path, sizeof path, "%s/models/%s", DS_TEST_DATA, models[k]);
        assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
        uint64_t idle = ds_context_memory(context).bytes, failures = 0;
        for (uint64_t n = 1; n <= 24; n++) {
            ds__file_inject_read_fault(n, DS__READ_SHORT);
            if (live(context, path) != DS_OK) fail_msg("%s, read %d short: %s", models[k], (int)n, error.message);
            ds__file_inject_read_fault(n, DS__READ_FAIL);
            ds_status status = live(context, path);
            if (status != DS_OK && status != DS_IO) fail_msg("%s, read %d: %s", models[k], (int)n, error.message);
            failures += status == DS_IO;
            assert_int_equal(ds_context_memory(context).bytes, idle);
        }
        assert_true(failures >= 2); /* config.json and tokenizer_config.json at least */
        ds__file_inject_read_fault(0, DS__READ_SHORT);
        ds_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_limit_is_kept),
        cmocka_unit_test(every_read_may_be_short_or_fail),
    };
    return cmocka_run_group_tests_name("faults of folders", tests, NULL, NULL);
}
