/* Element types and the strided view that tensors cross the API in.  A ds_tensor never owns its data. */
#ifndef DEEPSEEK_TENSOR_H
#define DEEPSEEK_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "deepseek/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, text, elements per block, bytes per block).  Blocks leave room for formats that share a scale. */
#define DS_DTYPE_LIST(X)                                                                                               \
    X(DS_F32, "float32", 1, 4)                                                                                         \
    X(DS_F16, "float16", 1, 2)                                                                                         \
    X(DS_BF16, "bfloat16", 1, 2)                                                                                       \
    X(DS_F64, "float64", 1, 8)                                                                                         \
    X(DS_I8, "int8", 1, 1)                                                                                             \
    X(DS_U8, "uint8", 1, 1)                                                                                            \
    X(DS_I16, "int16", 1, 2)                                                                                           \
    X(DS_I32, "int32", 1, 4)                                                                                           \
    X(DS_I64, "int64", 1, 8)                                                                                           \
    X(DS_BOOL, "bool", 1, 1)

typedef enum ds_dtype {
#define DS_DTYPE_ENUM(name, text, elements, bytes) name,
    DS_DTYPE_LIST(DS_DTYPE_ENUM)
#undef DS_DTYPE_ENUM
} ds_dtype;

enum { DS_MAX_RANK = 6 };

/* A view: element [i0, i1, ...] lies at data + (i0*stride[0] + i1*stride[1] + ...) elements. */
typedef struct ds_tensor {
    ds_dtype dtype;
    int rank; /* 0..DS_MAX_RANK; 0 is a scalar */
    int64_t shape[DS_MAX_RANK];
    int64_t stride[DS_MAX_RANK]; /* in elements */
    void *data;                  /* borrowed */
} ds_tensor;

DS_API const char *ds_dtype_name(ds_dtype dtype);
/* Bytes of one element (of one block for block formats). */
DS_API size_t ds_dtype_size(ds_dtype dtype);

/* A dense row-major view of `data`. rank <= DS_MAX_RANK. */
DS_API ds_tensor ds_tensor_dense(ds_dtype dtype, int rank, const int64_t *shape, void *data);

#ifdef __cplusplus
}
#endif
#endif
