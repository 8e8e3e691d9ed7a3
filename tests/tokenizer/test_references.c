/* Ids, type ids and byte offsets against the reference packages: the tiny models' texts, and nasty strings through the real
 * MiniLM tokenizer (and RoBERTa's and Chinese BERT's where DS_TEST_TOKENIZERS names a folder that holds them). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "formats/json.h"
#include "support/model_case.h"

enum { MAX_TOKENS = 4096 };

static ds_context *context;
static ds_tokenizer *tokenizer;
static ds_encoding *encoding;
static ds_error error;

static int open_context(void **state) {
    (void)state;
    return ds_context_create(NULL, &context, &error) == DS_OK && ds_encoding_create(context, &encoding, &error) == DS_OK
               ? 0
               : -1;
}

static int close_context(void **state) {
    (void)state;
    ds_encoding_destroy(encoding);
    ds_context_destroy(context);
    return 0;
}

/* Compares the encoding with `count` expected tokens; type_ids may be NULL. */
static void check(const char *what, size_t count, const int32_t *ids, const int32_t *type_ids, const int32_t *offsets) {
    if (ds_encoding_size(encoding) != count)
        fail_msg("%s: %zu tokens, the reference has %zu", what, ds_encoding_size(encoding), count);
    for (size_t i = 0; i < count; i++) {
        if (ds_encoding_ids(encoding)[i] != ids[i])
            fail_msg("%s: token %zu is %d, the reference has %d", what, i, ds_encoding_ids(encoding)[i], ids[i]);
        if (type_ids && ds_encoding_type_ids(encoding)[i] != type_ids[i])
            fail_msg("%s: token %zu has type %d, the reference has %d", what, i, ds_encoding_type_ids(encoding)[i],
                     type_ids[i]);
        for (size_t k = 2 * i; k < 2 * i + 2; k++)
            if (ds_encoding_offsets(encoding)[k] != offsets[k])
                fail_msg("%s: token %zu spans [%d, %d), the reference has [%d, %d)", what, i,
                         ds_encoding_offsets(encoding)[2 * i], ds_encoding_offsets(encoding)[2 * i + 1], offsets[2 * i],
                         offsets[2 * i + 1]);
    }
}

static void tiny_models_tokenize_like_the_reference(void **state) {
    (void)state;
    for (size_t k = 0; k < model_case_count(); k++) {
        model_case m;
        model_case_open_tiny(&m, context, model_case_name(k));
        if (ds_tokenizer_open(context, m.folder, &tokenizer, &error) != DS_OK) fail_msg("%s", error.message);
        const int32_t *start = model_case_ints(&m, "seq_start");
        for (size_t i = 0; i < m.count; i++) {
            char what[96];
            int32_t count = start[i + 1] - start[i], longest = strncmp(model_case_name(k), "roberta", 7) == 0 ? 62 : 64;
            snprintf(what, sizeof what, "%s, text %zu", model_case_name(k), i);
            assert_int_equal(ds_tokenizer_encode(tokenizer, m.texts[i], m.pairs ? &m.pairs[i] : NULL,
                                                 count >= longest ? count : 0, encoding, &error), DS_OK);
            check(what, (size_t)count, model_case_ints(&m, "ids") + start[i], model_case_ints(&m, "type_ids") + start[i],
                  model_case_ints(&m, "offsets") + 2 * start[i]);
        }
        ds_tokenizer_close(tokenizer);
        model_case_close(&m);
    }
}

typedef struct expected {
    int32_t ids[MAX_TOKENS], type_ids[MAX_TOKENS], offsets[2 * MAX_TOKENS];
    size_t ids_count, types_count, offsets_count;
    ds__str text, pair;
    bool has_pair;
} expected;

static size_t read_numbers(ds__json *json, int32_t *out) {
    size_t count = 0;
    while (ds__json_next_item(json)) {
        assert_true(count < 2 * MAX_TOKENS);
        if (ds__json_peek(json) == DS__JSON_ARRAY)
            count += read_numbers(json, out + count);
        else
            out[count++] = (int32_t)ds__json_int(json, DS_STR("number"), 0, INT32_MAX);
    }
    return count;
}

static void check_case(ds__json *json, const char *file, size_t number) {
    static expected e;
    e.types_count = e.has_pair = 0;
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "text"))
            e.text = ds__json_string(json, key);
        else if (ds__str_is(key, "pair")) {
            e.pair = ds__json_string(json, key);
            e.has_pair = true;
        } else if (ds__str_is(key, "ids"))
            e.ids_count = read_numbers(json, e.ids);
        else if (ds__str_is(key, "type_ids"))
            e.types_count = read_numbers(json, e.type_ids);
        else if (ds__str_is(key, "offsets"))
            e.offsets_count = read_numbers(json, e.offsets);
        else
            ds__json_skip(json);
    }
    assert_true(ds__json_ok(json));
    assert_int_equal(e.offsets_count, 2 * e.ids_count);
    char what[256];
    snprintf(what, sizeof what, "%s, case %zu (\"%.*s\")", file, number, DS_STR_ARG(e.text));
    ds_text text = {e.text.data, e.text.size}, pair = {e.pair.data, e.pair.size};
    if (ds_tokenizer_encode(tokenizer, text, e.has_pair ? &pair : NULL, 0, encoding, &error) != DS_OK)
        fail_msg("%s: %s", what, error.message);
    check(what, e.ids_count, e.ids, e.types_count ? e.type_ids : NULL, e.offsets);
}

static void check_file(const char *name, const char *folder) {
    char path[512];
    ds__buffer text;
    ds__json json;
    size_t cases = 0;
    snprintf(path, sizeof path, DS_TEST_DATA "/tokenizer/%s.json", name);
    ds__buffer_init(&text, &context->heap);
    if (ds__file_read(path, 1 << 20, &text, &error) != DS_OK ||
        ds_tokenizer_open(context, folder, &tokenizer, &error) != DS_OK)
        fail_msg("%s", error.message);
    ds__json_init(&json, &context->heap, path, ds__buffer_str(&text));
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__str_is(key, "cases"))
            while (ds__json_next_item(&json)) check_case(&json, name, cases++);
        else
            ds__json_skip(&json);
    }
    assert_int_equal(ds__json_finish(&json, &error), DS_OK);
    assert_true(cases > 100);
    ds_tokenizer_close(tokenizer);
    ds__buffer_deinit(&text);
}

static void nasty_strings_through_minilm(void **state) {
    (void)state;
    const char *folder = minilm_folder();
    if (!folder) skip();
    check_file("minilm", folder);
}

static void nasty_strings_through_others(void **state) {
    (void)state;
    static const char *const names[] = {"bert_zh", "roberta"};
    const char *root = getenv("DS_TEST_TOKENIZERS");
    if (!root) {
        printf("skipped: DS_TEST_TOKENIZERS names no folder with bert_zh/ and roberta/\n");
        skip();
    }
    for (size_t i = 0; i < 2; i++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/%s", root, names[i]);
        check_file(names[i], folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_models_tokenize_like_the_reference),
        cmocka_unit_test(nasty_strings_through_minilm),
        cmocka_unit_test(nasty_strings_through_others),
    };
    return cmocka_run_group_tests_name("tokenizer references", tests, open_context, close_context);
}
