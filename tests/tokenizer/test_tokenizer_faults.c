/* The n-th allocation fails, for every n, through opening, encoding and closing: the right status, nothing left over.
 */
#include "tokenizer_case.h"

/* Everything that allocates: a pattern, both kinds of added tokens, normal forms, templates. */
static const char wordpiece[] = "{'added_tokens': [{'id': 0, 'content': '[UNK]', 'special': true}, {'id': 4, "
                                "'content': '<X>', 'normalized': true}], "
                                "'normalizer': {'type': 'Sequence', 'normalizers': [{'type': 'NFD'}, {'type': "
                                "'Replace', 'pattern': {'String': 'q'}, "
                                "'content': 'a'}, {'type': 'BertNormalizer', 'clean_text': true, "
                                "'handle_chinese_chars': true, 'lowercase': true}]}, "
                                "'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'BertPreTokenizer'}, "
                                "{'type': 'Split', 'pattern': "
                                "{'Regex': '\\\\d+'}, 'behavior': 'Isolated', 'invert': false}]}, "
                                "'post_processor': {'type': 'BertProcessing', 'sep': ['b', 2], 'cls': ['a', 1]}, "
                                "'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'max_input_chars_per_word': 100, "
                                "'vocab': {'[UNK]': 0, 'a': 1, "
                                "'b': 3, 'b': 2, '##b': 3}}}";
static const char bpe[] =
    "{'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': true, 'trim_offsets': true}, "
    "'post_processor': {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': '<s>', 'type_id': 0}}, "
    "{'Sequence': {'id': 'A', 'type_id': 0}}], 'pair': [{'Sequence': {'id': 'A', 'type_id': 0}}, {'Sequence': {'id': "
    "'B', "
    "'type_id': 1}}], 'special_tokens': {'<s>': {'id': '<s>', 'ids': [3], 'tokens': ['a']}}}, "
    "'model': {'merges': ['a b', ['ab', 'a']], 'type': 'BPE', 'unk_token': 'b', 'vocab': {'b': 0, 'ab': 1, 'aba': 2, "
    "'a': 3}}}";

static void fill(char *text, size_t size) {
    static const char part[] = "ab b1 \xc3\xa9\xcc\x81 \xe4\xb8\xad<x>A\xff ";
    for (size_t i = 0; i < size; i++) text[i] = part[i % (sizeof part - 1)];
}

/* Opens, encodes a short text, a long one and a pair, closes. */
static ds_status use(ds__heap *heap, const char *json, const char *config) {
    char text[6000];
    ds_tokenizer *tokenizer = NULL;
    ds_encoding *encoding = NULL;
    ds_text pair = {"ab", 2};
    fill(text, sizeof text);
    memset(text + 1000, 'a', 500); /* one long word */
    ds_status status = json ? ds__load_json(heap, "tokenizer.json", ds__str_of(json), &tokenizer, &case_error)
                            : ds__load_vocab_txt(heap, "vocab.txt", DS_STR("[UNK]\n[CLS]\n[SEP]\na\n##b\n"),
                                                 "tokenizer_config.json", ds__str_of(config), &tokenizer, &case_error);
    if (status == DS_OK) status = ds__encoding_create(heap, &encoding, &case_error);
    if (status == DS_OK) status = ds__tokenizer_encode(tokenizer, (ds_text){"ab", 2}, NULL, 0, encoding, &case_error);
    if (status == DS_OK)
        status = ds__tokenizer_encode(tokenizer, (ds_text){text, sizeof text}, &pair, 0, encoding, &case_error);
    if (encoding && status != DS_OK) assert_int_equal(encoding->size, 0);
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(tokenizer);
    return status;
}

/* survivors: how many of the allocations the library can do without. */
static void fail_each(const char *json, const char *config, uint64_t survivors) {
    char *text = json ? json_of(json) : NULL, *settings = config ? json_of(config) : NULL;
    uint64_t failed = 0, survived = 0;
    for (uint64_t n = 1;; n++) {
        ds__heap heap;
        ds__heap_init(&heap, NULL, 0);
        heap.fail_at = n;
        case_error.message[0] = '\0';
        ds_status status = use(&heap, text, settings);
        assert_int_equal(heap.bytes, 0);
        if (heap.allocations < n) {
            if (status != DS_OK) fail_msg("%s", case_error.message);
            break;
        }
        if (status == DS_OK && survived++ < survivors) continue;
        if (status != DS_OUT_OF_MEMORY || !case_error.message[0])
            fail_msg("allocation %llu: %s: %s", (unsigned long long)n, ds_status_name(status), case_error.message);
        failed++;
    }
    assert_true(failed > 20);
    printf("%llu allocations failed, one at a time; %llu could be done without\n", (unsigned long long)failed,
           (unsigned long long)survived);
    free(text);
    free(settings);
}

static void a_wordpiece_tokenizer(void **state) {
    (void)state;
    fail_each(wordpiece, NULL, 12); /* PCRE2 makes machine code or, without memory for that, interprets */
}

static void a_bpe_tokenizer(void **state) {
    (void)state;
    fail_each(bpe, NULL, 0);
}

static void a_vocab_txt(void **state) {
    (void)state;
    fail_each(NULL, "{'unk_token': '[UNK\\u005d', 'added_tokens_decoder': {'3': {'content': 'a'}}}", 0);
}

/* A limit in place of a count: refused with both numbers. */
static void the_memory_limit_holds(void **state) {
    (void)state;
    char *text = json_of(bpe);
    for (uint64_t limit = 1000; limit < 400000; limit += limit / 3) {
        ds__heap heap;
        ds__heap_init(&heap, NULL, limit);
        ds_status status = use(&heap, text, NULL);
        assert_true(status == DS_OK || status == DS_MEMORY_LIMIT);
        assert_true(heap.peak_bytes <= limit && heap.bytes == 0);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wordpiece_tokenizer),
        cmocka_unit_test(a_bpe_tokenizer),
        cmocka_unit_test(a_vocab_txt),
        cmocka_unit_test(the_memory_limit_holds),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
