/* Every variant of reduce_f32 against double precision: all small sizes, strides, in place, rows of specials. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/reduce/reduce.h"
#include "support/guard.h"

static const ds__reduce_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/reduce/reduce_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

static const size_t large_sizes[] = {127, 128, 129, 384, 1000, 4099};
enum { SIZES = 71 + sizeof large_sizes / sizeof *large_sizes };

static size_t size_at(size_t index) { return index <= 70 ? index : large_sizes[index - 71]; }

/* A matrix whose last row ends at the guard page; every float, the gaps between the rows too, is set to `fill`. */
static float *matrix(size_t rows, size_t n, size_t ld, float fill) {
    size_t floats = rows ? (rows - 1) * ld + n : 0;
    float *x = guard_alloc(floats * sizeof *x);
    for (size_t i = 0; i < floats; i++) x[i] = fill;
    return x;
}

static void check_softmax_row(const char *name, const float *x, const float *y, size_t n) {
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, (double)x[i]);
    for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - largest);
    for (size_t i = 0; i < n; i++) {
        double distance = largest - (double)x[i], expected = exp(-distance) / sum;
        /* x - max rounds to 2^-24 of itself, which exp turns into a relative error; exp, sum and scaling add some ulp.
         */
        double bound = expected * (0x1p-24 * (distance < 200 ? distance : 200) + 6e-7) + 1.2e-38;
        if (!(fabs((double)y[i] - expected) <= bound))
            fail_msg("%s: softmax, n=%zu: y[%zu] is %.9g, should be %.9g", name, n, i, (double)y[i], expected);
    }
}

static void check_softmax(const ds__reduce_f32 *kernel, size_t rows, size_t n, size_t gap, float scale) {
    ds__random random = {n * 5 + rows};
    size_t ldx = n + gap, ldy = n + 2 * gap;
    float *x = matrix(rows, n, ldx, NAN), *y = matrix(rows, n, ldy, 77), *alone = matrix(1, n, n, 0);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) x[r * ldx + i] = scale * ds__random_f32(&random);
    if (rows > 1 && n > 2) x[ldx + n / 2] = -INFINITY; /* a masked place gives exactly zero */
    kernel->softmax(x, ldx, y, ldy, rows, n);
    for (size_t r = 0; r < rows; r++) {
        check_softmax_row(kernel->kernel.name, x + r * ldx, y + r * ldy, n);
        kernel->softmax(x + r * ldx, ldx, alone, n, 1, n);
        assert_memory_equal(alone, y + r * ldy, n * sizeof *y); /* a row's bits do not depend on the others */
        for (size_t i = n; i < ldy && r + 1 < rows; i++) assert_true(y[r * ldy + i] == 77);
    }
    if (rows > 1 && n > 2) assert_true(y[ldy + n / 2] == 0);
    kernel->softmax(x, ldx, x, ldx, rows, n);
    for (size_t r = 0; r < rows; r++) {
        assert_memory_equal(x + r * ldx, y + r * ldy, n * sizeof *y);
        for (size_t i = n; i < ldx && r + 1 < rows; i++) assert_true(isnan(x[r * ldx + i]));
    }
    guard_free(x);
    guard_free(y);
    guard_free(alone);
}

static void softmax_of_all_sizes(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++)
            for (size_t rows = 0; rows <= 3; rows++) {
                check_softmax(variants[v], rows, size_at(s), 0, 3);
                check_softmax(variants[v], rows, size_at(s), 5, 50);
                check_softmax(variants[v], rows, size_at(s), 1, 1e4f);
            }
    }
}

static void softmax_of_specials(void **state) {
    enum { N = 35, ROWS = 3 };
    float x[ROWS * N], y[ROWS * N], clean[ROWS * N];
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t place = 0; place < N; place++) {
            ds__random random = {6};
            for (size_t i = 0; i < ROWS * N; i++) x[i] = ds__random_f32(&random);
            variants[v]->softmax(x, N, clean, N, ROWS, N);
            x[N + place] = NAN;
            variants[v]->softmax(x, N, y, N, ROWS, N);
            assert_memory_equal(y, clean, N * sizeof *y);
            assert_memory_equal(y + 2 * N, clean + 2 * N, N * sizeof *y);
            for (size_t i = 0; i < N; i++) assert_true(isnan(y[N + i]));
            for (size_t i = 0; i < N; i++) x[N + i] = i == place ? -1e30f : -INFINITY;
            variants[v]->softmax(x, N, y, N, ROWS, N);
            for (size_t i = 0; i < N; i++) assert_true(y[N + i] == (i == place));
        }
        for (size_t n = 1; n <= N; n++) {
            for (size_t i = 0; i < n; i++) x[i] = -INFINITY;
            variants[v]->softmax(x, n, y, n, 1, n);
            for (size_t i = 0; i < n; i++) assert_true(isnan(y[i]));
            for (size_t i = 0; i < n; i++) x[i] = 3.4e38f; /* exp alone would overflow */
            variants[v]->softmax(x, n, y, n, 1, n);
            for (size_t i = 0; i < n; i++) assert_true(fabs((double)y[i] * (double)n - 1) < 1e-6);
        }
    }
}

static void check_rows(const ds__reduce_f32 *kernel, size_t rows, size_t n, size_t gap) {
    ds__random random = {n * 3 + rows};
    size_t ldx = n + gap;
    float *x = matrix(rows, n, ldx, NAN), *mean = matrix(1, n, n, 0), *largest = matrix(1, n, n, 0);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) x[r * ldx + i] = ds__random_f32(&random) - 2;
    kernel->mean_rows(x, ldx, mean, rows, n);
    kernel->max_rows(x, ldx, largest, rows, n);
    for (size_t c = 0; c < n; c++) {
        float sum = x[c], top = x[c];
        for (size_t r = 1; r < rows; r++) {
            sum += x[r * ldx + c];
            if (x[r * ldx + c] > top) top = x[r * ldx + c];
        }
        assert_true(mean[c] == sum / (float)rows); /* the order of the rows is the contract, so the bits are too */
        assert_true(largest[c] == top);
    }
    guard_free(x);
    guard_free(mean);
    guard_free(largest);
}

static void mean_and_max_of_all_sizes(void **state) {
    static const size_t row_counts[] = {1, 2, 3, 17, 128};
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++)
            for (size_t r = 0; r < sizeof row_counts / sizeof *row_counts; r++)
                check_rows(variants[v], row_counts[r], size_at(s), r % 2 ? 3 : 0);
    }
}

static void mean_and_max_of_specials(void **state) {
    enum { N = 100, ROWS = 4 };
    float x[ROWS * N], mean[N], largest[N];
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t bad = 0; bad < ROWS; bad++) {
            for (size_t i = 0; i < ROWS * N; i++) x[i] = -INFINITY;
            for (size_t c = 0; c < N; c += 3) x[bad * N + c] = NAN;
            for (size_t c = 1; c < N; c += 3) x[bad * N + c] = -1e-45f;
            variants[v]->mean_rows(x, N, mean, ROWS, N);
            variants[v]->max_rows(x, N, largest, ROWS, N);
            for (size_t c = 0; c < N; c++) {
                assert_true(c % 3 == 0 ? isnan(mean[c]) : mean[c] == -INFINITY);
                assert_true(c % 3 == 0 ? isnan(largest[c]) : largest[c] == (c % 3 == 1 ? -1e-45f : -INFINITY));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_of_all_sizes),
        cmocka_unit_test(softmax_of_specials),
        cmocka_unit_test(mean_and_max_of_all_sizes),
        cmocka_unit_test(mean_and_max_of_specials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
