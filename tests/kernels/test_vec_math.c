/* The vector exp and activations of every instruction set, over whole ranges of bit patterns, against the C library's
 * double-precision functions.  They are reached through the kernels that are made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "activation_reference.h"
#include "base/random.h"
#include "kernels/reduce/reduce.h"
#include "tensor/convert.h"

enum {
    BF16_VALUES = 1 << 16,
    PATTERNS = 1000000, /* any bits at all: every magnitude alike, NaN too */
    MODERATE = 500000,  /* uniform in [-12, 12], where the functions bend */
    VALUES = BF16_VALUES + PATTERNS + MODERATE,
};

static const ds__elementwise_f32 *const elementwise[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/elementwise/elementwise_variants.def"
#undef DS_KERNEL
};

static const ds__reduce_f32 *const reduce[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/reduce/reduce_variants.def"
#undef DS_KERNEL
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

static const char *const activation_names[] = {
#define NAME(name, text) text,
    DS__ACTIVATION_LIST(NAME)
#undef NAME
};

static float *make_values(void) {
    float *x = malloc(VALUES * sizeof *x);
    assert_non_null(x);
    ds__random random = {1};
    for (size_t i = 0; i < VALUES; i++) {
        if (i < BF16_VALUES) {
            x[i] = ds__bf16_to_f32((uint16_t)i);
        } else if (i < BF16_VALUES + PATTERNS) {
            x[i] = ds__f32_from_bits((uint32_t)ds__random_u64(&random));
        } else {
            x[i] = 12 * ds__random_f32(&random);
        }
    }
    return x;
}

/* The contract's bound, for every activation of every variant. */
static void every_activation_keeps_its_bound(void **state) {
    float *x = make_values(), *y = malloc(VALUES * sizeof *y);
    double *expected = malloc(VALUES * sizeof *expected);
    assert_true(y && expected);
    for (int activation = 0; activation < DS__ACTIVATION_COUNT; activation++) {
        for (size_t i = 0; i < VALUES; i++)
            expected[i] = reference_activation((ds__activation)activation, (double)x[i]);
        for (size_t v = 0; v < COUNT(elementwise); v++) {
            if (!runs_here(&elementwise[v]->kernel)) continue;
            elementwise[v]->activate((ds__activation)activation, x, y, VALUES);
            for (size_t i = 0; i < VALUES; i++)
                if (!is_near(y[i], expected[i], 4, 1e-6))
                    fail_msg("%s: %s(%.9g) is %.9g, should be %.9g", elementwise[v]->kernel.name,
                             activation_names[activation], (double)x[i], (double)y[i], expected[i]);
        }
    }
    free(x);
    free(y);
    free(expected);
}

/* What the bound of 1e-6 would let pass: small arguments keep their relative accuracy, so does gelu from -1 on. */
static void small_values_keep_their_digits(void **state) {
    static const struct {
        ds__activation activation;
        double from, ulps;
    } cases[] = {
        {DS__ACTIVATION_GELU, -1, 6},
        {DS__ACTIVATION_GELU_TANH, -1, 6},
        {DS__ACTIVATION_TANH, -100, 4},
        {DS__ACTIVATION_SIGMOID, -80, 4},
    };
    float *x = make_values(), *y = malloc(VALUES * sizeof *y);
    assert_non_null(y);
    for (size_t c = 0; c < COUNT(cases); c++) {
        for (size_t v = 0; v < COUNT(elementwise); v++) {
            if (!runs_here(&elementwise[v]->kernel)) continue;
            elementwise[v]->activate(cases[c].activation, x, y, VALUES);
            for (size_t i = 0; i < VALUES; i++) {
                if (!((double)x[i] > cases[c].from) || fabsf(x[i]) < 1e-35f) continue;
                double expected = reference_activation(cases[c].activation, (double)x[i]);
                if (!is_near(y[i], expected, cases[c].ulps, 0))
                    fail_msg("%s: %s(%.9g) is %.9g, should be %.9g", elementwise[v]->kernel.name,
                             activation_names[cases[c].activation], (double)x[i], (double)y[i], expected);
            }
        }
    }
    free(x);
    free(y);
}

/* softmax of (0, x), x <= 0, is (1, e^x) / (1 + e^x): below -17.5 the sum rounds to 1 and exp stands there bare. */
static void exp_of_negative_values(void **state) {
    enum { PAIRS = 400000 };
    float *x = malloc(2 * PAIRS * sizeof *x), *y = malloc(2 * PAIRS * sizeof *y);
    assert_true(x && y);
    ds__random random = {2};
    for (size_t i = 0; i < PAIRS; i++) {
        x[2 * i] = 0;
        x[2 * i + 1] = i % 2 ? -0.5f * (ds__random_f32(&random) + 1) * 105 : -0.5f * (ds__random_f32(&random) + 1);
    }
    for (size_t v = 0; v < COUNT(reduce); v++) {
        if (!runs_here(&reduce[v]->kernel)) continue;
        reduce[v]->softmax(x, 2, y, 2, PAIRS, 2);
        for (size_t i = 0; i < PAIRS; i++) {
            double e = exp((double)x[2 * i + 1]), expected = e / (1 + e);
            double ulps = x[2 * i + 1] < -17.5f ? 2 : 4;
            /* Denormal results may be flushed to zero. */
            if (!is_near(y[2 * i + 1], expected, ulps, e < 0x1.00001p-126 ? 0x1p-126 : 0))
                fail_msg("%s: exp(%.9g) gives %.9g, should be %.9g", reduce[v]->kernel.name, (double)x[2 * i + 1],
                         (double)y[2 * i + 1], expected);
        }
    }
    free(x);
    free(y);
}

static void limits_of_activations(void **state) {
    static const struct {
        ds__activation activation;
        float at_minus_infinity, at_infinity, at_zero;
    } cases[] = {
        {DS__ACTIVATION_NONE, -INFINITY, INFINITY, 0},
        {DS__ACTIVATION_RELU, 0, INFINITY, 0},
        {DS__ACTIVATION_GELU, 0, INFINITY, 0},
        {DS__ACTIVATION_GELU_TANH, 0, INFINITY, 0},
        {DS__ACTIVATION_TANH, -1, 1, 0},
        {DS__ACTIVATION_SIGMOID, 0, 1, 0.5f},
    };
    const float x[] = {-INFINITY, INFINITY, 0.0f, -0.0f, NAN, -NAN, 3.4e38f, -3.4e38f, 1e-45f, -1e-45f};
    float y[COUNT(x)];
    for (size_t v = 0; v < COUNT(elementwise); v++) {
        if (!runs_here(&elementwise[v]->kernel)) continue;
        for (size_t c = 0; c < COUNT(cases); c++) {
            elementwise[v]->activate(cases[c].activation, x, y, COUNT(x));
            assert_true(is_near(y[0], (double)cases[c].at_minus_infinity, 0, 1e-30));
            assert_true(y[1] == cases[c].at_infinity);
            assert_true(y[2] == cases[c].at_zero && y[3] == cases[c].at_zero);
            assert_true(isnan(y[4]) && isnan(y[5]));
            for (size_t i = 6; i < COUNT(x); i++) {
                double expected = reference_activation(cases[c].activation, (double)x[i]);
                assert_true(is_near(y[i], expected, 4, 1e-30));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_activation_keeps_its_bound),
        cmocka_unit_test(small_values_keep_their_digits),
        cmocka_unit_test(exp_of_negative_values),
        cmocka_unit_test(limits_of_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
