/* The normalisers, each with the origins of what it makes; and the short way against the long one. */
#include "tokenizer_case.h"

#include "base/random.h"
#include "base/utf8.h"

static ds_encoding *encoding;

static int open_encoding(void **state) {
    case_open(state);
    return ds__encoding_create(&case_heap, &encoding, &case_error) == DS_OK ? 0 : -1;
}

static int close_encoding(void **state) {
    ds__encoding_destroy(encoding);
    return case_close(state);
}

/* expected: the text; origins: for each of its bytes the place in `text`, as digits and letters from 'a' for 10. */
static void check_steps(ds__normalizer_step *steps, size_t count, const char *text, const char *expected,
                        const char *origins) {
    ds__normalizer normalizer = {.steps = steps, .count = count};
    ds__view in = {text, (uint32_t)strlen(text), NULL, 0}, out;
    ds__normalizer_prepare(&normalizer);
    for (int way = 0; way < 2; way++) {
        ds_status status = way ? ds__normalize_marks(&normalizer, encoding, in, &out, &case_error)
                               : ds__normalize(&normalizer, encoding, in, &out, &case_error);
        assert_int_equal(status, DS_OK);
        assert_int_equal(out.size, strlen(expected));
        assert_memory_equal(out.text, expected, out.size);
        for (uint32_t i = 0; origins && i < out.size; i++) {
            uint32_t place = origins[i] <= '9' ? (uint32_t)(origins[i] - '0') : (uint32_t)(origins[i] - 'a' + 10);
            uint32_t got = out.origins ? out.origins[i] : out.base + i;
            if (!out.origins) /* inside of a character */
                while (got > 0 && ((unsigned char)text[got] & 0xC0) == 0x80) got--;
            if (got != place) fail_msg("\"%s\" way %d: byte %u comes from %u, expected %u", text, way, i, got, place);
        }
    }
}

static void check_one(ds__normalizer_kind kind, const char *text, const char *expected, const char *origins) {
    ds__normalizer_step step = {.kind = kind,
                                .clean = true,
                                .han = true,
                                .accents = true,
                                .lower = true,
                                .left = true,
                                .right = true,
                                .pattern = DS_STR("ab"),
                                .content = DS_STR("xyz")};
    check_steps(&step, 1, text, expected, origins);
}

static void bert_cleans_splits_strips_and_lowers(void **state) {
    (void)state;
    const ds__normalizer_kind bert = DS__NORMALIZER_BERT;
    check_one(bert, "", "", "");
    check_one(bert, "Hello World", "hello world", "0123456789a");
    check_one(bert, "a\tB\nc", "a b c", "01234");
    check_one(bert,
              "a\x01"
              "B",
              "ab", "02");
    check_one(bert, "\x01x", "x", "1");
    check_one(bert, "\xc3\x89t", "et", "02");                         /* É */
    check_one(bert, "e\xcc\x81t", "et", "03");                        /* e and an accent */
    check_one(bert, "x\xe4\xb8\xadY", "x \xe4\xb8\xad y", "0111114"); /* 中 */
    check_one(bert, "\xe2\x80\x99S", "\xe2\x80\x99s", "0003");        /* ’ stays */
    check_one(bert,
              "A\xef\xbf\xbd"
              "B",
              "ab", "04");                                                                /* U+FFFD goes */
    check_one(bert, "\xc4\xb0x", "ix", "02");                                             /* İ without its dot */
    check_one(bert, "\xef\xa4\x80", " \xe8\xb1\x88 ", "00000");                           /* U+F900 is U+8C48 */
    check_one(bert, "\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "000000000"); /* 각 */
    check_one(bert, "\xc2\xa0x", " x", "02");
    /* A spacing mark with a combining class stays, and the accent before it changes places with it. */
    check_one(bert, "a\xe3\x80\xae\xcc\xa3", "a\xe3\x80\xae", "0444");
}

static void bert_leaves_what_it_is_told_to(void **state) {
    (void)state;
    ds__normalizer_step step = {.kind = DS__NORMALIZER_BERT};
    check_steps(&step, 1, "A\tb\xc3\x89\xe4\xb8\xad\x01", "A\tb\xc3\x89\xe4\xb8\xad\x01",
                "01233555"
                "8");
    step.lower = true;
    check_steps(&step, 1, "\xc3\x89\xc4\xb0X", "\xc3\xa9i\xcc\x87x", "002224");
    step = (ds__normalizer_step){.kind = DS__NORMALIZER_BERT, .accents = true};
    check_steps(&step, 1, "\xc3\x89X", "EX", "02");
    step = (ds__normalizer_step){.kind = DS__NORMALIZER_BERT, .clean = true};
    check_steps(&step, 1, "\x01\xc3\x89\x0b", "\xc3\x89", "11");
}

static void forms_compose_and_decompose(void **state) {
    (void)state;
    check_one(DS__NORMALIZER_NFD, "\xc3\xa9x", "e\xcc\x81x", "0002");
    check_one(DS__NORMALIZER_NFD, "q\xcc\x87\xcc\xa3x", "q\xcc\xa3\xcc\x87x", "011335");
    check_one(DS__NORMALIZER_NFC, "e\xcc\x81x", "\xc3\xa9x", "003");
    check_one(DS__NORMALIZER_NFC,
              "a\xcc\xa1\xcc\x81"
              "b",
              "\xc3\xa1\xcc\xa1"
              "b",
              "00335");
    check_one(DS__NORMALIZER_NFC, "e\xcc\xa3\xcc\x81x", "\xe1\xba\xb9\xcc\x81x", "000335");
    check_one(DS__NORMALIZER_NFC, "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8x", "\xea\xb0\x81x", "0009");
    check_one(DS__NORMALIZER_NFC,
              "\xcc\x81"
              "a",
              "\xcc\x81"
              "a",
              "002");
    check_one(DS__NORMALIZER_NFC, "\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc", "000000"); /* excluded from composition */
    check_one(DS__NORMALIZER_NFKC, "\xef\xac\x83x", "ffix", "0003");
    check_one(DS__NORMALIZER_NFKC, "\xef\xbc\xa1\xcc\x8a", "\xc3\x85", "00"); /* wide A with a ring */
    check_one(DS__NORMALIZER_NFKD, "\xc2\xbd",
              "1\xe2\x81\x84"
              "2",
              "00000");
    check_one(DS__NORMALIZER_NFD, "plain", "plain", "01234");
    check_one(DS__NORMALIZER_NFC, "", "", "");
}

static void small_steps(void **state) {
    (void)state;
    check_one(DS__NORMALIZER_LOWERCASE, "\xc4\xb0Q\xce\xa3", "i\xcc\x87q\xcf\x83", "000233");
    check_one(DS__NORMALIZER_STRIP_ACCENTS, "e\xcc\x81x\xe3\x80\xae", "ex", "03");
    check_one(DS__NORMALIZER_STRIP, " \xe3\x80\x80 a b \t", "a b", "567");
    check_one(DS__NORMALIZER_STRIP, "  ", "", "");
    check_one(DS__NORMALIZER_REPLACE, "1ab2aab", "1xyz2axyz",
              "022234"
              "666");
    check_one(DS__NORMALIZER_REPLACE, "ba", "ba", "01");
    ds__normalizer_step steps[] = {
        {.kind = DS__NORMALIZER_REPLACE, .pattern = DS_STR("x"), .content = DS_STR("")},
        {.kind = DS__NORMALIZER_LOWERCASE},
        {.kind = DS__NORMALIZER_STRIP, .left = true},
    };
    check_steps(steps, 3, "x A X ", "a x ", "2345");
}

/* The form of a run of marks that is longer than what is sorted by insertion. */
static void long_runs_of_marks_are_ordered(void **state) {
    (void)state;
    enum { PAIRS = 100 };
    char text[4 * PAIRS + 2] = "a", expected[4 * PAIRS + 2] = "a";
    for (int i = 0; i < PAIRS; i++) {
        memcpy(text + 1 + 4 * i, "\xcc\x87\xcc\xa3", 4); /* class 230, then 220 */
        memcpy(expected + 1 + 2 * i, "\xcc\xa3", 2);
        memcpy(expected + 1 + 2 * PAIRS + 2 * i, "\xcc\x87", 2);
    }
    text[4 * PAIRS + 1] = expected[4 * PAIRS + 1] = '\0';
    check_one(DS__NORMALIZER_NFD, text, expected, NULL);
}

/* Both ways give the same text and origins on random text. */
static void the_short_way_is_the_long_way(void **state) {
    (void)state;
    static const char *const parts[] = {"a",
                                        "Z",
                                        " ",
                                        "\t",
                                        "\x01",
                                        "-",
                                        "\xc3\x89",
                                        "\xcc\x81",
                                        "\xe4\xb8\xad",
                                        "\xef\xbf\xbd",
                                        "\xc4\xb0",
                                        "\xe3\x80\xae",
                                        "\xcc\xa3",
                                        "\xef\xa4\x80",
                                        "\xf0\x9f\x98\x80",
                                        "\xea\xb0\x81",
                                        "\xc2\xa0",
                                        "\xe2\x80\x8b"};
    ds__random random = {3};
    char first[400];
    uint32_t origins[400];
    for (int round = 0; round < 3000; round++) {
        char text[200] = "";
        size_t size = 0, count = ds__random_below(&random, 20);
        for (size_t i = 0; i < count; i++) {
            const char *part = parts[ds__random_below(&random, sizeof parts / sizeof parts[0])];
            memcpy(text + size, part, strlen(part) + 1);
            size += strlen(part);
        }
        uint32_t bits = ds__random_below(&random, 16);
        ds__normalizer_step step = {
            .kind = DS__NORMALIZER_BERT, .clean = bits & 1, .han = bits & 2, .accents = bits & 4, .lower = bits & 8};
        ds__normalizer normalizer = {.steps = &step, .count = 1};
        ds__view in = {text, (uint32_t)size, NULL, 0}, out, same;
        ds__normalizer_prepare(&normalizer);
        assert_int_equal(ds__normalize(&normalizer, encoding, in, &out, &case_error), DS_OK);
        uint32_t length = out.size;
        for (uint32_t i = 0; i < length; i++) {
            first[i] = out.text[i];
            origins[i] = out.origins ? out.origins[i] : i;
            if (!out.origins)
                while (origins[i] > 0 && ((unsigned char)text[origins[i]] & 0xC0) == 0x80) origins[i]--;
        }
        assert_int_equal(ds__normalize_marks(&normalizer, encoding, in, &same, &case_error), DS_OK);
        assert_int_equal(same.size, length);
        assert_memory_equal(same.text, first, length);
        assert_memory_equal(same.origins, origins, length * sizeof *origins);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_cleans_splits_strips_and_lowers), cmocka_unit_test(bert_leaves_what_it_is_told_to),
        cmocka_unit_test(forms_compose_and_decompose),          cmocka_unit_test(small_steps),
        cmocka_unit_test(long_runs_of_marks_are_ordered),       cmocka_unit_test(the_short_way_is_the_long_way),
    };
    return cmocka_run_group_tests(tests, open_encoding, close_encoding);
}
