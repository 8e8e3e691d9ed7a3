/* Copies of model folders that tests may damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/scratch_folder.h"

static void join(char *out, size_t size, const char *folder, const char *name) {
    int length = snprintf(out, size, "%s/%s", folder, name);
    assert_true(length > 0 && (size_t)length < size);
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long bytes = ftell(file);
    assert_true(bytes >= 0);
    rewind(file);
    char *data = malloc((size_t)bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)bytes, file), (size_t)bytes);
    data[bytes] = '\0';
    fclose(file);
    if (size) *size = (size_t)bytes;
    return data;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("cannot write %s", path);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void remove_tree(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) fail_msg("%s: there is no such file", path);
    if (S_ISDIR(info.st_mode)) {
        DIR *folder = opendir(path);
        assert_non_null(folder);
        for (struct dirent *entry; (entry = readdir(folder));) {
            char child[600];
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            join(child, sizeof child, path, entry->d_name);
            remove_tree(child);
        }
        closedir(folder);
    }
    if (remove(path) != 0) fail_msg("cannot remove %s", path);
}

static void copy_tree(const char *from, const char *to) {
    DIR *folder = opendir(from);
    if (!folder) fail_msg("cannot open %s", from);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char source[600], target[600];
        struct stat info;
        if (entry->d_name[0] == '.') continue;
        join(source, sizeof source, from, entry->d_name);
        join(target, sizeof target, to, entry->d_name);
        assert_int_equal(stat(source, &info), 0);
        if (S_ISDIR(info.st_mode)) {
            assert_int_equal(mkdir(target, 0755), 0);
            copy_tree(source, target);
        } else {
            size_t size;
            char *data = read_file(source, &size);
            write_file(target, data, size);
            free(data);
        }
    }
    closedir(folder);
}

void scratch_create(scratch_folder *scratch) {
    const char *base = getenv("TMPDIR");
    if (!base && access("/dev/shm", W_OK) == 0) base = "/dev/shm"; /* syncing costs nothing there */
    join(scratch->path, sizeof scratch->path, base ? base : "/tmp", "deepseek-test-XXXXXX");
    assert_non_null(mkdtemp(scratch->path));
}

void scratch_copy(scratch_folder *scratch, const char *from) {
    scratch_create(scratch);
    copy_tree(from, scratch->path);
}

void scratch_destroy(scratch_folder *scratch) { remove_tree(scratch->path); }

const char *scratch_path(const scratch_folder *scratch, const char *name) {
    static char paths[8][600];
    static int next;
    char *path = paths[next];
    next = (next + 1) % 8;
    join(path, sizeof paths[0], scratch->path, name);
    return path;
}

char *scratch_read(const scratch_folder *scratch, const char *name, size_t *size) {
    return read_file(scratch_path(scratch, name), size);
}

void scratch_write(const scratch_folder *scratch, const char *name, const void *data, size_t size) {
    write_file(scratch_path(scratch, name), data, size);
}

void scratch_write_text(const scratch_folder *scratch, const char *name, const char *text) {
    scratch_write(scratch, name, text, strlen(text));
}

void scratch_delete(const scratch_folder *scratch, const char *name) { remove_tree(scratch_path(scratch, name)); }

void scratch_make_folder(const scratch_folder *scratch, const char *name) {
    assert_int_equal(mkdir(scratch_path(scratch, name), 0755), 0);
}

/* text[0..size) with the first `old_text` in it replaced; the result has *new_size bytes. */
static char *replaced(const char *text, size_t size, const char *old_text, const char *new_text, size_t *new_size) {
    size_t old_size = strlen(old_text), put = strlen(new_text);
    const char *at = memmem(text, size, old_text, old_size);
    if (!at) fail_msg("there is no \"%s\" to replace", old_text);
    size_t before = (size_t)(at - text);
    char *out = malloc(size - old_size + put + 1);
    assert_non_null(out);
    memcpy(out, text, before);
    memcpy(out + before, new_text, put);
    memcpy(out + before + put, at + old_size, size - before - old_size);
    *new_size = size - old_size + put;
    out[*new_size] = '\0';
    return out;
}

void scratch_replace(const scratch_folder *scratch, const char *name, const char *old_text, const char *new_text) {
    size_t size, new_size;
    char *text = scratch_read(scratch, name, &size);
    char *out = replaced(text, size, old_text, new_text, &new_size);
    scratch_write(scratch, name, out, new_size);
    free(text);
    free(out);
}

/* The length in front of the header is a little-endian 64-bit number, as on every machine that this runs on. */
void scratch_replace_header(const scratch_folder *scratch, const char *name, const char *old_text,
                            const char *new_text) {
    size_t size, new_size;
    uint64_t length;
    char *file = scratch_read(scratch, name, &size);
    memcpy(&length, file, sizeof length);
    assert_true(length < size - 8);
    char *header = replaced(file + 8, (size_t)length, old_text, new_text, &new_size);
    size_t data_bytes = size - 8 - (size_t)length, total = 8 + new_size + data_bytes;
    char *out = malloc(total);
    assert_non_null(out);
    uint64_t new_length = new_size;
    memcpy(out, &new_length, 8);
    memcpy(out + 8, header, new_size);
    memcpy(out + 8 + new_size, file + 8 + length, data_bytes);
    scratch_write(scratch, name, out, total);
    free(file);
    free(header);
    free(out);
}

void scratch_write_safetensors(const scratch_folder *scratch, const char *name, uint64_t header_length,
                               const char *header, size_t data_bytes) {
    size_t text = strlen(header), total = 8 + text + data_bytes;
    char *out = calloc(1, total);
    assert_non_null(out);
    memcpy(out, &header_length, 8);
    memcpy(out + 8, header, text);
    scratch_write(scratch, name, out, total);
    free(out);
}

void scratch_resize(const scratch_folder *scratch, const char *name, size_t size) {
    assert_int_equal(truncate(scratch_path(scratch, name), (off_t)size), 0);
}
