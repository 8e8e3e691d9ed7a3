/* Public functions on the machine and the kernels chosen for it. */
#include "deepseek/machine.h"

#include "base/clock.h"
#include "base/context_internal.h"
#include "base/error.h"
#include "kernels/kernels.h"
#include "kernels/peak/peak.h"
#include "profile/kernel_bench.h"
#include "runtime/segments.h"

size_t ds_kernel_count(void) { return ds__kernel_count(); }

ds_kernel_info ds_kernel_at(size_t index) {
    const ds__kernel *kernel = ds__kernel_at(index);
    ds_kernel_info info = {.family = kernel->family, .op = kernel->op, .name = kernel->name, .about = kernel->about};
    info.used = ds__kernel_is_used(kernel, &info.why);
    return info;
}

size_t ds_split_count(void) { return ds__split_count(); }

ds_split_info ds_split_at(size_t index) {
    const ds__split *split = ds__split_at(index);
    return (ds_split_info){split->rows_from, split->how, split->why};
}

ds_status ds_measure_kernels(ds_context *context, const char *family, double seconds,
                             void (*each)(void *user, const ds_kernel_figure *figure), void *user, ds_error *error) {
    ds__kernel_bench bench = {&context->heap, family, seconds, each, user};
    if (!(seconds > 0 && seconds <= 60))
        return ds__fail(error, DS_INVALID_ARGUMENT, "seconds is %g, expected more than 0 and at most 60", seconds);
    return ds__kernel_bench_run(&bench, error);
}

const char *ds_cpu_name(void) { return ds__cpu_get()->name; }

typedef struct peak_job {
    const ds__peak *kernel;
    uint64_t rounds;
    _Atomic uint64_t operations;
} peak_job;

static void run_peak(void *argument, int task, int worker) {
    (void)task;
    (void)worker;
    peak_job *job = argument;
    atomic_fetch_add(&job->operations, job->kernel->run(job->rounds));
}

/* Operations a second of one job on all threads. */
static double measure(ds_context *context, peak_job *job, double *seconds) {
    atomic_store(&job->operations, 0);
    uint64_t start = ds__clock_ns();
    ds__pool_run(context->pool, ds__pool_threads(context->pool), run_peak, job);
    *seconds = (double)(ds__clock_ns() - start) * 1e-9;
    return (double)atomic_load(&job->operations) / *seconds;
}

ds_status ds_measure_peak(ds_context *context, double seconds, double *gflops, ds_error *error) {
    enum { PARTS = 5 }; /* the best of several short runs: a neighbour on the machine only ever slows one down */
    if (!(seconds > 0 && seconds <= 60))
        return ds__fail(error, DS_INVALID_ARGUMENT, "seconds is %g, expected more than 0 and at most 60", seconds);
    peak_job job = {.kernel = ds__peak_f32_choose(), .rounds = 1000};
    double taken, best = 0;
    for (measure(context, &job, &taken); taken < seconds / PARTS / 4 && job.rounds < UINT64_MAX / 4;
         measure(context, &job, &taken))
        job.rounds *= 2;
    job.rounds = (uint64_t)((double)job.rounds * seconds / PARTS / taken) + 1;
    for (int i = 0; i < PARTS; i++) {
        double rate = measure(context, &job, &taken);
        if (rate > best) best = rate;
    }
    *gflops = best * 1e-9;
    return DS_OK;
}
