/* Every variant of gemm_f32 against sums in double: all small sizes, strides, blocks, epilogues; and the promise that a
 * row's bits depend on nothing but the row. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "activation_reference.h"
#include "base/random.h"
#include "kernels/gemm/gemm.h"
#include "support/guard.h"

static const ds__gemm_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/gemm/gemm_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants, CANARY = 0x7fc0beef };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* [rows, columns] with `ld`, the last row ending at the guard page; random numbers, NaNs between the rows. */
static float *matrix(ds__random *random, size_t rows, size_t columns, size_t ld) {
    float *x = guard_alloc(rows && columns ? ((rows - 1) * ld + columns) * sizeof *x : 0);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) x[i * ld + j] = ds__random_f32(random);
    return x;
}

/* The same for a result: every float is a canary. */
static float *empty_matrix(size_t rows, size_t columns, size_t ld) {
    size_t floats = rows && columns ? (rows - 1) * ld + columns : 0;
    float *x = guard_alloc(floats * sizeof *x);
    for (uint32_t i = 0, canary = CANARY; i < floats; i++) memcpy(x + i, &canary, sizeof canary);
    return x;
}

static float *pack(const ds__gemm_f32 *gemm, const float *w, size_t ldw, size_t n, size_t k) {
    size_t elements = 0;
    assert_true(ds__gemm_f32_packed_size(gemm, n, k, &elements));
    assert_true(elements >= n * k && elements % gemm->nr == 0);
    float *packed = guard_alloc_aligned(elements * sizeof *packed, 64);
    memset(packed, 0, elements * sizeof *packed);
    gemm->pack(w, ldw, n, k, 0, packed);
    return packed;
}

/* What the result at (i, j) should be, and how far rounding may take it: the usual bound on a sum of k products, times
 * the steepest slope of an activation, and the activation's own error. */
static double expected_at(const ds__gemm_f32_args *args, const float *w, size_t ldw, float residual, size_t i, size_t j,
                          double *bound) {
    double sum = args->bias ? (double)args->bias[j] : 0, size = fabs(sum);
    for (size_t p = 0; p < args->k; p++) {
        double product = (double)args->a[i * args->lda + p] * (double)w[j * ldw + p];
        sum += product;
        size += fabs(product);
    }
    double y = reference_activation(args->activation, sum);
    *bound = 1.13 * size * (double)(args->k + 2) * 0x1p-24;
    if (args->activation != DS__ACTIVATION_NONE) *bound += fmax(4 * ulp_of(y), 1e-6);
    *bound += ulp_of(y + (double)residual);
    return y + (double)residual;
}

/* Inside the block the right numbers, outside what was there. `before`: C as it was, with the same stride; where it
 * holds the residual, or NULL for canaries. */
static void check(const char *name, const ds__gemm_f32_args *args, const float *w, size_t ldw, const float *before) {
    for (size_t i = 0; i < args->m; i++)
        for (size_t j = 0; j < args->ldc && (j < args->n || i + 1 < args->m); j++) {
            float got = args->c[i * args->ldc + j];
            if (i < args->m0 || i >= args->m1 || j < args->n0 || j >= args->n1) {
                uint32_t kept = before ? bits_of(before[i * args->ldc + j]) : (uint32_t)CANARY;
                if (bits_of(got) != kept)
                    fail_msg("%s: m=%zu n=%zu k=%zu: C(%zu, %zu) is outside the block and was written", name, args->m,
                             args->n, args->k, i, j);
                continue;
            }
            float residual = 0;
            if (args->residual) residual = before ? before[i * args->ldc + j] : args->residual[i * args->ldr + j];
            double bound, expected = expected_at(args, w, ldw, residual, i, j, &bound);
            if (!(fabs((double)got - expected) <= bound))
                fail_msg("%s: m=%zu n=%zu k=%zu: C(%zu, %zu) is %.9g, should be %.9g within %.2g", name, args->m,
                         args->n, args->k, i, j, (double)got, expected, bound);
        }
}

typedef enum residual_kind { RESIDUAL_NONE, RESIDUAL_APART, RESIDUAL_IN_PLACE, RESIDUAL_KINDS } residual_kind;

/* One product, everything about it that `size` does not give drawn at random. */
static void run_case(const ds__gemm_f32 *gemm, ds__random *random, const size_t size[3]) {
    const size_t m = size[0], n = size[1], k = size[2];
    const size_t lda = k + ds__random_below(random, 5), ldw = k + ds__random_below(random, 3);
    const residual_kind kind = (residual_kind)ds__random_below(random, RESIDUAL_KINDS);
    ds__gemm_f32_args args = {.lda = lda, .m = m, .n = n, .k = k, .m1 = m, .n1 = n};
    args.ldc = n + ds__random_below(random, 4);
    args.ldr = kind == RESIDUAL_IN_PLACE ? args.ldc : n + ds__random_below(random, 4);
    args.activation = (ds__activation)ds__random_below(random, DS__ACTIVATION_COUNT);
    if (ds__random_below(random, 2)) { /* a block */
        size_t panels = (n + gemm->nr - 1) / gemm->nr;
        args.m0 = ds__random_below(random, (uint32_t)m + 1);
        args.m1 = args.m0 + ds__random_below(random, (uint32_t)(m - args.m0) + 1);
        args.n0 = ds__random_below(random, (uint32_t)panels) * gemm->nr;
        size_t end = args.n0 + (1 + ds__random_below(random, (uint32_t)panels)) * gemm->nr;
        args.n1 = end < n ? end : n;
    }
    float *a = matrix(random, m, k, lda), *w = matrix(random, n, k, ldw), *bias = matrix(random, 1, n, n);
    float *apart = matrix(random, m, n, args.ldr), *packed = pack(gemm, w, ldw, n, k);
    float *before = kind == RESIDUAL_IN_PLACE ? matrix(random, m, n, args.ldc) : NULL;
    float *c = empty_matrix(m, n, args.ldc);
    if (before) memcpy(c, before, ((m - 1) * args.ldc + n) * sizeof *c);
    args.a = a;
    args.w = packed;
    args.bias = ds__random_below(random, 2) ? bias : NULL;
    args.residual = kind == RESIDUAL_NONE ? NULL : kind == RESIDUAL_APART ? apart : c;
    args.c = c;
    gemm->run(&args);
    check(gemm->kernel.name, &args, w, ldw, before);
    float *all[] = {a, w, bias, apart, packed, before, c};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void test_small_sizes(void **state) {
    (void)state;
    static const size_t columns[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100};
    static const size_t depths[] = {1, 2, 3, 7, 8, 15, 16, 17, 40, 64, 129};
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v};
        for (size_t m = 1; m <= 34; m++)
            for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
                for (int turn = 0; turn < 3; turn++) {
                    size_t k = depths[ds__random_below(&random, sizeof depths / sizeof *depths)];
                    run_case(variants[v], &random, (size_t[]){m, columns[j], k});
                }
    }
}

static void test_large_sizes(void **state) {
    (void)state;
    static const size_t sizes[][3] = {{257, 33, 20}, {600, 16, 5}, {40, 200, 768},
                                      {9, 70, 3000}, {3, 5, 4096}, {1, 1, 1}};
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 100};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int turn = 0; turn < 4; turn++) run_case(variants[v], &random, sizes[i]);
    }
}

/* Each activation by itself, with and without bias and residual: the draws above might miss a pair. */
static void test_every_epilogue(void **state) {
    (void)state;
    const size_t m = 11, n = 45, k = 19;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {7};
        float *a = matrix(&random, m, k, k), *w = matrix(&random, n, k, k), *bias = matrix(&random, 1, n, n);
        float *residual = matrix(&random, m, n, n), *packed = pack(variants[v], w, k, n, k);
        for (int activation = 0; activation < DS__ACTIVATION_COUNT; activation++)
            for (int which = 0; which < 4; which++) {
                float *c = empty_matrix(m, n, n);
                ds__gemm_f32_args args = {.a = a, .lda = k, .w = packed, .ldr = n, .c = c, .ldc = n};
                args.m = args.m1 = m;
                args.n = args.n1 = n;
                args.k = k;
                args.bias = which & 1 ? bias : NULL;
                args.residual = which & 2 ? residual : NULL;
                args.activation = (ds__activation)activation;
                variants[v]->run(&args);
                check(variants[v]->kernel.name, &args, w, k, NULL);
                guard_free(c);
            }
        float *all[] = {a, w, bias, residual, packed};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
    }
}

/* Every row computed alone, and the product put together from random blocks, give the bits of the product at once. */
static void check_same_bits(const ds__gemm_f32 *gemm, ds__random *random, size_t m, size_t n, size_t k) {
    float *a = matrix(random, m, k, k), *w = matrix(random, n, k, k), *bias = matrix(random, 1, n, n);
    float *packed = pack(gemm, w, k, n, k);
    float *whole = empty_matrix(m, n, n), *parts = empty_matrix(m, n, n), *row = empty_matrix(1, n, n);
    ds__gemm_f32_args args = {
        .a = a, .lda = k, .w = packed, .bias = bias, .c = whole, .ldc = n, .m = m, .n = n, .k = k};
    args.m1 = m;
    args.n1 = n;
    args.activation = DS__ACTIVATION_GELU;
    gemm->run(&args);
    for (size_t i = 0; i < m; i++) {
        ds__gemm_f32_args alone = args;
        alone.a = a + i * k;
        alone.c = row;
        alone.m = alone.m1 = 1;
        gemm->run(&alone);
        if (memcmp(row, whole + i * n, n * sizeof *row) != 0)
            fail_msg("%s: m=%zu n=%zu k=%zu: row %zu alone gives other bits", gemm->kernel.name, m, n, k, i);
    }
    args.c = parts;
    for (args.n0 = 0; args.n0 < n; args.n0 = args.n1) {
        size_t end = args.n0 + (1 + ds__random_below(random, 3)) * gemm->nr;
        args.n1 = end < n ? end : n;
        for (args.m0 = 0; args.m0 < m; args.m0 = args.m1) {
            args.m1 = args.m0 + 1 + ds__random_below(random, (uint32_t)(m - args.m0));
            gemm->run(&args);
        }
    }
    if (memcmp(parts, whole, m * n * sizeof *whole) != 0)
        fail_msg("%s: m=%zu n=%zu k=%zu: blocks give other bits", gemm->kernel.name, m, n, k);
    float *all[] = {a, w, bias, packed, whole, parts, row};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void test_row_depends_on_itself_only(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {3};
        for (size_t m = 1; m <= 40; m += 3) check_same_bits(variants[v], &random, m, 75, 50);
        check_same_bits(variants[v], &random, 300, 40, 33);
        check_same_bits(variants[v], &random, 21, 130, 1536);
    }
}

/* Q, K and V packed side by side, at columns that no register divides, are the same bytes as one matrix packed at once.
 */
static void test_pack_from_several_sources(void **state) {
    (void)state;
    static const size_t splits[][3] = {{24, 24, 24}, {16, 32, 16}, {1, 39, 5}, {33, 7, 60}, {40, 12, 12}, {64, 64, 64}};
    for (int v = 0; v < VARIANTS; v++) {
        const ds__gemm_f32 *gemm = variants[v];
        if (!runs_here(&gemm->kernel)) continue;
        ds__random random = {5};
        for (size_t s = 0; s < sizeof splits / sizeof *splits; s++)
            for (size_t k = 1; k < 40; k += 6) {
                size_t n = splits[s][0] + splits[s][1] + splits[s][2], elements = 0, ldw = k + 3;
                float *w = matrix(&random, n, k, ldw), *at_once = pack(gemm, w, ldw, n, k);
                assert_true(ds__gemm_f32_packed_size(gemm, n, k, &elements));
                float *packed = guard_alloc_aligned(elements * sizeof *packed, 64);
                memset(packed, 0, elements * sizeof *packed);
                size_t ends[3] = {splits[s][0], splits[s][0] + splits[s][1], n};
                for (int turn = 0; turn < 3; turn++) { /* in no particular order */
                    int source = (turn + (int)s) % 3;
                    size_t first = source ? ends[source - 1] : 0, rows = ends[source] - first;
                    float *part = guard_alloc(((rows - 1) * ldw + k) * sizeof *part);
                    memcpy(part, w + first * ldw, ((rows - 1) * ldw + k) * sizeof *part);
                    gemm->pack(part, ldw, rows, k, first, packed);
                    guard_free(part);
                }
                assert_memory_equal(packed, at_once, elements * sizeof *packed);
                guard_free(w);
                guard_free(at_once);
                guard_free(packed);
            }
    }
}

/* NaN and infinity in one row of A, or in W's column, stay there. */
static void test_not_finite(void **state) {
    (void)state;
    const size_t m = 9, n = 37, k = 12;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {11};
        float *a = matrix(&random, m, k, k), *w = matrix(&random, n, k, k), *c = empty_matrix(m, n, n);
        a[4 * k + 3] = NAN;
        w[20 * k + 5] = INFINITY;
        float *packed = pack(variants[v], w, k, n, k);
        ds__gemm_f32_args args = {.a = a, .lda = k, .w = packed, .c = c, .ldc = n, .m = m, .n = n, .k = k, .m1 = m};
        args.n1 = n;
        variants[v]->run(&args);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                bool right = i == 4 ? isnan(c[i * n + j]) : j == 20 ? isinf(c[i * n + j]) : isfinite(c[i * n + j]);
                if (!right) fail_msg("%s: C(%zu, %zu) is %g", variants[v]->kernel.name, i, j, (double)c[i * n + j]);
            }
        float *all[] = {a, w, c, packed};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
    }
}

static void test_packed_size(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        const ds__gemm_f32 *gemm = variants[v];
        size_t elements = 1;
        assert_true(ds__gemm_f32_packed_size(gemm, 0, 10, &elements));
        assert_int_equal(elements, 0);
        assert_true(ds__gemm_f32_packed_size(gemm, 1, 10, &elements));
        assert_int_equal(elements, 10 * gemm->nr);
        assert_true(ds__gemm_f32_packed_size(gemm, gemm->nr + 1, 3, &elements));
        assert_int_equal(elements, 6 * gemm->nr);
        assert_false(ds__gemm_f32_packed_size(gemm, SIZE_MAX, 1, &elements));
        assert_false(ds__gemm_f32_packed_size(gemm, SIZE_MAX / 64, 64, &elements));
        assert_false(
            ds__gemm_f32_packed_size(gemm, SIZE_MAX / 2, 1, &elements)); /* too many bytes, not too many floats */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_sizes),
        cmocka_unit_test(test_large_sizes),
        cmocka_unit_test(test_every_epilogue),
        cmocka_unit_test(test_row_depends_on_itself_only),
        cmocka_unit_test(test_pack_from_several_sources),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_packed_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
