/* Writing a folder so that it is there whole or not at all: under a temporary name beside it, every file synced, then
 * renamed. */
#ifndef DS_BASE_SAVE_H
#define DS_BASE_SAVE_H

#include "base/buffer.h"

typedef struct ds__save {
    ds__heap *heap;
    ds__buffer path, temporary, file; /* file: the one being written, for messages */
    int fd;                           /* -1: none is open */
} ds__save;

/* `path` must not exist, or be an empty folder. On failure nothing is left; else finish or abandon. */
ds_status ds__save_begin(ds__heap *heap, const char *path, ds__save *out, ds_error *error) DS_MUST_CHECK;
/* A folder in it, "1_Pooling". */
ds_status ds__save_folder(ds__save *save, const char *name, ds_error *error) DS_MUST_CHECK;
/* Files one after the other: start, write as often as wanted, end (which syncs). name: "1_Pooling/config.json". */
ds_status ds__save_start(ds__save *save, const char *name, ds_error *error) DS_MUST_CHECK;
ds_status ds__save_write(ds__save *save, const void *data, size_t bytes, ds_error *error) DS_MUST_CHECK;
ds_status ds__save_end(ds__save *save, ds_error *error) DS_MUST_CHECK;
/* Makes everything appear under its own name; on failure it is abandoned. */
ds_status ds__save_finish(ds__save *save, ds_error *error) DS_MUST_CHECK;
/* Removes what was written. */
void ds__save_abandon(ds__save *save);

#endif
