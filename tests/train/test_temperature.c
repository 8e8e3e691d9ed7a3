/* Fitting a temperature, and the calibration error, against values worked out by hand or by the definition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "train/temperature.h"

enum { ROWS = 3000, LABELS = 5 };

static float logits[ROWS * LABELS], targets[ROWS * LABELS];
static int32_t expected[ROWS];

static double uniform(ds__random *random) { return (double)(ds__random_u64(random) >> 11) * 0x1p-53; }

/* Labels drawn from softmax(z / T): the T that is to be found again. */
static ds__logit_rows drawn(double temperature) {
    ds__random random = {17};
    for (size_t r = 0; r < ROWS; r++) {
        float *z = logits + r * LABELS;
        double sum = 0, at = uniform(&random), share[LABELS];
        for (size_t i = 0; i < LABELS; i++) {
            z[i] = 6 * ds__random_f32(&random);
            sum += share[i] = exp((double)z[i] / temperature);
        }
        expected[r] = LABELS - 1;
        for (int32_t i = LABELS - 1; i >= 0; i--) {
            double below = 0;
            for (int32_t k = 0; k < i; k++) below += share[k] / sum;
            if (at >= below) {
                expected[r] = i;
                break;
            }
        }
    }
    return (ds__logit_rows){logits, expected, NULL, ROWS, LABELS};
}

static void the_temperature_is_found_again(void **state) {
    static const double wanted[] = {0.2, 1, 1.7, 5};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        double found = 0;
        const ds__logit_rows rows = drawn(wanted[i]);
        assert_true(ds__temperature_fit(&rows, &found));
        if (!(fabs(log(found / wanted[i])) < 0.08)) fail_msg("%g, expected about %g", found, wanted[i]);
        /* None beside it is better. */
        const double least = ds__temperature_loss(&rows, found);
        assert_true(least < ds__temperature_loss(&rows, found * 1.001));
        assert_true(least < ds__temperature_loss(&rows, found / 1.001));
        assert_true(ds__temperature_ece(&rows, found) < 0.04);
        assert_true(ds__temperature_ece(&rows, found * 4) > 0.1);
    }
}

/* Two labels, logits 0 and 2; three of four rows are right: log 3 = 2 / T. */
static void two_labels_by_hand(void **state) {
    const float z[] = {2, 0, 2, 0, 0, 2, 2, 0};
    const int32_t labels[] = {0, 0, 1, 1};
    const ds__logit_rows rows = {z, labels, NULL, 4, 2};
    double found;
    assert_true(ds__temperature_fit(&rows, &found));
    assert_true(fabs(found - 2 / log(3)) < 1e-9);
    assert_true(fabs(ds__temperature_loss(&rows, found) + (3 * log(0.75) + log(0.25)) / 4) < 1e-12);
    assert_true(fabs(ds__temperature_ece(&rows, found)) < 1e-9);
    assert_true(fabs(ds__confidence(z, 2, 0, found) - 0.75) < 1e-9);
    assert_true(fabs(ds__temperature_ece(&rows, 1) - (1 / (1 + exp(-2)) - 0.75)) < 1e-9);
}

/* One decision of two logits each; the same shares: sigmoid(2 / T) = 3 / 4. */
static void several_labels_by_hand(void **state) {
    const float z[] = {2, -2, 2, -2, -2, 2, 2, -2}, wanted[] = {1, 0, 1, 0, 0, 1, 0, 1};
    const ds__logit_rows rows = {z, NULL, wanted, 4, 2};
    double found;
    assert_true(ds__temperature_fit(&rows, &found));
    assert_true(fabs(found - 2 / log(3)) < 1e-9);
    assert_true(isnan(ds__temperature_ece(&rows, found)));
    for (size_t i = 0; i < ROWS * LABELS; i++) targets[i] = logits[i] > 0;
    const ds__logit_rows right = {logits, NULL, targets, ROWS, LABELS};
    assert_false(ds__temperature_fit(&right, &found));
}

static void what_has_no_temperature(void **state) {
    const float right[] = {2, 0, 0, 3}, wrong[] = {0, 2, 3, 0}, broken[] = {NAN, 0, 0, 1},
                large[] = {3e38f, -3e38f, -3e38f, 3e38f};
    const int32_t labels[] = {0, 1};
    const float *const lists[] = {right, wrong, broken, large};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        double found;
        const ds__logit_rows rows = {lists[i], labels, NULL, 2, 2};
        assert_false(ds__temperature_fit(&rows, &found));
    }
}

/* Bin b holds (b/15, (b+1)/15]. */
static void the_error_by_hand(void **state) {
    ds__reliability bins = {{0}, {0}, {0}};
    assert_true(isnan(ds__reliability_error(&bins)));
    ds__reliability_add(&bins, 1, true);
    ds__reliability_add(&bins, 0.95, false);
    ds__reliability_add(&bins, 0.6, true); /* the upper end of the ninth */
    ds__reliability_add(&bins, 0.59, false);
    ds__reliability_add(&bins, 0.61, true);
    assert_int_equal(bins.count[14], 2);
    assert_int_equal(bins.count[8], 2);
    assert_int_equal(bins.count[9], 1);
    /* |1 - 1.95| + |1 - 1.19| + |1 - 0.61|, over 5 */
    assert_true(fabs(ds__reliability_error(&bins) - (0.95 + 0.19 + 0.39) / 5) < 1e-12);
    ds__reliability_add(&bins, 0, false);
    ds__reliability_add(&bins, NAN, false);
    assert_int_equal(bins.count[0], 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_temperature_is_found_again),
        cmocka_unit_test(two_labels_by_hand),
        cmocka_unit_test(several_labels_by_hand),
        cmocka_unit_test(what_has_no_temperature),
        cmocka_unit_test(the_error_by_hand),
    };
    return cmocka_run_group_tests_name("temperature", tests, NULL, NULL);
}
