/* Thread pool. Workers and the caller draw task numbers from one atomic ticket: (generation << 32 | next task).
 *
 * A late worker may still look at a job that is over while the next one is being published.  So a job that is over
 * closes its ticket (no task number is below TICKET_CLOSED), and the caller then waits until nobody is `inside` before
 * it changes the job's fields: whoever enters afterwards finds the ticket closed (sequentially consistent on both
 * sides). */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

enum { SPIN_NS = 100000, STACK_BYTES = 512 * 1024 };

#define TICKET_CLOSED UINT32_MAX

typedef struct worker {
    pthread_t thread;
    ds__pool *pool;
    int index;
} worker;

struct ds__pool {
    ds__heap *heap;
    int threads;         /* the caller included */
    int started;         /* how many workers run */
    worker *workers;     /* [threads - 1] */
    pthread_mutex_t job; /* held by the caller whose job runs */
    pthread_mutex_t sleep;
    pthread_cond_t wake;
    int sleepers; /* under `sleep` */
    /* The job: written by the caller while the ticket is closed and nobody is inside, read after drawing a task. */
    ds__task_fn fn;
    void *argument;
    uint32_t tasks;
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic int finished; /* tasks done of this job */
    _Atomic int inside;                /* workers that hold fn and argument */
    _Atomic bool stopping;
};

/* Which pool this thread is working for; a job started inside one of its tasks then runs inline. */
static _Thread_local const ds__pool *inside_pool;
static _Thread_local int inside_worker;

static uint32_t generation_of(uint64_t ticket) { return (uint32_t)(ticket >> 32); }

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Draws and runs tasks of the job of `generation` until none is left. */
static void work(ds__pool *pool, uint32_t generation, int index) {
    uint64_t ticket = atomic_load(&pool->ticket);
    for (;;) {
        uint32_t task = (uint32_t)ticket;
        if (generation_of(ticket) != generation || task == TICKET_CLOSED || task >= pool->tasks) return;
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        pool->fn(pool->argument, (int)task, index);
        atomic_fetch_add_explicit(&pool->finished, 1, memory_order_release);
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

/* Spins for a while, then sleeps, until there is a job other than `seen`; returns its generation. */
static uint32_t wait_for_job(ds__pool *pool, uint32_t seen) {
    uint64_t deadline = ds__clock_ns() + SPIN_NS;
    for (unsigned spins = 1;; spins++) {
        uint32_t now = generation_of(atomic_load_explicit(&pool->ticket, memory_order_acquire));
        if (now != seen || atomic_load_explicit(&pool->stopping, memory_order_relaxed)) return now;
        relax();
        if (spins % 64 == 0 && ds__clock_ns() > deadline) break;
    }
    pthread_mutex_lock(&pool->sleep);
    pool->sleepers++;
    while (generation_of(atomic_load(&pool->ticket)) == seen && !atomic_load(&pool->stopping))
        pthread_cond_wait(&pool->wake, &pool->sleep);
    pool->sleepers--;
    pthread_mutex_unlock(&pool->sleep);
    return generation_of(atomic_load(&pool->ticket));
}

static void *worker_main(void *argument) {
    worker *self = argument;
    ds__pool *pool = self->pool;
    inside_pool = pool;
    inside_worker = self->index;
    uint32_t seen = 0;
    for (;;) {
        uint32_t generation = wait_for_job(pool, seen);
        if (atomic_load(&pool->stopping)) return NULL;
        /* `inside` keeps the caller from publishing the next job while this thread reads fn, argument and tasks. */
        atomic_fetch_add(&pool->inside, 1);
        work(pool, generation, self->index);
        atomic_fetch_sub(&pool->inside, 1);
        seen = generation;
    }
}

static void wake_all(ds__pool *pool) {
    pthread_mutex_lock(&pool->sleep);
    if (pool->sleepers) pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
}

static void wait_until(_Atomic int *value, int wanted) {
    for (unsigned spins = 1; atomic_load(value) != wanted; spins++) {
        relax();
        if (spins % 1024 == 0) sched_yield(); /* more threads than cores: let the one we wait for run */
    }
}

void ds__pool_run(ds__pool *pool, int tasks, ds__task_fn fn, void *argument) {
    if (tasks <= 0) return;
    if (inside_pool == pool || tasks == 1 || pool->threads == 1) {
        /* An inline job keeps the number of the worker it runs on: its per-thread scratch is this thread's own. With no
         * outer job, the number 0 belongs to the caller who holds the lock. */
        bool nested = inside_pool == pool;
        if (!nested) pthread_mutex_lock(&pool->job);
        const ds__pool *outer_pool = inside_pool;
        int outer_worker = inside_worker, index = nested ? inside_worker : 0;
        inside_pool = pool;
        inside_worker = index;
        for (int task = 0; task < tasks; task++) fn(argument, task, index);
        inside_pool = outer_pool;
        inside_worker = outer_worker;
        if (!nested) pthread_mutex_unlock(&pool->job);
        return;
    }
    pthread_mutex_lock(&pool->job);
    const ds__pool *outer_pool = inside_pool;
    int outer_worker = inside_worker;
    inside_pool = pool;
    inside_worker = 0;
    pool->fn = fn;
    pool->argument = argument;
    pool->tasks = (uint32_t)tasks;
    atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
    uint32_t generation = generation_of(atomic_load(&pool->ticket)) + 1;
    atomic_store(&pool->ticket, (uint64_t)generation << 32);
    wake_all(pool);
    work(pool, generation, 0);
    wait_until(&pool->finished, tasks);
    atomic_store(&pool->ticket, (uint64_t)generation << 32 | TICKET_CLOSED);
    wait_until(&pool->inside, 0);
    inside_pool = outer_pool;
    inside_worker = outer_worker;
    pthread_mutex_unlock(&pool->job);
}

static ds_status start_workers(ds__pool *pool, ds_error *error) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return ds__fail(error, DS_OUT_OF_MEMORY, "cannot set thread attributes");
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int code = 0;
    for (int i = 0; i < pool->threads - 1 && code == 0; i++) {
        pool->workers[i] = (worker){.pool = pool, .index = i + 1};
        code = pthread_create(&pool->workers[i].thread, &attributes, worker_main, &pool->workers[i]);
        if (code == 0) pool->started++;
    }
    pthread_attr_destroy(&attributes);
    if (code == 0) return DS_OK;
    return ds__fail(error, DS_OUT_OF_MEMORY, "cannot start thread %d of %d: %s; ask for fewer threads",
                    pool->started + 1, pool->threads - 1, strerror(code));
}

ds_status ds__pool_create(ds__heap *heap, int threads, ds__pool **out, ds_error *error) {
    ds__pool *pool = ds__alloc_zeroed(heap, sizeof *pool);
    if (!pool) return ds__alloc_failed(heap, sizeof *pool, "the thread pool", error);
    pool->heap = heap;
    pool->threads = threads;
    atomic_init(&pool->ticket, TICKET_CLOSED); /* generation 0 is no job */
    pthread_mutex_init(&pool->job, NULL);
    pthread_mutex_init(&pool->sleep, NULL);
    pthread_cond_init(&pool->wake, NULL);
    size_t bytes = (size_t)threads * sizeof(worker);
    pool->workers = ds__alloc_zeroed(heap, bytes);
    ds_status status = pool->workers ? start_workers(pool, error) : ds__alloc_failed(heap, bytes, "threads", error);
    if (status != DS_OK) {
        ds__pool_destroy(pool);
        return status;
    }
    *out = pool;
    return DS_OK;
}

void ds__pool_destroy(ds__pool *pool) {
    if (!pool) return;
    atomic_store(&pool->stopping, true);
    wake_all(pool);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->sleep);
    pthread_mutex_destroy(&pool->job);
    ds__free(pool->heap, pool->workers, (size_t)pool->threads * sizeof(worker));
    ds__free(pool->heap, pool, sizeof *pool);
}

int ds__pool_threads(const ds__pool *pool) { return pool->threads; }
