/* The vocabulary's hash table: growing, replacing, order by id, holes, failing memory. */
#include "tokenizer_case.h"

#include "base/random.h"

static void finds_what_was_put(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    ds__vocab vocab;
    char text[32];
    int32_t twice;
    ds__vocab_init(&vocab, &case_heap);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "token%d", i * 7);
        assert_true(ds__vocab_put(&vocab, ds__str_of(text), COUNT - 1 - i)); /* falling ids: must be sorted */
    }
    assert_true(ds__vocab_sort(&vocab, &twice));
    assert_int_equal(vocab.size, COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "token%d", i * 7);
        ds__str name = ds__str_of(text);
        assert_int_equal(ds__vocab_find(&vocab, name), COUNT - 1 - i);
        assert_true(ds__str_equal(ds__vocab_text(&vocab, COUNT - 1 - i), name));
        ds__str head = {name.data, 3}, tail = {name.data + 3, name.size - 3};
        assert_int_equal(ds__vocab_probe(&vocab, ds__vocab_hash(DS__VOCAB_SEED, name), head, tail), COUNT - 1 - i);
    }
    assert_int_equal(ds__vocab_find(&vocab, DS_STR("token1")), -1);
    assert_int_equal(ds__vocab_find(&vocab, DS_STR("")), -1);
    assert_null(ds__vocab_text(&vocab, -1).data);
    assert_null(ds__vocab_text(&vocab, COUNT).data);
    ds__vocab_deinit(&vocab);
}

static void the_last_id_counts_and_leaves_a_hole(void **state) {
    (void)state;
    ds__vocab vocab;
    int32_t twice;
    ds__vocab_init(&vocab, &case_heap);
    assert_true(ds__vocab_put(&vocab, DS_STR("a"), 0) && ds__vocab_put(&vocab, DS_STR("b"), 1) &&
                ds__vocab_put(&vocab, DS_STR("a"), 5) && ds__vocab_put(&vocab, DS_STR(""), 9));
    assert_true(ds__vocab_sort(&vocab, &twice));
    assert_int_equal(ds__vocab_find(&vocab, DS_STR("a")), 5);
    assert_int_equal(ds__vocab_find(&vocab, DS_STR("")), 9);
    assert_null(ds__vocab_text(&vocab, 0).data);
    assert_true(ds__str_is(ds__vocab_text(&vocab, 5), "a"));
    assert_int_equal(vocab.size, 10);
    ds__vocab_deinit(&vocab);
}

static void one_id_for_two_tokens_is_seen(void **state) {
    (void)state;
    ds__vocab vocab;
    int32_t twice;
    ds__vocab_init(&vocab, &case_heap);
    assert_true(ds__vocab_put(&vocab, DS_STR("a"), 3) && ds__vocab_put(&vocab, DS_STR("b"), 1) &&
                ds__vocab_put(&vocab, DS_STR("c"), 3));
    assert_false(ds__vocab_sort(&vocab, &twice));
    assert_int_equal(twice, 3);
    ds__vocab_deinit(&vocab);
}

static void an_empty_one_finds_nothing(void **state) {
    (void)state;
    ds__vocab vocab;
    int32_t twice;
    ds__vocab_init(&vocab, &case_heap);
    assert_int_equal(ds__vocab_find(&vocab, DS_STR("a")), -1);
    assert_true(ds__vocab_sort(&vocab, &twice));
    assert_int_equal(ds__vocab_find(&vocab, DS_STR("a")), -1);
    assert_null(ds__vocab_text(&vocab, 0).data);
    ds__vocab_deinit(&vocab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_put),
        cmocka_unit_test(the_last_id_counts_and_leaves_a_hole),
        cmocka_unit_test(one_id_for_two_tokens_is_seen),
        cmocka_unit_test(an_empty_one_finds_nothing),
    };
    return cmocka_run_group_tests(tests, case_open, case_close);
}
