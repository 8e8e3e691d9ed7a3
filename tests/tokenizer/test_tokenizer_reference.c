/* Against the `tokenizers` package: the texts of every tiny model, and the difficult strings of tests/data/tokenizer
 * for the real tokenizers where they are: MiniLM's as other tests find it, and all three below the folder
 * DS_TEST_TOKENIZERS. */
#include "tokenizer_case.h"

#include "support/model_case.h"

static ds_context *context;
static ds_encoding *encoding;

static int open_all(void **state) {
    (void)state;
    if (ds_context_create(NULL, &context, &case_error) != DS_OK) return -1;
    return ds_encoding_create(context, &encoding, &case_error) == DS_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    ds_encoding_destroy(encoding);
    ds_context_destroy(context);
    return 0;
}

static void compare(const char *name, const char *what, size_t text, const int32_t *got, const int32_t *expected,
                    size_t count) {
    for (size_t i = 0; i < count; i++)
        if (got[i] != expected[i])
            fail_msg("%s: text %zu: %s number %zu is %d, expected %d", name, text, what, i, got[i], expected[i]);
}

static void tiny_models(void **state) {
    (void)state;
    for (size_t m = 0; m < model_case_count(); m++) {
        model_case model;
        const char *name = model_case_name(m);
        ds_tokenizer *tokenizer;
        model_case_open_tiny(&model, context, name);
        if (ds_tokenizer_open(context, model.folder, &tokenizer, &case_error) != DS_OK)
            fail_msg("%s: %s", name, case_error.message);
        const int32_t *starts = model_case_ints(&model, "seq_start"), *ids = model_case_ints(&model, "ids"),
                      *offsets = model_case_ints(&model, "offsets"), *types = model_case_ints(&model, "type_ids");
        for (size_t i = 0; i < model.count; i++) {
            size_t start = (size_t)starts[i], count = (size_t)starts[i + 1] - start;
            /* The model's own limit, which the reference cut at; a text that fits is not cut. */
            if (ds_tokenizer_encode(tokenizer, model.texts[i], model.pairs ? &model.pairs[i] : NULL, (int32_t)count,
                                    encoding, &case_error) != DS_OK)
                fail_msg("%s: %s", name, case_error.message);
            assert_int_equal(ds_encoding_size(encoding), count);
            compare(name, "id", i, ds_encoding_ids(encoding), ids + start, count);
            compare(name, "type id", i, ds_encoding_type_ids(encoding), types + start, count);
            if (offsets) compare(name, "offset", i, ds_encoding_offsets(encoding), offsets + 2 * start, 2 * count);
        }
        ds_tokenizer_close(tokenizer);
        model_case_close(&model);
    }
}

/* ---- the difficult strings ---- */

enum { MAX_TOKENS = 1000 };

typedef struct hard_case {
    ds__str text, pair;
    bool has_pair, has_types;
    int32_t ids[MAX_TOKENS], types[MAX_TOKENS], offsets[2 * MAX_TOKENS];
    size_t count;
} hard_case;

static size_t read_ints(ds__json *json, int32_t *out) {
    size_t count = 0;
    for (; ds__json_next_item(json); count++) {
        assert_true(count < MAX_TOKENS);
        out[count] = (int32_t)ds__json_int(json, DS_STR("a number"), 0, INT32_MAX);
    }
    return count;
}

static void read_case(ds__json *json, hard_case *hard) {
    *hard = (hard_case){.count = 0};
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "text")) {
            hard->text = ds__json_string(json, key);
        } else if (ds__str_is(key, "pair")) {
            hard->has_pair = true;
            hard->pair = ds__json_string(json, key);
        } else if (ds__str_is(key, "ids")) {
            hard->count = read_ints(json, hard->ids);
        } else if (ds__str_is(key, "type_ids")) {
            hard->has_types = true;
            read_ints(json, hard->types);
        } else if (ds__str_is(key, "offsets")) {
            for (size_t i = 0; ds__json_next_item(json); i++)
                assert_int_equal(read_ints(json, hard->offsets + 2 * i), 2);
        } else {
            ds__json_skip(json);
        }
    }
}

static void check_cases(const char *name, const char *folder) {
    ds_tokenizer *tokenizer;
    ds__buffer path, file;
    ds__json json;
    static hard_case hard;
    size_t count = 0;
    if (ds_tokenizer_open(context, folder, &tokenizer, &case_error) != DS_OK) fail_msg("%s", case_error.message);
    ds__buffer_init(&path, &context->heap);
    ds__buffer_init(&file, &context->heap);
    ds__buffer_printf(&path, "%s/tokenizer/%s.json", DS_TEST_DATA, name);
    assert_int_equal(ds__file_read(ds__buffer_cstr(&path), 1 << 24, &file, &case_error), DS_OK);
    ds__json_init(&json, &context->heap, path.data, ds__buffer_str(&file));
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (!ds__str_is(key, "cases")) {
            ds__json_skip(&json);
            continue;
        }
        for (; ds__json_next_item(&json); count++) {
            read_case(&json, &hard);
            if (!ds__json_ok(&json)) break;
            ds_text text = {hard.text.data, hard.text.size}, pair = {hard.pair.data, hard.pair.size};
            assert_int_equal(
                ds_tokenizer_encode(tokenizer, text, hard.has_pair ? &pair : NULL, 0, encoding, &case_error), DS_OK);
            if (ds_encoding_size(encoding) != hard.count)
                fail_msg("%s: \"%.*s\" has %zu tokens, expected %zu", name, DS_STR_ARG(hard.text),
                         ds_encoding_size(encoding), hard.count);
            compare(name, "id", count, ds_encoding_ids(encoding), hard.ids, hard.count);
            compare(name, "offset", count, ds_encoding_offsets(encoding), hard.offsets, 2 * hard.count);
            if (hard.has_types) compare(name, "type id", count, ds_encoding_type_ids(encoding), hard.types, hard.count);
        }
    }
    if (ds__json_finish(&json, &case_error) != DS_OK) fail_msg("%s", case_error.message);
    assert_true(count > 100);
    printf("%s: %zu strings\n", name, count);
    ds__buffer_deinit(&file);
    ds__buffer_deinit(&path);
    ds_tokenizer_close(tokenizer);
}

static void minilm_on_difficult_strings(void **state) {
    (void)state;
    const char *folder = minilm_folder(); /* prints why, if it is not there */
    if (!folder) skip();
    check_cases("minilm", folder);
}

static void others_on_difficult_strings(void **state) {
    (void)state;
    static const char *const names[] = {"minilm", "bert_zh", "roberta"};
    const char *folder = getenv("DS_TEST_TOKENIZERS");
    if (!folder) {
        printf("skipped: DS_TEST_TOKENIZERS does not name a folder with minilm, bert_zh and roberta in it\n");
        skip();
    }
    for (size_t i = 0; i < 3; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        check_cases(names[i], path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_models),
        cmocka_unit_test(minilm_on_difficult_strings),
        cmocka_unit_test(others_on_difficult_strings),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
