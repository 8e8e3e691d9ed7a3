/* Copying what lies around a model's weights into a folder that is being written. */
#ifndef DS_PIPELINE_COPY_FOLDER_H
#define DS_PIPELINE_COPY_FOLDER_H

#include "base/save.h"
#include "formats/json.h"
#include "pipeline/folder.h"

typedef struct ds__folder_copy {
    const ds__folder *source;
    ds__save *save;
    /* Which of the source's own files and sub-folders are copied, for all but config.json, which always is; a
     * sub-folder is, with the files in it.  Weights in any format, the index of shards, hidden files and files over
     * 64 MiB never are. */
    bool (*wants)(void *user, const char *name, bool is_folder);
    /* config.json is copied member by member: those that are replaced are left out (asked for each), those instead of
     * them are added at its end. */
    bool (*replaces)(void *user, ds__str key);
    void (*add)(void *user, ds__json_writer *json);
    void *user;
} ds__folder_copy;

/* One file of JSON, config.json or the like: members that stay, as they are spelled, then the new ones, appended to
 * `out`. path: for messages. Of `copy` only replaces, add and user are read. */
ds_status ds__folder_copy_config(const ds__folder_copy *copy, const char *path, ds__str text, ds__buffer *out,
                                 ds_error *error) DS_MUST_CHECK;
ds_status ds__folder_copy_files(const ds__folder_copy *copy, ds_error *error) DS_MUST_CHECK;

#endif
