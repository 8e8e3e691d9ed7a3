/* The thread pool of a context.  A job is `tasks` calls of one function; the caller works too and returns when all are
 * done.  Workers spin briefly, then sleep.  Concurrent callers take turns job by job; a job inside a job runs inline.
 */
#ifndef DS_BASE_POOL_H
#define DS_BASE_POOL_H

#include "base/alloc.h"

typedef struct ds__pool ds__pool;

/* task: 0..tasks-1, handed out in order; worker: 0..threads-1, for choosing per-thread scratch.  Which worker gets
 * which task varies from run to run: results must not depend on `worker`. */
typedef void (*ds__task_fn)(void *argument, int task, int worker);

/* threads includes the caller; 1 starts none. */
DS_MUST_CHECK ds_status ds__pool_create(ds__heap *heap, int threads, ds__pool **out, ds_error *error);
void ds__pool_destroy(ds__pool *pool);
int ds__pool_threads(const ds__pool *pool);
void ds__pool_run(ds__pool *pool, int tasks, ds__task_fn fn, void *argument);

#endif
