/* What an element type is called and how large it is, and the dense view over caller's memory. */
#include "deepseek/tensor.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define DTYPE_ROW(name, text, elements, bytes) {text, bytes},
    DS_DTYPE_LIST(DTYPE_ROW)
#undef DTYPE_ROW
};

enum { DTYPE_COUNT = sizeof dtypes / sizeof *dtypes };

const char *ds_dtype_name(ds_dtype dtype) { return (unsigned)dtype < DTYPE_COUNT ? dtypes[dtype].name : "unknown"; }

size_t ds_dtype_size(ds_dtype dtype) { return (unsigned)dtype < DTYPE_COUNT ? dtypes[dtype].bytes : 0; }

ds_tensor ds_tensor_dense(ds_dtype dtype, int rank, const int64_t *shape, void *data) {
    ds_tensor tensor = {.dtype = dtype, .rank = rank, .data = data};
    /* A wrong rank is kept for whoever checks the tensor to refuse; it must only not run over the arrays here. */
    int dimensions = rank < 0 ? 0 : rank > DS_MAX_RANK ? DS_MAX_RANK : rank;
    uint64_t stride = 1; /* unsigned: an absurd shape wraps, and is refused where sizes are checked */
    for (int i = dimensions - 1; i >= 0; i--) {
        tensor.shape[i] = shape[i];
        tensor.stride[i] = (int64_t)stride;
        stride *= (uint64_t)shape[i];
    }
    return tensor;
}
