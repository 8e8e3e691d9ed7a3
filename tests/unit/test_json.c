/* The JSON reader and writer: what is read, what is refused and how, limits, numbers, a failing allocator. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "formats/json.h"

static ds__heap heap;

static int open_heap(void **state) {
    ds__heap_init(&heap, NULL, 0);
    return 0;
}

static int close_heap(void **state) { return heap.bytes == 0 ? 0 : -1; }

/* Copies the text to a block of its exact size, so that a sanitizer sees one byte too many. */
static ds__str exact(const char *text, size_t size) {
    char *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    return (ds__str){copy, size};
}

static ds_status skip_text(ds__str text, ds_error *error) {
    ds__json json;
    ds__json_init(&json, &heap, "t.json", text);
    ds__json_skip(&json);
    return ds__json_finish(&json, error);
}

static void must_pass(const char *text, size_t size) {
    ds_error error = {DS_OK, ""};
    ds__str copy = exact(text, size);
    if (skip_text(copy, &error) != DS_OK) fail_msg("%.60s: refused: %s", text, error.message);
    free((char *)copy.data);
}

/* hint: must be in the sentence. */
static void must_fail(const char *text, size_t size, const char *hint) {
    ds_error error = {DS_OK, ""};
    ds__str copy = exact(text, size);
    if (skip_text(copy, &error) == DS_OK) fail_msg("%.60s: accepted", text);
    free((char *)copy.data);
    assert_int_equal(error.status, DS_BAD_FORMAT);
    if (!strstr(error.message, hint) || strncmp(error.message, "t.json, line ", 13) != 0)
        fail_msg("%.60s: \"%s\" lacks \"%s\"", text, error.message, hint);
}

#define PASS(text) must_pass(text, sizeof(text) - 1)
#define FAIL(text, hint) must_fail(text, sizeof(text) - 1, hint)

static void valid_texts_pass(void **state) {
    PASS("null");
    PASS(" true\n");
    PASS("false");
    PASS("0");
    PASS("-0");
    PASS("-0.0e+00");
    PASS("12.5E-3");
    PASS("1e999"); /* the grammar allows it; only reading it as a number refuses it */
    PASS("\"\"");
    PASS("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD83D\\uDE00\"");
    PASS("\"\xF4\x8F\xBF\xBF\x7F\"");
    PASS("[]");
    PASS("{}");
    PASS("\t[ 1 ,\r\n{ \"a\" : [ ] , \"\" : { } } ] ");
    PASS("\xEF\xBB\xBF{}");
    PASS("{\"a\":1,\"a\":2}");
}

static void wrong_texts_are_refused_with_a_sentence(void **state) {
    FAIL("", "missing");
    FAIL(" \n ", "line 2");
    FAIL("\xEF\xBB\xBF", "missing");
    FAIL("\xEF\xBB", "byte 0xEF where a JSON value");
    FAIL("nul", "'n' where");
    FAIL("True", "'T' where");
    FAIL("tru", "a value is tru,");
    FAIL("truefalse", "more text");
    FAIL("[true false]", "',' or ']'");
    FAIL("{} {}", "more text");
    FAIL("1 2", "more text");
    FAIL("01", "'0' where");
    FAIL("+1", "'+' where");
    FAIL("-", "'-' where");
    FAIL(".5", "'.' where");
    FAIL("1.", "'1' where");
    FAIL("1.e5", "'1' where");
    FAIL("1e", "'1' where");
    FAIL("1e+", "'1' where");
    FAIL("0x10", "more text");
    FAIL("NaN", "NaN");
    FAIL("[Infinity]", "Infinity");
    FAIL("[-Infinity]", "-Infinity");
    FAIL("\"", "not closed");
    FAIL("\"a\\", "not closed");
    FAIL("\"a\\\"", "not closed");
    FAIL("\"\\x41\"", "escape");
    FAIL("\"\\u12\"", "escape");
    FAIL("\"\\u12G4\"", "escape");
    FAIL("\"\\U0041\"", "escape");
    FAIL("\"\\\0\"", "escape");
    FAIL("\"\\uD800\"", "surrogate");
    FAIL("\"\\uDC00\"", "surrogate");
    FAIL("\"\\uD800\\uD800\"", "surrogate");
    FAIL("\"\\uD83D\\u0041\"", "surrogate");
    FAIL("\"\\uD83D\\uE000\"", "surrogate");
    FAIL("\"\\uD83D\\uDBFF\"", "surrogate");
    FAIL("\"\\uD83Dx\"", "surrogate");
    FAIL("\"a\nb\"", "0x0A");
    FAIL("\"\x01\"", "0x01");
    FAIL("\"\0\"", "0x00");
    FAIL("\"\x80\"", "UTF-8");
    FAIL("\"\xC3\"", "UTF-8");
    FAIL("\"\xED\xA0\x80\"", "UTF-8");
    FAIL("\"\xC0\x80\"", "UTF-8");
    FAIL("\"\xF4\x90\x80\x80\"", "UTF-8");
    FAIL("{\"\xFF\":1}", "UTF-8");
    FAIL("[", "ends where a value");
    FAIL("{", "ends where a key");
    FAIL("[1", "',' or ']'");
    FAIL("[1,", "ends where a value");
    FAIL("[1,]", "']' where");
    FAIL("[,1]", "',' where");
    FAIL("[1}", "'}' where");
    FAIL("]", "']' where");
    FAIL("{\"a\"}", "':'");
    FAIL("{\"a\":}", "'}' where");
    FAIL("{\"a\":1,}", "'}' where a key");
    FAIL("{\"a\":1]", "']' where");
    FAIL("{a:1}", "'a' where a key");
    FAIL("{1:1}", "'1' where a key");
    FAIL("{\"a\" 1}", "':'");
    FAIL("{'a':1}", "''' where a key");
    FAIL("[1]//x", "more text");
    FAIL("[1]\0", "more text");
    FAIL("[1,\n2,\n\n3 4]", "line 4");
    FAIL("\xA0[]", "byte 0xA0");
}

/* `count` opening brackets with their closing ones. */
static void nested(size_t count, bool closed, const char *hint) {
    char *text = malloc(2 * count);
    memset(text, '[', count);
    memset(text + count, ']', count);
    size_t size = closed ? 2 * count : count;
    if (hint)
        must_fail(text, size, hint);
    else
        must_pass(text, size);
    free(text);
}

static void depth_is_capped(void **state) {
    nested(DS__JSON_MAX_DEPTH, true, NULL);
    nested(DS__JSON_MAX_DEPTH + 1, true, "deeper than 64");
    nested(1000000, false, "deeper than 64");
    nested(DS__JSON_MAX_DEPTH, false, "ends where a value");
}

static void every_prefix_of_a_text_is_refused(void **state) {
    static const char text[] =
        "{\"a\": [1.5e3, \"\\uD83D\\uDE00\xC3\xA9\", true, null], \"b\": {\"c\": [{}, [], false]}}";
    for (size_t size = 0; size < sizeof text - 1; size++) must_fail(text, size, "t.json");
    PASS(text);
}

static void a_walk_gives_the_values(void **state) {
    static const char text[] = "{ \"size\" : 384 , \"eps\": 1e-12, \"on\": true, \"no\": null, \"off\":false,"
                               "\"na\\u006De\": \"a\\n\\u00e9\\u0000\\ud83d\\ude00\", \"plain\": \"x\","
                               "\"list\": [ [1, 2], [], [3] ], \"rest\": {\"deep\": [ {} , 7 ]} }";
    ds__str copy = exact(text, sizeof text - 1);
    ds__json json;
    ds__json_init(&json, &heap, "t.json", copy);
    assert_int_equal(ds__json_peek(&json), DS__JSON_OBJECT);
    int64_t sum = 0;
    int keys = 0;
    for (ds__str key; ds__json_next_key(&json, &key); keys++) {
        if (ds__str_is(key, "size")) {
            assert_int_equal(ds__json_peek(&json), DS__JSON_NUMBER);
            assert_false(ds__json_take_null(&json));
            assert_int_equal(ds__json_int(&json, key, 1, 65536), 384);
        } else if (ds__str_is(key, "eps")) {
            assert_true(ds__json_number(&json, key, 0, 1) == 1e-12);
        } else if (ds__str_is(key, "on")) {
            assert_int_equal(ds__json_peek(&json), DS__JSON_BOOL);
            assert_true(ds__json_bool(&json, key));
        } else if (ds__str_is(key, "off")) {
            assert_false(ds__json_bool(&json, key));
        } else if (ds__str_is(key, "no")) {
            assert_int_equal(ds__json_peek(&json), DS__JSON_NULL);
            assert_true(ds__json_take_null(&json));
        } else if (ds__str_is(key, "name")) {
            assert_int_equal(ds__json_peek(&json), DS__JSON_STRING);
            ds__str value = ds__json_string(&json, key), want = DS_STR("a\n\xC3\xA9\0\xF0\x9F\x98\x80");
            assert_true(ds__str_equal(value, want));
        } else if (ds__str_is(key, "plain")) {
            ds__str value = ds__json_string(&json, key);
            assert_true(ds__str_is(value, "x"));
            assert_true(value.data > copy.data && value.data < copy.data + copy.size); /* no copy without an escape */
        } else if (ds__str_is(key, "list")) {
            assert_int_equal(ds__json_peek(&json), DS__JSON_ARRAY);
            while (ds__json_next_item(&json))
                while (ds__json_next_item(&json)) sum += ds__json_int(&json, key, 0, 9);
        } else {
            assert_true(ds__str_is(ds__json_raw(&json), "{\"deep\": [ {} , 7 ]}"));
        }
    }
    assert_int_equal(sum, 6);
    assert_int_equal(keys, 9);
    assert_int_equal(ds__json_peek(&json), DS__JSON_END);
    assert_int_equal(ds__json_finish(&json, NULL), DS_OK);
    free((char *)copy.data);
}

typedef enum asked { INT, NUMBER, STRING, BOOL, OBJECT, ARRAY } asked;

static void refuse(asked kind, const char *text, const char *hint) {
    ds__json json;
    ds_error error = {DS_OK, ""};
    ds__str key, field = DS_STR("size");
    ds__json_init(&json, &heap, "t.json", ds__str_of(text));
    switch (kind) {
    case INT: assert_int_equal(ds__json_int(&json, field, -3, 65536), -3); break;
    case NUMBER: assert_true(ds__json_number(&json, field, -1, 100) == -1); break;
    case STRING: assert_int_equal(ds__json_string(&json, field).size, 0); break;
    case BOOL: assert_false(ds__json_bool(&json, field)); break;
    case OBJECT: assert_false(ds__json_next_key(&json, &key)); break;
    case ARRAY: assert_false(ds__json_next_item(&json)); break;
    }
    assert_false(ds__json_ok(&json));
    /* Every later call is a no-op that keeps the first error. */
    assert_int_equal(ds__json_int(&json, field, 7, 9), 7);
    assert_false(ds__json_next_key(&json, &key));
    assert_false(ds__json_next_item(&json));
    assert_false(ds__json_bool(&json, field));
    assert_false(ds__json_take_null(&json));
    assert_int_equal(ds__json_raw(&json).size, 0);
    ds__json_skip(&json);
    assert_int_equal(ds__json_peek(&json), DS__JSON_END);
    assert_int_equal(ds__json_finish(&json, &error), DS_BAD_FORMAT);
    if (!strstr(error.message, hint)) fail_msg("%s: \"%s\" lacks \"%s\"", text, error.message, hint);
}

static void wrong_kinds_and_ranges_name_the_field_and_both_values(void **state) {
    refuse(INT, "\"12\"", "size is \"12\", expected an integer from -3 to 65536");
    refuse(INT, "1.0", "size is 1.0, expected an integer");
    refuse(INT, "1e3", "size is 1e3, expected an integer");
    refuse(INT, "-4", "size is -4, expected an integer from -3");
    refuse(INT, "65537", "size is 65537, expected");
    refuse(INT, "9223372036854775808", "size is 9223372036854775808, expected");
    refuse(INT, "-9223372036854775809", "size is -9223372036854775809, expected");
    refuse(INT, "99999999999999999999999999", "size is 9999");
    refuse(INT, "null", "size is null, expected");
    refuse(INT, "true", "size is true, expected");
    refuse(INT, "[1]", "size is an array, expected");
    refuse(INT, "{}", "size is an object, expected");
    refuse(INT, "NaN", "size is NaN, expected an integer");
    refuse(INT, "", "size is missing");
    refuse(NUMBER, "NaN", "size is NaN, expected a number from -1 to 100");
    refuse(NUMBER, "-Infinity", "size is -Infinity, expected");
    refuse(NUMBER, "1e999", "size is 1e999, expected");
    refuse(NUMBER, "-1.01", "size is -1.01, expected");
    refuse(NUMBER, "100.5", "size is 100.5, expected");
    refuse(NUMBER, "\"x\"", "size is \"x\", expected");
    refuse(STRING, "12", "size is 12, expected a text");
    refuse(STRING, "null", "size is null, expected a text");
    refuse(BOOL, "0", "size is 0, expected true or false");
    refuse(BOOL, "\"true\"", "size is \"true\", expected true or false");
    refuse(OBJECT, "[]", "'[' where an object is expected");
    refuse(OBJECT, "", "ends where an object is expected");
    refuse(ARRAY, "{}", "'{' where an array is expected");
    refuse(ARRAY, "\x7F", "byte 0x7F where an array");
}

static int64_t read_int(const char *text) {
    ds__json json;
    ds__json_init(&json, &heap, "t.json", ds__str_of(text));
    int64_t value = ds__json_int(&json, DS_STR("n"), INT64_MIN, INT64_MAX);
    assert_int_equal(ds__json_finish(&json, NULL), DS_OK);
    return value;
}

static void integers_reach_their_limits(void **state) {
    assert_true(read_int("9223372036854775807") == INT64_MAX);
    assert_true(read_int("-9223372036854775808") == INT64_MIN);
    assert_true(read_int("-0") == 0);
}

/* Within one unit in the last place of the C library's answer, which is the nearest double. */
static void check_number(const char *text) {
    ds__json json;
    ds_error error;
    ds__json_init(&json, &heap, "t.json", ds__str_of(text));
    double value = ds__json_number(&json, DS_STR("n"), -DBL_MAX, DBL_MAX), want = strtod(text, NULL);
    if (ds__json_finish(&json, &error) != DS_OK) fail_msg("%s", error.message);
    if (!(value >= nextafter(want, -INFINITY) && value <= nextafter(want, INFINITY)))
        fail_msg("%s read as %.17g, expected %.17g", text, value, want);
    if ((float)value != strtof(text, NULL) && nextafterf((float)value, strtof(text, NULL)) != strtof(text, NULL))
        fail_msg("%s: the float is %.9g, expected %.9g", text, (double)(float)value, (double)strtof(text, NULL));
}

static void numbers_are_as_the_c_library_reads_them(void **state) {
    static const char *const texts[] = {"0",
                                        "-0",
                                        "1",
                                        "0.1",
                                        "-0.1",
                                        "1e-12",
                                        "1E+5",
                                        "123456789012345678901234567890",
                                        "0.00000000000000000000001",
                                        "1e-5",
                                        "3.4028234663852886e38",
                                        "1.401298464324817e-45",
                                        "2.2250738585072014e-308",
                                        "4.9e-324",
                                        "1e-400",
                                        "1.7976931348623157e308",
                                        "18446744073709551615",
                                        "1844674407370955160",
                                        "1844674407370955161",
                                        "0.1844674407370955161099999",
                                        "100e-2",
                                        "0e999999999999",
                                        "1e-999999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) check_number(texts[i]);
    ds__random random = {1};
    for (int i = 0; i < 20000; i++) {
        char text[64];
        double value = ds__random_f32(&random) * pow(10, (int)ds__random_below(&random, 600) - 300);
        snprintf(text, sizeof text, "%.*e", (int)ds__random_below(&random, 20), value);
        check_number(text);
    }
    /* Long digit strings whose value is small: the exponent must not be cut before the digits are counted. */
    char text[1024];
    int length = snprintf(text, sizeof text, "1");
    memset(text + length, '0', 500);
    snprintf(text + length + 500, sizeof text - 501, "e-500");
    check_number(text);
    memcpy(text, "0.", 2);
    memset(text + 2, '0', 500);
    memcpy(text + 502, "1e501", 6);
    check_number(text);
}

static void the_callers_own_error_keeps_its_line(void **state) {
    ds__json json;
    ds_error error;
    ds__str key;
    ds__json_init(&json, &heap, "c.json", DS_STR("{\n\"heads\": 5,\n\"x\": 1}"));
    assert_true(ds__json_next_key(&json, &key));
    assert_int_equal(ds__json_int(&json, key, 0, 9), 5);
    ds__json_fail(&json, DS_SHAPE_MISMATCH, "heads is %d, which does not divide %d", 5, 12);
    ds__json_fail(&json, DS_INTERNAL, "a later one");
    assert_false(ds__json_next_key(&json, &key));
    assert_int_equal(ds__json_finish(&json, &error), DS_SHAPE_MISMATCH);
    assert_string_equal(error.message, "c.json, line 2: heads is 5, which does not divide 12");
    assert_int_equal(error.status, DS_SHAPE_MISMATCH);
}

static void unread_text_is_an_error(void **state) {
    ds__json json;
    ds_error error;
    ds__json_init(&json, &heap, "c.json", DS_STR("[1]"));
    assert_int_equal(ds__json_finish(&json, &error), DS_BAD_FORMAT);
    ds__json_init(&json, &heap, "c.json", DS_STR("[[ "));
    assert_true(ds__json_next_item(&json));
    assert_false(ds__json_next_item(&json));
    assert_int_equal(ds__json_finish(&json, &error), DS_BAD_FORMAT);
}

static void memory_running_out_is_reported(void **state) {
    ds__json json;
    ds_error error;
    ds__heap_init(&heap, NULL, 0);
    heap.fail_at = 1;
    ds__json_init(&json, &heap, "c.json", DS_STR("[\"\\n\", 1]"));
    ds__json_skip(&json);
    assert_int_equal(ds__json_finish(&json, &error), DS_OUT_OF_MEMORY);
    assert_non_null(strstr(error.message, "c.json"));
    ds__heap_init(&heap, NULL, 100);
    ds__json_init(&json, &heap, "c.json", DS_STR("[\"\\n\"]"));
    ds__json_skip(&json);
    assert_int_equal(ds__json_finish(&json, &error), DS_MEMORY_LIMIT);
    assert_non_null(strstr(error.message, "100"));
}

/* Writing. */
static void written(ds__buffer *out, const char *want) {
    assert_string_equal(ds__buffer_cstr(out), want);
    ds__buffer_clear(out);
}

static void the_writer_places_commas(void **state) {
    ds__buffer out;
    ds__buffer_init(&out, &heap);
    ds__json_writer writer = {&out, false};
    ds__json_open_object(&writer);
    ds__json_key(&writer, "a\"b");
    ds__json_open_array(&writer);
    ds__json_put_int(&writer, INT64_MIN);
    ds__json_put_bool(&writer, true);
    ds__json_put_bool(&writer, false);
    ds__json_put_null(&writer);
    ds__json_open_object(&writer);
    ds__json_close_object(&writer);
    ds__json_open_array(&writer);
    ds__json_close_array(&writer);
    ds__json_put_fixed(&writer, 1.25, 1);
    ds__json_put_fixed(&writer, -0.125, 4);
    ds__json_put_fixed(&writer, NAN, 4);
    ds__json_close_array(&writer);
    ds__json_key(&writer, "c");
    ds__json_put_string(&writer, DS_STR("x"));
    ds__json_close_object(&writer);
    written(&out, "{\"a\\\"b\":[-9223372036854775808,true,false,null,{},[],1.2,-0.1250,null],\"c\":\"x\"}");
    ds__buffer_deinit(&out);
}

static void written_strings_are_escaped_and_repaired(void **state) {
    static const struct {
        ds__str text;
        const char *want;
    } rows[] = {
        {{NULL, 0}, "\"\""},
        {{"\"\\/\n\t\r\b", 7}, "\"\\\"\\\\/\\n\\t\\u000d\\u0008\""},
        {{"\0\x1f\x7f", 3}, "\"\\u0000\\u001f\x7f\""},
        {{"\xC3\xA9\xF0\x9F\x98\x80", 6}, "\"\xC3\xA9\xF0\x9F\x98\x80\""},
        {{"a\xFFz", 3}, "\"a\xEF\xBF\xBDz\""},
        {{"a\xF0\x9F\x98", 4}, "\"a\xEF\xBF\xBD\""},
        {{"\xED\xA0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {{"\xEF\xBF\xBD", 3}, "\"\xEF\xBF\xBD\""},
    };
    ds__buffer out;
    ds__buffer_init(&out, &heap);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ds__json_writer writer = {&out, false};
        ds__json_put_string(&writer, rows[i].text);
        assert_int_equal(skip_text(ds__buffer_str(&out), NULL), DS_OK);
        written(&out, rows[i].want);
    }
    ds__buffer_deinit(&out);
}

static void floats_read_back_as_the_same_bits(void **state) {
    ds__buffer out;
    ds__buffer_init(&out, &heap);
    ds__random random = {2};
    static const uint32_t special[] = {0,          0x80000000, 1,          0x80000001, 0x007fffff, 0x00800000,
                                       0x7f7fffff, 0x3f800000, 0x3dcccccd, 0x33d6bf95, 0x4b800000, 0x4b800001};
    for (int i = 0; i < 50000; i++) {
        uint32_t bits = i < 12 ? special[i] : (uint32_t)ds__random_u64(&random);
        float value, back;
        memcpy(&value, &bits, 4);
        ds__json_writer writer = {&out, false};
        ds__json_put_f32(&writer, value);
        if (!isfinite(value)) {
            written(&out, "null");
            continue;
        }
        back = strtof(ds__buffer_cstr(&out), NULL);
        assert_memory_equal(&back, &value, 4);
        assert_true(out.size <= 16);
        assert_int_equal(skip_text(ds__buffer_str(&out), NULL), DS_OK);
        ds__buffer_clear(&out);
    }
    ds__json_writer writer = {&out, false};
    ds__json_put_f32(&writer, 0.1f);
    written(&out, "0.1");
    ds__buffer_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_heap, close_heap)
        TEST(valid_texts_pass),
        TEST(wrong_texts_are_refused_with_a_sentence),
        TEST(depth_is_capped),
        TEST(every_prefix_of_a_text_is_refused),
        TEST(a_walk_gives_the_values),
        TEST(wrong_kinds_and_ranges_name_the_field_and_both_values),
        TEST(integers_reach_their_limits),
        TEST(numbers_are_as_the_c_library_reads_them),
        TEST(the_callers_own_error_keeps_its_line),
        TEST(unread_text_is_an_error),
        TEST(memory_running_out_is_reported),
        TEST(the_writer_places_commas),
        TEST(written_strings_are_escaped_and_repaired),
        TEST(floats_read_back_as_the_same_bits),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
