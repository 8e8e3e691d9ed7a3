/* Metrics against values of scikit-learn 1.9.1 (accuracy_score, f1_score, matthews_corrcoef with zero_division 0) and
 * scipy 1.17.1 (pearsonr, spearmanr), printed with 17 digits. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "train/metrics.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static ds__heap heap;
static ds_error error;

static int start(void **state) {
    ds__heap_init(&heap, NULL, 0);
    return 0;
}
static int finish(void **state) { return heap.bytes == 0 ? 0 : -1; }

static void near(const char *what, double got, double want) {
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= 1e-14))
        fail_msg("%s: %.17g, expected %.17g", what, got, want);
}

static void check_labels(const int32_t *predicted, const int32_t *expected, size_t count, int32_t labels,
                         const double want[4]) {
    ds_metrics m;
    assert_int_equal(ds__metrics_labels(&heap, predicted, expected, count, labels, &m, &error), DS_OK);
    assert_int_equal(m.count, count);
    near("accuracy", m.accuracy, want[0]);
    near("f1", m.f1, want[1]);
    near("f1_macro", m.f1_macro, want[2]);
    near("mcc", m.mcc, want[3]);
    assert_true(isnan(m.loss) && isnan(m.pearson) && isnan(m.spearman));
}

static void labels_are_measured(void **state) {
    static const struct {
        int32_t labels;
        size_t count;
        int32_t predicted[10], expected[10];
        double want[4];
    } cases[] = {
        {2, 8, {0, 1, 1, 0, 1, 0, 0, 1}, {0, 1, 0, 0, 1, 1, 0, 1}, {0.75, 0.75, 0.75, 0.5}},
        {2, 4, {1, 1, 1, 1}, {0, 1, 0, 1}, {0.5, 0.66666666666666663, 0.33333333333333331, 0}},
        {2, 4, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 0, 1, 0}},
        {2, 3, {0, 0, 0}, {1, 1, 1}, {0, 0, 0, 0}},
        /* Label 3 occurs in neither list. */
        {5,
         10,
         {0, 2, 1, 0, 0, 1, 4, 2, 2, 0},
         {0, 1, 2, 0, 1, 2, 4, 2, 0, 0},
         {0.5, 0.52083333333333326, 0.52083333333333326, 0.2857142857142857}},
        {5,
         10,
         {0, 2, 1, 0, 0, 1, 4, 2, 2, 0},
         {0, 2, 2, 0, 1, 2, 4, 2, 0, 0},
         {0.59999999999999998, 0.58035714285714279, 0.58035714285714279, 0.42665516759396227}},
        {3, 5, {2, 0, 1, 1, 0}, {0, 2, 2, 2, 2}, {0, 0, 0, -0.5303300858899106}},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check_labels(cases[i].predicted, cases[i].expected, cases[i].count, cases[i].labels, cases[i].want);
    check_labels(NULL, NULL, 0, 3, (double[]){NAN, NAN, NAN, NAN});
}

static void many_labels_are_measured(void **state) {
    static int32_t predicted[5000], expected[5000];
    ds__random random = {11};
    for (size_t i = 0; i < 5000; i++) {
        int32_t a = (int32_t)ds__random_below(&random, 77), b = (int32_t)ds__random_below(&random, 77);
        expected[i] = a;
        predicted[i] = ds__random_below(&random, 4) ? a : b;
    }
    check_labels(predicted, expected, 5000, 77,
                 (double[]){0.74919999999999998, 0.74845910028674822, 0.74845910028674822, 0.7459205427972343});
}

static void label_sets_are_measured(void **state) {
    static const float predicted[] = {1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0};
    static const float expected[] = {1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0};
    static const float none[4] = {0};
    ds_metrics m;
    assert_int_equal(ds__metrics_multilabel(&heap, predicted, expected, 5, 4, &m, &error), DS_OK);
    assert_int_equal(m.count, 5);
    near("accuracy", m.accuracy, 0.4);
    near("f1", m.f1, 0.8);
    near("f1_macro", m.f1_macro, 0.60000000000000009);
    assert_true(isnan(m.mcc) && isnan(m.loss) && isnan(m.pearson) && isnan(m.spearman));
    assert_int_equal(ds__metrics_multilabel(&heap, none, none, 2, 2, &m, &error), DS_OK);
    near("accuracy", m.accuracy, 1);
    near("f1", m.f1, 0);
    near("f1_macro", m.f1_macro, 0);
    assert_int_equal(ds__metrics_multilabel(&heap, NULL, NULL, 0, 2, &m, &error), DS_OK);
    assert_true(isnan(m.accuracy) && isnan(m.f1) && isnan(m.f1_macro));
}

static void check_values(const float *predicted, const float *expected, size_t count, double pearson, double spearman) {
    ds_metrics m;
    assert_int_equal(ds__metrics_values(&heap, predicted, expected, count, &m, &error), DS_OK);
    assert_int_equal(m.count, count);
    near("pearson", m.pearson, pearson);
    near("spearman", m.spearman, spearman);
    assert_true(isnan(m.loss) && isnan(m.accuracy) && isnan(m.f1) && isnan(m.f1_macro) && isnan(m.mcc));
}

static void values_are_measured(void **state) {
    check_values((float[]){0.1f, 0.4f, 0.35f, 0.8f, 0.9f, 0.2f}, (float[]){0, 2, 1, 4, 5, 1.5f}, 6, 0.96976257277763722,
                 0.94285714285714295);
    check_values((float[]){1, 1, 2, 2, 2, 3, -1, 0}, (float[]){1, 2, 2, 3, 1, 1, 0, 0}, 8, 0.59222009226398209,
                 0.56689048026755684);
    check_values((float[]){1, 2, 3}, (float[]){3, 2, 1}, 3, -1, -1);
    check_values((float[]){1000001, 1000002, 1000003, 1000005}, (float[]){1, 2, 3, 4}, 4, 0.98270762982399085, 1);
    check_values((float[]){0.1f, 0.1f, 0.1f}, (float[]){3, 2, 1}, 3, NAN, NAN);
    check_values((float[]){1, 2, 3}, (float[]){0.7f, 0.7f, 0.7f}, 3, NAN, NAN);
    check_values((float[]){1}, (float[]){2}, 1, NAN, NAN);
    check_values(NULL, NULL, 0, NAN, NAN);
    static float predicted[5000], expected[5000];
    ds__random random = {12};
    for (size_t i = 0; i < 5000; i++) {
        float a = (float)ds__random_below(&random, 26), b = (float)ds__random_below(&random, 50);
        predicted[i] = a / 5;
        expected[i] = (a * 2 + b) / 10;
    }
    check_values(predicted, expected, 5000, 0.71995601236826701, 0.71356724203799571);
}

static void confusion_is_counted(void **state) {
    static const int32_t predicted[] = {0, 2, 1, 0, 2, 2}, expected[] = {0, 2, 2, 1, 2, 0};
    static const uint32_t want[9] = {1, 0, 1, 1, 0, 0, 0, 1, 2};
    uint32_t matrix[9];
    memset(matrix, 0xAA, sizeof matrix);
    assert_int_equal(ds__metrics_confusion(predicted, expected, 6, 3, matrix, &error), DS_OK);
    assert_memory_equal(matrix, want, sizeof want);
}

static void wrong_values_are_refused(void **state) {
    ds_metrics m;
    uint32_t matrix[9];
    static const int32_t good[] = {0, 1, 2}, high[] = {0, 1, 3}, low[] = {0, -100, 2};
    assert_int_equal(ds__metrics_labels(&heap, high, good, 3, 3, &m, &error), DS_INVALID_ARGUMENT);
    assert_string_equal(error.message, "predicted[2] is 3, expected a label from 0 to 2");
    assert_int_equal(ds__metrics_labels(&heap, good, low, 3, 3, &m, &error), DS_INVALID_ARGUMENT);
    assert_string_equal(error.message, "expected[1] is -100, expected a label from 0 to 2");
    assert_int_equal(ds__metrics_labels(&heap, good, good, 3, 0, &m, &error), DS_INVALID_ARGUMENT);
    assert_string_equal(error.message, "labels is 0, expected at least 1");
    assert_int_equal(ds__metrics_confusion(high, good, 3, 3, matrix, &error), DS_INVALID_ARGUMENT);
    assert_int_equal(ds__metrics_confusion(good, low, 3, 3, matrix, &error), DS_INVALID_ARGUMENT);
    assert_int_equal(ds__metrics_confusion(good, good, 3, -1, matrix, &error), DS_INVALID_ARGUMENT);
    assert_int_equal(ds__metrics_multilabel(&heap, (float[]){0, 1, 0.5f, 1}, (float[4]){0}, 2, 2, &m, &error),
                     DS_INVALID_ARGUMENT);
    assert_string_equal(error.message, "predicted[1, 0] is 0.5, expected 0 or 1");
    assert_int_equal(ds__metrics_multilabel(&heap, (float[4]){0}, (float[]){0, 1, NAN, 1}, 2, 2, &m, &error),
                     DS_INVALID_ARGUMENT);
    assert_int_equal(ds__metrics_multilabel(&heap, NULL, NULL, 0, 0, &m, &error), DS_INVALID_ARGUMENT);
    assert_int_equal(ds__metrics_values(&heap, (float[]){0, NAN}, (float[]){0, 1}, 2, &m, &error), DS_INVALID_ARGUMENT);
    assert_string_equal(error.message, "predicted[1] is nan, expected a finite number");
    assert_int_equal(ds__metrics_values(&heap, (float[]){0, 1}, (float[]){-INFINITY, 1}, 2, &m, &error),
                     DS_INVALID_ARGUMENT);
    assert_string_equal(error.message, "expected[0] is -inf, expected a finite number");
}

static void memory_may_run_out(void **state) {
    ds_metrics m;
    for (int i = 0; i < 3; i++) {
        ds__heap_init(&heap, NULL, 0);
        heap.fail_at = 1;
        ds_status status = i == 0   ? ds__metrics_labels(&heap, (int32_t[]){0}, (int32_t[]){0}, 1, 2, &m, &error)
                           : i == 1 ? ds__metrics_multilabel(&heap, (float[]){0}, (float[]){0}, 1, 1, &m, &error)
                                    : ds__metrics_values(&heap, (float[]){0}, (float[]){0}, 1, &m, &error);
        assert_int_equal(status, DS_OUT_OF_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)
        TEST(labels_are_measured), TEST(many_labels_are_measured), TEST(label_sets_are_measured),
        TEST(values_are_measured), TEST(confusion_is_counted),     TEST(wrong_values_are_refused),
        TEST(memory_may_run_out),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
