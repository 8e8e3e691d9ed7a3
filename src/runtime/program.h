/* A compiled graph, and one thread's execution of it.
 *
 * A program is immutable: the rewritten graph, the backend of each node, the weights in the form those want. An
 * execution holds one thread's views of the tensors; the memory behind them is a workspace that executions of one
 * thread may share, since nothing in it survives a run.  A plan is made for an upper bound of the symbols and re-bound
 * for smaller sizes; a run within the bound allocates nothing. */
#ifndef DS_RUNTIME_PROGRAM_H
#define DS_RUNTIME_PROGRAM_H

#include "passes/pass.h"
#include "runtime/plan.h"
#include "runtime/weights.h"

typedef struct ds__program ds__program;
typedef struct ds__execution ds__execution;

/* Activations and scratch memory; grows to the largest need and stays. */
typedef struct ds__workspace {
    ds__heap *heap;
    char *buffer;
    size_t buffer_bytes;
    float *scratch;
    size_t scratch_bytes;
} ds__workspace;
void ds__workspace_init(ds__workspace *workspace, ds__heap *heap);
void ds__workspace_deinit(ds__workspace *workspace);

typedef struct ds__program_options {
    const ds__backend *const *backends; /* in the order of preference; the last one supports everything */
    size_t backend_count;
    ds__pass_options passes;
} ds__program_options;

/* Takes the graph (also when it fails): it is rewritten and destroyed with the program. The store must outlive it. */
ds_status ds__program_create(ds_graph *graph_take, ds__weight_store *store, const ds__program_options *options,
                             ds__program **out, ds_error *error) DS_MUST_CHECK;
void ds__program_destroy(ds__program *program);
const ds_graph *ds__program_graph(const ds__program *program);

typedef struct ds__program_memory {
    size_t activations, side_by_side; /* bytes of the buffer; bytes without sharing */
    size_t scratch;                   /* bytes of all workers */
} ds__program_memory;
/* What an execution would hold for sizes up to `symbols`. */
ds_status ds__program_memory_for(const ds__program *program, const int64_t *symbols, ds__program_memory *memory,
                                 ds_error *error) DS_MUST_CHECK;

/* The workspace is shared and must outlive it. */
ds_status ds__execution_create(const ds__program *program, ds__workspace *workspace, ds__execution **out,
                               ds_error *error) DS_MUST_CHECK;
void ds__execution_destroy(ds__execution *execution);
/* Makes the plan for sizes up to `symbols` if it is smaller, so that later runs allocate nothing. */
ds_status ds__execution_reserve(ds__execution *execution, const int64_t *symbols, ds_error *error) DS_MUST_CHECK;
/* inputs: data pointers in the order of the graph's input values; outputs: in the order of its outputs. All dense. */
ds_status ds__execution_run(ds__execution *execution, const int64_t *symbols, const void *const *inputs,
                            void *const *outputs, ds_error *error) DS_MUST_CHECK;
/* From now on runs look at the clock when everything up to the node that makes this output is done (with the segment
 * that it lies in). */
void ds__execution_watch(ds__execution *execution, size_t output);
/* When that was in the last run; see ds__clock_ns. */
uint64_t ds__execution_reached_ns(const ds__execution *execution);
/* The arithmetic of the last run (a multiply-add is two operations); its inputs must still be there. */
double ds__execution_flops(const ds__execution *execution);

#endif
