/* The .npy writer: the header byte by byte, rows, replacement in one step, pipes, and what fails. */
#include <dirent.h>
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

#include "formats/npy.h"
#include "support/scratch_folder.h"

static scratch_folder folder;
static ds__heap heap;

static int open_folder(void **state) {
    scratch_create(&folder);
    ds__heap_init(&heap, NULL, 0);
    return 0;
}

static int close_folder(void **state) {
    scratch_destroy(&folder);
    return heap.bytes == 0 ? 0 : -1;
}

static int count_entries(void) {
    int count = 0;
    DIR *listing = opendir(folder.path);
    for (struct dirent *item; (item = readdir(listing));) count += item->d_name[0] != '.';
    closedir(listing);
    return count;
}

/* The file must be the matrix of these rows: numpy.lib.format, version 1.0. */
static void check_file(const char *data, size_t size, size_t rows, size_t columns, const float *values) {
    char shape[100];
    assert_true(size >= 128);
    assert_memory_equal(data, "\x93NUMPY\x01\x00", 8);
    size_t length = (unsigned char)data[8] | (size_t)(unsigned char)data[9] << 8;
    assert_int_equal((10 + length) % 64, 0);
    assert_int_equal(data[10 + length - 1], '\n');
    snprintf(shape, sizeof shape, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    assert_memory_equal(data + 10, shape, strlen(shape));
    for (size_t i = 10 + strlen(shape); i < 10 + length - 1; i++) assert_int_equal(data[i], ' ');
    assert_int_equal(size, 10 + length + rows * columns * sizeof *values);
    if (rows > 0) assert_memory_equal(data + 10 + length, values, rows * columns * sizeof *values);
}

static const float values[] = {0, -0.0f, 1.5f, 1e-45f, 3.4e38f, -7};

static ds__npy *create(const char *path, size_t columns) {
    ds__npy *npy;
    ds_error error;
    if (ds__npy_create(&heap, path, columns, &npy, &error) != DS_OK) fail_msg("%s", error.message);
    return npy;
}

static void rows_are_written(void **state) {
    char path[300];
    size_t size;
    snprintf(path, sizeof path, "%s", scratch_path(&folder, "m.npy"));
    ds__npy *npy = create(path, 2);
    assert_int_equal(ds__npy_append(npy, values, 1, NULL), DS_OK);
    assert_int_equal(ds__npy_append(npy, NULL, 0, NULL), DS_OK);
    assert_int_equal(ds__npy_append(npy, values + 2, 2, NULL), DS_OK);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing under its name before it is complete */
    assert_int_equal(ds__npy_finish(npy, NULL), DS_OK);
    char *data = scratch_read(&folder, "m.npy", &size);
    check_file(data, size, 3, 2, values);
    free(data);
    npy = create(path, 384); /* no rows at all; replaces the first */
    assert_int_equal(ds__npy_finish(npy, NULL), DS_OK);
    data = scratch_read(&folder, "m.npy", &size);
    check_file(data, size, 0, 384, values);
    free(data);
    assert_int_equal(count_entries(), 1);
}

static void an_abandoned_file_leaves_the_old_one(void **state) {
    char path[300];
    snprintf(path, sizeof path, "%s", scratch_path(&folder, "m.npy"));
    scratch_write_text(&folder, "m.npy", "old");
    ds__npy *npy = create(path, 2);
    assert_int_equal(ds__npy_append(npy, values, 3, NULL), DS_OK);
    ds__npy_abandon(npy);
    ds__npy_abandon(NULL);
    char *data = scratch_read(&folder, "m.npy", NULL);
    assert_string_equal(data, "old");
    free(data);
    assert_int_equal(count_entries(), 1);
}

static void impossible_outputs_are_refused(void **state) {
    ds__npy *npy;
    ds_error error;
    assert_int_equal(ds__npy_create(&heap, scratch_path(&folder, "no/m.npy"), 2, &npy, &error), DS_NOT_FOUND);
    assert_non_null(strstr(error.message, "no/m.npy: cannot create"));
    assert_int_equal(ds__npy_create(&heap, folder.path, 2, &npy, &error), DS_IO);
    assert_non_null(strstr(error.message, folder.path));
    npy = create(scratch_path(&folder, "m.npy"), 4);
    assert_int_equal(ds__npy_append(npy, values, SIZE_MAX / 4, &error), DS_INVALID_ARGUMENT);
    assert_int_equal(ds__npy_append(npy, values, SIZE_MAX / 8, &error), DS_INVALID_ARGUMENT);
    ds__npy_abandon(npy);
    assert_int_equal(count_entries(), 0);
}

/* A device keeps being a device: it is written to, never renamed over. */
static void devices_and_pipes_are_written_to(void **state) {
    char path[300], data[400];
    ds_error error;
    assert_int_equal(symlink("/dev/null", scratch_path(&folder, "null")), 0);
    ds__npy *npy = create(scratch_path(&folder, "null"), 3);
    assert_int_equal(ds__npy_append(npy, values, 2, NULL), DS_OK);
    assert_int_equal(ds__npy_finish(npy, NULL), DS_OK);
    struct stat info;
    assert_int_equal(lstat(scratch_path(&folder, "null"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(symlink("/dev/full", scratch_path(&folder, "full")), 0);
        npy = create(scratch_path(&folder, "full"), 3);
        assert_int_equal(ds__npy_append(npy, values, 2, NULL), DS_OK);
        assert_int_equal(ds__npy_finish(npy, &error), DS_IO);
        assert_non_null(strstr(error.message, "full: cannot write: No space left"));
    }
    snprintf(path, sizeof path, "%s", scratch_path(&folder, "fifo"));
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    npy = create(path, 3);
    assert_int_equal(ds__npy_append(npy, values, 2, NULL), DS_OK);
    assert_int_equal(ds__npy_finish(npy, NULL), DS_OK);
    ssize_t size = read(reader, data, sizeof data);
    assert_true(size > 0);
    check_file(data, (size_t)size, 2, 3, values);
    close(reader);
}

static void standard_output_gets_the_whole_file(void **state) {
    int pipes[2], kept = dup(STDOUT_FILENO);
    char data[400];
    fflush(stdout);
    assert_int_equal(pipe(pipes), 0);
    dup2(pipes[1], STDOUT_FILENO);
    ds__npy *npy;
    ds_status status = ds__npy_create(&heap, "-", 2, &npy, NULL);
    if (status == DS_OK) status = ds__npy_append(npy, values, 1, NULL);
    if (status == DS_OK) status = ds__npy_append(npy, values + 2, 2, NULL);
    if (status == DS_OK) status = ds__npy_finish(npy, NULL);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(pipes[1]);
    assert_int_equal(status, DS_OK);
    ssize_t size = read(pipes[0], data, sizeof data);
    close(pipes[0]);
    check_file(data, size < 0 ? 0 : (size_t)size, 3, 2, values);
}

static void failing_allocations_are_reported(void **state) {
    for (uint64_t n = 1;; n++) {
        ds__npy *npy;
        ds_error error = {DS_OK, ""};
        ds__heap_init(&heap, NULL, 0);
        heap.fail_at = n;
        ds_status status = ds__npy_create(&heap, scratch_path(&folder, "m.npy"), 2, &npy, &error);
        if (status == DS_OK) {
            assert_true(n > 1);
            status = ds__npy_append(npy, values, 3, &error);
            if (status != DS_OK) ds__npy_abandon(npy);
        }
        if (status == DS_OK) status = ds__npy_finish(npy, &error);
        if (status == DS_OK) break;
        assert_int_equal(status, DS_OUT_OF_MEMORY);
        assert_int_equal(heap.bytes, 0);
        assert_int_equal(count_entries(), 0);
    }
    assert_int_equal(count_entries(), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
        TEST(rows_are_written),
        TEST(an_abandoned_file_leaves_the_old_one),
        TEST(impossible_outputs_are_refused),
        TEST(devices_and_pipes_are_written_to),
        TEST(standard_output_gets_the_whole_file),
        TEST(failing_allocations_are_reported),
    };
    return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
