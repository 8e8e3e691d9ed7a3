/* Files: mapped or whole, read or replaced. */
#ifndef DS_BASE_FILE_H
#define DS_BASE_FILE_H

#include "base/alloc.h"
#include "base/buffer.h"

/* A read-only private mapping of a whole regular file. */
typedef struct ds__file_map {
    const unsigned char *data; /* page aligned; NULL when size is 0 */
    size_t size;
} ds__file_map;

DS_MUST_CHECK ds_status ds__file_map_open(const char *path, ds__file_map *out, ds_error *error);
void ds__file_map_close(ds__file_map *map);
/* Tells the kernel that the pages wholly inside [offset, offset+size) need not stay resident; they come back on touch.
 */
void ds__file_map_drop(const ds__file_map *map, size_t offset, size_t size);

/* Appends the whole file to `out`; a file over `max_bytes` is refused with both sizes. */
DS_MUST_CHECK ds_status ds__file_read(const char *path, size_t max_bytes, ds__buffer *out, ds_error *error);

bool ds__file_exists(const char *path); /* anything of that name */
bool ds__folder_exists(const char *path);
/* "folder/name" in `out`, replacing its content; NULL when memory runs out. */
const char *ds__path_join(ds__buffer *out, const char *folder, const char *name);

/* read(2) that retries on EINTR and takes injected faults; for readers that stream. -1 with errno, 0 at the end. */
long ds__file_read_some(int fd, void *out, size_t size);

/* write(2) until all is written; false with errno. */
bool ds__file_write_all(int fd, const void *data, size_t size);
/* The file's new content, which appears whole or not at all: under a temporary name beside it, synced, then renamed. */
DS_MUST_CHECK ds_status ds__file_replace(const char *path, const void *data, size_t size, ds_error *error);
/* "path: cannot verb: reason" out of errno; DS_NOT_FOUND for what is not there, else DS_IO. */
ds_status ds__file_failed(const char *path, const char *verb, ds_error *error);

/* Tests only: the n-th read() (counted from 1, all threads) returns short or fails; 0: none. Reading loops must cope.
 */
typedef enum ds__read_fault { DS__READ_SHORT, DS__READ_FAIL } ds__read_fault;
void ds__file_inject_read_fault(uint64_t nth, ds__read_fault fault);

#endif
