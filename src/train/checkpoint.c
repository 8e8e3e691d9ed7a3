/* Writing and reading a checkpoint. */
#include "train/checkpoint.h"

#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "models/config_file.h"
#include "train/checkpoint_state.h"
#include "train/write_tensors.h"

static const char STATE_FILE[] = "trainer_state.json";

/* ---- Writing ---- */

static ds_status write_tensors(ds__save *save, int which, const ds__kept_tensor *tensors, size_t count,
                               ds__checkpoint_state *state, ds_error *error) {
    ds__checksum sum;
    ds__checksum_init(&sum);
    DS_TRY(ds__tensors_write(save, ds__checkpoint_file_names[which], tensors, count, DS_SAVE_FLOAT32, &sum, error));
    state->files[which] = (ds__file_sum){sum.bytes, ds__checksum_value(&sum)};
    return DS_OK;
}

static ds_status write_parts(ds__save *save, const ds__checkpoint *checkpoint, ds_error *error) {
    ds__checkpoint_state state = {checkpoint->fingerprint,
                                  checkpoint->kernels,
                                  checkpoint->state ? checkpoint->state : "",
                                  checkpoint->step,
                                  {{0, 0}}};
    DS_TRY(write_tensors(save, DS__CHECKPOINT_WEIGHTS, checkpoint->weights, checkpoint->weight_count, &state, error));
    DS_TRY(write_tensors(save, DS__CHECKPOINT_MOMENTS, checkpoint->moments, checkpoint->moment_count, &state, error));
    ds__buffer text;
    ds__buffer_init(&text, save->heap);
    ds_status status = ds__checkpoint_state_write(&state, &text, error);
    if (status == DS_OK) status = ds__save_text(save, STATE_FILE, ds__buffer_str(&text), error);
    ds__buffer_deinit(&text);
    return status;
}

ds_status ds__checkpoint_write(ds__heap *heap, const char *path, const ds__checkpoint *checkpoint, ds_error *error) {
    ds__save save;
    DS_TRY(ds__save_begin(heap, path, &save, error));
    ds_status status = write_parts(&save, checkpoint, error);
    if (status == DS_OK) return ds__save_finish(&save, error);
    ds__save_abandon(&save);
    return status;
}

/* ---- Reading ---- */

/* A checkpoint being read: all that is open until the last check has passed. */
typedef struct reading {
    ds__heap *heap;
    const char *path;
    ds__arena arena;
    ds__checkpoint_state state;
    ds__safetensors *files[DS__CHECKPOINT_FILES];
} reading;

/* What a reader is told of a file that is not as it was written, whatever was first to stumble over it. */
static ds_status torn(ds_status status, ds_error *error) {
    if (status == DS_OK || status == DS_OUT_OF_MEMORY || status == DS_MEMORY_LIMIT || status == DS_IO) return status;
    const ds_error problem = *error;
    return ds__fail(error, status == DS_NOT_FOUND ? status : DS_BAD_FORMAT,
                    "%s; the checkpoint is not whole: go on from an older one, or start anew", problem.message);
}

static ds_status read_state(reading *r, ds_error *error) {
    if (!ds__folder_exists(r->path))
        return ds__fail(error, DS_NOT_FOUND, "%s: there is no such folder, expected a checkpoint", r->path);
    ds__config_file file;
    DS_TRY(torn(ds__config_file_open(&file, r->heap, r->path, STATE_FILE, error), error));
    ds_status status = ds__checkpoint_state_read(&r->arena, file.path, file.text, &r->state, error);
    ds__config_file_close(&file);
    return status == DS_UNSUPPORTED ? status : torn(status, error);
}

/* Where two lines begin to differ, from the start of that word. */
static size_t first_difference(const char *a, const char *b) {
    size_t word = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == ' ') word = i + 1;
    return word;
}

static ds_status check_fingerprint(const reading *r, const char *fingerprint, ds_error *error) {
    enum { SHOWN = 220 };
    const char *there = r->state.fingerprint, *here = fingerprint;
    if (strcmp(there, here) == 0) return DS_OK;
    const size_t from = strlen(there) > SHOWN || strlen(here) > SHOWN ? first_difference(there, here) : 0;
    return ds__fail(error, DS_INVALID_ARGUMENT,
                    "%s: is of the run \"%.*s\", this one is \"%.*s\"; give the model and the options that it was made "
                    "with, or start anew in another folder",
                    r->path, (int)SHOWN, there + from, (int)SHOWN, here + from);
}

static const char *shape_text(int rank, const int64_t *shape, char *out, size_t size) {
    size_t at = 0;
    for (int i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (!rank) out[0] = '\0';
    return out;
}

static ds_status check_tensor(const ds__safetensors *file, const ds__kept_tensor *tensor, ds_error *error) {
    const ds__safetensor *found = ds__safetensors_find(file, ds__str_of(tensor->name));
    const char *path = ds__safetensors_path(file);
    char there[160], here[160];
    if (!found)
        return ds__fail(error, DS_SHAPE_MISMATCH,
                        "%s: has no tensor \"%s\", which this run has; give the model and the options that it was made "
                        "with",
                        path, tensor->name);
    if (found->known_dtype && found->dtype == DS_F32 && found->rank == tensor->rank &&
        memcmp(found->shape, tensor->shape, (size_t)tensor->rank * sizeof *tensor->shape) == 0)
        return DS_OK;
    return ds__fail(error, DS_SHAPE_MISMATCH,
                    "%s: tensor \"%s\" is %s[%s], in this run it is F32[%s]; give the model and the options that it "
                    "was made with",
                    path, tensor->name, found->dtype_name.data,
                    shape_text(found->rank, found->shape, there, sizeof there),
                    shape_text(tensor->rank, tensor->shape, here, sizeof here));
}

/* Size and checksum first: names and shapes of a file that is not whole mean nothing. */
static ds_status check_bytes(reading *r, int which, const char *path, ds_error *error) {
    const ds__file_sum *written = &r->state.files[which];
    ds__file_map map;
    DS_TRY(ds__file_map_open(path, &map, error));
    const size_t size = map.size;
    ds__file_map_close(&map);
    if (size != written->bytes)
        return ds__fail(error, DS_BAD_FORMAT, "%s: has %zu bytes, %llu were written", path, size,
                        (unsigned long long)written->bytes);
    DS_TRY(ds__safetensors_open(r->heap, path, &r->files[which], error));
    const ds__file_map *data = ds__safetensors_map(r->files[which]);
    ds__checksum sum;
    ds__checksum_init(&sum);
    ds__checksum_add(&sum, data->data, data->size);
    if (ds__checksum_value(&sum) == written->checksum) return DS_OK;
    return ds__fail(error, DS_BAD_FORMAT, "%s: has the checksum %016llx, %016llx was written", path,
                    (unsigned long long)ds__checksum_value(&sum), (unsigned long long)written->checksum);
}

static ds_status check_file(reading *r, int which, const ds__kept_tensor *tensors, size_t count, ds_error *error) {
    ds__buffer path;
    ds__buffer_init(&path, r->heap);
    const char *name = ds__path_join(&path, r->path, ds__checkpoint_file_names[which]);
    ds_status status = name ? torn(check_bytes(r, which, name, error), error)
                            : ds__alloc_failed(r->heap, strlen(r->path) + 32, "a file's path", error);
    for (size_t i = 0; status == DS_OK && i < count; i++) status = check_tensor(r->files[which], &tensors[i], error);
    if (status == DS_OK && ds__safetensors_count(r->files[which]) != count)
        status = ds__fail(error, DS_SHAPE_MISMATCH,
                          "%s: has %zu tensors, this run has %zu; give the model and the options that it was made with",
                          name, ds__safetensors_count(r->files[which]), count);
    ds__buffer_deinit(&path);
    return status;
}

static void fill(const ds__safetensors *file, const ds__kept_tensor *tensors, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const ds__safetensor *from = ds__safetensors_find(file, ds__str_of(tensors[i].name));
        if (from->bytes) memcpy(tensors[i].data, from->data, from->bytes);
    }
}

/* Everything that can fail; only then is the caller's memory written. */
static ds_status read_parts(reading *r, ds__checkpoint *checkpoint, ds__buffer *texts, ds_error *error) {
    DS_TRY(read_state(r, error));
    DS_TRY(check_fingerprint(r, checkpoint->fingerprint, error));
    DS_TRY(check_file(r, DS__CHECKPOINT_WEIGHTS, checkpoint->weights, checkpoint->weight_count, error));
    DS_TRY(check_file(r, DS__CHECKPOINT_MOMENTS, checkpoint->moments, checkpoint->moment_count, error));
    const size_t kernels = strlen(r->state.kernels) + 1, state = strlen(r->state.state) + 1;
    ds__buffer fresh; /* so that the texts of an earlier reading live on when there is no memory for these */
    ds__buffer_init(&fresh, texts->heap);
    ds__buffer_append(&fresh, r->state.kernels, kernels);
    ds__buffer_append(&fresh, r->state.state, state);
    if (fresh.failed) {
        ds__buffer_deinit(&fresh);
        return ds__alloc_failed(texts->heap, kernels + state, "a checkpoint's state", error);
    }
    ds__buffer_deinit(texts);
    *texts = fresh;
    checkpoint->kernels = texts->data;
    checkpoint->state = texts->data + kernels;
    checkpoint->step = r->state.step;
    fill(r->files[DS__CHECKPOINT_WEIGHTS], checkpoint->weights, checkpoint->weight_count);
    fill(r->files[DS__CHECKPOINT_MOMENTS], checkpoint->moments, checkpoint->moment_count);
    return DS_OK;
}

ds_status ds__checkpoint_read(ds__heap *heap, const char *path, ds__checkpoint *checkpoint, ds__buffer *texts,
                              ds_error *error) {
    reading r = {.heap = heap, .path = path};
    ds_error unseen; /* messages are built on others even when nobody reads them */
    ds__arena_init(&r.arena, heap, 0);
    ds_status status = read_parts(&r, checkpoint, texts, error ? error : &unseen);
    for (int i = 0; i < DS__CHECKPOINT_FILES; i++) ds__safetensors_close(r.files[i]);
    ds__arena_deinit(&r.arena);
    return status;
}
