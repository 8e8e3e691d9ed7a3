/* Writing a folder as a whole. */
#include "base/save.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

static ds_status failed(const char *verb, ds__buffer *path, ds_error *error) {
    int code = errno; /* before anything else may change it */
    const char *name = ds__buffer_cstr(path);
    errno = code;
    return ds__file_failed(name ? name : "a file", verb, error);
}

/* Nothing there, or a folder with nothing in it, which renaming replaces. */
static bool is_free(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) return true;
    DIR *directory = S_ISDIR(info.st_mode) ? opendir(path) : NULL;
    bool empty = directory != NULL;
    for (struct dirent *entry; empty && (entry = readdir(directory));)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (directory) closedir(directory);
    return empty;
}

static void release(ds__save *save) {
    ds__buffer_deinit(&save->path);
    ds__buffer_deinit(&save->temporary);
    ds__buffer_deinit(&save->file);
}

ds_status ds__save_begin(ds__heap *heap, const char *path, ds__save *out, ds_error *error) {
    *out = (ds__save){.heap = heap, .fd = -1};
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    ds__buffer_init(&out->path, heap);
    ds__buffer_init(&out->temporary, heap);
    ds__buffer_init(&out->file, heap);
    ds__buffer_append(&out->path, path, size);
    ds__buffer_append(&out->temporary, path, size);
    ds__buffer_printf(&out->temporary, ".tmp-%ld", (long)getpid());
    const char *name = ds__buffer_cstr(&out->path), *temporary = ds__buffer_cstr(&out->temporary);
    ds_status status = DS_OK;
    if (!name || !temporary)
        status = ds__alloc_failed(heap, size + 32, "a folder's path", error);
    else if (!is_free(name))
        status = ds__fail(error, DS_INVALID_ARGUMENT,
                          "%s: is there already, and not as an empty folder; name another one or remove it", name);
    else if (mkdir(temporary, 0777) != 0)
        status = failed("create", &out->temporary, error);
    if (status != DS_OK) release(out);
    return status;
}

/* Sets `file` to the name in the temporary folder. */
static const char *name_file(ds__save *save, const char *name) {
    const char *folder = ds__buffer_cstr(&save->temporary);
    ds__buffer_clear(&save->file);
    if (folder) ds__buffer_printf(&save->file, "%s/%s", folder, name);
    return folder ? ds__buffer_cstr(&save->file) : NULL;
}

ds_status ds__save_folder(ds__save *save, const char *name, ds_error *error) {
    const char *path = name_file(save, name);
    if (!path) return ds__alloc_failed(save->heap, strlen(name), "a folder's path", error);
    return mkdir(path, 0777) == 0 ? DS_OK : failed("create", &save->file, error);
}

ds_status ds__save_start(ds__save *save, const char *name, ds_error *error) {
    const char *path = name_file(save, name);
    if (!path) return ds__alloc_failed(save->heap, strlen(name), "a file's path", error);
    save->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return save->fd >= 0 ? DS_OK : failed("create", &save->file, error);
}

ds_status ds__save_write(ds__save *save, const void *data, size_t bytes, ds_error *error) {
    return ds__file_write_all(save->fd, data, bytes) ? DS_OK : failed("write", &save->file, error);
}

ds_status ds__save_end(ds__save *save, ds_error *error) {
    ds_status status = fsync(save->fd) == 0 ? DS_OK : failed("write", &save->file, error);
    close(save->fd);
    save->fd = -1;
    return status;
}

/* Removes a folder and what lies in it, two levels deep, which is as deep as one is written here. */
static void remove_folder(ds__heap *heap, const char *path, int levels) {
    DIR *directory = opendir(path);
    ds__buffer name;
    ds__buffer_init(&name, heap);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        ds__buffer_clear(&name);
        ds__buffer_printf(&name, "%s/%s", path, entry->d_name);
        const char *inside = ds__buffer_cstr(&name);
        if (inside && unlink(inside) != 0 && levels > 1) remove_folder(heap, inside, levels - 1);
    }
    if (directory) closedir(directory);
    rmdir(path);
    ds__buffer_deinit(&name);
}

void ds__save_abandon(ds__save *save) {
    const char *temporary = ds__buffer_cstr(&save->temporary);
    if (save->fd >= 0) close(save->fd);
    if (temporary) remove_folder(save->heap, temporary, 2);
    release(save);
}

static void sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

ds_status ds__save_finish(ds__save *save, ds_error *error) {
    const char *temporary = ds__buffer_cstr(&save->temporary), *path = ds__buffer_cstr(&save->path);
    ds_status status = DS_OK;
    if (!temporary || !path) {
        status = ds__alloc_failed(save->heap, 64, "a folder's path", error);
    } else {
        sync_folder(temporary);
        if (rename(temporary, path) != 0) status = failed("create", &save->path, error);
    }
    if (status == DS_OK)
        release(save);
    else
        ds__save_abandon(save);
    return status;
}
