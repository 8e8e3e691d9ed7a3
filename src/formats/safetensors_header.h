/* The header of a safetensors file that is about to be written. */
#ifndef DS_FORMATS_SAFETENSORS_HEADER_H
#define DS_FORMATS_SAFETENSORS_HEADER_H

#include "base/buffer.h"
#include "deepseek/tensor.h"

/* One tensor of the file, in the order in which the data will be written. */
typedef struct ds__stored_tensor {
    const char *name, *dtype; /* dtype as the format has it: "F32" */
    int rank;
    int64_t shape[DS_MAX_RANK];
    size_t bytes;
} ds__stored_tensor;

/* Appends the 8 bytes of length and the JSON header, padded so that the data start at a multiple of 64. Put wide types
 * first, and every tensor is aligned to its element. Failure is the buffer's, and DS_INVALID_ARGUMENT when the sizes
 * exceed what can be addressed. */
ds_status ds__safetensors_header(const ds__stored_tensor *tensors, size_t count, ds__buffer *out,
                                 ds_error *error) DS_MUST_CHECK;

#endif
