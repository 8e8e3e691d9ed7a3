/* Arenas: alignment, no overlap, large requests, reuse after a reset, failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/random.h"

static void pieces_are_aligned_and_apart(void **state) {
    ds__heap heap;
    ds__arena arena;
    ds__heap_init(&heap, NULL, 0);
    ds__arena_init(&arena, &heap, 256);
    enum { PIECES = 500 };
    unsigned char *pieces[PIECES];
    size_t sizes[PIECES];
    ds__random random = {1};
    for (int i = 0; i < PIECES; i++) {
        sizes[i] = ds__random_below(&random, 400); /* some are larger than a block */
        pieces[i] = ds__arena_alloc(&arena, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], i & 255, sizes[i]);
    }
    for (int i = 0; i < PIECES; i++)
        for (size_t b = 0; b < sizes[i]; b++) assert_int_equal(pieces[i][b], i & 255);
    ds__arena_deinit(&arena);
    assert_int_equal(heap.bytes, 0);
    ds__arena_deinit(&arena); /* once more is harmless */
}

static void empty_pieces_are_distinct(void **state) {
    ds__heap heap;
    ds__arena arena;
    ds__heap_init(&heap, NULL, 0);
    ds__arena_init(&arena, &heap, 0);
    assert_int_equal(heap.bytes, 0); /* nothing is taken before it is needed */
    void *a = ds__arena_alloc(&arena, 0), *b = ds__arena_alloc(&arena, 0);
    assert_non_null(a);
    assert_ptr_not_equal(a, b);
    assert_int_equal(heap.allocations, 1);
    ds__arena_deinit(&arena);
}

static void a_reset_reuses_the_blocks(void **state) {
    ds__heap heap;
    ds__arena arena;
    ds__heap_init(&heap, NULL, 0);
    ds__arena_init(&arena, &heap, 1024);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 50; i++) {
            unsigned char *zeroed = ds__arena_zeroed(&arena, 100);
            for (int b = 0; b < 100; b++) assert_int_equal(zeroed[b], 0);
            memset(zeroed, 0xFF, 100);
        }
        assert_non_null(ds__arena_alloc(&arena, 5000));
        if (round == 0) heap.fail_at = heap.allocations + 1; /* no later round may ask for memory */
        ds__arena_reset(&arena);
    }
    ds__arena_deinit(&arena);
    assert_int_equal(heap.bytes, 0);
}

static void copies_are_terminated(void **state) {
    ds__heap heap;
    ds__arena arena;
    ds__heap_init(&heap, NULL, 0);
    ds__arena_init(&arena, &heap, 0);
    ds__str copy = ds__arena_copy(&arena, DS_STR("a\0b"));
    assert_int_equal(copy.size, 3);
    assert_memory_equal(copy.data, "a\0b", 4);
    copy = ds__arena_copy(&arena, (ds__str){NULL, 0});
    assert_int_equal(copy.size, 0);
    assert_string_equal(copy.data, "");
    ds__arena_deinit(&arena);
}

static void failure_gives_null_and_breaks_nothing(void **state) {
    ds__heap heap;
    ds__arena arena;
    ds__heap_init(&heap, NULL, 0);
    ds__arena_init(&arena, &heap, 64);
    assert_null(ds__arena_alloc(&arena, SIZE_MAX));
    assert_null(ds__arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(ds__arena_alloc(&arena, SIZE_MAX - 40));
    assert_null(ds__arena_zeroed(&arena, SIZE_MAX / 2));
    assert_null(ds__arena_copy(&arena, (ds__str){"x", SIZE_MAX}).data);
    char *kept = ds__arena_alloc(&arena, 10);
    memcpy(kept, "123456789", 10);
    heap.fail_at = heap.allocations + 1;
    assert_null(ds__arena_alloc(&arena, 1000));
    assert_string_equal(kept, "123456789");
    assert_non_null(ds__arena_alloc(&arena, 1000));
    ds__arena_deinit(&arena);
    assert_int_equal(heap.bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(empty_pieces_are_distinct),
        cmocka_unit_test(a_reset_reuses_the_blocks),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(failure_gives_null_and_breaks_nothing),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
