/* Running a segment block by block: each task takes some rows through all nodes of the segment.
 *
 * A task has tensors of its own: windows of its rows into values that others see, and its worker's memory for those
 * that nobody else does. */
#include "runtime/blocks.h"

#include <pthread.h>
#include <string.h>

#include "base/error.h"

typedef struct block_job {
    const ds__blocks *with;
    const ds__segment *segment;
    int64_t rows, blocks;
    pthread_mutex_t lock; /* of the two below */
    int failed;           /* the first block that failed; `blocks` when none has */
    ds_error error;
} block_job;

/* Rows [first, first + count) of a value, for one worker. */
static ds_tensor window(const block_job *job, int32_t value, int64_t first, int64_t count, char *local) {
    const ds__storage *storage = job->with->storage;
    const ds_tensor *whole = &job->with->tensors[value];
    int32_t root = storage->root[value];
    ds_tensor rows = *whole;
    rows.shape[0] = count;
    if (storage->is_local[root]) /* a view keeps its distance from what it looks into */
        rows.data = local + storage->local_offset[root] +
                    ((const char *)whole->data - (const char *)job->with->tensors[root].data);
    else
        rows.data = (char *)whole->data + (size_t)(first * whole->stride[0]) * ds_dtype_size(whole->dtype);
    return rows;
}

static ds_status run_nodes(const block_job *job, int64_t first, int64_t count, int worker, ds_error *error) {
    const ds__blocks *with = job->with;
    const size_t local_floats = with->storage->local_bytes / sizeof(float);
    float *own = with->scratch + (size_t)worker * (with->scratch_floats + local_floats);
    ds__run run = {
        .pool = with->pool, .threads = 1, .scratch = own, .scratch_floats = with->scratch_floats, .first_row = first};
    char *local = (char *)(own + with->scratch_floats);
    for (int32_t i = job->segment->first; i < job->segment->last; i++) {
        const ds__call *whole = &with->calls[i];
        const ds__node *node = whole->node;
        ds_tensor inputs[DS__MAX_INPUTS], output;
        ds__call call = {.node = node};
        if (node->op->view) continue;
        for (int32_t k = 0; k < node->input_count; k++) {
            call.inputs[k] = whole->inputs[k];
            if (node->inputs[k] < 0 || with->graph->values[node->inputs[k]].kind == DS__VALUE_WEIGHT) continue;
            inputs[k] = window(job, node->inputs[k], first, count, local);
            call.inputs[k] = &inputs[k];
        }
        output = window(job, node->outputs[0], first, count, local);
        call.outputs[0] = &output;
        ds_status status = with->backends[i]->run(&call, &run, error);
        if (status != DS_OK) return ds__fail_in(error, status, "node %d (%s)", i, node->op->name);
    }
    return DS_OK;
}

static void run_block(void *argument, int task, int worker) {
    block_job *job = argument;
    int64_t first = job->rows * task / job->blocks, end = job->rows * (task + 1) / job->blocks;
    ds_error error;
    if (run_nodes(job, first, end - first, worker, &error) == DS_OK) return;
    pthread_mutex_lock(&job->lock); /* of several mistakes, the first one in the batch is told, whoever met it first */
    if (task < job->failed) {
        job->failed = task;
        job->error = error;
    }
    pthread_mutex_unlock(&job->lock);
}

/* Rows of a block: as many blocks for every thread. */
static int64_t block_rows(int64_t rows, int threads) {
    int64_t blocks = (rows + DS__BLOCK_ROWS - 1) / DS__BLOCK_ROWS,
            least = (int64_t)ds__split_for(rows, threads)->blocks * threads;
    if (blocks < least) blocks = least;
    blocks = (blocks + threads - 1) / threads * threads;
    return (rows + blocks - 1) / blocks;
}

ds_status ds__blocks_run(const ds__blocks *with, const ds__segment *segment, int64_t rows, ds_error *error) {
    int64_t block = block_rows(rows, ds__pool_threads(with->pool));
    block_job job = {.with = with, .segment = segment, .rows = rows, .blocks = (rows + block - 1) / block};
    job.failed = (int)job.blocks;
    pthread_mutex_init(&job.lock, NULL);
    ds__pool_run(with->pool, (int)job.blocks, run_block, &job);
    pthread_mutex_destroy(&job.lock);
    if (job.failed == job.blocks) return DS_OK;
    return ds__fail(error, job.error.status, "%s", job.error.message);
}
