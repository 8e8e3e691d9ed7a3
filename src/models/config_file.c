/* Reading a small JSON file of a model folder. */
#include "models/config_file.h"

#include "base/error.h"
#include "base/file.h"

static ds_status join(ds__buffer *out, ds__heap *heap, const char *folder, const char *name, const char **path,
                      ds_error *error) {
    ds__buffer_init(out, heap);
    *path = ds__path_join(out, folder, name);
    if (*path) return DS_OK;
    ds__buffer_deinit(out);
    return ds__alloc_failed(heap, strlen(folder) + strlen(name) + 2, "a file's path", error);
}

ds_status ds__config_file_open(ds__config_file *file, ds__heap *heap, const char *folder, const char *name,
                               ds_error *error) {
    DS_TRY(join(&file->path_buffer, heap, folder, name, &file->path, error));
    ds__buffer_init(&file->text_buffer, heap);
    ds_status status = ds__file_read(file->path, DS__CONFIG_FILE_MAX_BYTES, &file->text_buffer, error);
    if (status == DS_OK && file->text_buffer.size == 0)
        status = ds__fail(error, DS_BAD_FORMAT, "%s: is empty, expected JSON", file->path);
    file->text = ds__buffer_str(&file->text_buffer);
    if (status != DS_OK) ds__config_file_close(file);
    return status;
}

void ds__config_file_close(ds__config_file *file) {
    ds__buffer_deinit(&file->text_buffer);
    ds__buffer_deinit(&file->path_buffer);
}

void ds__json_out_of_memory(ds__json *json, size_t bytes, const char *what) {
    ds_error error;
    ds_status status = ds__alloc_failed(json->scratch.heap, bytes, what, &error);
    ds__json_fail(json, status, "%s", error.message);
}

ds_status ds__config_file_exists(ds__heap *heap, const char *folder, const char *name, bool *exists, ds_error *error) {
    ds__buffer buffer;
    const char *path;
    DS_TRY(join(&buffer, heap, folder, name, &path, error));
    *exists = ds__file_exists(path);
    ds__buffer_deinit(&buffer);
    return DS_OK;
}
