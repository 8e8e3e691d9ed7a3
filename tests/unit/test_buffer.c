/* Growable byte strings: appending, printing, the terminator, the sticky failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"

static void bytes_are_appended(void **state) {
    ds__heap heap;
    ds__buffer buffer;
    ds__heap_init(&heap, NULL, 0);
    ds__buffer_init(&buffer, &heap);
    assert_int_equal(heap.allocations, 0);
    assert_string_equal(ds__buffer_cstr(&buffer), "");
    ds__buffer_append(&buffer, NULL, 0);
    ds__buffer_append(&buffer, "a\0b", 3);
    ds__buffer_put(&buffer, '\n');
    ds__buffer_text(&buffer, "");
    ds__buffer_text(&buffer, "text");
    ds__buffer_printf(&buffer, "%s%d", "", -5);
    assert_true(ds__str_equal(ds__buffer_str(&buffer), DS_STR("a\0b\ntext-5")));
    assert_int_equal(ds__buffer_cstr(&buffer)[buffer.size], '\0');
    assert_int_equal(buffer.size, 10); /* the terminator is not content */
    size_t capacity = buffer.capacity;
    ds__buffer_clear(&buffer);
    assert_int_equal(buffer.size, 0);
    assert_int_equal(buffer.capacity, capacity);
    ds__buffer_deinit(&buffer);
    assert_int_equal(heap.bytes, 0);
    ds__buffer_text(&buffer, "again"); /* usable after deinit, as after init */
    assert_string_equal(ds__buffer_cstr(&buffer), "again");
    ds__buffer_deinit(&buffer);
    assert_int_equal(heap.bytes, 0);
}

/* Around the size of the printing function's own space. */
static void long_prints_are_complete(void **state) {
    static char text[2000];
    ds__heap heap;
    ds__buffer buffer;
    ds__heap_init(&heap, NULL, 0);
    for (size_t size = 500; size < 530; size++) {
        memset(text, 'x', size);
        text[size] = '\0';
        ds__buffer_init(&buffer, &heap);
        ds__buffer_printf(&buffer, "<%s>", text);
        assert_int_equal(buffer.size, size + 2);
        assert_int_equal(buffer.data[size + 1], '>');
        ds__buffer_put(&buffer, '!');
        assert_int_equal(buffer.size, size + 3);
        assert_memory_equal(buffer.data + size, "x>!", 3);
        ds__buffer_deinit(&buffer);
    }
    assert_int_equal(heap.bytes, 0);
}

static void a_failure_sticks_until_cleared(void **state) {
    static char text[2000];
    ds__heap heap;
    ds__buffer buffer;
    ds__heap_init(&heap, NULL, 0);
    ds__buffer_init(&buffer, &heap);
    ds__buffer_text(&buffer, "kept");
    heap.fail_at = heap.allocations + 1;
    memset(text, 'y', sizeof text - 1);
    ds__buffer_text(&buffer, text);
    assert_true(buffer.failed);
    assert_null(ds__buffer_cstr(&buffer));
    ds__buffer_put(&buffer, 'z');
    ds__buffer_printf(&buffer, "%d", 1);
    assert_false(ds__buffer_reserve(&buffer, 1));
    assert_true(ds__str_is(ds__buffer_str(&buffer), "kept"));
    ds__buffer_clear(&buffer);
    ds__buffer_text(&buffer, "new");
    assert_string_equal(ds__buffer_cstr(&buffer), "new");
    assert_false(ds__buffer_reserve(&buffer, SIZE_MAX));
    ds__buffer_clear(&buffer);
    heap.fail_at = heap.allocations + 1;
    ds__buffer_printf(&buffer, "%s", text);
    assert_true(buffer.failed && buffer.size == 0);
    ds__buffer_deinit(&buffer);
    assert_int_equal(heap.bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_appended),
        cmocka_unit_test(long_prints_are_complete),
        cmocka_unit_test(a_failure_sticks_until_cleared),
    };
    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
