/* Every variant of grad_f32 against double precision, and bit for bit where the contract defines the bits: all small
 * sizes, strides, in place, parts of a matrix against the whole, hard rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "activation_reference.h"
#include "base/random.h"
#include "kernels/grad/grad.h"
#include "ops/scalar_math.h"
#include "support/guard.h"
#include "tensor/convert.h"

static const ds__grad_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/grad/grad_variants.def"
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

/* Rows of random floats of mean + spread * [-1, 1); the last one ends at the guard page, the gaps between them are 77.
 */
static float *matrix(ds__random *random, size_t rows, size_t n, size_t ld, float mean, float spread) {
    size_t floats = rows ? (rows - 1) * ld + n : 0;
    float *x = guard_alloc(floats * sizeof *x);
    for (size_t i = 0; i < floats; i++) x[i] = i % ld < n ? mean + spread * ds__random_f32(random) : 77;
    return x;
}

static float *copy_of(const float *x, size_t rows, size_t n, size_t ld) {
    size_t bytes = rows ? ((rows - 1) * ld + n) * sizeof *x : 0;
    float *y = guard_alloc(bytes);
    if (bytes) memcpy(y, x, bytes);
    return y;
}

static void check_gaps(const float *x, size_t rows, size_t n, size_t ld) {
    for (size_t r = 0; r + 1 < rows; r++)
        for (size_t i = n; i < ld; i++) assert_true(x[r * ld + i] == 77);
}

static bool same_bits(float a, float b) { return ds__f32_to_bits(a) == ds__f32_to_bits(b); }

/* The operators' definition against the slope of the function. */
static void definition_is_the_derivative(void **state) {
    const double h = 1e-4;
    for (int a = 0; a < DS__ACTIVATION_COUNT; a++)
        for (double x = -12.00005; x < 12; x += 0.001) { /* past relu's kink */
            const ds__activation activation = (ds__activation)a;
            double up = reference_activation(activation, x + h), down = reference_activation(activation, x - h);
            double slope = ds__scalar_activate_gradient(activation, x);
            if (fabs(x) > h && !(fabs(slope - (up - down) / (2 * h)) <= 2e-8))
                fail_msg("%s'(%g) is %.10g, should be %.10g", ds__activation_name(activation), x, slope,
                         (up - down) / (2 * h));
        }
    assert_true(ds__scalar_activate_gradient(DS__ACTIVATION_RELU, 0) == 0);
}

/* Also: an element's result does not depend on where in the array it stands. */
static void check_activate(const ds__grad_f32 *kernel, ds__activation activation, size_t n) {
    ds__random random = {n + 1};
    float *x = matrix(&random, 1, n, n + 1, 0, 6), *dy = matrix(&random, 1, n, n + 1, 0, 3), *dx = copy_of(x, 1, n, n);
    kernel->activate(activation, x, dy, dx, n);
    for (size_t i = 0; i < n; i++) {
        double expected = ds__scalar_activate_gradient(activation, (double)x[i]) * (double)dy[i];
        if (!(fabs((double)dx[i] - expected) <= 2.1e-6 * fabs((double)dy[i])))
            fail_msg("%s: %s'(%.9g) * %.9g is %.9g, should be %.9g", kernel->kernel.name,
                     ds__activation_name(activation), (double)x[i], (double)dy[i], (double)dx[i], expected);
        float alone;
        kernel->activate(activation, x + i, dy + i, &alone, 1);
        assert_true(same_bits(alone, dx[i]));
    }
    float *x_copy = copy_of(x, 1, n, n);
    kernel->activate(activation, x, dy, x, n); /* dx is x */
    assert_memory_equal(x, dx, n * sizeof *x);
    kernel->activate(activation, x_copy, dy, dy, n); /* dx is dy */
    assert_memory_equal(dy, dx, n * sizeof *x);
    guard_free(x);
    guard_free(dy);
    guard_free(dx);
    guard_free(x_copy);
}

static void activations_of_all_sizes(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (int activation = 0; activation < DS__ACTIVATION_COUNT; activation++)
            for (size_t s = 0; s < SIZES; s++) check_activate(variants[v], (ds__activation)activation, size_at(s));
    }
}

/* Finite floats of all sizes: bit patterns a prime apart. */
static void activations_of_all_floats(void **state) {
    enum { N = 4096, STEP = 2503 };
    float x[N], one[N], dx[N];
    for (size_t i = 0; i < N; i++) one[i] = 1;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (int a = 0; a < DS__ACTIVATION_COUNT; a++) {
            const ds__activation activation = (ds__activation)a;
            double worst = 0;
            float worst_x = 0;
            for (uint64_t bits = 0; bits < UINT64_C(0x100000000);) {
                size_t n = 0;
                for (; n < N && bits < UINT64_C(0x100000000); bits += STEP) {
                    x[n] = ds__f32_from_bits((uint32_t)bits);
                    if (isfinite(x[n])) n++;
                }
                variants[v]->activate(activation, x, one, dx, n);
                for (size_t i = 0; i < n; i++) {
                    double error = fabs((double)dx[i] - ds__scalar_activate_gradient(activation, (double)x[i]));
                    if (!(error <= worst)) worst = error, worst_x = x[i];
                }
            }
            print_message("%s: %s' at most %.2g off, at %g\n", variants[v]->kernel.name,
                          ds__activation_name(activation), worst, (double)worst_x);
            assert_true(worst <= 2e-6);
        }
    }
}

static void activations_of_specials(void **state) {
    const float x[] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 1e-45f, -1e-45f, 3e38f, -3e38f};
    enum { N = sizeof x / sizeof *x };
    float one[N], dx[N];
    for (size_t i = 0; i < N; i++) one[i] = 1;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        variants[v]->activate(DS__ACTIVATION_NONE, x, one, dx, N);
        for (size_t i = 0; i < N; i++) assert_true(dx[i] == 1);
        variants[v]->activate(DS__ACTIVATION_RELU, x, one, dx, N);
        for (size_t i = 1; i < N; i++) assert_true(dx[i] == (x[i] > 0 ? 1.0f : 0.0f));
        for (int a = DS__ACTIVATION_GELU; a <= DS__ACTIVATION_SIGMOID; a++) {
            bool rises = a == DS__ACTIVATION_GELU || a == DS__ACTIVATION_GELU_TANH; /* like x on the right */
            variants[v]->activate((ds__activation)a, x, one, dx, N);
            assert_true(isnan(dx[0]));
            for (size_t i = 1; i < N; i++)
                if (fabsf(x[i]) > 1) assert_true(fabsf(dx[i] - (rises && x[i] > 0 ? 1.0f : 0.0f)) <= 1e-6f);
        }
    }
}

/* What the layer norm's tests know of a row, in double. */
typedef struct row_moments {
    double mean, scale;
} row_moments;

static row_moments moments_of(const float *x, size_t n, float eps) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    return (row_moments){mean, 1 / sqrt(variance + (double)eps)};
}

/* At most 1e-5 of the largest r * (g - mean(g)) off, and what rounding g to a float costs. */
static void check_layer_norm_row(const char *name, const float *x, const float *gamma, float eps, const float *dy,
                                 const float *dx, size_t n) {
    const row_moments row = moments_of(x, n, eps);
    double mean = 0, along = 0, largest = 0, rounding = 0;
    for (size_t i = 0; i < n; i++) mean += (double)dy[i] * (double)gamma[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        double g = (double)dy[i] * (double)gamma[i], d = g - mean;
        along += d * ((double)x[i] - row.mean) * row.scale / (double)n;
        largest = fmax(largest, fabs(d));
        if ((double)(dy[i] * gamma[i]) != g) rounding = fmax(rounding, 1.2e-7 * fabs(g));
    }
    for (size_t i = 0; i < n; i++) {
        double d = (double)dy[i] * (double)gamma[i] - mean;
        double expected = row.scale * (d - ((double)x[i] - row.mean) * row.scale * along);
        if (!(fabs((double)dx[i] - expected) <= row.scale * (1e-5 * largest + rounding)))
            fail_msg("%s: layer_norm, n=%zu: dx[%zu] is %.9g, should be %.9g (largest %g)", name, n, i, (double)dx[i],
                     expected, row.scale * largest);
    }
}

typedef struct norm_case {
    size_t gap;
    float mean, spread;       /* of x */
    float dy_mean, dy_spread; /* of dy */
    float gamma_spread;       /* around 1 */
} norm_case;

static void check_layer_norm(const ds__grad_f32 *kernel, size_t rows, size_t n, const norm_case *with) {
    ds__random random = {n * 7 + rows};
    const size_t ldx = n + with->gap, lddy = n + 2 * with->gap, lddx = n + 3 * with->gap;
    float *x = matrix(&random, rows, n, ldx + !ldx, with->mean, with->spread);
    float *dy = matrix(&random, rows, n, lddy + !lddy, with->dy_mean, with->dy_spread);
    float *dx = matrix(&random, rows, n, lddx + !lddx, 0, 0), *alone = matrix(&random, 1, n, n + 1, 0, 0);
    float *gamma = matrix(&random, 1, n, n + 1, 1, with->gamma_spread);
    kernel->layer_norm(x, ldx, gamma, 1e-12f, dy, lddy, dx, lddx, rows, n);
    for (size_t r = 0; r < rows; r++) {
        check_layer_norm_row(kernel->kernel.name, x + r * ldx, gamma, 1e-12f, dy + r * lddy, dx + r * lddx, n);
        kernel->layer_norm(x + r * ldx, ldx, gamma, 1e-12f, dy + r * lddy, lddy, alone, n, 1, n);
        assert_memory_equal(alone, dx + r * lddx, n * sizeof *dx); /* a row's bits do not depend on the others */
    }
    check_gaps(dx, rows, n, lddx);
    kernel->layer_norm(x, ldx, gamma, 1e-12f, dy, lddy, dy, lddy, rows, n);
    for (size_t r = 0; r < rows; r++) assert_memory_equal(dy + r * lddy, dx + r * lddx, n * sizeof *dx);
    check_gaps(dy, rows, n, lddy);
    guard_free(x);
    guard_free(dy);
    guard_free(dx);
    guard_free(alone);
    guard_free(gamma);
}

static void layer_norm_of_all_sizes(void **state) {
    static const norm_case cases[] = {
        {0, 0, 1, 0, 1, 0.5f},
        {5, 0.3f, 2, 0.1f, 3, 0.5f},
        {1, 1, 1, 0, 1e-6f, 0.1f},
        {0, 0, 1e12f, 0, 1e6f, 0.5f},
    };
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++)
            for (size_t rows = 0; rows <= 3; rows++)
                for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
                    check_layer_norm(variants[v], rows, size_at(s), &cases[c]);
    }
}

/* Means far larger than the spread, of x and of dy. */
static void layer_norm_far_from_zero(void **state) {
    static const norm_case cases[] = {
        {3, 1e4f, 1, 0, 1, 0.5f}, {3, -1e4f, 0.01f, 0, 1, 0}, {3, 1e6f, 10, 0, 1, 0},
        {3, 0, 1, 1e4f, 1, 0},    {3, 1e4f, 1, -1e5f, 1, 0},  {3, 0, 1, 1e3f, 1, 0.5f},
    };
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 2; s < SIZES; s++)
            for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
                check_layer_norm(variants[v], 2, size_at(s), &cases[c]);
    }
}

/* One value far away from all others, of x or of dy. */
static void layer_norm_with_an_outlier(void **state) {
    enum { N = 384 };
    float x[N], dy[N], dx[N], gamma[N];
    for (size_t i = 0; i < N; i++) gamma[i] = 1;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t place = 0; place < N; place += 383)
            for (float size = 10; size < 1e6f; size *= 10) {
                ds__random random = {3};
                for (size_t i = 0; i < N; i++) x[i] = ds__random_f32(&random), dy[i] = ds__random_f32(&random);
                x[place] = size;
                variants[v]->layer_norm(x, N, gamma, 1e-12f, dy, N, dx, N, 1, N);
                check_layer_norm_row(variants[v]->kernel.name, x, gamma, 1e-12f, dy, dx, N);
                dy[N - 1 - place] = size;
                variants[v]->layer_norm(x, N, gamma, 1e-12f, dy, N, dx, N, 1, N);
                check_layer_norm_row(variants[v]->kernel.name, x, gamma, 1e-12f, dy, dx, N);
            }
    }
}

/* xhat is zero there, whatever the size of x and the remainder of n, and r = 1 / sqrt(eps). */
static void layer_norm_of_equal_values(void **state) {
    static const float values[] = {0, 1, -3.3f, 12345.678f, 1e-40f, 1e35f, -0.1f};
    enum { N = 100 };
    float x[N], dy[N], dx[N], gamma[N];
    ds__random random = {4};
    for (size_t i = 0; i < N; i++) gamma[i] = 1 + 0.5f * ds__random_f32(&random), dy[i] = ds__random_f32(&random);
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t c = 0; c < sizeof values / sizeof *values; c++)
            for (size_t n = 1; n <= N; n++) {
                double mean = 0;
                for (size_t i = 0; i < n; i++) mean += (double)dy[i] * (double)gamma[i] / (double)n;
                for (size_t i = 0; i < n; i++) x[i] = values[c];
                variants[v]->layer_norm(x, n, gamma, 1e-12f, dy, n, dx, n, 1, n);
                for (size_t i = 0; i < n; i++)
                    assert_true(fabs((double)dx[i] - 1e6 * ((double)dy[i] * (double)gamma[i] - mean)) <= 3);
                for (size_t i = 0; i < n; i++) dx[i] = 3; /* and dgamma gets nothing */
                variants[v]->layer_norm_gamma(x, n, 1e-12f, dy, n, dx, 1, n);
                for (size_t i = 0; i < n; i++) assert_true(dx[i] == 3);
            }
    }
}

static void layer_norm_keeps_nan_in_its_row(void **state) {
    enum { N = 37, ROWS = 3 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float x[ROWS * N], dy[ROWS * N], dx[ROWS * N], clean[ROWS * N], gamma[N];
    for (size_t i = 0; i < N; i++) gamma[i] = 1;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t c = 0; c < 6; c++)
            for (size_t place = 0; place < N; place++) {
                ds__random random = {5};
                for (size_t i = 0; i < ROWS * N; i++) x[i] = ds__random_f32(&random), dy[i] = ds__random_f32(&random);
                variants[v]->layer_norm(x, N, gamma, 1e-5f, dy, N, clean, N, ROWS, N);
                (c < 3 ? x : dy)[N + place] = bad[c % 3];
                variants[v]->layer_norm(x, N, gamma, 1e-5f, dy, N, dx, N, ROWS, N);
                assert_memory_equal(dx, clean, N * sizeof *dx);
                assert_memory_equal(dx + 2 * N, clean + 2 * N, N * sizeof *dx);
                for (size_t i = 0; i < N; i++) assert_false(isfinite(dx[N + i]));
            }
    }
}

static const size_t row_counts[] = {0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 65, 100};
enum { ROW_COUNTS = sizeof row_counts / sizeof *row_counts };

static void check_layer_norm_gamma(const ds__grad_f32 *kernel, size_t rows, size_t n, size_t gap, float mean) {
    ds__random random = {n + rows};
    const size_t ldx = n + gap, lddy = n + 2 * gap;
    float *x = matrix(&random, rows, n, ldx + !ldx, mean, 1), *dy = matrix(&random, rows, n, lddy + !lddy, 0, 2);
    float *dgamma = matrix(&random, 1, n, n + 1, 0, 1), *before = copy_of(dgamma, 1, n, n);
    float *parts = copy_of(dgamma, 1, n, n);
    kernel->layer_norm_gamma(x, ldx, 1e-5f, dy, lddy, dgamma, rows, n);
    row_moments row[100];
    for (size_t r = 0; r < rows; r++) row[r] = moments_of(x + r * ldx, n, 1e-5f);
    for (size_t c = 0; c < n; c++) {
        double expected = (double)before[c], size = fabs(expected);
        for (size_t r = 0; r < rows; r++) {
            double term = (double)dy[r * lddy + c] * ((double)x[r * ldx + c] - row[r].mean) * row[r].scale;
            expected += term;
            size += fabs((double)dy[r * lddy + c]) * 2; /* of xhat: hardly larger than 2 */
        }
        if (!(fabs((double)dgamma[c] - expected) <= 2e-6 * size))
            fail_msg("%s: layer_norm_gamma, %zu rows of %zu: dgamma[%zu] is %.9g, should be %.9g", kernel->kernel.name,
                     rows, n, c, (double)dgamma[c], expected);
    }
    for (size_t r = 0, count; r < rows; r += count) { /* in parts: the same bits */
        count = 1 + r % 20 < rows - r ? 1 + r % 20 : rows - r;
        kernel->layer_norm_gamma(x + r * ldx, ldx, 1e-5f, dy + r * lddy, lddy, parts, count, n);
    }
    assert_memory_equal(parts, dgamma, n * sizeof *parts);
    guard_free(x);
    guard_free(dy);
    guard_free(dgamma);
    guard_free(before);
    guard_free(parts);
}

static void layer_norm_gamma_of_all_sizes(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++)
            for (size_t r = 0; r < ROW_COUNTS; r++) {
                check_layer_norm_gamma(variants[v], row_counts[r], size_at(s), 0, 0);
                check_layer_norm_gamma(variants[v], row_counts[r], size_at(s), 3, 1e3f);
            }
    }
}

/* Adding in the order of the rows defines the bits. */
static void check_sum_rows(const ds__grad_f32 *kernel, size_t rows, size_t n, size_t gap) {
    ds__random random = {n + rows};
    const size_t ldx = n + gap;
    float *x = matrix(&random, rows, n, ldx + !ldx, 0.1f, 2), *y = matrix(&random, 1, n, n + 1, 0, 1);
    float *expected = copy_of(y, 1, n, n), *parts = copy_of(y, 1, n, n);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < n; c++) expected[c] += x[r * ldx + c];
    kernel->sum_rows(x, ldx, y, rows, n);
    assert_memory_equal(y, expected, n * sizeof *y);
    kernel->sum_rows(x, ldx, parts, rows / 3, n);
    kernel->sum_rows(x + rows / 3 * ldx, ldx, parts, rows - rows / 3, n);
    assert_memory_equal(parts, expected, n * sizeof *y);
    guard_free(x);
    guard_free(y);
    guard_free(expected);
    guard_free(parts);
}

static void sum_rows_of_all_sizes(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++)
            for (size_t r = 0; r < ROW_COUNTS; r++) {
                check_sum_rows(variants[v], row_counts[r], size_at(s), 0);
                check_sum_rows(variants[v], row_counts[r], size_at(s), 5);
            }
    }
}

/* The generator's published answers (Random123, kat_vectors). */
static void philox_gives_the_published_numbers(void **state) {
    static const uint32_t rows[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t out[4];
        ds__philox(rows[i], rows[i] + 4, out);
        assert_memory_equal(out, rows[i] + 6, sizeof out);
    }
}

static void check_dropout(const ds__grad_f32 *kernel, const ds__dropout *with, uint32_t first_row, size_t n,
                          size_t gap) {
    enum { ROWS = 3 };
    ds__random random = {n};
    const size_t ldx = n + gap, ldy = n + 2 * gap;
    const float scale = ds__dropout_scale(with->rate);
    float *x = matrix(&random, ROWS, n, ldx + !ldx, 0, 5), *y = matrix(&random, ROWS, n, ldy + !ldy, 0, 1);
    if (n > 5) x[1] = NAN, x[5] = -INFINITY;
    kernel->dropout(with, first_row, x, ldx, y, ldy, ROWS, n);
    for (uint32_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < n; c++) {
            bool keeps = ds__dropout_keeps(with, first_row + r, (uint32_t)c);
            float expected = keeps ? x[r * ldx + c] * scale : 0.0f, got = y[r * ldy + c];
            if (!(isnan(expected) ? isnan(got) : same_bits(expected, got)))
                fail_msg("%s: dropout, n=%zu: element (%u, %zu) of %.9g is %.9g, should be %.9g", kernel->kernel.name,
                         n, first_row + r, c, (double)x[r * ldx + c], (double)got, (double)expected);
        }
    check_gaps(y, ROWS, n, ldy);
    kernel->dropout(with, first_row, x, ldx, x, ldx, ROWS, n);
    for (size_t r = 0; r < ROWS; r++) assert_memory_equal(x + r * ldx, y + r * ldy, n * sizeof *x);
    check_gaps(x, ROWS, n, ldx);
    guard_free(x);
    guard_free(y);
}

static void dropout_is_as_defined(void **state) {
    static const ds__dropout cases[] = {
        {{1, 2}, 3, 4, 0.1f},
        {{0xdeadbeef, 0xffffffff}, 0xffffffff, 0x80000000, 0.5f},
        {{0, 0}, 0, 0, 0},
        {{7, 7}, 1, 100000, 0.9999999f},
    };
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
            for (size_t s = 0; s < SIZES; s++) {
                check_dropout(variants[v], &cases[c], 0, size_at(s), 0);
                check_dropout(variants[v], &cases[c], 0xfffffffe, size_at(s), 3); /* the row's number wraps round */
            }
    }
}

/* A million elements: the share that is dropped is within five standard deviations of the rate. */
static void dropout_drops_its_share(void **state) {
    enum { ROWS = 1000, N = 1000 };
    float *x = guard_alloc(ROWS * N * sizeof *x);
    for (float rate = 0.05f; rate < 1; rate += 0.15f) {
        const ds__dropout with = {{5, 6}, 7, 8, rate};
        size_t dropped = 0;
        for (size_t i = 0; i < ROWS * N; i++) x[i] = 1;
        ds__grad_f32_choose()->dropout(&with, 0, x, N, x, N, ROWS, N);
        for (size_t i = 0; i < ROWS * N; i++) dropped += x[i] == 0;
        assert_true(fabs((double)dropped - 1e6 * (double)rate) <= 5e3 * sqrt((double)rate * (1 - (double)rate)));
    }
    guard_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition_is_the_derivative),
        cmocka_unit_test(activations_of_all_sizes),
        cmocka_unit_test(activations_of_all_floats),
        cmocka_unit_test(activations_of_specials),
        cmocka_unit_test(layer_norm_of_all_sizes),
        cmocka_unit_test(layer_norm_far_from_zero),
        cmocka_unit_test(layer_norm_with_an_outlier),
        cmocka_unit_test(layer_norm_of_equal_values),
        cmocka_unit_test(layer_norm_keeps_nan_in_its_row),
        cmocka_unit_test(layer_norm_gamma_of_all_sizes),
        cmocka_unit_test(sum_rows_of_all_sizes),
        cmocka_unit_test(philox_gives_the_published_numbers),
        cmocka_unit_test(dropout_is_as_defined),
        cmocka_unit_test(dropout_drops_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
