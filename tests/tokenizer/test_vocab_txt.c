/* vocab.txt with and without a tokenizer_config.json: lines, defaults, special tokens, refusals; and finding the files.
 */
#include "tokenizer_case.h"

#include "support/scratch_folder.h"

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static void has_berts_defaults(void **state) {
    (void)state;
    ds_tokenizer *t = must_load_vocab(SPECIALS "cafe\n##s\n\xe4\xb8\xad\na\n", NULL);
    check(t, "CAF\xc3\x89s a\xe4\xb8\xad[MASK]", "[CLS] cafe@0-5 ##s@5-6 a@7-8 \xe4\xb8\xad@8-11 [MASK]@11-17 [SEP]");
    check_pair(t, "a", "a", 0, "[CLS] a@0-1 [SEP] a@0-1:1 [SEP]:1");
    check(t, "[PAD][UNK]", "[CLS] [PAD]@0-5 [UNK]@5-10 [SEP]");
    assert_int_equal(ds__tokenizer_id(t, DS_STR("a")), 8);
    ds__tokenizer_close(t);
}

static void lines_end_as_python_reads_them(void **state) {
    (void)state;
    ds_tokenizer *t = must_load_vocab("[UNK]\r\n[CLS]\r[SEP]\n\na \nx", NULL);
    assert_int_equal(ds__tokenizer_id(t, DS_STR("[CLS]")), 1);
    assert_int_equal(ds__tokenizer_id(t, DS_STR("[SEP]")), 2);
    assert_int_equal(ds__tokenizer_id(t, DS_STR("")), 3);
    assert_int_equal(ds__tokenizer_id(t, DS_STR("a ")), 4);
    assert_int_equal(ds__tokenizer_id(t, DS_STR("x")), 5);
    assert_int_equal(t->vocab.size, 6);
    ds__tokenizer_close(t);
}

static void the_last_line_of_a_text_counts(void **state) {
    (void)state;
    ds_tokenizer *t = must_load_vocab("[UNK]\n[CLS]\n[SEP]\na\nb\na\n", NULL);
    assert_int_equal(ds__tokenizer_id(t, DS_STR("a")), 5);
    assert_null(ds__tokenizer_token(t, 3).data);
    ds__tokenizer_close(t);
}

static void the_configuration_is_followed(void **state) {
    (void)state;
    const char *lines = "<pad>\n<unk>\n<s>\n</s>\nA\na\n\xc3\xa9\ne\n\xe4\xb8\xad"
                        "a\n";
    ds_tokenizer *t =
        must_load_vocab(lines, "{'do_lower_case': false, 'tokenize_chinese_chars': false, 'unk_token': '<unk>', "
                               "'cls_token': {'content': '<s>', 'lstrip': false}, 'sep_token': '</s>', "
                               "'pad_token': null, 'model_max_length': 1e30, 'tokenizer_class': 'BertTokenizerFast'}");
    check(t,
          "A a \xc3\xa9 \xe4\xb8\xad"
          "a q",
          "<s> A@0-1 a@2-3 \xc3\xa9@4-6 \xe4\xb8\xad"
          "a@7-11 <unk>@12-13 </s>");
    ds__tokenizer_close(t);
    /* Accents follow the case, unless they are named. */
    t = must_load_vocab(SPECIALS "\xc3\xa9\ne\n", "{'strip_accents': false}");
    check(t, "\xc3\x89", "[CLS] \xc3\xa9@0-2 [SEP]");
    ds__tokenizer_close(t);
    t = must_load_vocab(SPECIALS "\xc3\xa9\ne\nE\n", "{'do_lower_case': false, 'strip_accents': true}");
    check(t, "\xc3\x89", "[CLS] E@0-2 [SEP]");
    ds__tokenizer_close(t);
}

static void tokens_of_the_configuration_are_added(void **state) {
    (void)state;
    ds_tokenizer *t =
        must_load_vocab(SPECIALS "a\n", "{'added_tokens_decoder': {'4': {'content': '[MASK]', 'lstrip': true, "
                                        "'special': true}, '6': {'content': '<new>', 'normalized': false}}}");
    check(t, "a <new> [MASK]", "[CLS] a@0-1 <new>@2-7 [MASK]@7-14 [SEP]");
    ds__tokenizer_close(t);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *lines, *config;
        ds_status status;
        const char *needle;
    } rows[] = {
        {"", NULL, DS_BAD_FORMAT, "vocab.txt: none of its 0 tokens is \"[UNK]\", which is the unk_token"},
        {"[UNK]\n[CLS]\n", NULL, DS_BAD_FORMAT, "none of its 2 tokens is \"[SEP]\", which is the sep_token"},
        {"[UNK]\n[SEP]\n", NULL, DS_BAD_FORMAT, "\"[CLS]\""},
        {SPECIALS, "{'cls_token': '<s>'}", DS_BAD_FORMAT, "\"<s>\", which is the cls_token"},
        {"[UNK]\n\xff\n", NULL, DS_BAD_FORMAT, "vocab.txt, line 2: not valid UTF-8"},
        {SPECIALS, "{'do_lower_case': 'yes'}", DS_BAD_FORMAT, "do_lower_case is \"yes\", expected true or false"},
        {SPECIALS, "{'unk_token': 3}", DS_BAD_FORMAT, "unk_token is 3"},
        {SPECIALS, "[]", DS_BAD_FORMAT, "tokenizer_config.json"},
        {SPECIALS, "", DS_BAD_FORMAT, "tokenizer_config.json"},
        {SPECIALS, "{'tokenizer_class': 'BertJapaneseTokenizer'}", DS_UNSUPPORTED,
         "tokenizer_class is \"BertJapaneseTokenizer\""},
        {SPECIALS, "{'tokenizer_class': 'MPNetTokenizer'}", DS_UNSUPPORTED, "tokenizer.json"},
        {SPECIALS, "{'added_tokens_decoder': {'x': {'content': 'y'}}}", DS_BAD_FORMAT, "the id \"x\""},
        {SPECIALS, "{'added_tokens_decoder': {'9': {'content': 'y'}}}", DS_BAD_FORMAT,
         "\"y\" has the id 9, expected 5"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *config = rows[i].config ? json_of(rows[i].config) : NULL;
        ds_tokenizer *tokenizer;
        ds_status status = ds__load_vocab_txt(&case_heap, "vocab.txt", ds__str_of(rows[i].lines),
                                              "tokenizer_config.json", ds__str_of(config), &tokenizer, &case_error);
        if (status != rows[i].status || !strstr(case_error.message, rows[i].needle))
            fail_msg("%zu gives %s: %s", i, ds_status_name(status), status == DS_OK ? "" : case_error.message);
        assert_int_equal(case_heap.bytes, 0);
        free(config);
    }
}

/* ---- which files of a folder are taken ---- */

static ds_status open_folder(const scratch_folder *folder, ds_tokenizer **tokenizer) {
    *tokenizer = NULL;
    return ds__tokenizer_open(&case_heap, folder->path, tokenizer, &case_error);
}

static void a_folder_is_searched(void **state) {
    (void)state;
    scratch_folder folder;
    ds_tokenizer *t;
    scratch_create(&folder);
    assert_int_equal(open_folder(&folder, &t), DS_NOT_FOUND);
    assert_non_null(strstr(case_error.message, "neither tokenizer.json nor vocab.txt"));
    scratch_write_text(&folder, "merges.txt", "a b\n");
    assert_int_equal(open_folder(&folder, &t), DS_UNSUPPORTED);
    assert_non_null(strstr(case_error.message, "tokenizer.json"));
    scratch_write_text(&folder, "vocab.txt", SPECIALS "a\n");
    assert_int_equal(open_folder(&folder, &t), DS_OK);
    assert_int_equal(t->model, DS__MODEL_WORDPIECE);
    ds__tokenizer_close(t);
    scratch_write_text(&folder, "tokenizer_config.json", "{\"do_lower_case\": 7}");
    assert_int_equal(open_folder(&folder, &t), DS_BAD_FORMAT);
    assert_non_null(strstr(case_error.message, scratch_path(&folder, "tokenizer_config.json")));
    scratch_write_text(&folder, "tokenizer_config.json", "");
    assert_int_equal(open_folder(&folder, &t), DS_BAD_FORMAT);
    scratch_write_text(&folder, "tokenizer.json",
                       "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}");
    assert_int_equal(open_folder(&folder, &t), DS_OK);
    assert_int_equal(t->model, DS__MODEL_BPE);
    ds__tokenizer_close(t);
    scratch_write_text(&folder, "tokenizer.json", "");
    assert_int_equal(open_folder(&folder, &t), DS_BAD_FORMAT);
    scratch_delete(&folder, "tokenizer.json");
    scratch_make_folder(&folder, "tokenizer.json");
    assert_int_equal(open_folder(&folder, &t), DS_IO);
    scratch_destroy(&folder);
    assert_int_equal(open_folder(&folder, &t), DS_NOT_FOUND);
    assert_non_null(strstr(case_error.message, "no such folder"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_berts_defaults),
        cmocka_unit_test(lines_end_as_python_reads_them),
        cmocka_unit_test(the_last_line_of_a_text_counts),
        cmocka_unit_test(the_configuration_is_followed),
        cmocka_unit_test(tokens_of_the_configuration_are_added),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_folder_is_searched),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
