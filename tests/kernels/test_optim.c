/* Every variant of optim_f32: bit for bit against the formulas done operation by operation, ten steps against a plain
 * implementation in double, all small sizes at guard pages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/optim/optim.h"
#include "support/guard.h"
#include "tensor/convert.h"

static const ds__optim_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/optim/optim_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants, STEPS = 10 };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

static const size_t large_sizes[] = {127, 128, 129, 384, 1000, 4099};
enum { SIZES = 71 + sizeof large_sizes / sizeof *large_sizes };

static size_t size_at(size_t index) { return index <= 70 ? index : large_sizes[index - 71]; }

static float *random_floats(ds__random *random, size_t n, float scale) {
    float *x = guard_alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = scale * ds__random_f32(random);
    return x;
}

static float *zeros(size_t n) {
    float *x = guard_alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = 0;
    return x;
}

static float *copy_of(const float *x, size_t n) {
    float *y = guard_alloc(n * sizeof *y);
    if (n) memcpy(y, x, n * sizeof *y);
    return y;
}

/* A NaN's payload is no part of the contract. */
static void check_same(const char *name, const char *what, const float *got, const float *expected, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (isnan(expected[i]) ? !isnan(got[i]) : ds__f32_to_bits(got[i]) != ds__f32_to_bits(expected[i]))
            fail_msg("%s: %s[%zu] of %zu is %.9g, should be %.9g", name, what, i, n, (double)got[i],
                     (double)expected[i]);
}

/* One rounding an operation: every intermediate value goes through memory as a float. */
static void adamw_by_definition(const ds__adamw *with, const float *g, float *w, float *m, float *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        volatile float scaled = with->grad_scale * g[i], difference = scaled - m[i];
        volatile float move = with->one_minus_beta1 * difference, first = m[i] + move;
        volatile float kept = with->beta2 * v[i], part = with->one_minus_beta2 * scaled, square = part * scaled;
        volatile float second = kept + square, root = sqrtf(second), corrected = root * with->v_correction;
        volatile float divisor = corrected + with->epsilon, upper = with->step_size * first, step = upper / divisor;
        volatile float decayed = w[i] * with->decay, result = decayed - step;
        w[i] = result;
        m[i] = first;
        v[i] = second;
    }
}

static void sgd_by_definition(const ds__sgd *with, const float *g, float *w, float *m, size_t n) {
    for (size_t i = 0; i < n; i++) {
        volatile float scaled = with->grad_scale * g[i], decay = with->weight_decay * w[i], step = scaled + decay;
        if (with->momentum != 0) {
            volatile float kept = with->momentum * m[i];
            step = kept + step;
            m[i] = step;
        }
        volatile float move = with->rate * step;
        w[i] = w[i] - move;
    }
}

/* The factors of step t as the caller computes them. */
static ds__adamw adamw_at(int t, double grad_scale, double rate, double weight_decay, double beta1, double beta2) {
    return (ds__adamw){
        .grad_scale = (float)grad_scale,
        .decay = (float)(1 - rate * weight_decay),
        .step_size = (float)(rate / (1 - pow(beta1, t))),
        .v_correction = (float)(1 / sqrt(1 - pow(beta2, t))),
        .epsilon = 1e-8f,
        .one_minus_beta1 = (float)(1 - beta1),
        .beta2 = (float)beta2,
        .one_minus_beta2 = (float)(1 - beta2),
    };
}

/* Sizes of gradients as training has them, and some so small that squares are denormal or nothing. */
static void check_adamw_bits(const ds__optim_f32 *kernel, size_t n, float size) {
    ds__random random = {n + 1};
    float *w = random_floats(&random, n, 0.1f), *m = zeros(n), *v = zeros(n);
    float *w_expected = copy_of(w, n), *m_expected = zeros(n), *v_expected = zeros(n);
    for (int t = 1; t <= STEPS; t++) {
        const ds__adamw with = adamw_at(t, 0.37, 2e-3, 0.1, 0.9, 0.999);
        float *g = random_floats(&random, n, size), *g_before = copy_of(g, n);
        if (n > 40 && t == STEPS) g[3] = NAN, g[17] = INFINITY, g[40] = 0, memcpy(g_before, g, n * sizeof *g);
        kernel->adamw(&with, g, w, m, v, n);
        adamw_by_definition(&with, g, w_expected, m_expected, v_expected, n);
        check_same(kernel->kernel.name, "adamw: m", m, m_expected, n);
        check_same(kernel->kernel.name, "adamw: v", v, v_expected, n);
        check_same(kernel->kernel.name, "adamw: w", w, w_expected, n);
        assert_memory_equal(g, g_before, n * sizeof *g);
        guard_free(g);
        guard_free(g_before);
    }
    guard_free(w);
    guard_free(m);
    guard_free(v);
    guard_free(w_expected);
    guard_free(m_expected);
    guard_free(v_expected);
}

static void adamw_rounds_as_defined(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++) {
            check_adamw_bits(variants[v], size_at(s), 1e-2f);
            check_adamw_bits(variants[v], size_at(s), 1e4f);
            check_adamw_bits(variants[v], size_at(s), 1e-18f);
            check_adamw_bits(variants[v], size_at(s), 1e-30f);
        }
    }
}

/* As torch.optim.AdamW writes it down, in double. */
static void adamw_follows_double(void **state) {
    enum { N = 300 };
    const double rate = 3e-3, weight_decay = 0.01, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, grad_scale = 0.5;
    for (size_t k = 0; k < VARIANTS; k++) {
        if (!runs_here(&variants[k]->kernel)) continue;
        ds__random random = {9};
        float w[N], m[N] = {0}, v[N] = {0}, g[N];
        double exact_w[N], exact_m[N] = {0}, exact_v[N] = {0};
        for (size_t i = 0; i < N; i++) exact_w[i] = (double)(w[i] = ds__random_f32(&random));
        for (int t = 1; t <= STEPS; t++) {
            const ds__adamw with = adamw_at(t, grad_scale, rate, weight_decay, beta1, beta2);
            for (size_t i = 0; i < N; i++) {
                g[i] = ds__random_f32(&random) + 0.5f * w[i];
                double scaled = grad_scale * (double)g[i];
                exact_w[i] *= 1 - rate * weight_decay;
                exact_m[i] = beta1 * exact_m[i] + (1 - beta1) * scaled;
                exact_v[i] = beta2 * exact_v[i] + (1 - beta2) * scaled * scaled;
                double first = exact_m[i] / (1 - pow(beta1, t)), second = exact_v[i] / (1 - pow(beta2, t));
                exact_w[i] -= rate * first / (sqrt(second) + epsilon);
            }
            variants[k]->adamw(&with, g, w, m, v, N);
            for (size_t i = 0; i < N; i++) assert_true(fabs((double)w[i] - exact_w[i]) <= 1e-6);
        }
    }
}

static void check_sgd_bits(const ds__optim_f32 *kernel, size_t n, float momentum) {
    ds__random random = {n + 2};
    const ds__sgd with = {.grad_scale = 0.37f, .weight_decay = 0.01f, .momentum = momentum, .rate = 0.1f};
    float *w = random_floats(&random, n, 1), *w_expected = copy_of(w, n);
    float *m = momentum != 0 ? zeros(n) : NULL, *m_expected = zeros(n);
    for (int t = 1; t <= STEPS; t++) {
        float *g = random_floats(&random, n, 2);
        kernel->sgd(&with, g, w, m, n);
        sgd_by_definition(&with, g, w_expected, m_expected, n);
        check_same(kernel->kernel.name, "sgd: w", w, w_expected, n);
        if (m) check_same(kernel->kernel.name, "sgd: m", m, m_expected, n);
        guard_free(g);
    }
    guard_free(w);
    guard_free(w_expected);
    guard_free(m);
    guard_free(m_expected);
}

static void sgd_rounds_as_defined(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; s < SIZES; s++) {
            check_sgd_bits(variants[v], size_at(s), 0);
            check_sgd_bits(variants[v], size_at(s), 0.9f);
        }
    }
}

static void sgd_follows_double(void **state) {
    enum { N = 300 };
    const ds__sgd with = {
        .grad_scale = 0.25f, .weight_decay = 0.0625f, .momentum = 0.875f, .rate = 0.03125f}; /* exact */
    for (size_t k = 0; k < VARIANTS; k++) {
        if (!runs_here(&variants[k]->kernel)) continue;
        for (int plain = 0; plain < 2; plain++) {
            ds__random random = {9};
            ds__sgd used = with;
            if (plain) used.momentum = 0;
            float w[N], m[N] = {0}, g[N];
            double exact_w[N], exact_m[N] = {0};
            for (size_t i = 0; i < N; i++) exact_w[i] = (double)(w[i] = ds__random_f32(&random));
            for (int t = 1; t <= STEPS; t++) {
                for (size_t i = 0; i < N; i++) {
                    g[i] = ds__random_f32(&random);
                    double scaled = 0.25 * (double)g[i] + 0.0625 * exact_w[i];
                    exact_m[i] = (plain ? 0 : 0.875) * exact_m[i] + scaled;
                    exact_w[i] -= 0.03125 * exact_m[i];
                }
                variants[k]->sgd(&used, g, w, plain ? NULL : m, N);
                for (size_t i = 0; i < N; i++) assert_true(fabs((double)w[i] - exact_w[i]) <= 1e-6);
            }
        }
    }
}

static double sum_by_definition(const float *x, size_t n) {
    volatile double s[8] = {0};
    for (size_t i = 0; i < n; i++) {
        volatile double square = (double)x[i] * (double)x[i];
        s[i % 8] = s[i % 8] + square;
    }
    volatile double a = s[0] + s[1], b = s[2] + s[3], c = s[4] + s[5], d = s[6] + s[7], low = a + b, high = c + d;
    return low + high;
}

static void sum_of_squares_rounds_as_defined(void **state) {
    static const float sizes[] = {1, 1e-30f, 1e30f, 1e-42f};
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t c = 0; c < 4; c++)
            for (size_t s = 0; s < SIZES; s++) {
                ds__random random = {s};
                const size_t n = size_at(s);
                float *x = random_floats(&random, n, sizes[c]);
                double got = variants[v]->sum_of_squares(x, n), expected = sum_by_definition(x, n);
                assert_memory_equal(&got, &expected, sizeof got);
                assert_true(n == 0 ? got == 0 : got > 0);
                guard_free(x);
            }
    }
}

static void sum_of_squares_shows_what_is_not_finite(void **state) {
    enum { N = 45 };
    float x[N];
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t n = 1; n <= N; n++)
            for (size_t i = 0; i < n; i++) {
                for (size_t j = 0; j < N; j++) x[j] = j < n ? 1 : NAN; /* what lies behind does not matter */
                assert_true(variants[v]->sum_of_squares(x, n) == (double)n);
                x[i] = INFINITY;
                assert_true(variants[v]->sum_of_squares(x, n) == (double)INFINITY);
                x[i] = -INFINITY;
                assert_true(variants[v]->sum_of_squares(x, n) == (double)INFINITY);
                x[n / 2] = NAN;
                assert_true(isnan(variants[v]->sum_of_squares(x, n)));
                x[i] = NAN;
                assert_true(isnan(variants[v]->sum_of_squares(x, n)));
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_rounds_as_defined),
        cmocka_unit_test(adamw_follows_double),
        cmocka_unit_test(sgd_rounds_as_defined),
        cmocka_unit_test(sgd_follows_double),
        cmocka_unit_test(sum_of_squares_rounds_as_defined),
        cmocka_unit_test(sum_of_squares_shows_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
