/* The memory promises: no allocation in the steady state, nothing grows, the limit is hard, everything comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "support/model_case.h"

static ds_error error;

static void open_tiny(ds_context *context, const char *name, model_case *m, ds_model **model, ds_session **session) {
    model_case_open_tiny(m, context, name);
    *model = must_open(context, m->folder);
    *session = must_session(*model);
}

static void close_tiny(model_case *m, ds_model *model, ds_session *session) {
    ds_session_destroy(session);
    ds_model_close(model);
    model_case_close(m);
}

/* Random batches of random texts: after the sizes have been seen once, the allocator is left alone. */
static void the_steady_state_allocates_nothing(void **state) {
    (void)state;
    enum { CALLS = 2000, WARM = 300, MAX_BATCH = 40 };
    ds_context *context;
    model_case m;
    ds_model *model;
    ds_session *session;
    ds__random random = {7};
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    open_tiny(context, "bert_seq", &m, &model, &session);
    float *out = calloc(MAX_BATCH * 32, sizeof *out);
    ds_text texts[MAX_BATCH];
    ds_memory_stats warm = {0};
    for (int call = 0; call < CALLS; call++) {
        size_t count = call == 0 ? MAX_BATCH : 1 + ds__random_below(&random, MAX_BATCH);
        for (size_t i = 0; i < count; i++) texts[i] = m.texts[ds__random_below(&random, (uint32_t)m.count)];
        if (call == 0) /* the largest batch there can be */
            for (size_t i = 0; i < count; i++) texts[i] = m.texts[m.count - 1];
        bool embed = call % 2;
        ds_status status = embed ? ds_embed(session, texts, count, NULL, out, NULL, &error)
                                 : ds_classify(session, texts, NULL, count, NULL, out, NULL, &error);
        if (status != DS_OK) fail_msg("%s", error.message);
        if (call == WARM) warm = ds_context_memory(context);
    }
    ds_memory_stats end = ds_context_memory(context);
    assert_int_equal(end.allocations, warm.allocations);
    assert_int_equal(end.bytes, warm.bytes);
    assert_int_equal(end.peak_bytes, warm.peak_bytes);
    free(out);
    close_tiny(&m, model, session);
    ds_context_destroy(context);
}

/* Counts what the host's allocator really gave, so that the door's own figures are not taken on trust. */
typedef struct counter {
    size_t held, peak, blocks;
} counter;

static void *counted_allocate(void *user, size_t bytes, size_t alignment) {
    counter *count = user;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, bytes) != 0) return NULL;
    count->held += bytes;
    count->blocks++;
    if (count->held > count->peak) count->peak = count->held;
    return memory;
}

static void counted_release(void *user, void *memory, size_t bytes) {
    counter *count = user;
    count->held -= bytes;
    count->blocks--;
    free(memory);
}

/* For many limits: the job is done (with the same result) or refused with both numbers; the limit is never exceeded and
 * everything is given back. */
static void the_limit_is_hard(void **state) {
    (void)state;
    enum { COPIES = 12 };
    size_t done = 0, refused = 0;
    float *expected = NULL;
    for (size_t limit = 0; limit < 1600 * 1024; limit += limit < 100000 ? 9973 : 49999) {
        counter count = {0, 0, 0};
        ds_context_options options = {
            .threads = 1, .memory_limit = limit, .allocator = {counted_allocate, counted_release, &count}};
        ds_context *context, *outside;
        model_case m;
        ds_model *model = NULL;
        ds_session *session = NULL;
        assert_int_equal(ds_context_create(NULL, &outside, &error), DS_OK);
        model_case_open_tiny(&m, outside, "st_mean");
        size_t texts = m.count * COPIES, hidden = 32;
        ds_text *many = calloc(texts, sizeof *many);
        float *out = calloc(texts * hidden, sizeof *out);
        for (size_t i = 0; i < texts; i++) many[i] = m.texts[i % m.count];
        ds_status status = ds_context_create(&options, &context, &error);
        if (status == DS_OK) {
            status = ds_model_open(context, m.folder, NULL, &model, &error);
            if (status == DS_OK) status = ds_session_create(model, &session, &error);
            if (status == DS_OK) status = ds_embed(session, many, texts, NULL, out, NULL, &error);
            if (limit) assert_true(ds_context_memory(context).peak_bytes <= limit);
            ds_session_destroy(session);
            ds_model_close(model);
            ds_context_destroy(context);
        }
        if (limit) assert_true(count.peak <= limit);
        assert_int_equal(count.held, 0);
        assert_int_equal(count.blocks, 0);
        if (status == DS_OK && !expected) {
            expected = out; /* no limit: the first round */
        } else if (status == DS_OK) {
            done++;
            assert_true(largest_difference(out, expected, texts * hidden) == 0);
            free(out);
        } else {
            refused++;
            assert_int_equal(status, DS_MEMORY_LIMIT);
            char number[32];
            snprintf(number, sizeof number, "limit of %zu", limit);
            if (!strstr(error.message, number)) fail_msg("\"%s\" lacks \"%s\"", error.message, number);
            free(out);
        }
        free(many);
        model_case_close(&m);
        ds_context_destroy(outside);
    }
    free(expected);
    printf("%zu limits sufficed, %zu were refused\n", done, refused);
    assert_true(done > 3 && refused > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_steady_state_allocates_nothing),
        cmocka_unit_test(the_limit_is_hard),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
