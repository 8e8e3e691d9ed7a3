/* The random numbers that dropout is made of: Random123's known answers, the convention, and the rate. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/philox.h"

/* philox4x32-10 in Random123's kat_vectors. */
static void known_answers(void **state) {
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t out[4];
        ds__philox(rows[i].counter, rows[i].key, out);
        assert_memory_equal(out, rows[i].expected, sizeof out);
    }
}

/* Which word of which block decides about an element. */
static void an_element_has_its_word(void **state) {
    const ds__dropout dropout = {.seed = {7, 9}, .site = 3, .draw = 11, .rate = 0.5f};
    for (uint32_t row = 0; row < 50; row++)
        for (uint32_t column = 0; column < 50; column++) {
            const uint32_t counter[4] = {column / 4, row, 3, 11};
            uint32_t out[4];
            ds__philox(counter, dropout.seed, out);
            assert_int_equal(ds__dropout_keeps(&dropout, row, column), out[column % 4] >= UINT32_C(0x80000000));
        }
}

enum { ROWS = 1000, COLUMNS = 400 };

static size_t count_dropped(const ds__dropout *dropout) {
    size_t dropped = 0;
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t column = 0; column < COLUMNS; column++) dropped += !ds__dropout_keeps(dropout, row, column);
    return dropped;
}

/* Within four standard deviations of the rate; the seed is fixed, so this passes always or never. */
static void the_rate_is_kept(void **state) {
    static const float rates[] = {0.001f, 0.1f, 0.25f, 0.5f, 0.9f};
    const double count = (double)ROWS * COLUMNS;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        const ds__dropout dropout = {.seed = {1, 2}, .site = (uint32_t)i, .draw = 5, .rate = rates[i]};
        double rate = (double)rates[i], expected = rate * count, deviation = sqrt(count * rate * (1 - rate));
        double dropped = (double)count_dropped(&dropout);
        if (fabs(dropped - expected) > 4 * deviation)
            fail_msg("%.0f of %.0f are dropped at the rate %g, expected %.0f +- %.0f", dropped, count, rate, expected,
                     4 * deviation);
        /* The mean of what stays, scaled, is the mean of what was there. */
        assert_true(fabs((count - dropped) / count * (double)ds__dropout_scale(rates[i]) - 1) <
                    4 * deviation / count / (1 - rate) + 1e-6);
    }
}

static void the_ends_of_the_range(void **state) {
    const ds__dropout none = {.seed = {1, 2}, .rate = 0};
    assert_int_equal(count_dropped(&none), 0);
    assert_int_equal(ds__dropout_threshold(0), 0);
    assert_int_equal(ds__dropout_threshold(0.5f), UINT32_C(0x80000000));
    assert_int_equal(ds__dropout_threshold(1), UINT32_MAX);
    assert_true(ds__dropout_scale(0) == 1.0f && ds__dropout_scale(0.5f) == 2.0f);
}

/* Seeds, sites and draws: two masks that differ in one of them agree as often as chance has it. */
static void masks_are_independent(void **state) {
    const ds__dropout base = {.seed = {1, 2}, .site = 3, .draw = 4, .rate = 0.5f};
    const ds__dropout others[] = {
        {.seed = {2, 2}, .site = 3, .draw = 4, .rate = 0.5f},
        {.seed = {1, 3}, .site = 3, .draw = 4, .rate = 0.5f},
        {.seed = {1, 2}, .site = 4, .draw = 4, .rate = 0.5f},
        {.seed = {1, 2}, .site = 3, .draw = 5, .rate = 0.5f},
    };
    const double count = (double)ROWS * COLUMNS;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t equal = 0;
        for (uint32_t row = 0; row < ROWS; row++)
            for (uint32_t column = 0; column < COLUMNS; column++)
                equal += ds__dropout_keeps(&base, row, column) == ds__dropout_keeps(&others[i], row, column);
        assert_true(fabs((double)equal - count / 2) < 4 * sqrt(count) / 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),         cmocka_unit_test(an_element_has_its_word),
        cmocka_unit_test(the_rate_is_kept),      cmocka_unit_test(the_ends_of_the_range),
        cmocka_unit_test(masks_are_independent),
    };
    return cmocka_run_group_tests_name("philox", tests, NULL, NULL);
}
