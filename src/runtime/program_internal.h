/* The program's inside, for the executor. */
#ifndef DS_RUNTIME_PROGRAM_INTERNAL_H
#define DS_RUNTIME_PROGRAM_INTERNAL_H

#include "runtime/program.h"
#include "runtime/segments.h"

struct ds__program {
    ds_graph *graph;              /* owned, rewritten */
    ds__arena arena;              /* all arrays below */
    const ds__backend **backends; /* [nodes] */
    ds_tensor *weight_tensors;    /* [nodes][DS__MAX_INPUTS]: weights in the form their node wants */
    size_t scratch_floats;        /* of one worker, for the nodes; behind it lie the values of its block */
    ds__storage storage;
};

/* Bytes of all workers. */
size_t ds__program_scratch(const ds__program *program);

#endif
