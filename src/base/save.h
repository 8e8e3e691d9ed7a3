/* Writing a folder so that it is there whole or not at all: under a temporary name beside it, every file and folder
 * synced, then renamed, and the folder around it synced too, so that a machine that stops keeps either nothing or all.
 *
 * A process that is killed leaves its temporary folder behind.  While it lives it holds a lock (flock) on it, which the
 * kernel gives back whatever becomes of the process: what is not locked is nobody's, also when another process has the
 * same number by now, or runs in another container over the same disk. */
#ifndef DS_BASE_SAVE_H
#define DS_BASE_SAVE_H

#include "base/buffer.h"

typedef struct ds__save {
    ds__heap *heap;
    ds__buffer path, temporary, file; /* file: the one being written, for messages */
    int fd, lock;                     /* the open file; the temporary folder.  -1: none */
} ds__save;

/* `path` must not exist, or be an empty folder. On failure nothing is left; else finish or abandon. */
ds_status ds__save_begin(ds__heap *heap, const char *path, ds__save *out, ds_error *error) DS_MUST_CHECK;
/* A folder in it, "1_Pooling". */
ds_status ds__save_folder(ds__save *save, const char *name, ds_error *error) DS_MUST_CHECK;
/* Files one after the other: start, write as often as wanted, end (which syncs). name: "1_Pooling/config.json". */
ds_status ds__save_start(ds__save *save, const char *name, ds_error *error) DS_MUST_CHECK;
ds_status ds__save_write(ds__save *save, const void *data, size_t bytes, ds_error *error) DS_MUST_CHECK;
ds_status ds__save_end(ds__save *save, ds_error *error) DS_MUST_CHECK;
/* The three in one. */
ds_status ds__save_text(ds__save *save, const char *name, ds__str text, ds_error *error) DS_MUST_CHECK;
/* Makes everything appear under its own name; on failure it is abandoned. */
ds_status ds__save_finish(ds__save *save, ds_error *error) DS_MUST_CHECK;
/* Removes what was written. */
void ds__save_abandon(ds__save *save);

/* A small file, whole or not at all; one that is there is replaced. */
ds_status ds__save_file(ds__heap *heap, const char *path, ds__str text, ds_error *error) DS_MUST_CHECK;
/* Removes a folder, three levels deep.  It loses its name first, so that there is never half of it under it. */
ds_status ds__save_remove(ds__heap *heap, const char *path, ds_error *error) DS_MUST_CHECK;
/* Where the ending that temporary folders have begins in a name; name.size: it has none. */
size_t ds__save_ending(ds__str name);
/* Removes a temporary folder unless a living process writes it. */
void ds__save_clean(const char *path);

#endif
