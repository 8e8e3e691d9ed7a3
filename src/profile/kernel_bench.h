/* Measuring kernels: every variant on every case of its family. */
#ifndef DS_PROFILE_KERNEL_BENCH_H
#define DS_PROFILE_KERNEL_BENCH_H

#include "base/alloc.h"
#include "deepseek/machine.h"

typedef struct ds__kernel_bench {
    ds__heap *heap;
    const char *family; /* NULL: all */
    double seconds;     /* of each figure */
    void (*each)(void *user, const ds_kernel_figure *figure);
    void *user;
} ds__kernel_bench;

ds_status ds__kernel_bench_run(const ds__kernel_bench *bench, ds_error *error) DS_MUST_CHECK;

#endif
