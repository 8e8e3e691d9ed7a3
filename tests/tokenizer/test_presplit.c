/* The pre-splitters, and GPT-2's pattern by hand against the same pattern by PCRE2. */
#include "tokenizer_case.h"

#include "base/random.h"
#include "tokenizer/presplit.h"

static ds_encoding *encoding;

static int open_encoding(void **state) {
    case_open(state);
    return ds__encoding_create(&case_heap, &encoding, &case_error) == DS_OK ? 0 : -1;
}

static int close_encoding(void **state) {
    ds__encoding_destroy(encoding);
    return case_close(state);
}

/* expected: the words with | between them. */
static void check_split(ds__presplit_step *steps, size_t count, const char *text, const char *expected) {
    ds__presplit presplit = {.steps = steps, .count = count};
    ds__view view = {text, (uint32_t)strlen(text), NULL, 0};
    char got[400] = "";
    size_t size = 0;
    ds__presplit_prepare(&presplit);
    if (ds__presplit_run(&presplit, encoding, &view, &case_error) != DS_OK) fail_msg("%s", case_error.message);
    for (size_t i = 0; i < encoding->pieces->count; i++) {
        ds__piece piece = encoding->pieces->items[i];
        size += (size_t)snprintf(got + size, sizeof got - size, "%s%.*s", i ? "|" : "", (int)(piece.end - piece.start),
                                 view.text + piece.start);
    }
    if (strcmp(got, expected) != 0) fail_msg("\"%s\" is split into \"%s\", expected \"%s\"", text, got, expected);
}

static void check_kind(ds__presplit_kind kind, const char *text, const char *expected) {
    ds__presplit_step step = {.kind = kind, .behavior = DS__PRESPLIT_ISOLATED, .gpt2_words = true};
    check_split(&step, 1, text, expected);
}

static void check_pattern(const char *pattern, bool literal, ds__presplit_behavior behavior, bool invert,
                          const char *text, const char *expected) {
    ds__presplit_step step = {.kind = DS__PRESPLIT_PATTERN, .behavior = behavior, .invert = invert};
    if (ds__pattern_compile(&case_heap, ds__str_of(pattern), literal, "the pattern", &step.pattern, &case_error) !=
        DS_OK)
        fail_msg("%s", case_error.message);
    check_split(&step, 1, text, expected);
    ds__pattern_free(step.pattern);
}

static void by_character(void **state) {
    (void)state;
    check_kind(DS__PRESPLIT_BERT, "", "");
    check_kind(DS__PRESPLIT_BERT, "  ", "");
    check_kind(DS__PRESPLIT_BERT, " ab, c--d\xe3\x80\x82 ", "ab|,|c|-|-|d|\xe3\x80\x82");
    check_kind(DS__PRESPLIT_BERT,
               "a\xc2\xa0"
               "b\xe3\x80\x80"
               "c",
               "a|b|c");
    check_kind(DS__PRESPLIT_WHITESPACE, "Hey, man!?_x caf\xc3\xa9", "Hey|,|man|!?|_x|caf\xc3\xa9");
    check_kind(DS__PRESPLIT_WHITESPACE_SPLIT, " Hey,\tman! ", "Hey,|man!");
    check_kind(DS__PRESPLIT_PUNCTUATION, "a,b c!!", "a|,|b c|!|!");
}

static void gpt2(void **state) {
    (void)state;
    check_kind(DS__PRESPLIT_BYTE_LEVEL, "Hello there, I'm 42!", "Hello| there|,| I|'m| 42|!");
    check_kind(DS__PRESPLIT_BYTE_LEVEL, "  two  spaces  ", " | two| | spaces|  ");
    check_kind(DS__PRESPLIT_BYTE_LEVEL, "a\n\nb", "a|\n|\n|b");
    check_kind(DS__PRESPLIT_BYTE_LEVEL, "it's'S 'tis 're''s", "it|'s|'|S| '|tis| '|re|''|s");
    check_kind(DS__PRESPLIT_BYTE_LEVEL, "'", "'");
    check_kind(DS__PRESPLIT_BYTE_LEVEL, "a'l", "a|'|l");
    check_kind(DS__PRESPLIT_BYTE_LEVEL, "x1\xc2\xbd\xe4\xb8\xad", "x|1\xc2\xbd|\xe4\xb8\xad");
    check_kind(DS__PRESPLIT_BYTE_LEVEL,
               "a\xc2\xa0\xc2\xa0"
               "b",
               "a|\xc2\xa0|\xc2\xa0|b");
    check_kind(DS__PRESPLIT_GPT2, "one two", "one| two");
    ds__presplit_step whole = {.kind = DS__PRESPLIT_BYTE_LEVEL};
    check_split(&whole, 1, "one two", "one two");
}

static void a_space_goes_in_front(void **state) {
    (void)state;
    ds__presplit_step steps[] = {
        {.kind = DS__PRESPLIT_WHITESPACE},
        {.kind = DS__PRESPLIT_BYTE_LEVEL, .gpt2_words = true, .prefix_space = true},
    };
    check_split(steps + 1, 1, "ab cd", " ab| cd");
    check_split(steps + 1, 1, " ab", " ab");
    check_split(steps + 1, 1, "", "");
    check_split(steps, 2, "\xc3\xa9, a", " \xc3\xa9| ,| a");
}

static void behaviors(void **state) {
    (void)state;
    const char *text = "the-final--countdown";
    check_pattern("-", true, DS__PRESPLIT_REMOVED, false, text, "the|final|countdown");
    check_pattern("-", true, DS__PRESPLIT_ISOLATED, false, text, "the|-|final|-|-|countdown");
    check_pattern("-", true, DS__PRESPLIT_MERGED_WITH_PREVIOUS, false, text, "the-|final-|-|countdown");
    check_pattern("-", true, DS__PRESPLIT_MERGED_WITH_NEXT, false, text, "the|-final|-|-countdown");
    check_pattern("-", true, DS__PRESPLIT_CONTIGUOUS, false, text, "the|-|final|--|countdown");
    check_pattern("[a-z]+", false, DS__PRESPLIT_REMOVED, true, text, "the|final|countdown");
    check_pattern(".", true, DS__PRESPLIT_REMOVED, false, "a.b", "a|b");
    check_pattern("x*", false, DS__PRESPLIT_ISOLATED, false, "axxb", "a|xx|b");
    check_pattern("", true, DS__PRESPLIT_ISOLATED, false, "a\xc3\xa9", "a|\xc3\xa9");
    check_pattern("(?=b)", false, DS__PRESPLIT_MERGED_WITH_PREVIOUS, false, "ab", "a|b");
    ds__presplit_step punctuation = {.kind = DS__PRESPLIT_PUNCTUATION, .behavior = DS__PRESPLIT_REMOVED};
    check_split(&punctuation, 1, "a,b!", "a|b");
}

/* What Oniguruma means by its short classes. */
static void classes_are_onigurumas(void **state) {
    (void)state;
    check_pattern("\\w+|[^\\w\\s]+", false, DS__PRESPLIT_REMOVED, true, "Hey, caf\xc3\xa9_1 !?",
                  "Hey|,|caf\xc3\xa9_1|!?");
    check_pattern("\\w+", false, DS__PRESPLIT_REMOVED, true,
                  "\xe0\xa4\x95\xe0\xa4\xbf \xe2\x92\xb6\xc2\xbd \xe2\x85\x93",
                  "\xe0\xa4\x95\xe0\xa4\xbf|\xe2\x92\xb6\xc2\xbd"); /* a vowel sign, a circled letter, not a third */
    check_pattern("\\s", false, DS__PRESPLIT_REMOVED, false,
                  "a\xe1\xa0\x8e"
                  "b\xe2\x80\x83"
                  "c\x0b"
                  "d",
                  "a\xe1\xa0\x8e"
                  "b|c|d");
    check_pattern("\\S+", false, DS__PRESPLIT_REMOVED, true, " ab  c", "ab|c");
    check_pattern("\\h", false, DS__PRESPLIT_REMOVED, false, "xfy z", "x|y z");
    check_pattern("[\\]\\s[:digit:]]|[]x]", false, DS__PRESPLIT_REMOVED, false, "a]b1c d]xe", "a|b|c|d|e");
    check_pattern("^a", false, DS__PRESPLIT_REMOVED, false, "ab\nac", "b\n|c");
}

static void a_pattern_that_cannot_be_read_is_named(void **state) {
    (void)state;
    void *pattern;
    assert_int_equal(ds__pattern_compile(&case_heap, DS_STR("a("), false, "the field", &pattern, &case_error),
                     DS_UNSUPPORTED);
    assert_null(pattern);
    assert_non_null(strstr(case_error.message, "the field is \"a(\""));
}

/* A pattern that would run for ever is stopped. */
static void a_catastrophic_pattern_fails(void **state) {
    (void)state;
    ds__presplit_step step = {.kind = DS__PRESPLIT_PATTERN};
    ds__presplit presplit = {.steps = &step, .count = 1};
    const char *text = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";
    ds__view view = {text, (uint32_t)strlen(text), NULL, 0};
    assert_int_equal(
        ds__pattern_compile(&case_heap, DS_STR("(a|aa)+$"), false, "the field", &step.pattern, &case_error), DS_OK);
    ds_status status = ds__presplit_run(&presplit, encoding, &view, &case_error);
    assert_int_equal(status, DS_UNSUPPORTED);
    ds__pattern_free(step.pattern);
}

static void by_hand_is_by_pattern(void **state) {
    (void)state;
    static const char *const parts[] = {
        "a", "B",  "'", "s", "t",        "re",           "ve",       "ll",       " ",
        " ", "\n", "1", "!", "\xc3\xa9", "\xe4\xb8\xad", "\xc2\xa0", "\xc2\xbd", "\xf0\x9f\x98\x80",
        "\t"};
    ds__presplit_step hand = {.kind = DS__PRESPLIT_GPT2},
                      pattern = {.kind = DS__PRESPLIT_PATTERN, .behavior = DS__PRESPLIT_ISOLATED};
    ds__presplit by_hand = {.steps = &hand, .count = 1}, by_pattern = {.steps = &pattern, .count = 1};
    assert_int_equal(ds__pattern_compile(&case_heap,
                                         DS_STR("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
                                                "\\s+(?!\\S)|\\s+"),
                                         false, "the pattern", &pattern.pattern, &case_error),
                     DS_OK);
    ds__random random = {5};
    for (int round = 0; round < 5000; round++) {
        char text[200] = "";
        size_t size = 0;
        for (uint32_t i = ds__random_below(&random, 25); i > 0; i--) {
            const char *part = parts[ds__random_below(&random, sizeof parts / sizeof parts[0])];
            memcpy(text + size, part, strlen(part) + 1);
            size += strlen(part);
        }
        ds__view view = {text, (uint32_t)size, NULL, 0};
        ds__piece first[100];
        assert_int_equal(ds__presplit_run(&by_pattern, encoding, &view, &case_error), DS_OK);
        size_t count = encoding->pieces->count;
        assert_true(count <= 100);
        if (count) memcpy(first, encoding->pieces->items, count * sizeof *first);
        assert_int_equal(ds__presplit_run(&by_hand, encoding, &view, &case_error), DS_OK);
        bool same = encoding->pieces->count == count;
        for (size_t i = 0; same && i < count; i++)
            same = first[i].start == encoding->pieces->items[i].start && first[i].end == encoding->pieces->items[i].end;
        if (!same) fail_msg("\"%s\" is split differently by hand", text);
    }
    ds__pattern_free(pattern.pattern);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_character),
        cmocka_unit_test(gpt2),
        cmocka_unit_test(a_space_goes_in_front),
        cmocka_unit_test(behaviors),
        cmocka_unit_test(classes_are_onigurumas),
        cmocka_unit_test(a_pattern_that_cannot_be_read_is_named),
        cmocka_unit_test(a_catastrophic_pattern_fails),
        cmocka_unit_test(by_hand_is_by_pattern),
    };
    return cmocka_run_group_tests(tests, open_encoding, close_encoding);
}
