/* Writing a folder as a whole. */
#include "base/save.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

/* How deep folders lie in each other at most, the outermost included: what is written here has two levels. */
enum { MAX_LEVELS = 3, MAX_TRIES = 16 };

static const char ENDING[] = ".tmp-";

static ds_status failed(const char *verb, ds__buffer *path, ds_error *error) {
    int code = errno; /* before anything else may change it */
    const char *name = ds__buffer_cstr(path);
    errno = code;
    return ds__file_failed(name ? name : "a file", verb, error);
}

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* Nothing there, or a folder with nothing in it, which renaming replaces. */
static bool is_free(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) return true;
    DIR *directory = S_ISDIR(info.st_mode) ? opendir(path) : NULL;
    bool empty = directory != NULL;
    for (struct dirent *entry; empty && (entry = readdir(directory));) empty = is_dots(entry->d_name);
    if (directory) closedir(directory);
    return empty;
}

static int open_folder(int at, const char *name) {
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Removes a folder and what lies in it; false with errno. Takes no memory of ours, so that it works when there is none.
 */
static bool remove_folder(int at, const char *name, int levels) {
    int fd = open_folder(at, name);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory && fd >= 0) close(fd);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (is_dots(entry->d_name)) continue;
        if (unlinkat(dirfd(directory), entry->d_name, 0) != 0 && levels > 1)
            remove_folder(dirfd(directory), entry->d_name, levels - 1);
    }
    if (directory) closedir(directory);
    return unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* A file system that cannot sync folders says EINVAL or that it has no such call, which is not a failure to write. */
static bool sync_open_folder(int fd) {
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOSYS || errno == ENOTSUP;
}

/* The folders in it first. A folder that may not be opened is left to the file system. */
static bool sync_folders(int at, const char *name, int levels) {
    int fd = open_folder(at, name);
    if (fd < 0) return true;
    DIR *directory = levels > 1 ? fdopendir(fd) : NULL;
    bool done = true;
    for (struct dirent *entry; done && directory && (entry = readdir(directory));)
        if (!is_dots(entry->d_name)) done = sync_folders(fd, entry->d_name, levels - 1);
    done = done && sync_open_folder(fd);
    int code = errno;
    if (directory)
        closedir(directory);
    else
        close(fd);
    errno = code;
    return done;
}

/* Syncs the folder that `path` lies in; `scratch` gets its name. */
static ds_status sync_parent(ds__buffer *scratch, const char *path, ds_error *error) {
    const char *slash = strrchr(path, '/');
    ds__buffer_clear(scratch);
    if (slash)
        ds__buffer_append(scratch, path, slash == path ? 1 : (size_t)(slash - path));
    else
        ds__buffer_put(scratch, '.');
    const char *parent = ds__buffer_cstr(scratch);
    if (!parent) return ds__alloc_failed(scratch->heap, strlen(path), "a folder's path", error);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return DS_OK;
    ds_status status = sync_open_folder(fd) ? DS_OK : failed("write", scratch, error);
    close(fd);
    return status;
}

/* ---- Temporary folders ---- */

size_t ds__save_ending(ds__str name) {
    const size_t ending = sizeof ENDING - 1;
    size_t at = name.size;
    while (at > 0 && name.data[at - 1] >= '0' && name.data[at - 1] <= '9') at--;
    if (at == name.size || at < ending || memcmp(name.data + at - ending, ENDING, ending) != 0) return name.size;
    return at - ending;
}

void ds__save_clean(const char *path) {
    int fd = open_folder(AT_FDCWD, path);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) remove_folder(AT_FDCWD, path, MAX_LEVELS);
    close(fd);
}

/* Makes the folder and locks it; the descriptor, or -1 with errno. Between the two somebody may take it for a leftover
 * and remove it; then it is made again. Where a file system has no locks, nobody can take it for one. */
static int make_locked(const char *path) {
    for (int i = 0; i < MAX_TRIES; i++) {
        struct stat ours, there;
        if (mkdir(path, 0777) != 0) {
            if (errno != EEXIST || i > 0) return -1;
            ds__save_clean(path); /* of a dead process that had our number */
            continue;
        }
        int fd = open_folder(AT_FDCWD, path);
        if (fd < 0 && errno == ENOENT) continue;
        if (fd < 0) {
            int code = errno;
            rmdir(path);
            errno = code;
            return -1;
        }
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {}
        if (fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino) return fd;
        close(fd);
    }
    return -1;
}

static void release(ds__save *save) {
    if (save->lock >= 0) close(save->lock);
    save->lock = -1;
    ds__buffer_deinit(&save->path);
    ds__buffer_deinit(&save->temporary);
    ds__buffer_deinit(&save->file);
}

/* `path` without slashes at its end, and the name beside it. */
static bool name_folders(const char *path, ds__buffer *name, ds__buffer *temporary) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    ds__buffer_append(name, path, size);
    ds__buffer_append(temporary, path, size);
    ds__buffer_printf(temporary, "%s%ld", ENDING, (long)getpid());
    return ds__buffer_cstr(name) && ds__buffer_cstr(temporary);
}

ds_status ds__save_begin(ds__heap *heap, const char *path, ds__save *out, ds_error *error) {
    *out = (ds__save){.heap = heap, .fd = -1, .lock = -1};
    ds__buffer_init(&out->path, heap);
    ds__buffer_init(&out->temporary, heap);
    ds__buffer_init(&out->file, heap);
    ds_status status = DS_OK;
    if (!name_folders(path, &out->path, &out->temporary))
        status = ds__alloc_failed(heap, strlen(path) + 32, "a folder's path", error);
    else if (!is_free(out->path.data))
        status =
            ds__fail(error, DS_INVALID_ARGUMENT,
                     "%s: is there already, and not as an empty folder; name another one or remove it", out->path.data);
    else if ((out->lock = make_locked(out->temporary.data)) < 0)
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

ds_status ds__save_text(ds__save *save, const char *name, ds__str text, ds_error *error) {
    DS_TRY(ds__save_start(save, name, error));
    DS_TRY(ds__save_write(save, text.data, text.size, error));
    return ds__save_end(save, error);
}

void ds__save_abandon(ds__save *save) {
    const char *temporary = ds__buffer_cstr(&save->temporary);
    if (save->fd >= 0) close(save->fd);
    if (temporary) remove_folder(AT_FDCWD, temporary, MAX_LEVELS);
    release(save);
}

ds_status ds__save_finish(ds__save *save, ds_error *error) {
    const char *temporary = ds__buffer_cstr(&save->temporary), *path = ds__buffer_cstr(&save->path);
    ds_status status = DS_OK;
    if (!temporary || !path)
        status = ds__alloc_failed(save->heap, 64, "a folder's path", error);
    else if (!sync_folders(AT_FDCWD, temporary, MAX_LEVELS))
        status = failed("write", &save->temporary, error);
    else if (rename(temporary, path) != 0)
        status = failed("create", &save->path, error);
    else if ((status = sync_parent(&save->file, path, error)) != DS_OK)
        remove_folder(AT_FDCWD, path, MAX_LEVELS);
    if (status == DS_OK)
        release(save);
    else
        ds__save_abandon(save);
    return status;
}

/* ---- Files and folders by themselves ---- */

static bool write_file(const char *path, ds__str text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool done = ds__file_write_all(fd, text.data, text.size) && fsync(fd) == 0;
    int code = errno;
    close(fd);
    errno = code;
    return done;
}

/* The temporary file has no number in its name: what a killed process leaves is replaced by the next one. */
ds_status ds__save_file(ds__heap *heap, const char *path, ds__str text, ds_error *error) {
    ds__buffer name;
    ds__buffer_init(&name, heap);
    ds__buffer_printf(&name, "%s.tmp", path);
    const char *temporary = ds__buffer_cstr(&name);
    ds_status status = DS_OK;
    if (!temporary) {
        status = ds__alloc_failed(heap, strlen(path) + 32, "a file's path", error);
    } else if (!write_file(temporary, text) || rename(temporary, path) != 0) {
        status = ds__file_failed(path, "write", error);
        unlink(temporary);
    } else {
        status = sync_parent(&name, path, error);
    }
    ds__buffer_deinit(&name);
    return status;
}

ds_status ds__save_remove(ds__heap *heap, const char *path, ds_error *error) {
    ds__buffer name, temporary;
    ds__buffer_init(&name, heap);
    ds__buffer_init(&temporary, heap);
    ds_status status = DS_OK;
    if (!name_folders(path, &name, &temporary)) {
        status = ds__alloc_failed(heap, strlen(path) + 32, "a folder's path", error);
    } else {
        ds__save_clean(temporary.data);
        if (rename(name.data, temporary.data) != 0 || !remove_folder(AT_FDCWD, temporary.data, MAX_LEVELS))
            status = failed("remove", &name, error);
    }
    ds__buffer_deinit(&name);
    ds__buffer_deinit(&temporary);
    return status;
}
