/* Status codes and the sentences of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void codes_keep_their_numbers_and_names(void **state) {
    static const char *const want[] = {
        "DS_OK", "DS_OUT_OF_MEMORY", "DS_MEMORY_LIMIT",   "DS_INVALID_ARGUMENT", "DS_NOT_FOUND",
        "DS_IO", "DS_BAD_FORMAT",    "DS_SHAPE_MISMATCH", "DS_UNSUPPORTED",      "DS_INTERNAL"};
    for (int i = 0; i < 10; i++) { /* part of the ABI */
        assert_string_equal(ds_status_name((ds_status)i), want[i]);
        assert_true(strlen(ds_status_text((ds_status)i)) > 3);
    }
    assert_string_equal(ds_status_name((ds_status)10000), "DS_UNKNOWN");
    assert_string_equal(ds_status_name((ds_status)-1), "DS_UNKNOWN");
    assert_string_equal(ds_status_text((ds_status)-1), "an unknown status");
}

static void a_failure_fills_the_error(void **state) {
    ds_error error;
    assert_int_equal(ds__fail(&error, DS_IO, "%s: %d", "file", 3), DS_IO);
    assert_int_equal(error.status, DS_IO);
    assert_string_equal(error.message, "file: 3");
    assert_int_equal(ds__fail_in(&error, DS_BAD_FORMAT, "node %d", 7), DS_BAD_FORMAT);
    assert_int_equal(error.status, DS_BAD_FORMAT);
    assert_string_equal(error.message, "node 7: file: 3");
    assert_int_equal(ds__fail(NULL, DS_IO, "x"), DS_IO);
    assert_int_equal(ds__fail_in(NULL, DS_IO, "x"), DS_IO);
}

static void hostile_texts_stay_on_one_line(void **state) {
    ds_error error;
    ds__fail(&error, DS_IO, "a\nb\x1b[0m\x7f\t\xC3\xA9");
    assert_string_equal(error.message, "a?b?[0m??\xC3\xA9");
}

static void long_sentences_are_cut_and_terminated(void **state) {
    static char text[3 * DS_ERROR_MESSAGE_SIZE];
    ds_error error;
    memset(text, 'x', sizeof text - 1);
    ds__fail(&error, DS_IO, "%s", text);
    assert_int_equal(strlen(error.message), DS_ERROR_MESSAGE_SIZE - 1);
    ds__fail_in(&error, DS_IO, "%s", "prefix");
    assert_int_equal(strlen(error.message), DS_ERROR_MESSAGE_SIZE - 1);
    assert_memory_equal(error.message, "prefix: xxx", 11);
    ds__fail_in(&error, DS_IO, "%s", text);
    assert_int_equal(strlen(error.message), DS_ERROR_MESSAGE_SIZE - 1);
}

static ds_status first_failure(int *steps, ds_status second) {
    ++*steps;
    DS_TRY(DS_OK);
    ++*steps;
    DS_TRY(second);
    ++*steps;
    return DS_OK;
}

static void try_returns_the_first_failure(void **state) {
    int steps = 0;
    assert_int_equal(first_failure(&steps, DS_UNSUPPORTED), DS_UNSUPPORTED);
    assert_int_equal(steps, 2);
    assert_int_equal(first_failure(&steps, DS_OK), DS_OK);
    assert_int_equal(steps, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_keep_their_numbers_and_names), cmocka_unit_test(a_failure_fills_the_error),
        cmocka_unit_test(hostile_texts_stay_on_one_line),     cmocka_unit_test(long_sentences_are_cut_and_terminated),
        cmocka_unit_test(try_returns_the_first_failure),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
