/* Byte-pair encoding: the order of merges, unknown characters, bytes, and the two ways of merging against each other.
 */
#include "tokenizer_case.h"

#include "base/random.h"

#define BPE(fields, vocab, merges) "{'model': {'type': 'BPE', " fields " 'vocab': {" vocab "}, 'merges': [" merges "]}}"

static void merges_by_rank_from_the_left(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(
        BPE("", "'a': 0, 'b': 1, 'c': 2, 'ab': 3, 'bc': 4, 'abc': 5, 'aa': 6", "'b c', 'a b', 'a bc', 'a a'"));
    check(t, "abc", "abc@0-3"); /* b c first, then a bc; ab c is no merge */
    check(t, "ab", "ab@0-2");
    check(t, "aaa", "aa@0-2 a@2-3");
    check(t, "aab", "a@0-1 ab@1-3");
    check(t, "cab", "c@0-1 ab@1-3");
    ds__tokenizer_close(t);
    t = must_load(BPE("", "'a': 0, 'b': 1, 'c': 2, 'ab': 3, 'bc': 4, 'abc': 5", "['a', 'b'], ['b', 'c'], ['a', 'bc']"));
    check(t, "abc", "ab@0-2 c@2-3");
    ds__tokenizer_close(t);
    t = must_load(BPE("", "'a': 0, ' ': 1, 'a ': 2", "['a', ' ']")); /* a part with a space in it */
    check(t, "aa a", "a@0-1 a @1-3 a@3-4");
    ds__tokenizer_close(t);
}

static void unknown_characters(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(BPE("'unk_token': 'u', 'fuse_unk': false,", "'u': 0, 'a': 1", ""));
    check(t, "ax\xc3\xa9y", "a@0-1 u@1-2 u@2-4 u@4-5");
    ds__tokenizer_close(t);
    t = must_load(BPE("'unk_token': 'u', 'fuse_unk': true,", "'u': 0, 'a': 1", ""));
    check(t, "ax\xc3\xa9ya", "a@0-1 u@1-5 a@5-6");
    ds__tokenizer_close(t);
    t = must_load(BPE("'unk_token': null,", "'u': 0, 'a': 1", ""));
    check(t, "axa", "a@0-1 a@2-3");
    check(t, "x", "");
    ds__tokenizer_close(t);
}

static void a_word_may_be_a_token(void **state) {
    (void)state;
    ds_tokenizer *t = must_load(BPE("'ignore_merges': true,", "'a': 0, 'b': 1, 'ab': 2, 'aab': 3", "'a b'"));
    check(t, "aab", "aab@0-3");
    check(t, "aaab", "a@0-1 a@1-2 ab@2-4");
    ds__tokenizer_close(t);
    t = must_load(BPE("'ignore_merges': false,", "'a': 0, 'b': 1, 'ab': 2, 'aab': 3", "'a b'"));
    check(t, "aab", "a@0-1 ab@1-3");
    ds__tokenizer_close(t);
    t = must_load(
        "{'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': false, 'use_regex': true}, 'model': {'type': "
        "'BPE', 'ignore_merges': true, 'vocab': {'a': 0, 'b': 1, '\xc4\xa0': 2, '\xc4\xa0"
        "ab': 3}, 'merges': []}}");
    check(t, "ab ab",
          "a@0-1 b@1-2 \xc4\xa0"
          "ab@2-5");
    ds__tokenizer_close(t);
}

static void bytes_are_characters(void **state) {
    (void)state;
    ds_tokenizer *t =
        must_load("{'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': true, 'use_regex': true}, "
                  "'model': {'type': 'BPE', 'vocab': {'a': 0, '\xc4\xa0': 1, '\xc3\x83': 2, '\xc2\xa9': 3, "
                  "'\xc4\xa0"
                  "a': 4, '\xc3\x83\xc2\xa9': 5}, 'merges': ['\xc4\xa0 a', '\xc3\x83 \xc2\xa9']}}");
    check(t, "a",
          "\xc4\xa0"
          "a@0-1"); /* the space is put in front and takes no place */
    check(t, " aa",
          "\xc4\xa0"
          "a@0-2 a@2-3");
    check(t, "a\xc3\xa9",
          "\xc4\xa0"
          "a@0-1 \xc3\x83\xc2\xa9@1-3");
    check(t, "a\xc3\xaa",
          "\xc4\xa0"
          "a@0-1 \xc3\x83@1-3"); /* the second byte is in no token; a part has the whole place */
    ds__tokenizer_close(t);
}

/* The plainest way to merge: look at all pairs, take the first of the lowest rank. ids: [count]. A merge of rank r
 * makes the token r % 26. */
static size_t merge_plainly(uint32_t ranks[26][26], int32_t *ids, size_t count) {
    for (;;) {
        size_t best = count;
        for (size_t i = 0; i + 1 < count; i++)
            if (ranks[ids[i]][ids[i + 1]] != DS__BPE_NO_RANK &&
                (best == count || ranks[ids[i]][ids[i + 1]] < ranks[ids[best]][ids[best + 1]]))
                best = i;
        if (best == count) return count;
        ids[best] = (int32_t)(ranks[ids[best]][ids[best + 1]] % 26);
        memmove(ids + best + 1, ids + best + 2, (count - best - 2) * sizeof *ids);
        count--;
    }
}

/* Random tables of merges over 26 tokens, random words, short and long. */
static void all_ways_of_merging_agree(void **state) {
    (void)state;
    ds__random random = {11};
    ds_encoding *encoding;
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    for (int round = 0; round < 300; round++) {
        static uint32_t ranks[26][26];
        ds__bpe bpe = {.unknown = -1};
        ds__vocab vocab;
        int32_t twice;
        char letters[300];
        int32_t ids[300];
        ds__vocab_init(&vocab, &case_heap);
        ds__bpe_forget(&encoding->bpe);
        for (int i = 0; i < 26; i++) {
            char letter = (char)('a' + i);
            assert_true(ds__vocab_put(&vocab, (ds__str){&letter, 1}, i));
        }
        assert_true(ds__vocab_sort(&vocab, &twice) && ds__bpe_reserve(&bpe, &case_heap, 26 * 26));
        for (int a = 0; a < 26; a++)
            for (int b = 0; b < 26; b++) {
                ranks[a][b] = ds__random_below(&random, 3) ? DS__BPE_NO_RANK : ds__random_below(&random, 1u << 20);
                if (ranks[a][b] != DS__BPE_NO_RANK)
                    ds__bpe_add_merge(&bpe, a, b, ranks[a][b], (int32_t)(ranks[a][b] % 26));
            }
        for (int word = 0; word < 20; word++) {
            size_t count = 1 + ds__random_below(&random, word % 2 ? 299 : 39);
            for (size_t i = 0; i < count; i++) {
                ids[i] = (int32_t)ds__random_below(&random, word % 4 ? 26 : 3);
                letters[i] = (char)('a' + ids[i]);
            }
            ds__view view = {letters, (uint32_t)count, NULL, 0};
            encoding->token_count = 0;
            assert_int_equal(
                ds__bpe_encode(&bpe, &vocab, encoding, &view, (ds__piece){0, (uint32_t)count, false}, &case_error),
                DS_OK);
            count = merge_plainly(ranks, ids, count);
            assert_int_equal(encoding->token_count, count);
            uint32_t at = 0;
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(encoding->tokens[i].id, ids[i]);
                assert_int_equal(encoding->tokens[i].start, at);
                at = encoding->tokens[i].end;
            }
            assert_int_equal(at, view.size);
        }
        ds__bpe_deinit(&bpe, &case_heap);
        ds__vocab_deinit(&vocab);
    }
    ds__encoding_destroy(encoding);
}

/* One word of a hundred thousand characters takes no more than n log n. */
static void a_long_word_is_no_disaster(void **state) {
    (void)state;
    enum { SIZE = 100000 };
    ds_tokenizer *t = must_load(BPE("", "'a': 0, 'aa': 1, 'aaaa': 2", "'a a', 'aa aa'"));
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'a', SIZE);
    ds_encoding *encoding;
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    assert_int_equal(ds__tokenizer_encode(t, (ds_text){text, SIZE}, NULL, 0, encoding, &case_error), DS_OK);
    assert_int_equal(encoding->size, SIZE / 4);
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(t);
    free(text);
}

/* One encoding used with two tokenizers in turn: the cache of one must not answer for the other. */
static void the_cache_knows_whose_it_is(void **state) {
    (void)state;
    ds_tokenizer *one = must_load(BPE("", "'a': 0, 'b': 1, 'ab': 2", "'a b'"));
    ds_tokenizer *two = must_load(BPE("", "'a': 0, 'b': 1, 'ab': 2", ""));
    ds_encoding *encoding;
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(ds__tokenizer_encode(i % 2 ? two : one, (ds_text){"ab", 2}, NULL, 0, encoding, &case_error),
                         DS_OK);
        assert_int_equal(encoding->size, i % 2 ? 2 : 1);
    }
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(one);
    ds__tokenizer_close(two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_by_rank_from_the_left), cmocka_unit_test(unknown_characters),
        cmocka_unit_test(a_word_may_be_a_token),        cmocka_unit_test(bytes_are_characters),
        cmocka_unit_test(all_ways_of_merging_agree),    cmocka_unit_test(a_long_word_is_no_disaster),
        cmocka_unit_test(the_cache_knows_whose_it_is),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
