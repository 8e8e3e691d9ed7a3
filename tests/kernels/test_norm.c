/* Every variant of norm_f32 against sums in double: all small sizes, strides, in place, hard rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/norm/norm.h"
#include "support/guard.h"

static const ds__norm_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/norm/norm_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

static const size_t large_sizes[] = {127, 128, 129, 384, 768, 1000, 4099};
enum { SIZES = 71 + sizeof large_sizes / sizeof *large_sizes };

static size_t size_at(size_t index) { return index <= 70 ? index : large_sizes[index - 71]; }

/* A matrix whose last row ends at the guard page; every float, the gaps between the rows too, is set to `fill`. */
static float *matrix(size_t rows, size_t n, size_t ld, float fill, size_t *floats) {
    *floats = rows ? (rows - 1) * ld + n : 0;
    float *x = guard_alloc(*floats * sizeof *x);
    for (size_t i = 0; i < *floats; i++) x[i] = fill;
    return x;
}

/* n floats of mean + spread * [-1, 1). */
static void fill_row(ds__random *random, float *x, size_t n, float mean, float spread) {
    for (size_t i = 0; i < n; i++) x[i] = mean + spread * ds__random_f32(random);
}

/* The contract: at most 1e-5 of the row's largest output off. */
static void check_layer_norm_row(const char *name, const float *x, const float *gamma, const float *beta, float eps,
                                 const float *y, size_t n) {
    double mean = 0, variance = 0, largest = 0;
    for (size_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    double scale = 1 / sqrt(variance + (double)eps);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            double expected = ((double)x[i] - mean) * scale * (double)gamma[i] + (double)beta[i];
            if (pass == 0) {
                largest = fmax(largest, fabs(expected));
            } else if (!(fabs((double)y[i] - expected) <= 1e-5 * largest)) {
                fail_msg("%s: layer_norm, n=%zu: y[%zu] is %.9g, should be %.9g (mean %g, variance %g)", name, n, i,
                         (double)y[i], expected, mean, variance);
            }
        }
    }
}

static void check_layer_norm(const ds__norm_f32 *kernel, size_t rows, size_t n, size_t gap, float mean, float spread) {
    ds__random random = {n * 7 + rows};
    size_t ldx = n + gap, ldy = n + 2 * gap, x_floats, y_floats, one;
    float *x = matrix(rows, n, ldx, NAN, &x_floats), *y = matrix(rows, n, ldy, 77, &y_floats);
    float *gamma = matrix(1, n, n, 1, &one), *beta = matrix(1, n, n, 0, &one), *alone = matrix(1, n, n, 0, &one);
    fill_row(&random, gamma, n, 1, 0.5f);
    fill_row(&random, beta, n, 0, 0.5f);
    for (size_t r = 0; r < rows; r++) fill_row(&random, x + r * ldx, n, mean, spread);
    kernel->layer_norm(x, ldx, gamma, beta, 1e-12f, y, ldy, rows, n);
    for (size_t r = 0; r < rows; r++) {
        check_layer_norm_row(kernel->kernel.name, x + r * ldx, gamma, beta, 1e-12f, y + r * ldy, n);
        kernel->layer_norm(x + r * ldx, ldx, gamma, beta, 1e-12f, alone, n, 1, n);
        assert_memory_equal(alone, y + r * ldy, n * sizeof *y); /* a row's bits do not depend on the others */
        for (size_t i = n; i < ldy && r + 1 < rows; i++) assert_true(y[r * ldy + i] == 77);
    }
    kernel->layer_norm(x, ldx, gamma, beta, 1e-12f, x, ldx, rows, n);
    for (size_t r = 0; r < rows; r++) {
        assert_memory_equal(x + r * ldx, y + r * ldy, n * sizeof *y);
        for (size_t i = n; i < ldx && r + 1 < rows; i++) assert_true(isnan(x[r * ldx + i]));
    }
    guard_free(x);
    guard_free(y);
    guard_free(gamma);
    guard_free(beta);
    guard_free(alone);
}

static void layer_norm_of_all_sizes(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++)
            for (size_t rows = 0; rows <= 3; rows++) {
                check_layer_norm(variants[v], rows, size_at(s), 0, 0, 1);
                check_layer_norm(variants[v], rows, size_at(s), 5, 0.3f, 2);
            }
    }
}

static void layer_norm_far_from_zero(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 2; s < SIZES; s++) {
            check_layer_norm(variants[v], 2, size_at(s), 3, 1e4f, 1);
            check_layer_norm(variants[v], 2, size_at(s), 3, -1e4f, 0.01f);
            check_layer_norm(variants[v], 2, size_at(s), 3, 1e6f, 10);
            check_layer_norm(variants[v], 2, size_at(s), 3, 0, 1e-4f);
            check_layer_norm(variants[v], 2, size_at(s), 3, 0, 1e12f);
        }
    }
}

/* One value far away from all others, as trained encoders have them; in the first place it is the summation's origin.
 */
static void layer_norm_with_an_outlier(void **state) {
    enum { N = 384 };
    float x[N], y[N], gamma[N], beta[N];
    for (size_t i = 0; i < N; i++) gamma[i] = 1, beta[i] = 0;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t place = 0; place < N; place += 383) {
            for (float size = 10; size < 1e6f; size *= 10) {
                ds__random random = {3};
                fill_row(&random, x, N, 0, 1);
                x[place] = size;
                variants[v]->layer_norm(x, N, gamma, beta, 1e-12f, y, N, 1, N);
                check_layer_norm_row(variants[v]->kernel.name, x, gamma, beta, 1e-12f, y, N);
            }
        }
    }
}

static void layer_norm_of_equal_values_is_beta(void **state) {
    static const float values[] = {0, 1, -3.3f, 12345.678f, 1e-40f, 1e10f, 0.1f};
    enum { N = 100 };
    float x[N], y[N], gamma[N], beta[N];
    ds__random random = {4};
    fill_row(&random, gamma, N, 1, 1);
    fill_row(&random, beta, N, 0, 1);
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t c = 0; c < sizeof values / sizeof *values; c++) {
            for (size_t n = 1; n <= N; n++) {
                for (size_t i = 0; i < n; i++) x[i] = values[c];
                variants[v]->layer_norm(x, n, gamma, beta, 1e-12f, y, n, 1, n);
                assert_memory_equal(y, beta, n * sizeof *y);
            }
        }
    }
}

static void layer_norm_keeps_nan_in_its_row(void **state) {
    enum { N = 37, ROWS = 3 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float x[ROWS * N], y[ROWS * N], clean[ROWS * N], gamma[N], beta[N];
    for (size_t i = 0; i < N; i++) gamma[i] = 1, beta[i] = 0;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t c = 0; c < 3; c++) {
            for (size_t place = 0; place < N; place++) {
                ds__random random = {5};
                fill_row(&random, x, ROWS * N, 0, 1);
                variants[v]->layer_norm(x, N, gamma, beta, 1e-5f, clean, N, ROWS, N);
                x[N + place] = bad[c];
                variants[v]->layer_norm(x, N, gamma, beta, 1e-5f, y, N, ROWS, N);
                assert_memory_equal(y, clean, N * sizeof *y);
                assert_memory_equal(y + 2 * N, clean + 2 * N, N * sizeof *y);
                for (size_t i = 0; i < N; i++) assert_true(isnan(y[N + i]));
            }
        }
    }
}

static void check_l2_normalize(const ds__norm_f32 *kernel, size_t rows, size_t n, size_t gap, float scale) {
    ds__random random = {n + rows};
    size_t ldx = n + gap, ldy = n + 2 * gap, floats;
    float *x = matrix(rows, n, ldx, NAN, &floats), *y = matrix(rows, n, ldy, 77, &floats);
    for (size_t r = 0; r < rows; r++) fill_row(&random, x + r * ldx, n, 0, scale);
    kernel->l2_normalize(x, ldx, 1e-12f, y, ldy, rows, n);
    for (size_t r = 0; r < rows; r++) {
        double length = 0;
        for (size_t i = 0; i < n; i++) length += (double)x[r * ldx + i] * (double)x[r * ldx + i];
        length = fmax(sqrt(length), (double)1e-12f);
        for (size_t i = 0; i < n; i++) {
            double expected = (double)x[r * ldx + i] / length;
            if (!(fabs((double)y[r * ldy + i] - expected) <= 2.5e-7 * fabs(expected) + 1e-44))
                fail_msg("%s: l2_normalize, n=%zu: y[%zu] is %.9g, should be %.9g", kernel->kernel.name, n, i,
                         (double)y[r * ldy + i], expected);
        }
        for (size_t i = n; i < ldy && r + 1 < rows; i++) assert_true(y[r * ldy + i] == 77);
    }
    kernel->l2_normalize(x, ldx, 1e-12f, x, ldx, rows, n);
    for (size_t r = 0; r < rows; r++) assert_memory_equal(x + r * ldx, y + r * ldy, n * sizeof *y);
    guard_free(x);
    guard_free(y);
}

static void l2_normalize_of_all_sizes(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++) {
            check_l2_normalize(variants[v], 0, size_at(s), 0, 1);
            check_l2_normalize(variants[v], 1, size_at(s), 0, 1);
            check_l2_normalize(variants[v], 3, size_at(s), 7, 4);
            check_l2_normalize(variants[v], 2, size_at(s), 1, 1e-20f); /* shorter than eps; squares below any float */
            check_l2_normalize(variants[v], 2, size_at(s), 1, 1e30f);  /* squares above any float */
        }
    }
}

static void l2_normalize_of_specials(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        float y[19], x[19] = {0};
        variants[v]->l2_normalize(x, 19, 1e-12f, y, 19, 1, 19);
        for (size_t i = 0; i < 19; i++) assert_true(y[i] == 0);
        x[17] = NAN;
        variants[v]->l2_normalize(x, 19, 1e-12f, y, 19, 1, 19);
        for (size_t i = 0; i < 19; i++) assert_true(isnan(y[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_of_all_sizes),         cmocka_unit_test(layer_norm_far_from_zero),
        cmocka_unit_test(layer_norm_with_an_outlier),      cmocka_unit_test(layer_norm_of_equal_values_is_beta),
        cmocka_unit_test(layer_norm_keeps_nan_in_its_row), cmocka_unit_test(l2_normalize_of_all_sizes),
        cmocka_unit_test(l2_normalize_of_specials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
