/* The real all-MiniLM-L6-v2 against sentence-transformers, on questions of a bank (BANKING77). Skipped where the model
 * is not there. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/model_case.h"

static void embeddings_equal_sentence_transformers(void **state) {
    (void)state;
    enum { HIDDEN = 384 };
    const char *folder = minilm_folder();
    if (!folder) skip();
    ds_context *context;
    ds_error error;
    model_case m;
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    model_case_open(&m, context, DS_TEST_DATA "/minilm", folder);
    ds_model *model = must_open(context, folder);
    ds_session *session = must_session(model);
    assert_int_equal(ds_model_describe(model)->hidden_size, HIDDEN);
    assert_true(ds_model_describe(model)->normalize);
    float *out = calloc(m.count * HIDDEN, sizeof *out), *one = calloc(HIDDEN, sizeof *one);
    const float *expected = model_case_floats(&m, "embedding");
    assert_int_equal(ds_embed(session, m.texts, m.count, NULL, out, NULL, &error), DS_OK);
    double worst = largest_difference(out, expected, m.count * HIDDEN), lowest = 1;
    for (size_t i = 0; i < m.count; i++) {
        double dot = 0, a = 0, b = 0;
        for (size_t c = 0; c < HIDDEN; c++) {
            double x = out[i * HIDDEN + c], y = expected[i * HIDDEN + c];
            dot += x * y;
            a += x * x;
            b += y * y;
        }
        lowest = fmin(lowest, dot / sqrt(a * b));
        assert_int_equal(ds_embed(session, &m.texts[i], 1, NULL, one, NULL, &error), DS_OK);
        assert_true(largest_difference(one, out + i * HIDDEN, HIDDEN) == 0);
    }
    printf("%zu texts: largest difference %.2g, lowest cosine %.9f\n", m.count, worst, lowest);
    assert_true(worst <= 1e-4 && lowest >= 0.99999);
    free(out);
    free(one);
    ds_session_destroy(session);
    ds_model_close(model);
    model_case_close(&m);
    ds_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(embeddings_equal_sentence_transformers)};
    return cmocka_run_group_tests_name("minilm", tests, NULL, NULL);
}
