/* Every tiny model against PyTorch: hidden states, pooled vectors and logits, from ids and from text, alone and in
 * batches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/model_case.h"

/* Largest absolute difference to PyTorch that is allowed (issue: 1e-4 for vectors, 1e-3 for logits); f32 on other
 * kernels. */
static const double vector_bound = 1e-4, logit_bound = 1e-3;

static ds_context *context;
static ds_error error;

static int open_context(void **state) {
    (void)state;
    return ds_context_create(NULL, &context, &error) == DS_OK ? 0 : -1;
}

static int close_context(void **state) {
    (void)state;
    ds_context_destroy(context);
    return 0;
}

static void check(const char *model, const char *what, double difference, double bound) {
    if (!(difference <= bound)) fail_msg("%s: %s differs by %g, at most %g is allowed", model, what, difference, bound);
}

static float *floats(size_t count) {
    float *data = calloc(count + 1, sizeof *data);
    assert_non_null(data);
    return data;
}

/* From PyTorch's own ids, the whole packed batch at once. */
static void check_forward(const model_case *m, ds_session *session, const char *name, const ds_model_info *info) {
    ds_packed_batch batch = {model_case_ints(m, "ids"), model_case_ints(m, "type_ids"), model_case_ints(m, "seq_start"),
                             m->count};
    size_t hidden = (size_t)info->hidden_size;
    float *out = floats(m->tokens * (hidden + (size_t)info->labels));
    if (ds_forward(session, &batch, DS_OUTPUT_HIDDEN, out, &error) != DS_OK) fail_msg("%s: %s", name, error.message);
    check(name, "hidden state", largest_difference(out, model_case_floats(m, "hidden"), m->tokens * hidden),
          vector_bound);
    const float *embedding = model_case_floats(m, "embedding"), *logits = model_case_floats(m, "logits");
    if (embedding) {
        assert_int_equal(ds_forward(session, &batch, DS_OUTPUT_EMBEDDING, out, &error), DS_OK);
        for (size_t i = 0; i < m->count; i++) /* longer texts were cut before PyTorch embedded them */
            if (batch.seq_start[i + 1] - batch.seq_start[i] <= info->embed_max_tokens)
                check(name, "embedding", largest_difference(out + i * hidden, embedding + i * hidden, hidden),
                      vector_bound);
    }
    if (logits) {
        size_t rows = info->head == DS_HEAD_TOKEN ? m->tokens : m->count;
        if (ds_forward(session, &batch, DS_OUTPUT_LOGITS, out, &error) != DS_OK)
            fail_msg("%s: %s", name, error.message);
        check(name, "logits", largest_difference(out, logits, rows * (size_t)info->labels), logit_bound);
    }
    free(out);
}

/* From text, in one call and each text alone. */
static void check_texts(const model_case *m, ds_session *session, const char *name, const ds_model_info *info) {
    size_t hidden = (size_t)info->hidden_size, labels = (size_t)info->labels;
    const float *embedding = model_case_floats(m, "embedding"), *logits = model_case_floats(m, "logits");
    float *all = floats(m->count * (hidden + labels)), *one = floats(hidden + labels);
    ds_run_stats stats;
    if (embedding) {
        if (ds_embed(session, m->texts, m->count, NULL, all, &stats, &error) != DS_OK)
            fail_msg("%s: %s", name, error.message);
        check(name, "embedding of texts", largest_difference(all, embedding, m->count * hidden), vector_bound);
        for (size_t i = 0; i < m->count; i++) {
            assert_int_equal(ds_embed(session, &m->texts[i], 1, NULL, one, NULL, &error), DS_OK);
            check(name, "a text alone and in a batch", largest_difference(one, all + i * hidden, hidden), 0);
        }
    }
    if (logits && info->head == DS_HEAD_SEQUENCE) {
        ds_classify_options raw = {.logits = true};
        if (ds_classify(session, m->texts, m->pairs, m->count, &raw, all, &stats, &error) != DS_OK)
            fail_msg("%s: %s", name, error.message);
        check(name, "logits of texts", largest_difference(all, logits, m->count * labels), logit_bound);
        assert_int_equal(stats.tokens, m->tokens);
    }
    free(all);
    free(one);
}

static void every_tiny_model_equals_pytorch(void **state) {
    (void)state;
    for (size_t i = 0; i < model_case_count(); i++) {
        model_case m;
        const char *name = model_case_name(i);
        model_case_open_tiny(&m, context, name);
        ds_model *model = must_open(context, m.folder);
        ds_session *session = must_session(model);
        check_forward(&m, session, name, ds_model_describe(model));
        check_texts(&m, session, name, ds_model_describe(model));
        ds_session_destroy(session);
        ds_model_close(model);
        model_case_close(&m);
    }
}

/* Scores follow from the logits: softmax, sigmoid, or the value itself. */
static void scores_follow_the_problem_type(void **state) {
    (void)state;
    static const char *const models[] = {"bert_seq", "bert_multilabel", "bert_regression"};
    for (size_t k = 0; k < 3; k++) {
        model_case m;
        model_case_open_tiny(&m, context, models[k]);
        ds_model *model = must_open(context, m.folder);
        ds_session *session = must_session(model);
        const ds_model_info *info = ds_model_describe(model);
        size_t labels = (size_t)info->labels;
        const float *logits = model_case_floats(&m, "logits");
        float *scores = floats(m.count * labels);
        assert_int_equal(ds_classify(session, m.texts, NULL, m.count, NULL, scores, NULL, &error), DS_OK);
        for (size_t i = 0; i < m.count; i++) {
            double sum = 0;
            for (size_t c = 0; c < labels; c++) sum += exp(logits[i * labels + c]);
            for (size_t c = 0; c < labels; c++) {
                double x = logits[i * labels + c];
                double expected = k == 0 ? exp(x) / sum : k == 1 ? 1 / (1 + exp(-x)) : x;
                check(models[k], "a score", fabs(expected - (double)scores[i * labels + c]), 1e-4);
            }
        }
        assert_non_null(ds_model_label(model, 0));
        assert_null(ds_model_label(model, info->labels));
        free(scores);
        ds_session_destroy(session);
        ds_model_close(model);
        model_case_close(&m);
    }
}

/* The spans of one text must be its words, each with the label that PyTorch's logits give its first piece.
 * logits: of the text's first token. */
static void check_spans(const model_case *m, const ds_model *model, const ds_session *session, size_t text,
                        const float *logits) {
    size_t labels = (size_t)ds_model_describe(model)->labels, count, span = 0;
    const ds_tag_span *spans = ds_session_tags(session, text, &count);
    ds_encoding *encoding;
    assert_int_equal(ds_encoding_create(context, &encoding, &error), DS_OK);
    assert_int_equal(ds_tokenizer_encode(ds_model_tokenizer(model), m->texts[text], NULL,
                                         ds_model_describe(model)->max_tokens, encoding, &error),
                     DS_OK);
    const int32_t *words = ds_encoding_words(encoding), *offsets = ds_encoding_offsets(encoding);
    for (size_t t = 0; t < ds_encoding_size(encoding); t++) {
        if (words[t] < 0 || (t > 0 && words[t] == words[t - 1])) continue;
        const float *row = logits + t * labels;
        size_t best = 0, last = t;
        for (size_t c = 1; c < labels; c++) best = row[c] > row[best] ? c : best;
        while (last + 1 < ds_encoding_size(encoding) && words[last + 1] == words[t]) last++;
        assert_true(span < count);
        assert_int_equal(spans[span].start, offsets[2 * t]);
        assert_int_equal(spans[span].end, offsets[2 * last + 1]);
        if (row[best] - row[(size_t)spans[span].label] > 1e-3f)
            fail_msg("%s: text %zu: word %zu has label %d, PyTorch's logits say %zu", m->folder, text, span,
                     spans[span].label, best);
        assert_true(spans[span].score > 0 && spans[span].score <= 1);
        span++;
    }
    assert_int_equal(span, count);
    ds_encoding_destroy(encoding);
}

static void tags_follow_the_logits(void **state) {
    (void)state;
    static const char *const models[] = {"bert_token", "roberta_token", "distilbert_token"};
    for (size_t k = 0; k < 3; k++) {
        model_case m;
        model_case_open_tiny(&m, context, models[k]);
        ds_model *model = must_open(context, m.folder);
        ds_session *session = must_session(model);
        size_t labels = (size_t)ds_model_describe(model)->labels;
        const int32_t *start = model_case_ints(&m, "seq_start");
        if (ds_tag(session, m.texts, m.count, NULL, NULL, &error) != DS_OK) fail_msg("%s", error.message);
        for (size_t i = 0; i < m.count; i++)
            check_spans(&m, model, session, i, model_case_floats(&m, "logits") + (size_t)start[i] * labels);
        ds_session_destroy(session);
        ds_model_close(model);
        model_case_close(&m);
    }
}

static void what_a_model_cannot_do_is_refused(void **state) {
    (void)state;
    char folder[512];
    float out[64];
    ds_text text = {"Hi", 2};
    snprintf(folder, sizeof folder, DS_TEST_DATA "/models/bert_base");
    ds_model *model = must_open(context, folder);
    ds_session *session = must_session(model);
    assert_int_equal(ds_classify(session, &text, NULL, 1, NULL, out, NULL, &error), DS_UNSUPPORTED);
    assert_non_null(strstr(error.message, "BertModel has no head for sequence classification"));
    assert_int_equal(ds_tag(session, &text, 1, NULL, NULL, &error), DS_UNSUPPORTED);
    ds_embed_options too_long = {.max_tokens = 65};
    assert_int_equal(ds_embed(session, &text, 1, &too_long, out, NULL, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "max_tokens is 65, expected 1 to 64"));
    int32_t ids[65] = {0}, starts[] = {0, 65}, wild[] = {0, 260};
    ds_packed_batch batch = {ids, NULL, starts, 1};
    assert_int_equal(ds_forward(session, &batch, DS_OUTPUT_EMBEDDING, out, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "text 0 has 65 tokens, expected 1 to 64"));
    starts[1] = 2;
    batch.ids = wild;
    assert_int_equal(ds_forward(session, &batch, DS_OUTPUT_EMBEDDING, out, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "id 260 at position 1 is outside the table"));
    assert_int_equal(ds_forward(session, &batch, DS_OUTPUT_LOGITS, out, &error), DS_UNSUPPORTED);
    ds_session_destroy(session);
    ds_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tiny_model_equals_pytorch),
        cmocka_unit_test(scores_follow_the_problem_type),
        cmocka_unit_test(tags_follow_the_logits),
        cmocka_unit_test(what_a_model_cannot_do_is_refused),
    };
    return cmocka_run_group_tests_name("reference", tests, open_context, close_context);
}
