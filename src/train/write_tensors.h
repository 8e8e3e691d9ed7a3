/* Writing a list of float tensors as one safetensors file. */
#ifndef DS_TRAIN_WRITE_TENSORS_H
#define DS_TRAIN_WRITE_TENSORS_H

#include "base/checksum.h"
#include "base/save.h"
#include "deepseek/train.h"
#include "train/checkpoint.h"

/* Bytes of an element in the file; dtype: of what is not handed on as it is. */
size_t ds__kept_element(const ds__kept_tensor *tensor, ds_save_dtype dtype);

/* name: of the file within `save`.  dtype: not INT8.  Floats are written straight from where they lie.  A number that
 * float16 has no room for is refused with the tensor's name.  Put wide types first, and every tensor is aligned to its
 * element.  sum: gets what was written; NULL: not wanted. */
ds_status ds__tensors_write(ds__save *save, const char *name, const ds__kept_tensor *tensors, size_t count,
                            ds_save_dtype dtype, ds__checksum *sum, ds_error *error) DS_MUST_CHECK;

#endif
