/* Writing a list of float tensors as one safetensors file. */
#include "train/write_tensors.h"

#include <math.h>

#include "base/arena.h"
#include "base/error.h"
#include "formats/safetensors_header.h"
#include "tensor/convert.h"

/* PIECE_BYTES: what is summed up is written while it is still in the second-level cache. */
enum { PIECE_BYTES = 512 << 10, PIECE_ELEMENTS = 64 << 10 };

/* Beyond, float16 has infinity. */
static const float F16_END = 65520.0f;

static const char *const dtype_names[] = {
    [DS_SAVE_FLOAT32] = "F32", [DS_SAVE_FLOAT16] = "F16", [DS_SAVE_BFLOAT16] = "BF16"};

size_t ds__kept_element(const ds__kept_tensor *tensor, ds_save_dtype dtype) {
    if (!tensor->stored) return dtype == DS_SAVE_FLOAT32 ? 4 : 2;
    return tensor->stored->known_dtype ? ds_dtype_size(tensor->stored->dtype) : 1;
}

/* The elements of a shape times `element`; false: more than can be addressed. */
static bool bytes_of(const ds__kept_tensor *tensor, size_t element, size_t *bytes) {
    *bytes = element;
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] < 0 || !ds__size_mul(*bytes, (size_t)tensor->shape[i], bytes)) return false;
    return true;
}

static ds_status put(ds__save *save, const void *data, size_t bytes, ds__checksum *sum, ds_error *error) {
    const char *at = data;
    while (bytes) {
        size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        if (sum) ds__checksum_add(sum, at, piece);
        DS_TRY(ds__save_write(save, at, piece, error));
        at += piece;
        bytes -= piece;
    }
    return DS_OK;
}

/* Rounds to 16 bits, piece by piece; out: [PIECE_ELEMENTS]. */
static ds_status put_halves(ds__save *save, const ds__kept_tensor *tensor, size_t count, ds_save_dtype dtype,
                            uint16_t *out, ds__checksum *sum, ds_error *error) {
    for (size_t first = 0; first < count; first += PIECE_ELEMENTS) {
        const float *from = tensor->data + first;
        size_t piece = count - first < PIECE_ELEMENTS ? count - first : PIECE_ELEMENTS;
        for (size_t i = 0; i < piece; i++) {
            if (dtype == DS_SAVE_BFLOAT16) {
                out[i] = ds__f32_to_bf16(from[i]);
                continue;
            }
            if (isfinite(from[i]) && fabsf(from[i]) >= F16_END)
                return ds__fail(error, DS_INVALID_ARGUMENT,
                                "tensor \"%s\" holds %g, and float16 ends at 65504; save it as bfloat16 or float32",
                                tensor->name, (double)from[i]);
            out[i] = ds__f32_to_f16(from[i]);
        }
        DS_TRY(put(save, out, piece * sizeof *out, sum, error));
    }
    return DS_OK;
}

static ds_status put_data(ds__save *save, const ds__kept_tensor *tensors, size_t count, ds_save_dtype dtype,
                          ds__checksum *sum, ds_error *error) {
    const size_t room = dtype == DS_SAVE_FLOAT32 ? 0 : PIECE_ELEMENTS * sizeof(uint16_t);
    uint16_t *halves = ds__alloc(save->heap, room);
    if (!halves) return ds__alloc_failed(save->heap, room, "weights on their way to a file", error);
    ds_status status = DS_OK;
    for (size_t i = 0, elements; i < count && status == DS_OK; i++) {
        const ds__kept_tensor *t = &tensors[i];
        if (t->stored)
            status = put(save, t->stored->data, t->stored->bytes, sum, error);
        else if (!bytes_of(t, 1, &elements))
            continue; /* the header was refused */
        else if (dtype == DS_SAVE_FLOAT32)
            status = put(save, t->data, elements * sizeof(float), sum, error);
        else
            status = put_halves(save, t, elements, dtype, halves, sum, error);
    }
    ds__free(save->heap, halves, room);
    return status;
}

static ds_status put_header(ds__save *save, const ds__kept_tensor *tensors, size_t count, ds_save_dtype dtype,
                            ds__checksum *sum, ds_error *error) {
    ds__arena arena;
    ds__buffer header;
    ds__arena_init(&arena, save->heap, 0);
    ds__buffer_init(&header, save->heap);
    ds__stored_tensor *stored = ds__arena_zeroed(&arena, (count + 1) * sizeof *stored);
    ds_status status = stored ? DS_OK : ds__alloc_failed(save->heap, count * sizeof *stored, "tensors", error);
    for (size_t i = 0; status == DS_OK && i < count; i++) {
        stored[i] = (ds__stored_tensor){.name = tensors[i].name, .dtype = dtype_names[dtype], .rank = tensors[i].rank};
        memcpy(stored[i].shape, tensors[i].shape, sizeof stored[i].shape);
        if (tensors[i].stored) {
            stored[i].dtype = tensors[i].stored->dtype_name.data;
            stored[i].bytes = tensors[i].stored->bytes;
        } else if (!bytes_of(&tensors[i], ds__kept_element(&tensors[i], dtype), &stored[i].bytes)) {
            status = ds__fail(error, DS_INVALID_ARGUMENT, "tensor \"%s\" has more elements than can be addressed",
                              tensors[i].name);
        }
    }
    if (status == DS_OK) status = ds__safetensors_header(stored, count, &header, error);
    if (status == DS_OK) status = put(save, header.data, header.size, sum, error);
    ds__buffer_deinit(&header);
    ds__arena_deinit(&arena);
    return status;
}

ds_status ds__tensors_write(ds__save *save, const char *name, const ds__kept_tensor *tensors, size_t count,
                            ds_save_dtype dtype, ds__checksum *sum, ds_error *error) {
    DS_TRY(ds__save_start(save, name, error));
    DS_TRY(put_header(save, tensors, count, dtype, sum, error));
    DS_TRY(put_data(save, tensors, count, dtype, sum, error));
    return ds__save_end(save, error);
}
