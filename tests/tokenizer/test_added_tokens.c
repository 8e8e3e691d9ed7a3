/* Added tokens: where they are found, what they take along, and that the model's words never are one. */
#include "tokenizer_case.h"

#define WITH_ADDED(normalizer, tokens)                                                                                 \
    "{'normalizer': " normalizer ", 'added_tokens': [" tokens "], 'model': {'type': 'BPE', 'unk_token': 'u', "         \
    "'fuse_unk': true, 'vocab': {'u': 0, 'a': 1, 'b': 2, ' ': 3}, 'merges': []}}"
#define TOKEN(id, content, flags) "{'id': " id ", 'content': '" content "'" flags "}"

static void are_found_before_all_else(void **state) {
    (void)state;
    ds_tokenizer *t =
        must_load(WITH_ADDED("null", TOKEN("4", "<m>", "") ", " TOKEN("5", "<mm>", "") ", " TOKEN("6", "ab", "")));
    check(t, "a<m>b", "a@0-1 <m>@1-4 b@4-5");
    check(t, "<m>", "<m>@0-3");
    check(t, "<m><mm>ab", "<m>@0-3 <mm>@3-7 ab@7-9");
    check(t, "<m", "u@0-2");
    check(t, "aab<mmm>", "a@0-1 ab@1-3 u@3-8");
    assert_int_equal(ds__tokenizer_id(t, DS_STR("<mm>")), 5);
    assert_true(ds__str_is(ds__tokenizer_token(t, 4), "<m>"));
    ds__tokenizer_close(t);
}

static void the_longest_wins(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(WITH_ADDED(
        "null", TOKEN("4", "x", "") ", " TOKEN("5", "xy", "") ", " TOKEN("6", "xyzz", "") ", " TOKEN("7", "yz", "")));
    check(t, "xyz", "xy@0-2 u@2-3");
    check(t, "xyzz", "xyzz@0-4");
    check(t, "xxyyz", "x@0-1 xy@1-3 yz@3-5");
    ds__tokenizer_close(t);
}

static void take_white_space_along(void **state) {
    (void)state;
    ds_tokenizer *t =
        must_load(WITH_ADDED("null", TOKEN("4", "<l>", ", 'lstrip': true") ", " TOKEN("5", "<r>", ", 'rstrip': true")));
    check(t, "a \xe3\x80\x80<l> b", "a@0-1 <l>@1-8  @8-9 b@9-10");
    check(t, "a <r>\t b", "a@0-1  @1-2 <r>@2-7 b@7-8");
    check(t, "<r>  <l>", "<r>@0-5 <l>@5-8"); /* the space is taken once */
    check(t, "  <l>", "<l>@0-5");
    ds__tokenizer_close(t);
}

static void may_be_whole_words_only(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(
        WITH_ADDED("null", TOKEN("4", "ab", ", 'single_word': true") ", " TOKEN("5", "abb", ", 'single_word': true")));
    check(t, "ab", "ab@0-2");
    check(t, "ab ab-ab", "ab@0-2  @2-3 ab@3-5 u@5-6 ab@6-8");
    check(t, "aba", "a@0-1 b@1-2 a@2-3");
    check(t, "bab ab\xcc\x81", "b@0-1 a@1-2 b@2-3  @3-4 a@4-5 b@5-6 u@6-8");
    check(t, "abba", "a@0-1 b@1-2 b@2-3 a@3-4"); /* what was turned down is not searched for a shorter one */
    ds__tokenizer_close(t);
}

static void may_be_normalized(void **state) {
    (void)state;
    const char *lower =
        WITH_ADDED("{'type': 'Lowercase'}",
                   TOKEN("4", "AB", ", 'normalized': true") ", " TOKEN("5", "Xy", ", 'normalized': false"));
    ds_tokenizer *t = must_load(lower);
    check(t, "abAB", "AB@0-2 AB@2-4");
    check(t, "XyxyXY", "Xy@0-2 u@2-6");
    check(t,
          "\xc4\xb0"
          "AB",
          "u@0-2 AB@2-4"); /* the dotted I becomes two characters */
    ds__tokenizer_close(t);
}

/* A token of the model that is also added stays one of the model's; others are none. */
static void are_not_the_models(void **state) {
    (void)state;
    ds_tokenizer *t = must_load("{'added_tokens': [" TOKEN("2", "b", ", 'single_word': true") ", " TOKEN(
        "3", "ab",
        ", 'single_word': true") "], "
                                 "'model': {'type': 'WordPiece', 'unk_token': 'u', 'continuing_subword_prefix': '', "
                                 "'max_input_chars_per_word': 100, 'vocab': {'u': 0, 'a': 1, 'b': 2}}}");
    check(t, "aab", "a@0-1 a@1-2 b@2-3");
    check(t, "abab", "a@0-1 b@1-2 a@2-3 b@3-4");
    check(t, "ab", "ab@0-2");
    ds__tokenizer_close(t);
}

static void ids_must_be_the_next_ones(void **state) {
    (void)state;
    assert_int_equal(try_json(WITH_ADDED("null", TOKEN("5", "<m>", ""))), DS_BAD_FORMAT);
    assert_non_null(strstr(case_error.message, "\"<m>\" has the id 5, expected 4"));
    assert_int_equal(try_json(WITH_ADDED("null", TOKEN("0", "a", ""))), DS_BAD_FORMAT);
    assert_non_null(strstr(case_error.message, "\"a\" has the id 0, expected 1"));
    assert_int_equal(try_json(WITH_ADDED("null", TOKEN("4", "x", "") ", " TOKEN("4", "y", ""))), DS_BAD_FORMAT);
    assert_int_equal(try_json(WITH_ADDED("null", TOKEN("4", "x", "") ", " TOKEN("4", "x", ""))), DS_OK);
    assert_int_equal(try_json(WITH_ADDED("null", "{'id': 4}")), DS_BAD_FORMAT);
    assert_non_null(strstr(case_error.message, "content"));
}

/* Stated twice with other flags: the last one counts. */
static void the_last_statement_counts(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(WITH_ADDED("null", TOKEN("4", "<m>", "") ", " TOKEN("4", "<m>", ", 'lstrip': true")));
    check(t, "a <m>", "a@0-1 <m>@1-5");
    ds__tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_found_before_all_else), cmocka_unit_test(the_longest_wins),
        cmocka_unit_test(take_white_space_along),    cmocka_unit_test(may_be_whole_words_only),
        cmocka_unit_test(may_be_normalized),         cmocka_unit_test(are_not_the_models),
        cmocka_unit_test(ids_must_be_the_next_ones), cmocka_unit_test(the_last_statement_counts),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
