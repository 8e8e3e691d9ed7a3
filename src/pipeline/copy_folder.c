/* Copying what lies around a model's weights. */
#include "pipeline/copy_folder.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"

enum { MAX_COPIED_BYTES = 64 << 20 };

ds_status ds__folder_copy_config(const ds__folder_copy *copy, const char *path, ds__str text, ds__buffer *out,
                                 ds_error *error) {
    ds__json json;
    ds__json_writer writer = {out, false};
    ds__buffer name;
    ds__buffer_init(&name, out->heap);
    ds__json_init(&json, out->heap, path, text);
    ds__json_open_object(&writer);
    for (ds__str key; ds__json_next_key(&json, &key);) {
        ds__buffer_clear(&name);
        ds__buffer_append(&name, key.data, key.size);
        ds__str value = ds__json_raw(&json);
        const char *kept = ds__buffer_cstr(&name);
        if (!kept) break;
        if (copy->replaces(copy->user, (ds__str){kept, name.size})) continue;
        ds__json_key(&writer, kept);
        ds__json_put_raw(&writer, value);
    }
    copy->add(copy->user, &writer);
    ds__json_close_object(&writer);
    ds__buffer_put(out, '\n');
    const bool failed = out->failed || name.failed;
    ds_status status = ds__json_finish(&json, failed ? NULL : error);
    ds__buffer_deinit(&name);
    return failed ? ds__alloc_failed(out->heap, out->size, "config.json", error) : status;
}

static ds_status copy_file(const ds__folder_copy *copy, const char *path, const char *name, ds_error *error) {
    ds__buffer text, out;
    ds__buffer_init(&text, copy->save->heap);
    ds__buffer_init(&out, copy->save->heap);
    const bool is_config = strcmp(path, copy->source->config.path) == 0;
    ds_status status = ds__file_read(path, MAX_COPIED_BYTES, &text, error);
    if (status == DS_OK && is_config) status = ds__folder_copy_config(copy, path, ds__buffer_str(&text), &out, error);
    if (status == DS_OK) status = ds__save_text(copy->save, name, ds__buffer_str(is_config ? &out : &text), error);
    ds__buffer_deinit(&text);
    ds__buffer_deinit(&out);
    return status;
}

static bool is_left_out(const char *name) {
    static const char *const endings[] = {
        ".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".ot",
        ".gguf",        ".bin.index.json"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ds__str_ends(ds__str_of(name), ds__str_of(endings[i]))) return true;
    return *name == '.';
}

static ds_status copy_folder(const ds__folder_copy *copy, const char *path, const char *inside, ds_error *error);

/* One name in a folder. path: where it lies; name: within the model's folder; top: it lies there itself. */
static ds_status copy_item(const ds__folder_copy *copy, const char *path, const char *name, bool top, ds_error *error) {
    struct stat info;
    if (stat(path, &info) != 0) return DS_OK;
    const bool is_folder = S_ISDIR(info.st_mode);
    if (top && strcmp(path, copy->source->config.path) != 0 && !copy->wants(copy->user, name, is_folder)) return DS_OK;
    if (S_ISREG(info.st_mode) && info.st_size <= MAX_COPIED_BYTES) return copy_file(copy, path, name, error);
    if (!is_folder || !top) return DS_OK;
    DS_TRY(ds__save_folder(copy->save, name, error));
    return copy_folder(copy, path, name, error);
}

/* The files of one folder; `inside`: its name within the model's folder, "" for that itself. */
static ds_status copy_folder(const ds__folder_copy *copy, const char *path, const char *inside, ds_error *error) {
    ds_status status = DS_OK;
    ds__heap *heap = copy->save->heap;
    DIR *directory = opendir(path);
    if (!directory) return ds__fail(error, DS_IO, "%s: cannot be listed", path);
    ds__buffer from, name;
    ds__buffer_init(&from, heap);
    ds__buffer_init(&name, heap);
    for (struct dirent *item; status == DS_OK && (item = readdir(directory));) {
        if (is_left_out(item->d_name)) continue;
        const char *source = ds__path_join(&from, path, item->d_name);
        ds__buffer_clear(&name);
        ds__buffer_printf(&name, "%s%s%s", inside, *inside ? "/" : "", item->d_name);
        const char *target = ds__buffer_cstr(&name);
        status = source && target ? copy_item(copy, source, target, !*inside, error)
                                  : ds__alloc_failed(heap, from.size, "a file's path", error);
    }
    closedir(directory);
    ds__buffer_deinit(&from);
    ds__buffer_deinit(&name);
    return status;
}

ds_status ds__folder_copy_files(const ds__folder_copy *copy, ds_error *error) {
    return copy_folder(copy, copy->source->path, "", error);
}
