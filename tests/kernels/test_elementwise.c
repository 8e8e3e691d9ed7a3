/* Every variant of elementwise_f32: all small sizes and some large ones in guarded buffers, in place and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "activation_reference.h"
#include "base/random.h"
#include "support/guard.h"
#include "tensor/convert.h"

static const ds__elementwise_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/elementwise/elementwise_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

/* 0..70, then some large ones; (size_t)-1 at the end. */
static size_t size_at(size_t index) {
    static const size_t large[] = {127, 128, 129, 384, 1000, 4099};
    if (index <= 70) return index;
    return index - 71 < sizeof large / sizeof *large ? large[index - 71] : (size_t)-1;
}

static float *random_floats(ds__random *random, size_t n, float scale) {
    float *x = guard_alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = scale * ds__random_f32(random);
    return x;
}

static void check_binary(const ds__elementwise_f32 *kernel, bool product, size_t n) {
    ds__random random = {n};
    void (*run)(const float *, const float *, float *, size_t) = product ? kernel->mul : kernel->add;
    float *a = random_floats(&random, n, 3), *b = random_floats(&random, n, 3);
    float *expected = guard_alloc(n * sizeof *expected), *y = guard_alloc(n * sizeof *y);
    for (size_t i = 0; i < n; i++) expected[i] = product ? a[i] * b[i] : a[i] + b[i];
    run(a, b, y, n);
    assert_memory_equal(y, expected, n * sizeof *y);
    if (n) memcpy(y, a, n * sizeof *y);
    run(y, b, y, n); /* y is the first input */
    assert_memory_equal(y, expected, n * sizeof *y);
    if (n) memcpy(y, b, n * sizeof *y);
    run(a, y, y, n); /* y is the second one */
    assert_memory_equal(y, expected, n * sizeof *y);
    for (size_t i = 0; i < n; i++) expected[i] = product ? a[i] * a[i] : a[i] + a[i];
    run(a, a, a, n);
    assert_memory_equal(a, expected, n * sizeof *y);
    guard_free(a);
    guard_free(b);
    guard_free(expected);
    guard_free(y);
}

static void add_and_mul_are_exact(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t s = 0; size_at(s) != (size_t)-1; s++) {
            check_binary(variants[v], false, size_at(s));
            check_binary(variants[v], true, size_at(s));
        }
    }
}

static void add_and_mul_of_specials(void **state) {
    const float a[] = {INFINITY, INFINITY, NAN, -0.0f, 1e-45f, 3e38f, 1e-30f, 0, -INFINITY, 1};
    const float b[] = {INFINITY, -INFINITY, 1, -0.0f, 1e-45f, 3e38f, 1e-30f, INFINITY, 2, NAN};
    enum { N = sizeof a / sizeof *a };
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        float sum[N], product[N];
        variants[v]->add(a, b, sum, N);
        variants[v]->mul(a, b, product, N);
        for (size_t i = 0; i < N; i++) {
            float s = a[i] + b[i], p = a[i] * b[i];
            assert_true(isnan(s) ? isnan(sum[i]) : ds__f32_to_bits(s) == ds__f32_to_bits(sum[i]));
            assert_true(isnan(p) ? isnan(product[i]) : ds__f32_to_bits(p) == ds__f32_to_bits(product[i]));
        }
    }
}

/* Also: an element's result does not depend on where in the array it stands. */
static void check_activation(const ds__elementwise_f32 *kernel, ds__activation activation, size_t n) {
    ds__random random = {n + 1};
    float *x = random_floats(&random, n, 6), *y = guard_alloc(n * sizeof *y);
    kernel->activate(activation, x, y, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(is_near(y[i], reference_activation(activation, (double)x[i]), 4, 1e-6));
        float alone;
        kernel->activate(activation, x + i, &alone, 1);
        assert_true(ds__f32_to_bits(alone) == ds__f32_to_bits(y[i]));
    }
    kernel->activate(activation, x, x, n);
    assert_memory_equal(x, y, n * sizeof *y);
    guard_free(x);
    guard_free(y);
}

static void activations_of_all_sizes(void **state) {
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (int activation = 0; activation < DS__ACTIVATION_COUNT; activation++)
            for (size_t s = 0; size_at(s) != (size_t)-1; s++)
                check_activation(variants[v], (ds__activation)activation, size_at(s));
    }
}

/* What a half is worth, from the definition and not from the library's own conversion. */
static double value_of_f16(uint16_t half) {
    int exponent = half >> 10 & 31;
    double fraction = half & 0x3ff, sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31) return fraction > 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static double value_of_bf16(uint16_t half) {
    int exponent = half >> 7 & 255;
    double fraction = half & 0x7f, sign = half & 0x8000 ? -1 : 1;
    if (exponent == 255) return fraction > 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(128 + fraction, exponent - 134) : ldexp(fraction, -133));
}

static void check_widened(const uint16_t *x, const float *y, size_t n, bool f16) {
    for (size_t i = 0; i < n; i++) {
        double expected = f16 ? value_of_f16(x[i]) : value_of_bf16(x[i]);
        if (isnan(expected) ? !isnan(y[i]) : (double)y[i] != expected || !signbit(y[i]) != !(x[i] & 0x8000))
            fail_msg("0x%04x widened to %.9g, should be %.9g", x[i], (double)y[i], expected);
    }
}

static void widening_is_exact(void **state) {
    uint16_t *all = guard_alloc(65536 * sizeof *all);
    float *y = guard_alloc(65536 * sizeof *y);
    for (size_t i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        variants[v]->widen_f16(all, y, 65536);
        check_widened(all, y, 65536, true);
        variants[v]->widen_bf16(all, y, 65536);
        check_widened(all, y, 65536, false);
        for (size_t n = 0; n <= 70; n++) { /* at the guarded ends, so that the tail is seen as well */
            memset(y + 65536 - n, 0xff, n * sizeof *y);
            variants[v]->widen_f16(all + 65536 - n, y + 65536 - n, n);
            check_widened(all + 65536 - n, y + 65536 - n, n, true);
            variants[v]->widen_bf16(all + 65536 - n, y + 65536 - n, n);
            check_widened(all + 65536 - n, y + 65536 - n, n, false);
        }
        float few[40];
        for (size_t n = 0; n < 40; n++) { /* finite values, and nothing behind the last one is written */
            memset(few, 0x55, sizeof few);
            variants[v]->widen_f16(all + 0x3c00, few, n);
            check_widened(all + 0x3c00, few, n, true);
            for (size_t i = n; i < 40; i++) assert_int_equal(ds__f32_to_bits(few[i]), 0x55555555);
        }
    }
    guard_free(all);
    guard_free(y);
}

/* The nearest bfloat16 by its definition: of the two around x, the one that is nearer, or the even one. */
static uint16_t nearest_bf16(float x) {
    const uint32_t bits = ds__f32_to_bits(x);
    const uint16_t below = (uint16_t)(bits >> 16); /* towards zero */
    const uint32_t rest = bits & 0xffff;
    return (uint16_t)(below + (rest > 0x8000 || (rest == 0x8000 && (below & 1))));
}

static void check_narrowed(const char *name, const float *x, const uint16_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t expected = isnan(x[i]) ? ds__f32_to_bf16(x[i]) : nearest_bf16(x[i]);
        if (isnan(x[i]) && !isnan(value_of_bf16(y[i]))) fail_msg("%s: a NaN became 0x%04x", name, y[i]);
        if (y[i] != expected)
            fail_msg("%s: 0x%08x narrowed to 0x%04x, should be 0x%04x", name, ds__f32_to_bits(x[i]), y[i], expected);
    }
}

/* Every upper half with lower halves at, beside and far from the tie, denormals, infinities and NaNs among them. */
static void narrowing_is_to_the_nearest_even(void **state) {
    static const uint16_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1234, 0xbcde};
    enum { LOWER = sizeof lower / sizeof *lower, N = 65536 * LOWER };
    float *x = guard_alloc(N * sizeof *x);
    uint16_t *y = guard_alloc(N * sizeof *y);
    for (uint32_t i = 0; i < N; i++) x[i] = ds__f32_from_bits(i / LOWER << 16 | lower[i % LOWER]);
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        const char *name = variants[v]->kernel.name;
        variants[v]->narrow_bf16(x, y, N);
        check_narrowed(name, x, y, N);
        for (size_t n = 0; n <= 70; n++) { /* at the guarded ends, then what lies behind the last one */
            memset(y + N - n, 0x55, n * sizeof *y);
            variants[v]->narrow_bf16(x + N - n, y + N - n, n);
            check_narrowed(name, x + N - n, y + N - n, n);
            memset(y, 0x55, 100 * sizeof *y);
            variants[v]->narrow_bf16(x + 0x3f80 * LOWER, y, n);
            check_narrowed(name, x + 0x3f80 * LOWER, y, n);
            for (size_t i = n; i < 100; i++) assert_int_equal(y[i], 0x5555);
        }
    }
    guard_free(x);
    guard_free(y);
}

static void the_chosen_one_is_allowed(void **state) {
    const ds__kernel *kernel = &ds__elementwise_f32_choose()->kernel;
    assert_true(ds__cpu_allows(kernel->isa));
    for (size_t v = 0; v < VARIANTS && &variants[v]->kernel != kernel; v++)
        assert_false(ds__cpu_allows(variants[v]->kernel.isa)); /* nothing better stands before it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_and_mul_are_exact),
        cmocka_unit_test(add_and_mul_of_specials),
        cmocka_unit_test(activations_of_all_sizes),
        cmocka_unit_test(widening_is_exact),
        cmocka_unit_test(narrowing_is_to_the_nearest_even),
        cmocka_unit_test(the_chosen_one_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
