/* The whole way: templates, pairs, truncation, places in the caller's bytes, damaged UTF-8, NUL, the public functions.
 */
#include "tokenizer_case.h"

#include <pthread.h>

#include "base/random.h"

/* BERT in small: lower case, no accents, [CLS] A [SEP] B [SEP]. */
static const char bert[] =
    "{'added_tokens': [{'id': 0, 'content': '[UNK]', 'special': true}, {'id': 3, 'content': '[MASK]', 'special': true, "
    "'normalized': false}], "
    "'normalizer': {'type': 'BertNormalizer', 'clean_text': true, 'handle_chinese_chars': true, 'strip_accents': null, "
    "'lowercase': true}, 'pre_tokenizer': {'type': 'BertPreTokenizer'}, "
    "'post_processor': {'type': 'TemplateProcessing', "
    "'single': [{'SpecialToken': {'id': '[CLS]', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}, "
    "{'SpecialToken': {'id': '[SEP]', 'type_id': 0}}], "
    "'pair': [{'SpecialToken': {'id': '[CLS]', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}, "
    "{'SpecialToken': {'id': '[SEP]', 'type_id': 0}}, {'Sequence': {'id': 'B', 'type_id': 1}}, "
    "{'SpecialToken': {'id': '[SEP]', 'type_id': 1}}], "
    "'special_tokens': {'[CLS]': {'id': '[CLS]', 'ids': [1], 'tokens': ['[CLS]']}, "
    "'[SEP]': {'id': '[SEP]', 'ids': [2], 'tokens': ['[SEP]']}}}, "
    "'truncation': {'max_length': 2}, 'padding': {'length': 512}, "
    "'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'continuing_subword_prefix': '##', "
    "'max_input_chars_per_word': 100, 'vocab': {'[UNK]': 0, '[CLS]': 1, '[SEP]': 2, '[MASK]': 3, 'cafe': 4, '##s': 5, "
    "',': 6, '\xe4\xb8\xad': 7, 'a': 8, 'b': 9, 'ss': 10}}}";

static const char roberta[] =
    "{'added_tokens': [{'id': 5, 'content': '<mask>', 'lstrip': true, 'special': true}], "
    "'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': false, 'trim_offsets': true}, "
    "'post_processor': {'type': 'RobertaProcessing', 'sep': ['</s>', 1], 'cls': ['<s>', 0], 'trim_offsets': true, "
    "'add_prefix_space': false}, "
    "'model': {'type': 'BPE', 'unk_token': null, 'vocab': {'<s>': 0, '</s>': 1, '\xc4\xa0': 2, 'a': 3, '\xc4\xa0"
    "a': 4, "
    "'<mask>': 5, '\xc3\x83': 6, '\xc2\xa9': 7}, 'merges': ['\xc4\xa0 a']}}";

static void places_are_the_callers_bytes(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(bert);
    check(t, "", "[CLS] [SEP]");
    check(t, "Cafes", "[CLS] cafe@0-4 ##s@4-5 [SEP]");
    check(t, " caf\xc3\xa9s, a", "[CLS] cafe@1-6 ##s@6-7 ,@7-8 a@9-10 [SEP]");
    check(t, "cafe\xcc\x81s", "[CLS] cafe@0-4 ##s@6-7 [SEP]"); /* the accent is in nobody's place */
    check(t,
          "c\x01"
          "afe",
          "[CLS] cafe@0-5 [SEP]");
    check(t,
          "a\xe4\xb8\xad"
          "b",
          "[CLS] a@0-1 \xe4\xb8\xad@1-4 b@4-5 [SEP]");
    check(t, "a[MASK]b [mask]", "[CLS] a@0-1 [MASK]@1-7 b@7-8 [UNK]@9-10 [UNK]@10-14 [UNK]@14-15 [SEP]");
    ds__tokenizer_close(t);
}

static void damaged_utf8_is_replaced_by_maximal_parts(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(bert);
    check(t,
          "a\xff"
          "b",
          "[CLS] [UNK]@0-3 [SEP]"); /* U+FFFD is cleaned away: "ab" */
    check(t, "a \xf0\x9f\x98 b", "[CLS] a@0-1 b@6-7 [SEP]");
    check(t, "\xc3", "[CLS] [SEP]");
    check(t, "\xed\xa0\x80 a", "[CLS] a@4-5 [SEP]");
    ds__tokenizer_close(t);
    t = must_load(
        "{'model': {'type': 'BPE', 'unk_token': 'u', 'vocab': {'u': 0, 'a': 1, '\xef\xbf\xbd': 2}, 'merges': []}}");
    check(t,
          "a\xf0\x9f\x98"
          "a\xff\xfe",
          "a@0-1 \xef\xbf\xbd@1-4 a@4-5 \xef\xbf\xbd@5-6 \xef\xbf\xbd@6-7");
    check(t, "\xe0\x80\x80", "\xef\xbf\xbd@0-1 \xef\xbf\xbd@1-2 \xef\xbf\xbd@2-3");
    ds__tokenizer_close(t);
}

static void nul_is_a_character(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(bert);
    check_bytes(t, (ds_text){"a\0 b\0", 5}, NULL, 0, "[CLS] a@0-1 b@3-4 [SEP]"); /* cleaned away like U+0001 */
    ds__tokenizer_close(t);
    t = must_load(
        "{'model': {'type': 'BPE', 'vocab': {'\\u0000': 0, 'a': 1, '\\u0000a': 2}, 'merges': [['\\u0000', 'a']]}}");
    ds_encoding *encoding;
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    assert_int_equal(ds__tokenizer_encode(t, (ds_text){"a\0a\0", 4}, NULL, 0, encoding, &case_error), DS_OK);
    assert_int_equal(encoding->size, 3);
    assert_int_equal(encoding->ids[1], 2);
    assert_int_equal(ds__tokenizer_token(t, 2).size, 2);
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(t);
}

static void pairs_have_two_types(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(bert);
    check_pair(t, "a", "b a", 0, "[CLS] a@0-1 [SEP] b@0-1:1 a@2-3:1 [SEP]:1");
    check_pair(t, "", "", 0, "[CLS] [SEP] [SEP]:1");
    ds__tokenizer_close(t);
    t = must_load(roberta);
    check_pair(t, "a", "a", 0, "<s> a@0-1 </s> </s> a@0-1 </s>");
    ds__tokenizer_close(t);
    t = must_load("{'model': {'type': 'BPE', 'vocab': {'a': 0}, 'merges': []}}");
    check_pair(t, "a", "aa", 0, "a@0-1 a@0-1:1 a@1-2:1"); /* no post-processor: one after the other */
    ds__tokenizer_close(t);
}

static void the_longer_text_is_cut_first(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(bert);
    check_bytes(t, (ds_text){"a a a", 5}, NULL, 4, "[CLS] a@0-1 a@2-3 [SEP]");
    check_bytes(t, (ds_text){"a a a", 5}, NULL, 5, "[CLS] a@0-1 a@2-3 a@4-5 [SEP]");
    check_bytes(t, (ds_text){"a a a", 5}, NULL, 2, "[CLS] [SEP]");
    check_pair(t, "a", "b b b b", 6, "[CLS] a@0-1 [SEP] b@0-1:1 b@2-3:1 [SEP]:1");
    check_pair(t, "a a a a", "b", 6, "[CLS] a@0-1 a@2-3 [SEP] b@0-1:1 [SEP]:1");
    check_pair(t, "a a a", "b b b", 6, "[CLS] a@0-1 [SEP] b@0-1:1 b@2-3:1 [SEP]:1"); /* the odd one is the second's */
    check_pair(t, "a a a a", "b b b", 6, "[CLS] a@0-1 a@2-3 [SEP] b@0-1:1 [SEP]:1");
    check_pair(t, "a a", "b b", 3, "[CLS] [SEP] [SEP]:1");
    ds_encoding *encoding;
    ds_text pair = {"b b b", 5};
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    assert_int_equal(ds__tokenizer_encode(t, (ds_text){"a a a a", 7}, &pair, 6, encoding, &case_error), DS_OK);
    assert_int_equal(encoding->dropped, 4);
    assert_int_equal(ds__tokenizer_encode(t, (ds_text){"a", 1}, &pair, 2, encoding, &case_error), DS_INVALID_ARGUMENT);
    assert_string_equal(case_error.message,
                        "max_tokens is 2, but the tokenizer's template alone adds 3 special tokens");
    assert_int_equal(encoding->size, 0);
    assert_int_equal(ds__tokenizer_encode(t, (ds_text){"a", 1}, NULL, -1, encoding, &case_error), DS_INVALID_ARGUMENT);
    assert_int_equal(ds__tokenizer_encode(t, (ds_text){"a", (size_t)1 << 40}, NULL, 0, encoding, &case_error),
                     DS_INVALID_ARGUMENT);
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(t);
}

static void byte_level_places_leave_spaces_out(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(roberta);
    check(t, "a a",
          "<s> a@0-1 \xc4\xa0"
          "a@2-3 </s>");
    check(t, " a",
          "<s> \xc4\xa0"
          "a@1-2 </s>");
    check(t, "  a",
          "<s> \xc4\xa0@1-1 \xc4\xa0"
          "a@2-3 </s>");
    check(t, "a \xe2\x80\x83<mask>", "<s> a@0-1 <mask>@5-11 </s>"); /* the white space that it took along */
    check(t, "\xc3\xa9", "<s> \xc3\x83@0-2 \xc2\xa9@0-2 </s>");
    ds__tokenizer_close(t);
    /* Without trimming the space is in the token's place. */
    char *plain = strdup(roberta), *trims = strstr(strstr(plain, "RobertaProcessing"), "'trim_offsets': true");
    assert_non_null(trims);
    memcpy(trims, "'trim_offsets':false", 20);
    t = must_load(plain);
    check(t, "a a",
          "<s> a@0-1 \xc4\xa0"
          "a@1-3 </s>");
    ds__tokenizer_close(t);
    free(plain);
}

static void words_are_the_presplitters(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(bert);
    ds_encoding *encoding;
    ds_text pair = {"a b", 3};
    const char *text = "cafes, [MASK]a";
    static const int32_t expected[] = {-1, 0, 0, 1, 2, 3, -1, 0, 1, -1};
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    assert_int_equal(ds__tokenizer_encode(t, (ds_text){text, strlen(text)}, &pair, 0, encoding, &case_error), DS_OK);
    assert_int_equal(encoding->size, 10);
    assert_memory_equal(encoding->words, expected, sizeof expected);
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(t);
}

/* A template may put the second text first and have types of its own. */
static void templates_are_free(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(
        "{'post_processor': {'type': 'Sequence', 'processors': [{'type': 'ByteLevel', 'add_prefix_space': true, "
        "'trim_offsets': true}, {'type': 'TemplateProcessing', 'single': [{'Sequence': {'id': 'A', 'type_id': 3}}, "
        "{'SpecialToken': {'id': 'E', 'type_id': 4}}], 'pair': [{'Sequence': {'id': 'B', 'type_id': 1}}, "
        "{'SpecialToken': {'id': 'E', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 2}}], 'special_tokens': "
        "{'E': {'id': 'E', 'ids': [1, 0], 'tokens': ['b', 'a']}}}]}, "
        "'model': {'type': 'BPE', 'vocab': {'a': 0, 'b': 1, ' ': 2}, 'merges': []}}");
    check(t, "a a", "a@0-1:3  @2-2:3 a@2-3:3 b:4 a:4");
    check_pair(t, "a", "bb", 0, "b@0-1:1 b@1-2:1 b a a@0-1:2");
    ds__tokenizer_close(t);
}

/* Whatever the bytes: places rise and stay inside, words rise, ids exist. */
static void random_bytes_keep_the_promises(void **state) {
    (void)state;
    ds_tokenizer *tokenizers[] = {must_load(bert), must_load(roberta)};
    ds_encoding *encoding;
    ds__random random = {17};
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    for (int round = 0; round < 4000; round++) {
        ds_tokenizer *t = tokenizers[round % 2];
        char text[64];
        size_t size = ds__random_below(&random, sizeof text);
        for (size_t i = 0; i < size; i++) {
            uint32_t dice = ds__random_below(&random, 3);
            text[i] = dice ? "ab, \xe4\xb8\xad\xc3\xa9\xcc\x81[MASK]<mask>"[ds__random_below(&random, 24)]
                           : (char)ds__random_below(&random, 256);
        }
        assert_int_equal(ds__tokenizer_encode(t, (ds_text){text, size}, NULL, 0, encoding, &case_error), DS_OK);
        int32_t place = 0, word = -1;
        for (size_t i = 1; i + 1 < encoding->size; i++) {
            const int32_t *offsets = encoding->offsets + 2 * i;
            assert_true(offsets[0] >= place && offsets[1] >= offsets[0] && (size_t)offsets[1] <= size);
            assert_true(encoding->words[i] >= word);
            assert_non_null(ds__tokenizer_token(t, encoding->ids[i]).data);
            place = offsets[0];
            word = encoding->words[i];
        }
    }
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(tokenizers[0]);
    ds__tokenizer_close(tokenizers[1]);
}

/* One tokenizer, an encoding for each thread: every thread gets what one alone gets. */
typedef struct worker {
    pthread_t thread;
    const ds_tokenizer *tokenizer;
    uint64_t hash; /* of all ids and places */
} worker;

static void *work(void *argument) {
    worker *self = argument;
    ds_encoding *encoding;
    ds_error error;
    ds__random random = {23};
    if (ds__encoding_create(&case_heap, &encoding, &error) != DS_OK) return NULL;
    for (int round = 0; round < 2000; round++) {
        static const char *const parts[] = {"a",      " b",           "cafe", "\xc3\xa9", "<mask>",
                                            "[MASK]", "\xe4\xb8\xad", " ",    "\xff"};
        char text[200] = "";
        for (uint32_t i = ds__random_below(&random, 20); i > 0; i--)
            strcat(text, parts[ds__random_below(&random, sizeof parts / sizeof parts[0])]);
        if (ds__tokenizer_encode(self->tokenizer, (ds_text){text, strlen(text)}, NULL, 0, encoding, &error) != DS_OK)
            self->hash = 0;
        for (size_t i = 0; i < 2 * encoding->size; i++)
            self->hash = self->hash * 31 + (uint64_t)(encoding->ids[i / 2] + encoding->offsets[i]);
    }
    ds__encoding_destroy(encoding);
    return NULL;
}

static void threads_share_a_tokenizer(void **state) {
    (void)state;
    enum { THREADS = 4 };
    const char *const sources[] = {bert, roberta};
    for (int s = 0; s < 2; s++) {
        worker workers[THREADS + 1];
        ds_tokenizer *t = must_load(sources[s]);
        for (int i = 0; i <= THREADS; i++) workers[i] = (worker){.tokenizer = t};
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
        work(&workers[THREADS]);
        assert_true(workers[THREADS].hash != 0);
        for (int i = 0; i < THREADS; i++) assert_true(workers[i].hash == workers[THREADS].hash);
        ds__tokenizer_close(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_the_callers_bytes),
        cmocka_unit_test(damaged_utf8_is_replaced_by_maximal_parts),
        cmocka_unit_test(nul_is_a_character),
        cmocka_unit_test(pairs_have_two_types),
        cmocka_unit_test(the_longer_text_is_cut_first),
        cmocka_unit_test(byte_level_places_leave_spaces_out),
        cmocka_unit_test(words_are_the_presplitters),
        cmocka_unit_test(templates_are_free),
        cmocka_unit_test(random_bytes_keep_the_promises),
        cmocka_unit_test(threads_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
