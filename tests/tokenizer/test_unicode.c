/* The character tables: some of what is known of the reference tokenizers, and where Unicode versions part. */
#include "tokenizer_case.h"

#include "base/utf8.h"
#include "tokenizer/unicode.h"

static void flags_are_the_references(void **state) {
    (void)state;
    static const struct {
        uint32_t code, flags;
    } rows[] = {
        {'a', DS__UNI_LETTER | DS__UNI_WORD},
        {'7', DS__UNI_NUMBER | DS__UNI_WORD},
        {'_', DS__UNI_PUNCTUATION | DS__UNI_WORD},
        {'$', DS__UNI_PUNCTUATION}, /* a symbol to Unicode, punctuation to BERT */
        {0, DS__UNI_CONTROL},
        {' ', DS__UNI_SPACE},
        {'\t', DS__UNI_SPACE}, /* a control character that clean_text makes a space */
        {0x0B, DS__UNI_SPACE | DS__UNI_CONTROL},
        {0x85, DS__UNI_SPACE | DS__UNI_CONTROL},
        {0xA0, DS__UNI_SPACE | DS__UNI_NORMALIZES},
        {0xFFFD, DS__UNI_CONTROL},
        {0x200B, DS__UNI_CONTROL},
        {0x301, DS__UNI_NONSPACING | DS__UNI_MARK | DS__UNI_WORD | DS__UNI_NORMALIZES},
        {0x302E, DS__UNI_WORD | DS__UNI_MARK | DS__UNI_NORMALIZES}, /* a spacing mark with a combining class */
        {0x4E2D, DS__UNI_HAN | DS__UNI_LETTER | DS__UNI_WORD},
        {0xF900, DS__UNI_HAN | DS__UNI_LETTER | DS__UNI_WORD | DS__UNI_NORMALIZES},
        {0xE9, DS__UNI_LETTER | DS__UNI_WORD | DS__UNI_NORMALIZES},
        {0x11938, DS__UNI_WORD}, /* Unicode 13 decomposes it, the reference's version does not */
        {0xD800, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t flags = ds__uni_flags(rows[i].code);
        if (flags != rows[i].flags)
            fail_msg("U+%04X has the flags %#x, expected %#x", rows[i].code, flags, rows[i].flags);
    }
    assert_int_equal(ds__uni_flags(0x10FFFF) & DS__UNI_LETTER, 0);
}

static void lower_case_is_the_full_mapping(void **state) {
    (void)state;
    static const uint32_t rows[][3] = {
        {'A', 'a', 0},       {'z', 'z', 0},         {0x130, 'i', 0x307},     {0x3A3, 0x3C3, 0}, {0x1E9E, 0xDF, 0},
        {0x2126, 0x3C9, 0},  {0x10400, 0x10428, 0}, {0x13A0, 0xAB70, 0},     {0x1C4, 0x1C6, 0}, {0x1C5, 0x1C6, 0},
        {0x24B6, 0x24D0, 0}, {0x1C89, 0x1C8A, 0},   {0x10FFFF, 0x10FFFF, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t lower[2] = {0, 0};
        size_t count = ds__uni_lower(rows[i][0], lower);
        assert_int_equal(count, rows[i][2] ? 2 : 1);
        assert_int_equal(lower[0], rows[i][1]);
        if (count == 2) assert_int_equal(lower[1], rows[i][2]);
    }
}

static void decompositions_stop_at_the_references_version(void **state) {
    (void)state;
    uint32_t out[DS__UNI_LONGEST];
    assert_int_equal(ds__uni_decompose(0xE9, false, out), 2);
    assert_true(out[0] == 'e' && out[1] == 0x301);
    assert_int_equal(ds__uni_decompose(0x1E69, false, out), 3);
    assert_true(out[0] == 's' && out[1] == 0x323 && out[2] == 0x307);
    assert_int_equal(ds__uni_decompose(0xAC01, false, out), 3);
    assert_int_equal(ds__uni_decompose(0xFB03, false, out), 1);
    assert_int_equal(ds__uni_decompose(0xFB03, true, out), 3);
    assert_int_equal(ds__uni_decompose(0xFDFA, true, out), 18);
    assert_int_equal(ds__uni_decompose(0x11938, false, out), 1);
    assert_int_equal(ds__uni_decompose(0x32FF, true, out), 1); /* Unicode 12.1 */
    assert_int_equal(ds__uni_combining(0x301), 230);
    assert_int_equal(ds__uni_combining('a'), 0);
    assert_int_equal(ds__uni_combining(0x1DF6), 0); /* 232 since Unicode 10 */
}

/* The walk over valid UTF-8 agrees with the decoder that trusts nothing, forward and backward. */
static void walks_every_character(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        char text[4];
        uint32_t back;
        size_t size = ds__utf8_encode(code, text);
        uint32_t expected = code >= 0xD800 && code < 0xE000 ? DS__REPLACEMENT : code, got;
        if (ds__uni_next(text, &got) != size || got != expected) fail_msg("U+%04X is read as U+%04X", code, got);
        if (ds__uni_previous(text, size, &back) != 0 || back != expected) fail_msg("U+%04X backward", code);
        if (ds__uni_count(text, size) != 1) fail_msg("U+%04X counts as %zu", code, ds__uni_count(text, size));
    }
}

static void bytes_have_the_alphabet_of_gpt2(void **state) {
    (void)state;
    bool seen[0x180] = {false};
    for (int byte = 0; byte < 256; byte++) {
        uint32_t code = ds__byte_character((unsigned char)byte);
        assert_true(code < 0x180 && !seen[code]);
        seen[code] = true;
    }
    assert_int_equal(ds__byte_character(' '), 0x120);
    assert_int_equal(ds__byte_character('\n'), 0x10A);
    assert_int_equal(ds__byte_character('~'), '~');
    assert_int_equal(ds__byte_character(0x7F), 0x121);
    assert_int_equal(ds__byte_character(0xA0), 0x142);
    assert_int_equal(ds__byte_character(0xAD), 0x143);
    assert_int_equal(ds__byte_character(0xC3), 0xC3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_the_references),
        cmocka_unit_test(lower_case_is_the_full_mapping),
        cmocka_unit_test(decompositions_stop_at_the_references_version),
        cmocka_unit_test(walks_every_character),
        cmocka_unit_test(bytes_have_the_alphabet_of_gpt2),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
