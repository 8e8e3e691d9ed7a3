/* UTF-8: every code point there and back, every boundary, and repair by maximal subparts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/utf8.h"

static void every_code_point_goes_there_and_back(void **state) {
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char bytes[4];
        uint32_t back;
        size_t size = ds__utf8_encode(code, bytes);
        size_t want = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        if (size != want || ds__utf8_decode(bytes, size, &back) != size || back != (surrogate ? 0xFFFD : code) ||
            !ds__utf8_valid(bytes, size))
            fail_msg("U+%04X", (unsigned)code);
        /* A cut character is one replacement, however much of it is there. */
        for (size_t cut = 1; cut < size; cut++)
            if (ds__utf8_decode(bytes, cut, &back) != cut || back != 0xFFFD)
                fail_msg("U+%04X cut at %d", (unsigned)code, (int)cut);
    }
    char bytes[4];
    assert_int_equal(ds__utf8_encode(0x110000, bytes), 3);
    assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
    assert_int_equal(ds__utf8_encode(UINT32_MAX, bytes), 3);
}

/* R: U+FFFD in UTF-8. The expectations are those of Python's bytes.decode("utf-8", "replace"). */
#define R "\xEF\xBF\xBD"

static void invalid_bytes_are_repaired_by_maximal_subparts(void **state) {
    static const struct {
        ds__str text;
        const char *want;
    } rows[] = {
        {{"", 0}, ""},
        {{"plain ascii, longer than a word", 31}, "plain ascii, longer than a word"},
        {{"\x80", 1}, R},
        {{"\xBF\x80", 2}, R R},
        {{"\xC0\x80", 2}, R R},
        {{"\xC1\xBF", 2}, R R},
        {{"\xC2", 1}, R},
        {{"\xC2\xC2\xA9", 3}, R "\xC2\xA9"},
        {{"\xDF\xBF", 2}, "\xDF\xBF"},
        {{"\xE0\x9F\xBF", 3}, R R R},
        {{"\xE0\xA0\x80", 3}, "\xE0\xA0\x80"},
        {{"\xE0\xA0", 2}, R},
        {{"\xE0\xA0z", 3}, R "z"},
        {{"\xED\x9F\xBF", 3}, "\xED\x9F\xBF"},
        {{"\xED\xA0\x80", 3}, R R R},
        {{"\xED\xBF\xBF", 3}, R R R},
        {{"\xEE\x80\x80", 3}, "\xEE\x80\x80"},
        {{"\xEF\xBF\xBD", 3}, R},
        {{"\xEF\xBF\xBF", 3}, "\xEF\xBF\xBF"},
        {{"\xEF\xBF", 2}, R},
        {{"\xF0\x8F\xBF\xBF", 4}, R R R R},
        {{"\xF0\x90\x80\x80", 4}, "\xF0\x90\x80\x80"},
        {{"\xF0\x90\x80", 3}, R},
        {{"\xF0\x90\x80\xC2\xA9", 5}, R "\xC2\xA9"},
        {{"\xF4\x8F\xBF\xBF", 4}, "\xF4\x8F\xBF\xBF"},
        {{"\xF4\x90\x80\x80", 4}, R R R R},
        {{"\xF5\x80\x80\x80", 4}, R R R R},
        {{"\xFF\xFE", 2}, R R},
        {{"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", 8}, R R R R},
        {{"a\xF1\x80\x80\xE1\x80\xC2"
          "b\x80"
          "c\x80\xBF"
          "d",
          13},
         "a" R R R "b" R "c" R R "d"}, /* Unicode, table 3-8 */
        {{"0123456789\xFF"
          "0123456789",
          21},
         "0123456789" R "0123456789"},
    };
    ds__heap heap;
    ds__buffer out;
    ds__heap_init(&heap, NULL, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ds__buffer_init(&out, &heap);
        ds__utf8_append_repaired(&out, rows[i].text.data, rows[i].text.size);
        if (strcmp(ds__buffer_cstr(&out), rows[i].want) != 0) fail_msg("row %d", (int)i);
        bool unchanged = ds__str_equal(ds__buffer_str(&out), rows[i].text);
        assert_int_equal(ds__utf8_valid(rows[i].text.data, rows[i].text.size), unchanged);
        ds__buffer_deinit(&out);
    }
    assert_int_equal(heap.bytes, 0);
}

/* Well-formed sequences by the Unicode Standard's table 3-7, written out. */
static bool is_sequence(const unsigned char *s, size_t size) {
#define TAIL(i) (s[i] >= 0x80 && s[i] <= 0xBF)
    if (size == 1) return s[0] < 0x80;
    if (size == 2) return s[0] >= 0xC2 && s[0] <= 0xDF && TAIL(1);
    if (size == 3)
        return TAIL(2) &&
               ((s[0] == 0xE0 && s[1] >= 0xA0 && s[1] <= 0xBF) || (s[0] >= 0xE1 && s[0] <= 0xEC && TAIL(1)) ||
                (s[0] == 0xED && s[1] >= 0x80 && s[1] <= 0x9F) || (s[0] >= 0xEE && s[0] <= 0xEF && TAIL(1)));
    return TAIL(2) && TAIL(3) &&
           ((s[0] == 0xF0 && s[1] >= 0x90 && s[1] <= 0xBF) || (s[0] >= 0xF1 && s[0] <= 0xF3 && TAIL(1)) ||
            (s[0] == 0xF4 && s[1] >= 0x80 && s[1] <= 0x8F));
}

static void random_bytes_are_judged_by_the_standards_table(void **state) {
    static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0,
                                          0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF, 'a',  'b'};
    ds__heap heap;
    ds__buffer out;
    ds__heap_init(&heap, NULL, 0);
    ds__buffer_init(&out, &heap);
    ds__random random = {4};
    for (int i = 0; i < 200000; i++) {
        unsigned char text[24];
        size_t size = ds__random_below(&random, 24), at = 0;
        for (size_t b = 0; b < size; b++) text[b] = edges[ds__random_below(&random, sizeof edges)];
        for (size_t length = 1; at < size && length <= 4; length++)
            if (at + length <= size && is_sequence(text + at, length)) {
                at += length;
                length = 0;
            }
        if (ds__utf8_valid((char *)text, size) != (at == size)) fail_msg("round %d", i);
        ds__buffer_clear(&out);
        ds__utf8_append_repaired(&out, (char *)text, size);
        assert_true(ds__utf8_valid(out.data, out.size));
        assert_true(out.size >= at && (at == 0 || memcmp(out.data, text, at) == 0));
    }
    ds__buffer_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_goes_there_and_back),
        cmocka_unit_test(invalid_bytes_are_repaired_by_maximal_subparts),
        cmocka_unit_test(random_bytes_are_judged_by_the_standards_table),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
