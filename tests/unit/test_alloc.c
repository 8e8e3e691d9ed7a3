/* The allocator door: counters, the limit, the injected failure, growth, checked sizes; from several threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

static void memory_is_aligned_counted_and_given_back(void **state) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 0);
    void *a = ds__alloc(&heap, 1), *b = ds__alloc(&heap, 1000), *none = ds__alloc(&heap, 0),
         *none2 = ds__alloc(&heap, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(none);
    assert_ptr_not_equal(none, none2);
    assert_int_equal((uintptr_t)a % DS__ALIGNMENT, 0);
    assert_int_equal((uintptr_t)b % DS__ALIGNMENT, 0);
    memset(b, 0xFF, 1000);
    assert_int_equal(heap.allocations, 4);
    assert_true(heap.bytes >= 1001);
    ds__free(&heap, a, 1);
    ds__free(&heap, b, 1000);
    ds__free(&heap, none, 0);
    ds__free(&heap, none2, 0);
    ds__free(&heap, NULL, 77);
    assert_int_equal(heap.bytes, 0);
    assert_true(heap.peak_bytes >= 1001 && heap.peak_bytes < 1100);
    unsigned char *zeroed = ds__alloc_zeroed(&heap, 333);
    for (int i = 0; i < 333; i++) assert_int_equal(zeroed[i], 0);
    ds__free(&heap, zeroed, 333);
    assert_int_equal(heap.allocations, 5);
}

static void the_limit_is_exact(void **state) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 100);
    void *all = ds__alloc(&heap, 100);
    assert_non_null(all);
    assert_null(ds__alloc(&heap, 1));
    assert_int_equal(heap.bytes, 100);
    ds_error error = {DS_OK, ""};
    assert_int_equal(ds__alloc_failed(&heap, 7, "a thing", &error), DS_MEMORY_LIMIT);
    assert_non_null(strstr(error.message, "a thing needs 1 bytes"));
    assert_non_null(strstr(error.message, "only 0 of the memory limit of 100"));
    ds__free(&heap, all, 100);
    assert_null(ds__alloc(&heap, 101));
    assert_null(ds__alloc(&heap, SIZE_MAX));
    assert_null(ds__alloc(&heap, SIZE_MAX / 2 + 1));
    assert_int_equal(heap.bytes, 0);
    assert_int_equal(heap.peak_bytes, 100);
    ds__heap_init(&heap, NULL, 0);
    assert_null(ds__alloc(&heap, SIZE_MAX));
    assert_null(ds__alloc_zeroed(&heap, SIZE_MAX - 10));
    assert_int_equal(heap.bytes, 0);
    assert_int_equal(ds__alloc_failed(&heap, 8, "a thing", &error), DS_OUT_OF_MEMORY);
    assert_non_null(strstr(error.message, "8 bytes for a thing"));
    assert_int_equal(ds__alloc_failed(&heap, 8, "a thing", NULL), DS_OUT_OF_MEMORY);
}

static void only_the_chosen_allocation_fails(void **state) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 0);
    heap.fail_at = 3;
    for (int i = 1; i <= 6; i++) {
        void *memory = ds__alloc(&heap, 10);
        assert_int_equal(memory == NULL, i == 3);
        ds__free(&heap, memory, 10);
    }
    assert_int_equal(heap.bytes, 0);
    assert_int_equal(heap.allocations, 6);
}

static void resizing_keeps_the_content(void **state) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 0);
    char *text = ds__resize(&heap, NULL, 0, 4);
    memcpy(text, "abcd", 4);
    text = ds__resize(&heap, text, 4, 100);
    assert_memory_equal(text, "abcd", 4);
    text = ds__resize(&heap, text, 100, 2);
    assert_memory_equal(text, "ab", 2);
    assert_int_equal(heap.bytes, 2);
    heap.fail_at = heap.allocations + 1;
    assert_null(ds__resize(&heap, text, 2, 50));
    assert_memory_equal(text, "ab", 2);
    ds__free(&heap, text, 2);
    assert_int_equal(heap.bytes, 0);
}

static void growing_doubles_and_refuses_overflow(void **state) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 0);
    uint32_t *items = NULL;
    size_t capacity = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        assert_true(ds__grow(&heap, (void **)&items, &capacity, i + 1, sizeof *items));
        items[i] = i * 3;
    }
    for (uint32_t i = 0; i < 10000; i++) assert_int_equal(items[i], i * 3);
    assert_true(heap.allocations < 20);
    assert_int_equal(heap.bytes, capacity * sizeof *items);
    size_t before = capacity;
    uint32_t *old = items;
    assert_true(ds__grow(&heap, (void **)&items, &capacity, 5, sizeof *items)); /* enough is there */
    assert_false(ds__grow(&heap, (void **)&items, &capacity, SIZE_MAX, sizeof *items));
    assert_false(ds__grow(&heap, (void **)&items, &capacity, SIZE_MAX / 4, sizeof *items));
    heap.fail_at = heap.allocations + 1;
    assert_false(ds__grow(&heap, (void **)&items, &capacity, capacity + 1, sizeof *items));
    assert_ptr_equal(items, old);
    assert_int_equal(capacity, before);
    ds__free(&heap, items, capacity * sizeof *items);
    assert_int_equal(heap.bytes, 0);
}

static void checked_sizes_see_overflow(void **state) {
    size_t out;
    assert_true(ds__size_mul(1u << 16, 1u << 16, &out) && out == (size_t)1 << 32);
    assert_false(ds__size_mul((size_t)1 << 32, (size_t)1 << 32, &out));
    assert_true(ds__size_mul(SIZE_MAX, 1, &out) && out == SIZE_MAX);
    assert_true(ds__size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    assert_false(ds__size_add(SIZE_MAX, 1, &out));
}

/* The host's allocator gets the contract's arguments, and its refusal leaves no trace in the counters. */
typedef struct host {
    size_t last_bytes, last_alignment, held;
    int refuse;
} host;

static void *host_allocate(void *user, size_t bytes, size_t alignment) {
    host *h = user;
    void *memory = NULL;
    if (h->refuse || posix_memalign(&memory, alignment, bytes) != 0) return NULL;
    h->last_bytes = bytes;
    h->last_alignment = alignment;
    h->held += bytes;
    return memory;
}

static void host_release(void *user, void *memory, size_t bytes) {
    ((host *)user)->held -= bytes;
    free(memory);
}

static void the_hosts_allocator_is_used(void **state) {
    host h = {0};
    ds__heap heap;
    ds__heap_init(&heap, &(ds_allocator){host_allocate, host_release, &h}, 0);
    void *a = ds__alloc(&heap, 0), *b = ds__alloc(&heap, 129);
    assert_int_equal(h.last_bytes, 129);
    assert_int_equal(h.last_alignment, DS__ALIGNMENT);
    assert_true(h.held == heap.bytes && h.held == 130); /* an empty block counts as one byte: never 0 to the host */
    h.refuse = 1;
    assert_null(ds__alloc(&heap, 5));
    assert_int_equal(heap.bytes, 130);
    ds__free(&heap, a, 0);
    ds__free(&heap, b, 129);
    assert_int_equal(h.held, 0);
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *allocate_many(void *argument) {
    ds__heap *heap = argument;
    for (int i = 0; i < ROUNDS; i++) {
        size_t bytes = (size_t)(i % 40) + 1;
        void *memory = ds__alloc(heap, bytes);
        if (heap->bytes > 100) return heap; /* not NULL: over the limit */
        ds__free(heap, memory, bytes);
    }
    return NULL;
}

static void threads_never_take_more_than_the_limit(void **state) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 100);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, allocate_many, &heap), 0);
    for (int i = 0; i < THREADS; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
    assert_int_equal(heap.bytes, 0);
    assert_true(heap.peak_bytes <= 100);
    assert_int_equal(heap.allocations, THREADS * ROUNDS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_counted_and_given_back),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(only_the_chosen_allocation_fails),
        cmocka_unit_test(resizing_keeps_the_content),
        cmocka_unit_test(growing_doubles_and_refuses_overflow),
        cmocka_unit_test(checked_sizes_see_overflow),
        cmocka_unit_test(the_hosts_allocator_is_used),
        cmocka_unit_test(threads_never_take_more_than_the_limit),
    };
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
