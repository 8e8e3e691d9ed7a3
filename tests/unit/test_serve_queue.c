/* The server's queue: order, priorities, fair shares, requests that come back for more, removal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve/serve_queue.h"

static ds__heap heap;
static ds__queue queue;
static const char alice[] = "alice", bob[] = "bob";

enum { LINKS = 64 };
static ds__queue_link links[LINKS];

static int start(void **state) {
    (void)state;
    ds__heap_init(&heap, NULL, 0);
    queue = (ds__queue){0};
    for (int i = 0; i < LINKS; i++) links[i] = (ds__queue_link){0};
    return 0;
}

static int end(void **state) {
    (void)state;
    ds__queue_deinit(&queue, &heap);
    return heap.bytes == 0 ? 0 : -1;
}

static void put(int i, const char *owner, int priority) {
    assert_true(ds__queue_put(&queue, &heap, owner, priority, &links[i]));
}

/* Takes one, charges it, and returns its number. */
static int take(uint64_t tokens) {
    ds__queue_lane *lane;
    ds__queue_link *link = ds__queue_take(&queue, &lane);
    if (!link) return -1;
    ds__queue_charge(lane, tokens);
    return (int)(link - links);
}

static void first_come_first_served(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) put(i, alice, 0);
    assert_int_equal(queue.count, 5);
    for (int i = 0; i < 5; i++) assert_int_equal(take(1), i);
    assert_int_equal(take(1), -1);
    assert_int_equal(queue.count, 0);
}

static void priorities_go_first(void **state) {
    (void)state;
    put(0, alice, 3);
    put(1, alice, 0);
    put(2, bob, 1);
    put(3, alice, 2);
    put(4, alice, 99);
    int expected[] = {2, 1, 3, 0, 4};
    for (int i = 0; i < 5; i++) assert_int_equal(take(1), expected[i]);
}

/* Who sends ten times as much gets half all the same. */
static void tenants_take_turns_by_tokens(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) put(i, alice, 0);
    for (int i = 40; i < 44; i++) put(i, bob, 0);
    int bobs = 0;
    for (int i = 0; i < 8; i++) bobs += take(10) >= 40;
    assert_int_equal(bobs, 4);
    for (int i = 44; i < 48; i++) put(i, bob, 0); /* long ones now: one of them for five of the other's */
    bobs = 0;
    for (int i = 0; i < 12; i++) {
        ds__queue_lane *lane;
        ds__queue_link *link = ds__queue_take(&queue, &lane);
        bool is_bob = link - links >= 40;
        bobs += is_bob;
        ds__queue_charge(lane, is_bob ? 50 : 10);
    }
    assert_in_range(bobs, 2, 3);
}

/* A tenant that was away has saved up nothing. */
static void idling_saves_nothing(void **state) {
    (void)state;
    put(0, bob, 0);
    assert_int_equal(take(1), 0);
    for (int i = 1; i < 30; i++) put(i, alice, 0);
    for (int i = 1; i < 11; i++) assert_int_equal(take(100), i);
    for (int i = 40; i < 50; i++) put(i, bob, 0);
    int bobs = 0;
    for (int i = 0; i < 10; i++) bobs += take(100) >= 40;
    assert_in_range(bobs, 4, 6);
}

static void what_comes_back_goes_to_the_end(void **state) {
    (void)state;
    ds__queue_lane *lane;
    put(0, alice, 0);
    put(1, alice, 0);
    ds__queue_link *large = ds__queue_take(&queue, &lane);
    assert_ptr_equal(large, &links[0]);
    assert_null(large->lane);
    ds__queue_put_back(&queue, lane, large);
    assert_int_equal(take(1), 1);
    assert_int_equal(take(1), 0);
}

static void removed_from_anywhere(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) put(i, alice, 0);
    ds__queue_remove(&queue, &links[2]);
    ds__queue_remove(&queue, &links[0]);
    ds__queue_remove(&queue, &links[4]);
    assert_int_equal(queue.count, 2);
    assert_int_equal(take(1), 1);
    put(0, alice, 0);
    assert_int_equal(take(1), 3);
    assert_int_equal(take(1), 0);
    assert_int_equal(take(1), -1);
}

static void remove_odd(void *own, ds__queue_link *link) {
    int *seen = own;
    (*seen)++;
    if ((link - links) % 2) ds__queue_remove(&queue, link);
}

static void each_may_remove(void **state) {
    (void)state;
    int seen = 0;
    for (int i = 0; i < 10; i++) put(i, i < 5 ? alice : bob, i % 4);
    ds__queue_each(&queue, remove_odd, &seen);
    assert_int_equal(seen, 10);
    assert_int_equal(queue.count, 5);
}

static void out_of_memory(void **state) {
    (void)state;
    heap.fail_at = heap.allocations + 1;
    assert_false(ds__queue_put(&queue, &heap, alice, 0, &links[0]));
    assert_int_equal(queue.count, 0);
    put(0, alice, 0);
    assert_int_equal(take(1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_come_first_served, start, end),
        cmocka_unit_test_setup_teardown(priorities_go_first, start, end),
        cmocka_unit_test_setup_teardown(tenants_take_turns_by_tokens, start, end),
        cmocka_unit_test_setup_teardown(idling_saves_nothing, start, end),
        cmocka_unit_test_setup_teardown(what_comes_back_goes_to_the_end, start, end),
        cmocka_unit_test_setup_teardown(removed_from_anywhere, start, end),
        cmocka_unit_test_setup_teardown(each_may_remove, start, end),
        cmocka_unit_test_setup_teardown(out_of_memory, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
