/* What sharing a job out costs: the time of jobs whose tasks are known to take so long, over their fair share.
 *
 *   pool_cost [THREADS]      default: 2; needs as many free cores
 *
 * One line for each length of a task and number of tasks: nanoseconds a job beyond tasks * length / threads, the mean
 * of 500 jobs one after the other (so workers spin), the best of 20 such rounds. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/pool.h"

enum { ROUNDS = 20, JOBS = 500 };

static void busy(void *argument, int task, int worker) {
    (void)task;
    (void)worker;
    const uint64_t length = *(const uint64_t *)argument, start = ds__clock_ns();
    while (ds__clock_ns() - start < length) {}
}

int main(int argc, char **argv) {
    ds__heap heap;
    ds__pool *pool;
    ds_error error;
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
    ds__heap_init(&heap, NULL, 0);
    if (threads < 1 || ds__pool_create(&heap, threads, &pool, &error) != DS_OK) {
        fprintf(stderr, "usage: pool_cost [THREADS]\n");
        return 2;
    }
    printf("%d threads\ntask, ns   tasks   cost of a job, ns\n", threads);
    for (uint64_t length = 500; length <= 8000; length *= 4)
        for (int tasks = threads; tasks <= 4 * threads; tasks *= 2) {
            double best = 1e18, fair = (double)length * tasks / threads;
            for (int round = 0; round < ROUNDS; round++) {
                uint64_t start = ds__clock_ns();
                for (int job = 0; job < JOBS; job++) ds__pool_run(pool, tasks, busy, &length);
                double cost = (double)(ds__clock_ns() - start) / JOBS - fair;
                if (cost < best) best = cost;
            }
            printf("%8llu %7d %11.0f\n", (unsigned long long)length, tasks, best);
        }
    ds__pool_destroy(pool);
    return 0;
}
