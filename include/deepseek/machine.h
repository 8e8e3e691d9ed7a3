/* What this machine can do and which kernels the library chose for it. */
#ifndef DEEPSEEK_MACHINE_H
#define DEEPSEEK_MACHINE_H

#include <stdbool.h>

#include "deepseek/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ds_kernel_info {
    const char *family; /* "gemm" */
    const char *op;     /* "gemm_f32": variants of one op are interchangeable */
    const char *name;   /* "gemm_f32_avx512" */
    const char *about;
    bool used;       /* the one that runs here */
    const char *why; /* why it is used, or why not: one sentence */
} ds_kernel_info;

/* Every kernel variant of the library, op by op, in the order of preference. Texts are constants. */
DS_API size_t ds_kernel_count(void);
DS_API ds_kernel_info ds_kernel_at(size_t index);

/* How the work between two attentions is shared out over threads, by rows (tokens of a batch) for each thread. */
typedef struct ds_split_info {
    int32_t rows_from; /* applies from so many rows for each thread on */
    const char *how, *why;
} ds_split_info;
DS_API size_t ds_split_count(void);
DS_API ds_split_info ds_split_at(size_t index);

/* The speed of one kernel variant on one case, on one thread. Texts live as long as the library. */
typedef struct ds_kernel_figure {
    const char *family, *op, *kernel;
    const char *measured; /* "128x384x1536, gelu" (rows, inputs, outputs), "512 tokens, 12 heads of 32" */
    const char *shape;    /* of products: "single" (1 to 16 rows), "short" (20 to 64), "tall"; else NULL */
    const char *unit;     /* "GFLOP/s" (a multiply-add is two operations, of integers too) or "GB/s" */
    double best, median;  /* of the calls */
    double peak; /* what the same multiply-adds reach in registers, measured just before and after; 0 for GB/s */
} ds_kernel_figure;

/* Measures every variant that runs here; `seconds` for each figure. family: NULL for all. */
DS_API DS_MUST_CHECK ds_status ds_measure_kernels(ds_context *context, const char *family, double seconds,
                                                  void (*each)(void *user, const ds_kernel_figure *figure), void *user,
                                                  ds_error *error);

/* The CPU's brand string. */
DS_API const char *ds_cpu_name(void);

/* Float32 multiply-add operations a second (a multiply-add is two) that the context's threads reach together in
 * registers, measured for about `seconds`. */
DS_API DS_MUST_CHECK ds_status ds_measure_peak(ds_context *context, double seconds, double *gflops, ds_error *error);

#ifdef __cplusplus
}
#endif
#endif
