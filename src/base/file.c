/* Files: every read loops over short reads and EINTR. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* Test hook; see the header. Not state of the library: it is 0 but in fault tests. */
static _Atomic uint64_t fault_at, reads_done;
static _Atomic int fault_kind;

void ds__file_inject_read_fault(uint64_t nth, ds__read_fault fault) {
    atomic_store(&fault_kind, (int)fault);
    atomic_store(&reads_done, 0);
    atomic_store(&fault_at, nth);
}

static ssize_t read_some(int fd, void *out, size_t size) {
    uint64_t fault = atomic_load_explicit(&fault_at, memory_order_relaxed);
    if (fault && atomic_fetch_add(&reads_done, 1) + 1 == fault) {
        if (atomic_load(&fault_kind) == DS__READ_FAIL) {
            errno = EIO;
            return -1;
        }
        if (size > 1) size = 1;
    }
    ssize_t got;
    do got = read(fd, out, size);
    while (got < 0 && errno == EINTR);
    return got;
}

bool ds__file_write_all(int fd, const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

long ds__file_read_some(int fd, void *out, size_t size) { return (long)read_some(fd, out, size); }

ds_status ds__file_failed(const char *path, const char *verb, ds_error *error) {
    int code = errno;
    char text[128];
    const char *reason = strerror_r(code, text, sizeof text);
    return ds__fail(error, code == ENOENT ? DS_NOT_FOUND : DS_IO, "%s: cannot %s: %s", path, verb, reason);
}

ds_status ds__file_replace(const char *path, const void *data, size_t size, ds_error *error) {
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >= sizeof temporary)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: the path is longer than %zu bytes", path, sizeof temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool written = fd >= 0 && ds__file_write_all(fd, data, size) && fsync(fd) == 0;
    int code = errno; /* before anything else may change it */
    if (fd >= 0 && close(fd) != 0 && written) {
        written = false;
        code = errno;
    }
    if (written && rename(temporary, path) == 0) return DS_OK;
    if (written) code = errno;
    if (fd >= 0) unlink(temporary);
    errno = code;
    return ds__file_failed(path, "write", error);
}

static ds_status open_regular(const char *path, int *fd, size_t *size, ds_error *error) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO in a file's place must not block */
    if (*fd < 0) return ds__file_failed(path, "open", error);
    struct stat info;
    ds_status status = DS_OK;
    if (fstat(*fd, &info) != 0)
        status = ds__file_failed(path, "look at", error);
    else if (S_ISDIR(info.st_mode))
        status = ds__fail(error, DS_IO, "%s: is a folder, expected a file", path);
    else if (!S_ISREG(info.st_mode))
        status = ds__fail(error, DS_IO, "%s: is not a regular file", path);
    if (status != DS_OK) {
        close(*fd);
        return status;
    }
    *size = (size_t)info.st_size;
    return DS_OK;
}

ds_status ds__file_map_open(const char *path, ds__file_map *out, ds_error *error) {
    int fd;
    size_t size = 0;
    DS_TRY(open_regular(path, &fd, &size, error));
    *out = (ds__file_map){NULL, size};
    ds_status status = DS_OK;
    if (size) {
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = ds__file_failed(path, "map", error);
        else
            out->data = data;
    }
    close(fd);
    return status;
}

void ds__file_map_close(ds__file_map *map) {
    if (map->data) munmap((void *)map->data, map->size);
    *map = (ds__file_map){NULL, 0};
}

void ds__file_map_drop(const ds__file_map *map, size_t offset, size_t size) {
    if (!map->data || offset > map->size || size > map->size - offset) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first = (offset + page - 1) / page * page, last = (offset + size) / page * page;
    if (last > first) madvise((void *)(map->data + first), last - first, MADV_DONTNEED);
}

ds_status ds__file_read(const char *path, size_t max_bytes, ds__buffer *out, ds_error *error) {
    int fd;
    size_t size;
    DS_TRY(open_regular(path, &fd, &size, error));
    ds_status status = DS_OK;
    if (size > max_bytes)
        status = ds__fail(error, DS_BAD_FORMAT, "%s: holds %zu bytes, at most %zu are read", path, size, max_bytes);
    else if (!ds__buffer_reserve(out, size + 1))
        status = ds__alloc_failed(out->heap, size + 1, path, error);
    size_t done = 0;
    while (status == DS_OK && done < size) {
        ssize_t got = read_some(fd, out->data + out->size, size - done);
        if (got < 0)
            status = ds__file_failed(path, "read", error);
        else if (got == 0)
            status = ds__fail(error, DS_IO, "%s: ended after %zu of %zu bytes", path, done, size);
        else {
            out->size += (size_t)got;
            done += (size_t)got;
        }
    }
    close(fd);
    return status;
}

bool ds__file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool ds__folder_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

const char *ds__path_join(ds__buffer *out, const char *folder, const char *name) {
    ds__buffer_clear(out);
    ds__buffer_text(out, folder);
    if (out->size && out->data[out->size - 1] != '/') ds__buffer_put(out, '/');
    ds__buffer_text(out, name);
    return ds__buffer_cstr(out);
}
