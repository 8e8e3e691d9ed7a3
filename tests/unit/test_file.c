/* Files: mapping, reading whole with injected faults, what is no file. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/scratch_folder.h"

static scratch_folder folder;
static ds__heap heap;

static int open_folder(void **state) {
    scratch_create(&folder);
    ds__heap_init(&heap, NULL, 0);
    return 0;
}

static int close_folder(void **state) {
    ds__file_inject_read_fault(0, DS__READ_SHORT);
    scratch_destroy(&folder);
    return heap.bytes == 0 ? 0 : -1;
}

static void check_error(const ds_error *error, ds_status status, const char *a, const char *b) {
    assert_int_equal(error->status, status);
    if (!strstr(error->message, a) || !strstr(error->message, b))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", error->message, a, b);
}

/* Mapping and reading must refuse the same things. */
static void refuse(const char *path, ds_status status, const char *hint) {
    ds__file_map map = {0};
    ds__buffer text;
    ds_error error = {DS_OK, ""};
    assert_int_equal(ds__file_map_open(path, &map, &error), status);
    check_error(&error, status, path, hint);
    error = (ds_error){DS_OK, ""};
    ds__buffer_init(&text, &heap);
    assert_int_equal(ds__file_read(path, 100, &text, &error), status);
    check_error(&error, status, path, hint);
    ds__buffer_deinit(&text);
}

static void what_is_no_file_is_refused(void **state) {
    refuse(scratch_path(&folder, "missing"), DS_NOT_FOUND, "No such file");
    refuse(folder.path, DS_IO, "is a folder");
    scratch_write_text(&folder, "plain", "x");
    refuse(scratch_path(&folder, "plain/below"), DS_IO, "Not a directory");
    assert_int_equal(mkfifo(scratch_path(&folder, "fifo"), 0600), 0);
    refuse(scratch_path(&folder, "fifo"), DS_IO, "not a regular file"); /* and does not wait for a writer */
    refuse("/dev/zero", DS_IO, "not a regular file");
    assert_int_equal(symlink("nowhere", scratch_path(&folder, "link")), 0);
    refuse(scratch_path(&folder, "link"), DS_NOT_FOUND, "No such file");
    assert_int_equal(symlink("loop", scratch_path(&folder, "loop")), 0);
    refuse(scratch_path(&folder, "loop"), DS_IO, "cannot open");
    scratch_write_text(&folder, "secret", "x");
    assert_int_equal(chmod(scratch_path(&folder, "secret"), 0), 0);
    if (geteuid() != 0)
        refuse(scratch_path(&folder, "secret"), DS_IO, "Permission denied");
    else
        print_message("running as root: unreadable files cannot be tested\n");
}

static void maps_show_the_content(void **state) {
    enum { SIZE = 50000 };
    static unsigned char data[SIZE];
    ds__file_map map;
    for (int i = 0; i < SIZE; i++) data[i] = (unsigned char)(i * 7);
    scratch_write(&folder, "data", data, SIZE);
    assert_int_equal(ds__file_map_open(scratch_path(&folder, "data"), &map, NULL), DS_OK);
    assert_int_equal(map.size, SIZE);
    assert_memory_equal(map.data, data, SIZE);
    /* Dropped pages come back with the same content; extents outside of the map are ignored. */
    ds__file_map_drop(&map, 0, SIZE);
    ds__file_map_drop(&map, 100, 9000);
    ds__file_map_drop(&map, SIZE, 1);
    ds__file_map_drop(&map, SIZE + 1, 0);
    ds__file_map_drop(&map, 8, SIZE_MAX - 4);
    ds__file_map_drop(&map, 5, 0);
    assert_memory_equal(map.data, data, SIZE);
    ds__file_map_close(&map);
    assert_null(map.data);
    ds__file_map_close(&map);
    scratch_write_text(&folder, "empty", "");
    assert_int_equal(ds__file_map_open(scratch_path(&folder, "empty"), &map, NULL), DS_OK);
    assert_true(map.size == 0 && map.data == NULL);
    ds__file_map_drop(&map, 0, 10);
    ds__file_map_close(&map);
}

static void reading_appends_and_keeps_the_cap(void **state) {
    ds__buffer text;
    ds_error error;
    ds__buffer_init(&text, &heap);
    scratch_write_text(&folder, "ten", "0123456789");
    ds__buffer_text(&text, "> ");
    assert_int_equal(ds__file_read(scratch_path(&folder, "ten"), 10, &text, NULL), DS_OK);
    assert_string_equal(ds__buffer_cstr(&text), "> 0123456789");
    assert_int_equal(ds__file_read(scratch_path(&folder, "ten"), 9, &text, &error), DS_BAD_FORMAT);
    check_error(&error, DS_BAD_FORMAT, "10 bytes", "at most 9");
    scratch_write_text(&folder, "empty", "");
    assert_int_equal(ds__file_read(scratch_path(&folder, "empty"), 0, &text, NULL), DS_OK);
    assert_string_equal(ds__buffer_cstr(&text), "> 0123456789");
    ds__buffer_deinit(&text);
    heap.fail_at = heap.allocations + 1;
    assert_int_equal(ds__file_read(scratch_path(&folder, "ten"), 100, &text, &error), DS_OUT_OF_MEMORY);
    ds__buffer_deinit(&text);
    scratch_write_text(&folder, "sparse", "");
    scratch_resize(&folder, "sparse",
                   (size_t)1 << 40); /* a terabyte that is not there: refused before memory is taken */
    assert_int_equal(ds__file_read(scratch_path(&folder, "sparse"), 1 << 20, &text, &error), DS_BAD_FORMAT);
    assert_int_equal(heap.bytes, 0);
}

static void short_and_failing_reads(void **state) {
    static char content[3000];
    for (size_t i = 0; i < sizeof content; i++) content[i] = (char)('a' + i % 26);
    scratch_write(&folder, "file", content, sizeof content);
    const char *path = scratch_path(&folder, "file");
    for (uint64_t nth = 1; nth < 4; nth++) {
        ds__buffer text;
        ds_error error;
        ds__buffer_init(&text, &heap);
        ds__file_inject_read_fault(nth, DS__READ_SHORT);
        assert_int_equal(ds__file_read(path, 5000, &text, NULL), DS_OK);
        assert_int_equal(text.size, sizeof content);
        assert_memory_equal(text.data, content, sizeof content);
        ds__buffer_deinit(&text);
        ds__file_inject_read_fault(nth, DS__READ_FAIL);
        ds_status status = ds__file_read(path, 5000, &text, &error);
        assert_int_equal(status, nth == 1 ? DS_IO : DS_OK); /* the whole file is one read */
        if (nth == 1) check_error(&error, DS_IO, path, "cannot read");
        ds__buffer_deinit(&text);
    }
    ds__file_inject_read_fault(2, DS__READ_FAIL);
    int fd = open(path, O_RDONLY);
    char some[10];
    assert_int_equal(ds__file_read_some(fd, some, 10), 10);
    errno = 0;
    assert_int_equal(ds__file_read_some(fd, some, 10), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(ds__file_read_some(fd, some, 10), 10);
    assert_memory_equal(some, content + 10, 10);
    ds__file_inject_read_fault(1, DS__READ_SHORT);
    assert_int_equal(ds__file_read_some(fd, some, 10), 1);
    lseek(fd, 0, SEEK_END);
    assert_int_equal(ds__file_read_some(fd, some, 10), 0);
    close(fd);
}

static void names_are_joined_and_looked_up(void **state) {
    ds__buffer out;
    ds__buffer_init(&out, &heap);
    assert_string_equal(ds__path_join(&out, "a", "b"), "a/b");
    assert_string_equal(ds__path_join(&out, "a/", "b"), "a/b");
    assert_string_equal(ds__path_join(&out, "/", "b"), "/b");
    assert_string_equal(ds__path_join(&out, "", "b"), "b");
    ds__buffer_deinit(&out);
    heap.fail_at = heap.allocations + 1;
    assert_null(ds__path_join(&out, "a", "b"));
    ds__buffer_deinit(&out);
    scratch_write_text(&folder, "file", "");
    assert_true(ds__file_exists(scratch_path(&folder, "file")));
    assert_true(ds__file_exists(folder.path));
    assert_false(ds__file_exists(scratch_path(&folder, "none")));
    assert_true(ds__folder_exists(folder.path));
    assert_false(ds__folder_exists(scratch_path(&folder, "file")));
    assert_false(ds__folder_exists(scratch_path(&folder, "none")));
}

static void a_file_is_replaced_whole_or_not_at_all(void **state) {
    ds_error error = {DS_OK, ""};
    char long_path[5000], temporary[300];
    size_t size;
    scratch_write_text(&folder, "page", "what was there before");
    assert_int_equal(ds__file_replace(scratch_path(&folder, "page"), "after\0", 6, &error), DS_OK);
    char *text = scratch_read(&folder, "page", &size);
    assert_int_equal(size, 6);
    assert_string_equal(text, "after");
    free(text);
    assert_int_equal(ds__file_replace(scratch_path(&folder, "new"), NULL, 0, &error), DS_OK);
    assert_true(ds__file_exists(scratch_path(&folder, "new")));
    assert_int_equal(ds__file_replace(scratch_path(&folder, "no/page"), "x", 1, &error), DS_NOT_FOUND);
    check_error(&error, DS_NOT_FOUND, "no/page", "cannot write");
    scratch_make_folder(&folder, "full");
    assert_int_equal(ds__file_replace(scratch_path(&folder, "full"), "x", 1, &error), DS_IO);
    check_error(&error, DS_IO, "full", "cannot write");
    snprintf(temporary, sizeof temporary, "%s.tmp-%ld", scratch_path(&folder, "full"), (long)getpid());
    assert_false(ds__file_exists(temporary));
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(ds__file_replace(long_path, "x", 1, &error), DS_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
        TEST(a_file_is_replaced_whole_or_not_at_all),
        TEST(what_is_no_file_is_refused),
        TEST(maps_show_the_content),
        TEST(reading_appends_and_keeps_the_cap),
        TEST(short_and_failing_reads),
        TEST(names_are_joined_and_looked_up),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
