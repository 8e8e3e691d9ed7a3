/* Graphs for tests: random weights and inputs, compiled for chosen backends with chosen passes, run, compared. */
#ifndef DS_TESTS_GRAPH_CASE_H
#define DS_TESTS_GRAPH_CASE_H

#include "base/context_internal.h"
#include "base/random.h"
#include "runtime/program.h"

/* Everything a test's graphs need; memory lives until test_bench_close. */
typedef struct test_bench {
    ds_context *context;
    ds__arena arena;
    ds__random random;
} test_bench;

void test_bench_open(test_bench *bench, int threads, uint64_t seed);
void test_bench_close(test_bench *bench); /* asserts that the library gave all its memory back */

/* A weight with values in [-scale, scale). */
ds_value test_weight(test_bench *bench, ds_graph *graph, const char *name, int rank, const int64_t *shape, float scale);
/* The same stored as `dtype` (DS_F16 or DS_BF16). */
ds_value test_half_weight(test_bench *bench, ds_graph *graph, const char *name, ds_dtype dtype, int rank,
                          const int64_t *shape);

/* Random data for each input: floats in [-1, 1); int32 inputs called "seq_start" cut [0, T] into B parts; other int32
 * inputs are in [0, id_bound). */
const void **test_inputs(test_bench *bench, const ds_graph *graph, const int64_t *symbols, int32_t id_bound);

/* Runs a copy of the graph; outputs are dense floats, one behind the other in the order of the graph's outputs.
 * first_backend: backends before it in backends.def are left out. passes_off: as ds__pass_options. *count gets how many
 * floats. */
float *test_run(test_bench *bench, const ds_graph *graph, size_t first_backend, const char *passes_off,
                const int64_t *symbols, const void *const *inputs, size_t *count);

/* Fails the test when |a - b| > tolerance * max(1, |b|) anywhere. */
void test_close(const char *name, const float *a, const float *b, size_t count, double tolerance);

#endif
