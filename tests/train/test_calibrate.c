/* Temperatures in config.json: what classifying does with one, what may stand there, and the ways in which one gets
 * there and is lost. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "support/model_case.h"
#include "support/scratch_folder.h"
#include "train/dataset.h"

#define MODELS DS_TEST_DATA "/models/"

enum { ROWS = 120, TEXTS = 3, MOST_LABELS = 16 };

static const ds_text texts[TEXTS] = {{"where is my card", 16}, {"the exchange rate?", 18}, {"of", 2}};
static ds_context *context;
static scratch_folder scratch;
static ds_error error;
static uint64_t idle;

static int start(void **state) {
    assert_int_equal(ds_context_create(NULL, &context, NULL), DS_OK);
    idle = context->heap.bytes;
    scratch_create(&scratch);
    return 0;
}

static int finish(void **state) {
    scratch_destroy(&scratch);
    assert_int_equal(context->heap.bytes, idle);
    ds_context_destroy(context);
    return 0;
}

static void scores_of(const char *folder, const ds_classify_options *how, float *out) {
    ds_model *model = must_open(context, folder);
    ds_session *session = must_session(model);
    if (ds_classify(session, texts, NULL, TEXTS, how, out, NULL, &error) != DS_OK) fail_msg("%s", error.message);
    ds_session_destroy(session);
    ds_model_close(model);
}

static float temperature_of(const char *folder) {
    ds_model *model = must_open(context, folder);
    const float temperature = ds_model_describe(model)->temperature;
    ds_model_close(model);
    return temperature;
}

/* A copy of a tiny model whose config.json begins with the member. */
static void copy_with(scratch_folder *copy, const char *model, const char *member) {
    char path[256], text[128];
    snprintf(path, sizeof path, MODELS "%s", model);
    scratch_copy(copy, path);
    snprintf(text, sizeof text, "{%s,", member);
    scratch_replace(copy, "config.json", "{", text);
}

static void check_scores(const char *model, size_t labels, bool many) {
    scratch_folder copy;
    const ds_classify_options raw = {.logits = true};
    float plain[TEXTS * MOST_LABELS], logits[TEXTS * MOST_LABELS], scores[TEXTS * MOST_LABELS];
    copy_with(&copy, model, "\"temperature\": 2.5");
    assert_true(temperature_of(copy.path) == 2.5f);
    char path[256];
    snprintf(path, sizeof path, MODELS "%s", model);
    scores_of(path, &raw, plain);
    scores_of(copy.path, &raw, logits);
    assert_memory_equal(plain, logits, TEXTS * labels * sizeof *plain);
    scores_of(copy.path, NULL, scores);
    for (size_t t = 0; t < TEXTS; t++) {
        double sum = 0;
        for (size_t i = 0; i < labels; i++) sum += exp((double)logits[t * labels + i] / 2.5);
        for (size_t i = 0; i < labels; i++) {
            const double z = (double)logits[t * labels + i] / 2.5, want = many ? 1 / (1 + exp(-z)) : exp(z) / sum;
            assert_true(fabs((double)scores[t * labels + i] - want) < 1e-6);
        }
    }
    scratch_destroy(&copy);
}

static void scores_are_of_divided_logits(void **state) {
    check_scores("bert_seq", 5, false);
    check_scores("bert_multilabel", 12, true);
}

static void what_a_temperature_may_be(void **state) {
    static const struct {
        const char *member;
        float wanted; /* 0: refused */
    } cases[] = {
        {"\"temperature\": null", 1},     {"\"temperature\": 0.01", 0.01f}, {"\"temperature\": 100", 100},
        {"\"temperature\": 0", 0},        {"\"temperature\": -1", 0},       {"\"temperature\": 0.0099", 0},
        {"\"temperature\": 100.1", 0},    {"\"temperature\": NaN", 0},      {"\"temperature\": 1e999", 0},
        {"\"temperature\": Infinity", 0}, {"\"temperature\": \"2\"", 0},    {"\"temperature\": [1]", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_folder copy;
        ds_model *model;
        copy_with(&copy, "bert_seq", cases[i].member);
        if (cases[i].wanted > 0) {
            assert_true(temperature_of(copy.path) == cases[i].wanted);
        } else {
            assert_int_equal(ds_model_open(context, copy.path, NULL, &model, &error), DS_BAD_FORMAT);
            /* What JSON does not have is refused before its field is known. */
            if (!strstr(error.message, "temperature is") && !strstr(error.message, "expected a JSON value"))
                fail_msg("%s", error.message);
        }
        scratch_destroy(&copy);
    }
    /* Elsewhere it is transformers' setting for generating text. */
    static const char *const others[] = {"bert_base", "bert_token"};
    for (size_t i = 0; i < 2; i++) {
        scratch_folder copy;
        copy_with(&copy, others[i], "\"temperature\": \"hot\"");
        assert_true(temperature_of(copy.path) == 1);
        scratch_destroy(&copy);
    }
}

static void answers_follow_the_threshold(void **state) {
    float scores[TEXTS * 5];
    int32_t answers[TEXTS];
    ds_classify_options how = {.answers = answers};
    scores_of(MODELS "bert_seq", &how, scores);
    for (size_t t = 0; t < TEXTS; t++) {
        const float *row = scores + t * 5;
        int32_t best = answers[t];
        assert_in_range(best, 0, 4);
        for (int i = 0; i < 5; i++) assert_true(row[i] <= row[best]);
        how.threshold = row[best]; /* not under it */
        scores_of(MODELS "bert_seq", &how, scores);
        assert_int_equal(answers[t], best);
        how.threshold = nextafterf(row[best], 1);
        scores_of(MODELS "bert_seq", &how, scores);
        assert_int_equal(answers[t], DS_LABEL_UNKNOWN);
        how.threshold = 0;
        scores_of(MODELS "bert_seq", &how, scores);
    }
    const struct {
        const char *model, *said;
        ds_classify_options how;
    } refused[] = {
        {"bert_seq", "threshold is 1.5", {.answers = answers, .threshold = 1.5f}},
        {"bert_seq", "threshold is -0.1", {.answers = answers, .threshold = -0.1f}},
        {"bert_seq", "threshold is nan", {.answers = answers, .threshold = NAN}},
        {"bert_seq", "logits", {.answers = answers, .logits = true}},
        {"bert_regression", "regression", {.answers = answers}},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char path[256];
        snprintf(path, sizeof path, MODELS "%s", refused[i].model);
        ds_model *model = must_open(context, path);
        ds_session *session = must_session(model);
        assert_int_equal(ds_classify(session, texts, NULL, TEXTS, &refused[i].how, scores, NULL, &error),
                         DS_INVALID_ARGUMENT);
        if (!strstr(error.message, refused[i].said)) fail_msg("%s", error.message);
        ds_session_destroy(session);
        ds_model_close(model);
    }
}

/* ---- Training ---- */

/* Two classes that differ in one word, but for one row in six, and the text of the row `other`. */
static void write_rows(int other) {
    static const char *const words[] = {"the", "of", "and", "to", "in", "is"};
    static char text[16384];
    size_t at = (size_t)snprintf(text, sizeof text, "text,label\n");
    ds__random random = {5};
    for (int i = 0; i < ROWS; i++) {
        const bool asks = i % 2;
        at += (size_t)snprintf(text + at, sizeof text - at, "\"");
        for (uint32_t w = 0, count = 2 + ds__random_below(&random, 6); w < count; w++) {
            const char *word = words[ds__random_below(&random, 6)];
            at += (size_t)snprintf(text + at, sizeof text - at, "%s ", i == other ? "card" : word);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "%s\",%s\n", asks ? "?" : ".",
                               asks != (i % 6 == 5) ? "question" : "answer");
    }
    scratch_write_text(&scratch, "rows.csv", text);
}

static void train(const char *model, const char *output, double share, ds_fit_result *result) {
    char rows[256], out[256];
    snprintf(rows, sizeof rows, "%s", scratch_path(&scratch, "rows.csv"));
    snprintf(out, sizeof out, "%s", scratch_path(&scratch, output));
    const ds_trainer_options how = {.learning_rate = 1e-2f, .seed = 7};
    const ds_fit_options options = {.train = rows,
                                    .calibrate = share,
                                    .eval_split = 0.1,
                                    .epochs = 12,
                                    .batch_size = 16,
                                    .keep = 1,
                                    .save_steps = 1000,
                                    .output = out};
    if (ds_fit(context, model, &how, &options, result, &error) != DS_OK) fail_msg("%s", error.message);
}

static void same_weights(const char *a, const char *b, bool wanted) {
    char name[64];
    size_t size, other;
    snprintf(name, sizeof name, "%s/model.safetensors", a);
    char *x = scratch_read(&scratch, name, &size);
    snprintf(name, sizeof name, "%s/model.safetensors", b);
    char *y = scratch_read(&scratch, name, &other);
    assert_int_equal(size, other);
    assert_true((memcmp(x, y, size) == 0) == wanted);
    free(x);
    free(y);
}

static void rows_held_back_are_never_trained_on(void **state) {
    uint32_t order[ROWS];
    ds_fit_result plain, held, trained;
    ds__shuffle(7, UINT64_MAX, order, ROWS); /* train: 78, eval: 12, calibrate: 30 */
    write_rows(-1);
    train(MODELS "bert_seq", "plain", 0.25, &plain);
    assert_int_equal(plain.calibration.rows, 30);
    assert_int_equal(plain.eval.count, 12);
    assert_true(plain.calibration.temperature > 0.01f && plain.calibration.temperature < 100);
    assert_true(plain.calibration.loss_after < plain.calibration.loss_before);
    assert_true(plain.eval.ece >= 0 && plain.eval.ece <= 1);
    assert_true(temperature_of(scratch_path(&scratch, "plain")) == plain.calibration.temperature);
    write_rows((int)order[ROWS - 1]);
    train(MODELS "bert_seq", "held", 0.25, &held);
    same_weights("plain", "held", true);
    assert_true(held.calibration.temperature != plain.calibration.temperature);
    write_rows((int)order[0]);
    train(MODELS "bert_seq", "trained", 0.25, &trained);
    same_weights("plain", "trained", false);
    write_rows(-1);
}

/* Rows that a run has trained on are no rows to calibrate with. */
static void a_run_goes_on_with_the_same_share(void **state) {
    char rows[256], out[256];
    ds_fit_result result;
    write_rows(-1);
    snprintf(rows, sizeof rows, "%s", scratch_path(&scratch, "rows.csv"));
    snprintf(out, sizeof out, "%s", scratch_path(&scratch, "resumed"));
    const ds_trainer_options how = {.learning_rate = 1e-2f, .seed = 7};
    ds_fit_options options = {.train = rows, .calibrate = 0.25, .max_steps = 60, .output = out};
    assert_int_equal(ds_fit(context, MODELS "bert_seq", &how, &options, &result, &error), DS_OK);
    options.resume = true;
    const float temperature = result.calibration.temperature;
    for (int i = 0; i < 2; i++) {
        options.calibrate = i ? 0.3 : 0;
        assert_int_equal(ds_fit(context, MODELS "bert_seq", &how, &options, &result, &error), DS_INVALID_ARGUMENT);
        if (!strstr(error.message, "a share of 0.25")) fail_msg("%s", error.message);
    }
    options.calibrate = 0.25;
    assert_int_equal(ds_fit(context, MODELS "bert_seq", &how, &options, &result, &error), DS_OK);
    assert_true(temperature > 0 && result.calibration.temperature == temperature);
}

static ds_status calibrate(const char *folder, const ds_calibrate_options *how, ds_calibration *out) {
    ds_model *model = must_open(context, folder);
    ds_session *session = must_session(model);
    ds_status status = ds_calibrate(session, how, out, &error);
    ds_session_destroy(session);
    ds_model_close(model);
    return status;
}

/* What the command finds on the rows that the run held back is what the run found. */
static void the_split_is_the_runs(void **state) {
    ds_fit_result run;
    ds_calibration found;
    char rows[256], folder[256];
    train(MODELS "bert_seq", "run", 0.25, &run);
    snprintf(rows, sizeof rows, "%s", scratch_path(&scratch, "rows.csv"));
    snprintf(folder, sizeof folder, "%s", scratch_path(&scratch, "run"));
    const ds_calibrate_options all = {.data = rows}, split = {.data = rows, .split = 0.25, .seed = 7},
                               other = {.data = rows, .split = 0.25, .seed = 8};
    assert_int_equal(calibrate(folder, &all, &found), DS_OK);
    assert_int_equal(found.rows, ROWS);
    assert_true(found.loss_before == found.loss_before && found.temperature != run.calibration.temperature);
    assert_int_equal(calibrate(folder, &other, &found), DS_OK);
    assert_true(found.temperature != run.calibration.temperature);
    assert_int_equal(calibrate(folder, &split, &found), DS_OK);
    assert_true(found.temperature == run.calibration.temperature);
    assert_true(temperature_of(folder) == run.calibration.temperature);
    /* Training goes on from the folder: what was fitted to other weights is gone. */
    ds_fit_result again;
    train(folder, "again", 0, &again);
    assert_int_equal(again.calibration.rows, 0);
    assert_true(temperature_of(scratch_path(&scratch, "again")) == 1);
    /* Quantising keeps it, and a calibration of the int8 folder is one of its own. */
    ds_quantize_options none = {0};
    char int8[256];
    snprintf(int8, sizeof int8, "%s", scratch_path(&scratch, "int8"));
    if (ds_model_quantize(context, folder, int8, &none, NULL, &error) != DS_OK) fail_msg("%s", error.message);
    assert_true(temperature_of(int8) == run.calibration.temperature);
    assert_int_equal(calibrate(int8, &split, &found), DS_OK);
    assert_true(found.temperature != run.calibration.temperature && temperature_of(int8) == found.temperature);
}

static void what_cannot_be_calibrated(void **state) {
    char rows[256];
    ds_calibration found;
    snprintf(rows, sizeof rows, "%s", scratch_path(&scratch, "labels.csv"));
    scratch_write_text(&scratch, "labels.csv", "text,label\na,card_arrival\nb,exchange_rate\n");
    const struct {
        const char *model, *said;
        ds_calibrate_options how;
        ds_status status;
    } cases[] = {
        {"bert_base", "a model of vectors", {.data = rows}, DS_INVALID_ARGUMENT},
        {"bert_regression", "regression", {.data = rows}, DS_INVALID_ARGUMENT},
        {"bert_token", "tokens", {.data = rows}, DS_UNSUPPORTED},
        {"bert_seq", "split is 1,", {.data = rows, .split = 1}, DS_INVALID_ARGUMENT},
        {"bert_seq", "split is nan", {.data = rows, .split = NAN}, DS_INVALID_ARGUMENT},
        {"bert_seq", "none of 2 rows", {.data = rows, .split = 0.1}, DS_INVALID_ARGUMENT},
        {"bert_seq", "none.csv", {.data = "none.csv"}, DS_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256];
        snprintf(path, sizeof path, MODELS "%s", cases[i].model);
        assert_int_equal(calibrate(path, &cases[i].how, &found), cases[i].status);
        if (!strstr(error.message, cases[i].said)) fail_msg("%s", error.message);
    }
    /* One row that is answered right: nothing is written. */
    scratch_folder copy;
    float scores[TEXTS * 5];
    int32_t answers[TEXTS];
    scratch_copy(&copy, MODELS "bert_seq");
    scores_of(copy.path, &(ds_classify_options){.answers = answers}, scores);
    char text[256];
    ds_model *model = must_open(context, copy.path);
    snprintf(text, sizeof text, "text,label\n%s,%s\n", texts[0].data, ds_model_label(model, answers[0]));
    ds_model_close(model);
    scratch_write_text(&scratch, "labels.csv", text);
    char *before = scratch_read(&copy, "config.json", NULL);
    const ds_calibrate_options one = {.data = rows};
    assert_int_equal(calibrate(copy.path, &one, &found), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "1 rows"));
    char *after = scratch_read(&copy, "config.json", NULL);
    assert_string_equal(before, after);
    free(before);
    free(after);
    scratch_destroy(&copy);
}

static void shares_that_cannot_be(void **state) {
    ds_fit_result result;
    char rows[256], out[256];
    snprintf(rows, sizeof rows, "%s", scratch_path(&scratch, "rows.csv"));
    const struct {
        double calibrate, eval_split;
        bool adapters;
        const char *said;
    } cases[] = {
        {1, 0, false, "calibrate is 1,"},
        {-0.5, 0, false, "calibrate is -0.5"},
        {NAN, 0, false, "calibrate is nan"},
        {0.001, 0, false, "none of 120 rows"},
        {0.5, 0.5, false, "leave none of 120 rows"},
        {0.1, 0, true, "adapters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        snprintf(name, sizeof name, "bad%zu", i);
        snprintf(out, sizeof out, "%s", scratch_path(&scratch, name));
        const ds_trainer_options how = {.seed = 7};
        const ds_fit_options options = {.train = rows,
                                        .calibrate = cases[i].calibrate,
                                        .eval_split = cases[i].eval_split,
                                        .save.adapters = cases[i].adapters,
                                        .output = out};
        assert_int_equal(ds_fit(context, MODELS "bert_seq", &how, &options, &result, &error), DS_INVALID_ARGUMENT);
        if (!strstr(error.message, cases[i].said)) fail_msg("%s", error.message);
    }
    scratch_write_text(&scratch, "values.csv", "text,label\nthe,0.5\nof,1.5\nand,2.0\nto,0.25\n");
    snprintf(rows, sizeof rows, "%s", scratch_path(&scratch, "values.csv"));
    const ds_fit_options options = {.train = rows, .calibrate = 0.5, .output = out};
    assert_int_equal(ds_fit(context, MODELS "bert_seq", NULL, &options, &result, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "regression"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_of_divided_logits),      cmocka_unit_test(what_a_temperature_may_be),
        cmocka_unit_test(answers_follow_the_threshold),      cmocka_unit_test(rows_held_back_are_never_trained_on),
        cmocka_unit_test(a_run_goes_on_with_the_same_share), cmocka_unit_test(the_split_is_the_runs),
        cmocka_unit_test(what_cannot_be_calibrated),         cmocka_unit_test(shares_that_cannot_be),
    };
    return cmocka_run_group_tests_name("calibrate", tests, start, finish);
}
