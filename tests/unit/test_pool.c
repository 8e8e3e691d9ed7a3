/* The thread pool: every task once, per-worker scratch, nested jobs inline, many callers.  Worth most under
 * -fsanitize=thread: what tasks write is plain memory that the caller reads afterwards. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/pool.h"

enum { MAX_THREADS = 8, MAX_TASKS = 1000 };

static ds__heap heap;

static ds__pool *make_pool(int threads) {
    ds__pool *pool;
    ds_error error;
    if (ds__pool_create(&heap, threads, &pool, &error) != DS_OK) fail_msg("%s", error.message);
    assert_int_equal(ds__pool_threads(pool), threads);
    return pool;
}

static int open_heap(void **state) {
    ds__heap_init(&heap, NULL, 0);
    return 0;
}

static int close_heap(void **state) { return heap.bytes == 0 ? 0 : -1; }

typedef struct job {
    int threads;
    int runs[MAX_TASKS];          /* plain: each task owns its entry */
    int scratch[MAX_THREADS][16]; /* plain: each worker owns its entry, a cache line */
    int out_of_range;
} job;

static void count_task(void *argument, int task, int worker) {
    job *j = argument;
    if (worker < 0 || worker >= j->threads) {
        j->out_of_range = 1;
        return;
    }
    j->runs[task]++;
    j->scratch[worker][0]++;
}

static void check_job(ds__pool *pool, int tasks) {
    static job j;
    memset(&j, 0, sizeof j);
    j.threads = ds__pool_threads(pool);
    ds__pool_run(pool, tasks, count_task, &j);
    int total = 0;
    for (int i = 0; i < j.threads; i++) total += j.scratch[i][0];
    assert_int_equal(j.out_of_range, 0);
    assert_int_equal(total, tasks);
    for (int i = 0; i < MAX_TASKS; i++) assert_int_equal(j.runs[i], i < tasks);
}

static void every_task_runs_once(void **state) {
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        ds__pool *pool = make_pool(threads);
        for (int tasks = 0; tasks < 20; tasks++) check_job(pool, tasks);
        for (int round = 0; round < 200; round++) check_job(pool, round % 7 + 1);
        check_job(pool, MAX_TASKS);
        ds__pool_destroy(pool);
    }
    ds__pool *pool = make_pool(2);
    ds__pool_run(pool, -1, count_task, NULL); /* nothing to do */
    ds__pool_destroy(pool);
    ds__pool_destroy(NULL);
}

/* A pool that was never used, and one whose workers went to sleep between jobs. */
static void idle_pools_wake_and_stop(void **state) {
    for (int i = 0; i < 20; i++) ds__pool_destroy(make_pool(4));
    ds__pool *pool = make_pool(4);
    for (int i = 0; i < 5; i++) {
        check_job(pool, 100);
        struct timespec pause = {0, 2000000}; /* twenty times as long as a worker spins */
        nanosleep(&pause, NULL);
    }
    ds__pool_destroy(pool);
}

typedef struct ordered {
    pthread_t caller;
    int next, wrong;
} ordered;

static void ordered_task(void *argument, int task, int worker) {
    ordered *o = argument;
    o->wrong += task != o->next++ || worker != 0 || !pthread_equal(pthread_self(), o->caller);
}

static void one_thread_runs_in_order_on_the_caller(void **state) {
    ds__pool *pool = make_pool(1);
    ordered o = {pthread_self(), 0, 0};
    ds__pool_run(pool, 100, ordered_task, &o);
    assert_int_equal(o.next, 100);
    assert_int_equal(o.wrong, 0);
    ds__pool_destroy(pool);
}

/* Nested jobs: inline, on the same thread, with the outer task's worker number, in order. */
typedef struct nest {
    ds__pool *pool;
    int depth, worker, next, wrong, leaves;
    pthread_t thread;
} nest;

static void nested_task(void *argument, int task, int worker) {
    nest *outer = argument;
    outer->wrong += worker != outer->worker || task != outer->next++ || !pthread_equal(pthread_self(), outer->thread);
    if (outer->depth == 0) {
        outer->leaves++;
        return;
    }
    nest inner = {.pool = outer->pool, .depth = outer->depth - 1, .worker = worker, .thread = outer->thread};
    ds__pool_run(outer->pool, 3, nested_task, &inner);
    outer->wrong += inner.wrong;
    outer->leaves += inner.leaves;
}

typedef struct nests {
    ds__pool *pool;
    pthread_barrier_t *together; /* may be NULL; as many tasks as threads, so that every worker gets one */
    nest each[64];
} nests;

static void outer_task(void *argument, int task, int worker) {
    nests *n = argument;
    if (n->together) pthread_barrier_wait(n->together);
    n->each[task] = (nest){.pool = n->pool, .depth = 2, .worker = worker, .thread = pthread_self()};
    ds__pool_run(n->pool, 3, nested_task, &n->each[task]);
    ds__pool_run(n->pool, 0, nested_task, NULL);
}

static void check_nests(nests *n, int tasks) {
    ds__pool_run(n->pool, tasks, outer_task, n);
    for (int i = 0; i < tasks; i++) {
        assert_int_equal(n->each[i].leaves, 27);
        assert_int_equal(n->each[i].wrong, 0);
    }
}

static void nested_jobs_run_inline_with_the_same_worker(void **state) {
    for (int threads = 1; threads <= 4; threads++) {
        nests n = {.pool = make_pool(threads)};
        check_nests(&n, 1); /* a job of one task has a path of its own */
        check_nests(&n, 2);
        check_nests(&n, 64);
        pthread_barrier_t together;
        assert_int_equal(pthread_barrier_init(&together, NULL, (unsigned)threads), 0);
        n.together = &together;
        for (int round = 0; round < 50; round++) {
            check_nests(&n, threads);
            int seen = 0; /* all at once, so each on a worker of its own */
            for (int i = 0; i < threads; i++) seen |= 1 << n.each[i].worker;
            assert_int_equal(seen, (1 << threads) - 1);
        }
        pthread_barrier_destroy(&together);
        ds__pool_destroy(n.pool);
    }
}

/* Many callers of one pool: jobs take turns, so even scratch by worker number is never shared. */
enum { CALLERS = 6, JOBS = 300 };

typedef struct caller {
    ds__pool *pool;
    int *scratch; /* [threads], shared by all callers, plain */
    int number;
    long sum;
} caller;

typedef struct sum_job {
    int *scratch;
    long parts[16];
    int first;
} sum_job;

static void sum_task(void *argument, int task, int worker) {
    sum_job *s = argument;
    s->scratch[worker * 16]++;
    s->parts[task] = s->first + task;
}

static void *call_often(void *argument) {
    caller *c = argument;
    for (int i = 0; i < JOBS; i++) {
        sum_job s = {.scratch = c->scratch, .first = c->number * 1000 + i};
        int tasks = i % 16 + 1; /* 1 included: its inline path must take turns as well */
        ds__pool_run(c->pool, tasks, sum_task, &s);
        for (int t = 0; t < tasks; t++) c->sum += s.parts[t];
    }
    return NULL;
}

static void callers_take_turns(void **state) {
    for (int threads = 1; threads <= 4; threads++) {
        int scratch[16 * MAX_THREADS] = {0};
        caller callers[CALLERS];
        pthread_t handles[CALLERS];
        ds__pool *pool = make_pool(threads);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (caller){pool, scratch, i, 0};
            assert_int_equal(pthread_create(&handles[i], NULL, call_often, &callers[i]), 0);
        }
        long tasks = 0, counted = 0;
        for (int i = 0; i < CALLERS; i++) {
            pthread_join(handles[i], NULL);
            long want = 0;
            for (int j = 0; j < JOBS; j++)
                for (int t = 0; t < j % 16 + 1; t++, tasks++) want += i * 1000 + j + t;
            assert_int_equal(callers[i].sum, want);
        }
        for (int i = 0; i < threads; i++) counted += scratch[i * 16];
        assert_int_equal(counted, tasks);
        ds__pool_destroy(pool);
    }
}

/* A job of one pool inside a task of another: the outer pool's number comes back afterwards. */
typedef struct pair {
    ds__pool *outer, *inner;
    int wrong;
    int ran[4];
} pair;

static void inner_task(void *argument, int task, int worker) { ((int *)argument)[task]++; }

static void pair_task(void *argument, int task, int worker) {
    pair *p = argument;
    int inner[8] = {0};
    ds__pool_run(p->inner, 8, inner_task, inner);
    for (int i = 0; i < 8; i++) p->ran[task] += inner[i];
    nest n = {.pool = p->outer, .depth = 0, .worker = worker, .thread = pthread_self()};
    ds__pool_run(p->outer, 2, nested_task, &n);
    p->ran[task] += n.wrong ? 1000 : n.leaves;
}

static void two_pools_nest(void **state) {
    pair p = {.outer = make_pool(2), .inner = make_pool(3)};
    ds__pool_run(p.outer, 4, pair_task, &p);
    for (int i = 0; i < 4; i++) assert_int_equal(p.ran[i], 10);
    ds__pool_destroy(p.inner);
    ds__pool_destroy(p.outer);
}

static void failing_allocations_are_reported(void **state) {
    for (uint64_t n = 1;; n++) {
        ds__pool *pool;
        ds_error error = {DS_OK, ""};
        ds__heap_init(&heap, NULL, 0);
        heap.fail_at = n;
        if (ds__pool_create(&heap, 3, &pool, &error) == DS_OK) {
            assert_true(n > 1);
            ds__pool_destroy(pool);
            return;
        }
        assert_int_equal(error.status, DS_OUT_OF_MEMORY);
        assert_int_equal(heap.bytes, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_heap, close_heap)
        TEST(every_task_runs_once),
        TEST(idle_pools_wake_and_stop),
        TEST(one_thread_runs_in_order_on_the_caller),
        TEST(nested_jobs_run_inline_with_the_same_worker),
        TEST(callers_take_turns),
        TEST(two_pools_nest),
        TEST(failing_allocations_are_reported),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
