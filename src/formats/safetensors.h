/* safetensors (huggingface.co/docs/safetensors): 8 bytes with the header's length, a JSON header, the tensors' bytes.
 */
#ifndef DS_FORMATS_SAFETENSORS_H
#define DS_FORMATS_SAFETENSORS_H

#include "base/arena.h"
#include "base/file.h"
#include "deepseek/tensor.h"

typedef struct ds__safetensors ds__safetensors;

typedef struct ds__safetensor {
    ds__str name, dtype_name; /* NUL behind both; dtype_name as stored: "F32" */
    bool known_dtype;         /* false: dtype is meaningless, the tensor can only be listed */
    ds_dtype dtype;
    int rank;
    int64_t shape[DS_MAX_RANK];
    const unsigned char *data; /* in the mapped file; may be unaligned */
    size_t bytes;
    const char *path; /* of its file, for messages */
} ds__safetensor;

/* Maps and checks one file. Every tensor lies inside of it, without overlap and without gaps, and has the size that its
 * shape and type give. */
ds_status ds__safetensors_open(ds__heap *heap, const char *path, ds__safetensors **out, ds_error *error) DS_MUST_CHECK;
void ds__safetensors_close(ds__safetensors *file); /* NULL is allowed */

/* Tensors in the order of their names. */
size_t ds__safetensors_count(const ds__safetensors *file);
const ds__safetensor *ds__safetensors_at(const ds__safetensors *file, size_t index);
/* Puts another tensor in place of one, under the same name; what it points to must outlive the file. */
void ds__safetensors_replace(ds__safetensors *file, size_t index, const ds__safetensor *tensor);
/* NULL: none of that name. */
const ds__safetensor *ds__safetensors_find(const ds__safetensors *file, ds__str name);
const ds__file_map *ds__safetensors_map(const ds__safetensors *file);
const char *ds__safetensors_path(const ds__safetensors *file);

/* Order of names: bytewise, the shorter first. */
int ds__safetensors_compare(ds__str a, ds__str b);

#endif
