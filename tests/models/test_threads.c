/* One loaded model, many sessions at once: every thread gets what one thread alone gets, to the bit. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/model_case.h"

enum { THREADS = 4, ROUNDS = 25 };

typedef struct job {
    ds_model *model;
    const model_case *m;
    const float *expected;
    int index;
    bool wrong;
} job;

static void *embed_many(void *argument) {
    job *j = argument;
    ds_session *session = NULL;
    ds_error error;
    size_t hidden = (size_t)ds_model_describe(j->model)->hidden_size;
    float *out = calloc(j->m->count * hidden, sizeof *out);
    j->wrong = ds_session_create(j->model, &session, &error) != DS_OK;
    for (int round = 0; round < ROUNDS && !j->wrong; round++) {
        size_t first = (size_t)(round + j->index) % j->m->count, count = j->m->count - first;
        /* pooling that no other program of the model uses is compiled on demand, by whichever thread comes first */
        ds_embed_options options = {.pooling = DS_POOLING_MAX, .normalize = DS_SWITCH_YES};
        j->wrong = ds_embed(session, j->m->texts + first, count, &options, out, NULL, &error) != DS_OK ||
                   largest_difference(out, j->expected + first * hidden, count * hidden) != 0;
    }
    ds_session_destroy(session);
    free(out);
    return NULL;
}

static void sessions_share_a_model(void **state) {
    (void)state;
    for (int pool = 1; pool <= 3; pool++) {
        ds_context *context;
        ds_error error;
        ds_context_options options = {.threads = pool};
        assert_int_equal(ds_context_create(&options, &context, &error), DS_OK);
        model_case m;
        model_case_open_tiny(&m, context, "bert_base");
        ds_model *alone = must_open(context, m.folder), *shared = must_open(context, m.folder);
        ds_session *session = must_session(alone);
        size_t hidden = (size_t)ds_model_describe(alone)->hidden_size;
        float *expected = calloc(m.count * hidden, sizeof *expected);
        ds_embed_options embed = {.pooling = DS_POOLING_MAX, .normalize = DS_SWITCH_YES};
        assert_int_equal(ds_embed(session, m.texts, m.count, &embed, expected, NULL, &error), DS_OK);
        pthread_t threads[THREADS];
        job jobs[THREADS];
        for (int i = 0; i < THREADS; i++) {
            jobs[i] = (job){shared, &m, expected, i, false};
            assert_int_equal(pthread_create(&threads[i], NULL, embed_many, &jobs[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < THREADS; i++) assert_false(jobs[i].wrong);
        free(expected);
        ds_session_destroy(session);
        ds_model_close(alone);
        ds_model_close(shared);
        model_case_close(&m);
        ds_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sessions_share_a_model)};
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
