/* Running a segment block by block; for the executor. */
#ifndef DS_RUNTIME_BLOCKS_H
#define DS_RUNTIME_BLOCKS_H

#include "runtime/segments.h"

/* What a run of a segment needs of its execution; everything borrowed. */
typedef struct ds__blocks {
    const ds_graph *graph;
    const ds__storage *storage;
    const ds__backend *const *backends; /* [nodes] */
    const ds__call *calls;              /* [nodes], bound to all rows */
    const ds_tensor *tensors;           /* [values], bound to all rows */
    ds__pool *pool;
    float *scratch;        /* of each worker: scratch_floats for the nodes, then storage->local_bytes for values */
    size_t scratch_floats; /* a multiple of 16 */
} ds__blocks;

/* All rows of the segment. Which block a row falls into changes nothing about its results. */
ds_status ds__blocks_run(const ds__blocks *with, const ds__segment *segment, int64_t rows,
                         ds_error *error) DS_MUST_CHECK;

#endif
