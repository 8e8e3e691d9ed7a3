/* The .npy writer; see the header. */
#include "formats/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"

/* A multiple of 64 that leaves room for any number of rows, so that the header can be rewritten in place. */
enum { HEADER_BYTES = 128, MAGIC_BYTES = 10 };

struct ds__npy {
    ds__heap *heap;
    ds__buffer path;      /* empty for standard output */
    ds__buffer temporary; /* empty where no other file can be put in the output's place */
    ds__buffer kept;      /* rows waiting for such an output */
    int fd;
    size_t columns, rows;
};

static ds_status failed(ds__npy *npy, const char *verb, ds_error *error) {
    int code = errno; /* before anything else may change it */
    const char *path = npy->path.size ? ds__buffer_cstr(&npy->path) : "standard output";
    errno = code;
    return ds__file_failed(path ? path : "the output", verb, error);
}

static void destroy(ds__npy *npy) {
    if (npy->fd > STDOUT_FILENO) close(npy->fd);
    ds__buffer_deinit(&npy->path);
    ds__buffer_deinit(&npy->temporary);
    ds__buffer_deinit(&npy->kept);
    ds__free(npy->heap, npy, sizeof *npy);
}

void ds__npy_abandon(ds__npy *npy) {
    if (!npy) return;
    const char *temporary = npy->temporary.size ? ds__buffer_cstr(&npy->temporary) : NULL;
    if (temporary) unlink(temporary);
    destroy(npy);
}

/* Magic, version 1.0, the length of the dictionary, the dictionary padded with spaces and a newline. */
static void make_header(const ds__npy *npy, char header[HEADER_BYTES]) {
    static const unsigned char magic[MAGIC_BYTES] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, HEADER_BYTES - MAGIC_BYTES,
                                                     0};
    memset(header, ' ', HEADER_BYTES);
    memcpy(header, magic, MAGIC_BYTES);
    int length = snprintf(header + MAGIC_BYTES, HEADER_BYTES - MAGIC_BYTES,
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", npy->rows, npy->columns);
    header[MAGIC_BYTES + length] = ' ';
    header[HEADER_BYTES - 1] = '\n';
}

static ds_status open_output(ds__npy *npy, const char *path, ds_error *error) {
    char header[HEADER_BYTES];
    if (strcmp(path, "-") == 0) {
        npy->fd = STDOUT_FILENO;
        return DS_OK;
    }
    ds__buffer_text(&npy->path, path);
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) { /* a pipe or /dev/null is written to, not replaced */
        npy->fd = open(path, O_WRONLY | O_CLOEXEC);
        return npy->fd < 0 ? failed(npy, "open", error) : DS_OK;
    }
    ds__buffer_printf(&npy->temporary, "%s.tmp-%ld", path, (long)getpid());
    const char *temporary = ds__buffer_cstr(&npy->temporary);
    if (!temporary || npy->path.failed) return ds__alloc_failed(npy->heap, strlen(path), "a file's path", error);
    npy->fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (npy->fd < 0) {
        ds_status status = failed(npy, "create", error);
        ds__buffer_clear(&npy->temporary); /* nothing is there to be removed */
        return status;
    }
    make_header(npy, header);
    return ds__file_write_all(npy->fd, header, sizeof header) ? DS_OK : failed(npy, "write", error);
}

ds_status ds__npy_create(ds__heap *heap, const char *path, size_t columns, ds__npy **out, ds_error *error) {
    ds__npy *npy = ds__alloc_zeroed(heap, sizeof *npy);
    if (!npy) return ds__alloc_failed(heap, sizeof *npy, "an output file", error);
    npy->heap = heap;
    npy->fd = -1;
    npy->columns = columns;
    ds__buffer_init(&npy->path, heap);
    ds__buffer_init(&npy->temporary, heap);
    ds__buffer_init(&npy->kept, heap);
    ds_status status = open_output(npy, path, error);
    if (status != DS_OK) {
        ds__npy_abandon(npy);
        return status;
    }
    *out = npy;
    return DS_OK;
}

ds_status ds__npy_append(ds__npy *npy, const float *rows, size_t count, ds_error *error) {
    size_t bytes;
    if (!ds__size_mul(count, npy->columns, &bytes) || !ds__size_mul(bytes, sizeof *rows, &bytes))
        return ds__fail(error, DS_INVALID_ARGUMENT, "%zu rows of %zu columns are more than can be addressed", count,
                        npy->columns);
    npy->rows += count;
    if (npy->temporary.size) return ds__file_write_all(npy->fd, rows, bytes) ? DS_OK : failed(npy, "write", error);
    ds__buffer_append(&npy->kept, rows, bytes);
    return npy->kept.failed ? ds__alloc_failed(npy->heap, bytes, "rows for standard output", error) : DS_OK;
}

static ds_status complete(ds__npy *npy, ds_error *error) {
    char header[HEADER_BYTES];
    make_header(npy, header);
    if (!npy->temporary.size) {
        bool written = ds__file_write_all(npy->fd, header, sizeof header) &&
                       ds__file_write_all(npy->fd, npy->kept.data, npy->kept.size);
        return written ? DS_OK : failed(npy, "write", error);
    }
    if (pwrite(npy->fd, header, sizeof header, 0) != HEADER_BYTES || fsync(npy->fd) != 0)
        return failed(npy, "write", error);
    const char *temporary = ds__buffer_cstr(&npy->temporary), *path = ds__buffer_cstr(&npy->path);
    if (!temporary || !path) return ds__alloc_failed(npy->heap, npy->path.size, "a file's path", error);
    return rename(temporary, path) == 0 ? DS_OK : failed(npy, "replace", error);
}

ds_status ds__npy_finish(ds__npy *npy, ds_error *error) {
    ds_status status = complete(npy, error);
    if (status == DS_OK)
        destroy(npy);
    else
        ds__npy_abandon(npy);
    return status;
}
