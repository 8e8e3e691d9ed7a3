/* WordPiece: the longest tokens from the left, or unknown as a whole. */
#include "tokenizer_case.h"

#define WORDPIECE(vocab)                                                                                               \
    "{'pre_tokenizer': {'type': 'WhitespaceSplit'}, 'model': {'type': 'WordPiece', 'unk_token': '[UNK]', "             \
    "'continuing_subword_prefix': '##', 'max_input_chars_per_word': 8, 'vocab': {'[UNK]': 0" vocab "}}}"

static void takes_the_longest(void **state) {
    (void)state;
    ds_tokenizer *t =
        must_load(WORDPIECE(", 'un': 1, '##aff': 2, '##able': 3, 'una': 4, '##a': 5, '##ffable': 6, 'able': 7"));
    check(t, "", "");
    check(t, "un", "un@0-2");
    check(t, "able", "able@0-4");
    check(t, "unaffabl", "[UNK]@0-8"); /* una ##ff?: the longest first token leads nowhere */
    check(t, "unable", "[UNK]@0-6");   /* una, then nothing for "ble" */
    check(t, "unaa una", "una@0-3 ##a@3-4 una@5-8");
    check(t, "x un", "[UNK]@0-1 un@2-4");
    check(t, "##a", "##a@0-3"); /* the text of the token itself */
    ds__tokenizer_close(t);
    t = must_load(WORDPIECE(", 'una': 4, '##ffable': 6"));
    check(t, "unaffable", "[UNK]@0-9"); /* nine characters, eight are allowed */
    ds__tokenizer_close(t);
}

static void counts_characters_not_bytes(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(WORDPIECE(", '\xc3\xa9': 1, '##\xc3\xa9': 2"));
    check(t, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
          "\xc3\xa9@0-2 ##\xc3\xa9@2-4 ##\xc3\xa9@4-6 ##\xc3\xa9@6-8 ##\xc3\xa9@8-10 ##\xc3\xa9@10-12 ##\xc3\xa9@12-14 "
          "##\xc3\xa9@14-16");
    check(t, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "[UNK]@0-18");
    ds__tokenizer_close(t);
}

static void has_any_prefix(void **state) {
    (void)state;
    ds_tokenizer *t = must_load("{'model': {'type': 'WordPiece', 'unk_token': 'u', 'continuing_subword_prefix': '', "
                                "'max_input_chars_per_word': 100, 'vocab': {'u': 0, 'a': 1, 'ab': 2, 'c': 3}}}");
    check(t, "abac", "ab@0-2 a@2-3 c@3-4");
    ds__tokenizer_close(t);
    t = must_load("{'model': {'type': 'WordPiece', 'unk_token': 'u', 'continuing_subword_prefix': '@@', "
                  "'max_input_chars_per_word': 100, 'vocab': {'u': 0, 'a': 1, '@@b': 2}}}");
    check(t, "abb", "a@0-1 @@b@1-2 @@b@2-3");
    check(t, "aa", "u@0-2");
    ds__tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_longest),
        cmocka_unit_test(counts_characters_not_bytes),
        cmocka_unit_test(has_any_prefix),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
