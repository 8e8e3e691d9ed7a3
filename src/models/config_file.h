/* One of the small JSON files of a model folder, read whole: config.json, modules.json, and the like. */
#ifndef DS_MODELS_CONFIG_FILE_H
#define DS_MODELS_CONFIG_FILE_H

#include "base/buffer.h"
#include "formats/json.h"

enum { DS__CONFIG_FILE_MAX_BYTES = 16 << 20 };

typedef struct ds__config_file {
    ds__buffer path_buffer, text_buffer;
    const char *path; /* "folder/name" */
    ds__str text;
} ds__config_file;

/* Must be closed unless it failed. A file over the limit, a folder in its place and an empty file are refused. */
ds_status ds__config_file_open(ds__config_file *file, ds__heap *heap, const char *folder, const char *name,
                               ds_error *error) DS_MUST_CHECK;
void ds__config_file_close(ds__config_file *file);

/* Records that there was no memory (or that the limit was met) for `what` as the reader's error. */
void ds__json_out_of_memory(ds__json *json, size_t bytes, const char *what);

/* Whether the folder has something of that name; out of memory is an error. */
ds_status ds__config_file_exists(ds__heap *heap, const char *folder, const char *name, bool *exists,
                                 ds_error *error) DS_MUST_CHECK;

#endif
