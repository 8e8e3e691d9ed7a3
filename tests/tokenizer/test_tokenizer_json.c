/* tokenizer.json: what is read in which forms, and what is refused, with which sentence. */
#include "tokenizer_case.h"

#define MODEL                                                                                                          \
    "'model': {'type': 'WordPiece', 'unk_token': 'u', 'continuing_subword_prefix': '##', 'max_input_chars_per_word': " \
    "9, 'vocab': {'u': 0, 'a': 1}}"
#define BPE_MODEL "'model': {'type': 'BPE', 'vocab': {'a': 0, 'b': 1, 'ab': 2}, 'merges': ['a b']}"

static void many_forms_are_read(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{" MODEL "}",
        "{'version': '1.0', 'truncation': {'a': [1, {}]}, 'padding': null, 'decoder': {'type': 'X'}, 'normalizer': "
        "null, "
        "'pre_tokenizer': null, 'post_processor': null, 'added_tokens': [], " MODEL ", 'more': 1.5e3}",
        /* no types, as in files of old */
        "{'model': {'unk_token': 'u', 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 9, 'vocab': {'u': "
        "0}}}",
        "{'model': {'dropout': null, 'unk_token': null, 'vocab': {'a': 0}, 'merges': []}}",
        /* merges before the vocabulary, the type last; a version line, a dropout of 0 */
        "{'model': {'merges': ['#version: 0.2', 'a b'], 'dropout': 0.0, 'vocab': {'a': 0, 'b': 1, 'ab': 2}, 'type': "
        "'BPE'}}",
        "{'model': {'merges': [['a', 'b']], 'vocab': {'a': 0, 'b': 1, 'ab': 2}, 'type': 'BPE', "
        "'continuing_subword_prefix': '', "
        "'end_of_word_suffix': '', 'byte_fallback': false}}",
        "{'normalizer': {'type': 'Sequence', 'normalizers': [{'type': 'NFKC'}, {'type': 'Sequence', 'normalizers': "
        "[]}, {'type': "
        "'Replace', 'pattern': {'String': 'x'}, 'content': ''}]}, " MODEL "}",
        "{'normalizer': {'type': 'Strip', 'strip_left': true, 'strip_right': false}, 'pre_tokenizer': {'type': "
        "'Sequence', "
        "'pretokenizers': [{'type': 'Whitespace'}, {'type': 'Punctuation', 'behavior': 'Contiguous'}, {'type': "
        "'Split', "
        "'pattern': {'Regex': '\\\\d+'}, 'behavior': 'MergedWithNext', 'invert': false}]}, " MODEL "}",
        "{'model': {'type': 'BPE', 'vocab': {'a': 0, 'b': 9}, 'merges': []}}", /* holes */
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (try_json(texts[i]) != DS_OK) fail_msg("%zu: %s", i, case_error.message);
    ds_tokenizer *t = must_load(texts[4]);
    check(t, "ab", "ab@0-2");
    ds__tokenizer_close(t);
}

static const struct {
    const char *text;
    ds_status status;
    const char *needles[3];
} refusals[] = {
    {"", DS_BAD_FORMAT, {"tokenizer.json"}},
    {"[]", DS_BAD_FORMAT, {"tokenizer.json", "object"}},
    {"{}", DS_BAD_FORMAT, {"model is missing"}},
    {"{'model': null}", DS_BAD_FORMAT, {"model is missing"}},
    {"{'model': 7}", DS_BAD_FORMAT, {"object"}},
    {"{" MODEL "} x", DS_BAD_FORMAT, {"more text"}},
    {"{\n" MODEL, DS_BAD_FORMAT, {"line 2"}},
    {"{'model': {'type': 'Unigram', 'vocab': [['a', 0.5]]}}",
     DS_UNSUPPORTED,
     {"model.type is \"Unigram\"", "WordPiece and BPE"}},
    {"{'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': ''}, 'model': {'type': 'Unigram', 'vocab': []}}",
     DS_UNSUPPORTED,
     {"model.type is \"Unigram\""}},
    {"{'model': {'vocab': [['a', 0.5]], 'unk_id': 0}}", DS_UNSUPPORTED, {"\"Unigram\""}},
    {"{'model': {'type': 'WordLevel', 'vocab': {'a': 0}}}", DS_UNSUPPORTED, {"\"WordLevel\""}},
    {"{'model': {'vocab': {'a': 0}}}", DS_UNSUPPORTED, {"\"WordLevel\""}},
    {"{'model': {'type': 'BPE', 'merges': []}}", DS_BAD_FORMAT, {"model.vocab is missing"}},
    {"{'model': {'type': 'BPE', 'vocab': ['a'], 'merges': []}}", DS_BAD_FORMAT, {"model.vocab is an array"}},
    {"{'model': {'type': 'BPE', 'vocab': 'a', 'merges': []}}", DS_BAD_FORMAT, {"object"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': -1}, 'merges': []}}",
     DS_BAD_FORMAT,
     {"\"a\" the id -1", "from 0 to 16777215"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 16777216}, 'merges': []}}", DS_BAD_FORMAT, {"\"a\" the id 16777216"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 99999999999999999999}, 'merges': []}}",
     DS_BAD_FORMAT,
     {"\"a\" the id 9999"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1.5}, 'merges': []}}", DS_BAD_FORMAT, {"\"a\" the id 1.5"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 'b'}, 'merges': []}}", DS_BAD_FORMAT, {"\"a\" the id \"b\""}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': [[1]]}, 'merges': []}}", DS_BAD_FORMAT, {"\"a\" the id"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1, 'b': 1}, 'merges': []}}",
     DS_BAD_FORMAT,
     {"two tokens have the id 1"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1, 'b': 0}, 'merges': ['a b']}}",
     DS_BAD_FORMAT,
     {"result \"ab\" is not in model.vocab"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1, 'ab': 0}, 'merges': ['a b']}}", DS_BAD_FORMAT, {"second part \"b\""}},
    {"{'model': {'type': 'BPE', 'merges': ['x b'], 'vocab': {'a': 1, 'ab': 0}}}", DS_BAD_FORMAT, {"first part \"x\""}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': ['a']}}", DS_BAD_FORMAT, {"number 1", "two parts"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': ['a b c']}}", DS_BAD_FORMAT, {"two parts"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [['a']]}}", DS_BAD_FORMAT, {"two parts"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [['a', 'b', 'c']]}}", DS_BAD_FORMAT, {"two parts"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [3]}}", DS_BAD_FORMAT, {"merge"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': {}}}", DS_BAD_FORMAT, {"array"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [], 'dropout': 0.1}}",
     DS_UNSUPPORTED,
     {"model.dropout is 0.1"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [], 'byte_fallback': true}}",
     DS_UNSUPPORTED,
     {"byte_fallback is true"}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [], 'end_of_word_suffix': '</w>'}}",
     DS_UNSUPPORTED,
     {"end_of_word_suffix is \"</w>\""}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [], 'continuing_subword_prefix': '##'}}",
     DS_UNSUPPORTED,
     {"continuing_subword_prefix is \"##\""}},
    {"{'model': {'type': 'BPE', 'vocab': {'a': 1}, 'merges': [], 'unk_token': 'x'}}",
     DS_BAD_FORMAT,
     {"model.unk_token is \"x\""}},
    {"{'model': {'type': 'WordPiece', 'max_input_chars_per_word': 9, 'vocab': {'a': 1}}}",
     DS_BAD_FORMAT,
     {"model.unk_token is \"[UNK]\""}},
    {"{'model': {'type': 'WordPiece', 'max_input_chars_per_word': 0, 'vocab': {'[UNK]': 1}}}",
     DS_BAD_FORMAT,
     {"max_input_chars_per_word is 0"}},
    {"{'model': {'type': 'WordPiece', 'max_input_chars_per_word': NaN, 'vocab': {'[UNK]': 1}}}",
     DS_BAD_FORMAT,
     {"NaN"}},
    {"{'model': {'type': 5, 'vocab': {}}}", DS_BAD_FORMAT, {"model.type is 5"}},
    {"{'normalizer': {'type': 'Nmt'}, " MODEL "}", DS_UNSUPPORTED, {"normalizer type is \"Nmt\"", "BertNormalizer"}},
    {"{'normalizer': {}, " MODEL "}", DS_BAD_FORMAT, {"normalizer type is missing"}},
    {"{'normalizer': {'type': 'BertNormalizer', 'lowercase': 1}, " MODEL "}", DS_BAD_FORMAT, {"lowercase is 1"}},
    {"{'normalizer': {'type': 'Replace', 'pattern': {'Regex': 'a+'}, 'content': ''}, " MODEL "}",
     DS_UNSUPPORTED,
     {"\"a+\"", "regular"}},
    {"{'normalizer': {'type': 'Replace', 'pattern': {'String': ''}, 'content': ''}, " MODEL "}",
     DS_UNSUPPORTED,
     {"empty"}},
    {"{'normalizer': {'type': 'Replace', 'content': ''}, " MODEL "}", DS_BAD_FORMAT, {"no pattern"}},
    {"{'pre_tokenizer': {'type': 'Metaspace'}, " MODEL "}", DS_UNSUPPORTED, {"pre_tokenizer type is \"Metaspace\""}},
    {"{'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '('}, 'behavior': 'Isolated', 'invert': false}, " MODEL
     "}",
     DS_UNSUPPORTED,
     {"\"(\""}},
    {"{'pre_tokenizer': {'type': 'Split', 'behavior': 'Isolated', 'invert': false}, " MODEL "}",
     DS_BAD_FORMAT,
     {"no pattern"}},
    {"{'pre_tokenizer': {'type': 'Punctuation', 'behavior': 'Eaten'}, " MODEL "}",
     DS_BAD_FORMAT,
     {"behavior is \"Eaten\""}},
    {"{'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': true}, " MODEL "}",
     DS_UNSUPPORTED,
     {"ByteLevel", "BPE"}},
    {"{'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'ByteLevel'}, {'type': "
     "'Whitespace'}]}, " BPE_MODEL "}",
     DS_UNSUPPORTED,
     {"ByteLevel as number 1 of 2"}},
    {"{'post_processor': {'type': 'Odd'}, " MODEL "}", DS_UNSUPPORTED, {"post_processor type is \"Odd\""}},
    {"{'post_processor': {'type': 'BertProcessing', 'sep': ['a', 1]}, " MODEL "}",
     DS_BAD_FORMAT,
     {"BertProcessing has no cls"}},
    {"{'post_processor': {'type': 'BertProcessing', 'sep': ['a', 1], 'cls': ['b', 7]}, " MODEL "}",
     DS_BAD_FORMAT,
     {"\"b\" has the id 7"}},
    {"{'post_processor': {'type': 'BertProcessing', 'sep': ['a', 1], 'cls': ['b', 1]}, " MODEL "}",
     DS_BAD_FORMAT,
     {"\"b\" has the id 1", "is \"a\""}},
    {"{'post_processor': {'type': 'BertProcessing', 'sep': ['a'], 'cls': ['b', 1]}, " MODEL "}",
     DS_BAD_FORMAT,
     {"sep has 1 parts"}},
    {"{'post_processor': {'type': 'BertProcessing', 'sep': ['a', -1], 'cls': ['b', 1]}, " MODEL "}",
     DS_BAD_FORMAT,
     {"-1"}},
    {"{'post_processor': {'type': 'Sequence', 'processors': [{'type': 'BertProcessing', 'sep': ['a', 1], 'cls': ['a', "
     "1]}, {'type': 'TemplateProcessing', "
     "'single': [], 'pair': [], 'special_tokens': {}}]}, " MODEL "}",
     DS_UNSUPPORTED,
     {"BertProcessing and then TemplateProcessing"}},
    {"{'post_processor': {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': 'Q', 'type_id': 0}}], "
     "'pair': [], 'special_tokens': {}}, " MODEL "}",
     DS_BAD_FORMAT,
     {"\"Q\"", "special_tokens"}},
    {"{'post_processor': {'type': 'TemplateProcessing', 'single': [], 'pair': [], 'special_tokens': {}}, " MODEL "}",
     DS_UNSUPPORTED,
     {"first text 0 times"}},
    {"{'post_processor': {'type': 'TemplateProcessing', 'single': [{'Sequence': {'id': 'C', 'type_id': 0}}], 'pair': "
     "[], 'special_tokens': {}}, " MODEL "}",
     DS_BAD_FORMAT,
     {"sequence \"C\""}},
    {"{'post_processor': {'type': 'TemplateProcessing', 'single': [{'Word': {'id': 'A'}}], 'pair': [], "
     "'special_tokens': {}}, " MODEL "}",
     DS_BAD_FORMAT,
     {"part \"Word\""}},
    {"{'post_processor': {'type': 'TemplateProcessing', 'single': [], 'pair': [], 'special_tokens': {'x': {'ids': [1, "
     "0], 'tokens': ['a']}}}, " MODEL "}",
     DS_BAD_FORMAT,
     {"2 ids and 1 tokens"}},
    {"{'added_tokens': {'id': 0}, " MODEL "}", DS_BAD_FORMAT, {"array"}},
    {"{'added_tokens': [{'id': 'x', 'content': 'a'}], " MODEL "}", DS_BAD_FORMAT, {"id is \"x\""}},
    {"{'added_tokens': [{'content': 'a'}], " MODEL "}", DS_BAD_FORMAT, {"no id"}},
    {"{'added_tokens': [{'id': 2, 'content': 'x', 'lstrip': 'yes'}], " MODEL "}", DS_BAD_FORMAT, {"lstrip is \"yes\""}},
};

static void what_is_wrong_is_named(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        ds_status status = try_json(refusals[i].text);
        if (status != refusals[i].status)
            fail_msg("%s\ngives %s: %s", refusals[i].text, ds_status_name(status), case_error.message);
        if (strncmp(case_error.message, "tokenizer.json", 14) != 0) fail_msg("no file in \"%s\"", case_error.message);
        for (int n = 0; n < 3 && refusals[i].needles[n]; n++)
            if (!strstr(case_error.message, refusals[i].needles[n]))
                fail_msg("\"%s\" lacks \"%s\"", case_error.message, refusals[i].needles[n]);
        assert_null(strchr(case_error.message, '\n'));
        assert_null(strstr(case_error.message + 1, "tokenizer.json")); /* said once */
        assert_int_equal(case_heap.bytes, 0);
    }
}

static void a_long_token_is_refused(void **state) {
    (void)state;
    size_t size = DS__MAX_TOKEN_BYTES + 1;
    char *text = malloc(size + 200);
    assert_non_null(text);
    int start = sprintf(text, "{'model': {'type': 'BPE', 'merges': [], 'vocab': {'");
    memset(text + start, 'x', size);
    strcpy(text + start + size, "': 0}}}");
    assert_int_equal(try_json(text), DS_BAD_FORMAT);
    assert_non_null(strstr(case_error.message, "65537 bytes"));
    free(text);
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 10000 };
    static const char *const openers[] = {"{'normalizer': ", "{'normalizer': {'type': 'Sequence', 'normalizers': [",
                                          "{'pre_tokenizer': {'pretokenizers': [",
                                          "{'post_processor': {'processors': ["};
    static const char *const levels[] = {"[", "{'normalizers': [", "{'pretokenizers': [", "{'processors': ["};
    char *text = malloc(DEPTH * 32);
    assert_non_null(text);
    for (int kind = 0; kind < 4; kind++) {
        char *end = text + sprintf(text, "%s", openers[kind]);
        for (int i = 0; i < DEPTH; i++) end += sprintf(end, "%s", levels[kind]);
        assert_int_equal(try_json(text), DS_BAD_FORMAT);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_forms_are_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_long_token_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
