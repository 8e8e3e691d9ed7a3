/* What the tests of gemm_f32 and gemm_bf16 have in common: every variant of an op against sums in double (all small
 * sizes, strides, blocks, epilogues), and the promise that a row's bits depend on nothing but the row.
 *
 * gemm_bf16 is held against the weights rounded to bfloat16, and A too where the variant prepares it: products are
 * exact then, and the bound is that on a sum of k floats, as for gemm_f32. */
#ifndef DS_TESTS_GEMM_CASE_H
#define DS_TESTS_GEMM_CASE_H

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
#include "tensor/convert.h"

static const ds__gemm *const all_variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/gemm/gemm_variants.def"
#undef DS_KERNEL
};

enum { ALL_VARIANTS = sizeof all_variants / sizeof *all_variants, CANARY = 0x7fc0beef };

/* Those of the op under test. */
static const ds__gemm *variants[ALL_VARIANTS];
static int variant_count;
/* Whether the op rounds weights to bfloat16. */
static bool rounds;

static void choose_variants(const char *op) {
    for (int v = 0; v < ALL_VARIANTS; v++)
        if (strcmp(all_variants[v]->kernel.op, op) == 0) variants[variant_count++] = all_variants[v];
    rounds = strcmp(op, "gemm_bf16") == 0;
}

/* Weights as the products use them, and A likewise. */
static float weight_used(float w) { return rounds ? ds__bf16_to_f32(ds__f32_to_bf16(w)) : w; }
static float input_used(const ds__gemm *gemm, float a) { return gemm->prepare ? weight_used(a) : a; }

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

/* Memory for a packed weight, full of NaNs but for what ds__gemm_start clears. */
static void *start(const ds__gemm *gemm, size_t n, size_t k, size_t *bytes) {
    assert_true(ds__gemm_packed_bytes(gemm, n, k, bytes));
    assert_true(*bytes >= n * k * (rounds ? 2 : 4) && *bytes % 64 == 0);
    void *packed = guard_alloc_aligned(*bytes, 64);
    ds__gemm_start(gemm, n, k, packed);
    return packed;
}

static void *pack(const ds__gemm *gemm, const float *w, size_t ldw, size_t n, size_t k) {
    size_t bytes = 0;
    void *packed = start(gemm, n, k, &bytes);
    gemm->pack(w, ldw, n, k, 0, packed);
    return packed;
}

/* Fills in args->prepared where the variant asks for it; to be freed by the caller. */
static void *prepare(const ds__gemm *gemm, ds__gemm_args *args) {
    if (!gemm->prepare) return NULL;
    size_t bytes = 0;
    assert_true(gemm->row_bytes(args->k, &bytes));
    assert_true(bytes >= 2 * args->k && bytes % 64 == 0);
    void *prepared = guard_alloc_aligned(args->m * bytes, 64);
    gemm->prepare(args->a, args->lda, args->m, args->k, prepared);
    args->prepared = prepared;
    return prepared;
}

/* What the result at (i, j) should be, and how far rounding may take it: the usual bound on a sum of k products, times
 * the steepest slope of an activation, and the activation's own error; the last term is for sums that a CPU takes for
 * zero as they are denormal. Without the residual. */
static double expected_at(const ds__gemm *gemm, const ds__gemm_args *args, const float *w, size_t ldw, size_t i,
                          size_t j, double *bound) {
    double sum = args->bias ? (double)args->bias[j] : 0, size = fabs(sum);
    for (size_t p = 0; p < args->k; p++) {
        double a = (double)input_used(gemm, args->a[i * args->lda + p]);
        double product = a * (double)weight_used(w[j * ldw + p]);
        sum += product;
        size += fabs(product);
    }
    double y = reference_activation(args->activation, sum);
    *bound = 1.13 * (double)(args->k + 2) * (size * 0x1p-24 + 0x1p-126);
    if (args->activation != DS__ACTIVATION_NONE) *bound += fmax(4 * ulp_of(y), 1e-6);
    return y;
}

/* Inside the block the right numbers, outside what was there. `before`: C as it was, with the same stride; where it
 * holds the residual, or NULL for canaries. */
static void check(const ds__gemm *gemm, const ds__gemm_args *args, const float *w, size_t ldw, const float *before) {
    const char *name = gemm->kernel.name;
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
            double bound, expected = expected_at(gemm, args, w, ldw, i, j, &bound) + (double)residual;
            bound += ulp_of(expected);
            if (!(fabs((double)got - expected) <= bound))
                fail_msg("%s: m=%zu n=%zu k=%zu: C(%zu, %zu) is %.9g, should be %.9g within %.2g", name, args->m,
                         args->n, args->k, i, j, (double)got, expected, bound);
        }
}

typedef enum residual_kind { RESIDUAL_NONE, RESIDUAL_APART, RESIDUAL_IN_PLACE, RESIDUAL_KINDS } residual_kind;

/* One product, everything about it that `size` does not give drawn at random. */
static void run_case(const ds__gemm *gemm, ds__random *random, const size_t size[3]) {
    const size_t m = size[0], n = size[1], k = size[2];
    const size_t lda = k + ds__random_below(random, 5), ldw = k + ds__random_below(random, 3);
    const residual_kind kind = (residual_kind)ds__random_below(random, RESIDUAL_KINDS);
    ds__gemm_args args = {.lda = lda, .m = m, .n = n, .k = k, .m1 = m, .n1 = n};
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
    float *apart = matrix(random, m, n, args.ldr);
    void *packed = pack(gemm, w, ldw, n, k);
    float *before = kind == RESIDUAL_IN_PLACE ? matrix(random, m, n, args.ldc) : NULL;
    float *c = empty_matrix(m, n, args.ldc);
    if (before) memcpy(c, before, ((m - 1) * args.ldc + n) * sizeof *c);
    args.a = a;
    void *prepared = prepare(gemm, &args);
    args.w = packed;
    args.bias = ds__random_below(random, 2) ? bias : NULL;
    args.residual = kind == RESIDUAL_NONE ? NULL : kind == RESIDUAL_APART ? apart : c;
    args.c = c;
    gemm->run(&args);
    check(gemm, &args, w, ldw, before);
    void *all[] = {a, w, bias, apart, packed, prepared, before, c};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void test_small_sizes(void **state) {
    (void)state;
    static const size_t columns[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100};
    static const size_t depths[] = {1, 2, 3, 7, 8, 15, 16, 17, 40, 64, 129};
    for (int v = 0; v < variant_count; v++) {
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
    for (int v = 0; v < variant_count; v++) {
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
    for (int v = 0; v < variant_count; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {7};
        float *a = matrix(&random, m, k, k), *w = matrix(&random, n, k, k), *bias = matrix(&random, 1, n, n);
        float *residual = matrix(&random, m, n, n);
        ds__gemm_args common = {.a = a, .lda = k, .m = m, .n = n, .k = k, .m1 = m, .n1 = n};
        void *packed = pack(variants[v], w, k, n, k), *prepared = prepare(variants[v], &common);
        for (int activation = 0; activation < DS__ACTIVATION_COUNT; activation++)
            for (int which = 0; which < 4; which++) {
                float *c = empty_matrix(m, n, n);
                ds__gemm_args args = common;
                args.w = packed;
                args.c = c;
                args.ldr = args.ldc = n;
                args.bias = which & 1 ? bias : NULL;
                args.residual = which & 2 ? residual : NULL;
                args.activation = (ds__activation)activation;
                variants[v]->run(&args);
                check(variants[v], &args, w, k, NULL);
                guard_free(c);
            }
        void *all[] = {a, w, bias, residual, packed, prepared};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
    }
}

/* Every row computed alone, and the product put together from random blocks, give the bits of the product at once. */
static void check_same_bits(const ds__gemm *gemm, ds__random *random, size_t m, size_t n, size_t k) {
    float *a = matrix(random, m, k, k), *w = matrix(random, n, k, k), *bias = matrix(random, 1, n, n);
    void *packed = pack(gemm, w, k, n, k);
    float *whole = empty_matrix(m, n, n), *parts = empty_matrix(m, n, n), *row = empty_matrix(1, n, n);
    ds__gemm_args args = {.a = a, .lda = k, .w = packed, .bias = bias, .c = whole, .ldc = n, .m = m, .n = n, .k = k};
    args.m1 = m;
    args.n1 = n;
    args.activation = DS__ACTIVATION_GELU;
    void *prepared = prepare(gemm, &args);
    gemm->run(&args);
    for (size_t i = 0; i < m; i++) {
        ds__gemm_args alone = args;
        alone.a = a + i * k;
        alone.c = row;
        alone.m = alone.m1 = 1;
        void *row_prepared = prepare(gemm, &alone);
        gemm->run(&alone);
        guard_free(row_prepared);
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
    void *all[] = {a, w, bias, packed, prepared, whole, parts, row};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void test_row_depends_on_itself_only(void **state) {
    (void)state;
    for (int v = 0; v < variant_count; v++) {
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
    for (int v = 0; v < variant_count; v++) {
        const ds__gemm *gemm = variants[v];
        if (!runs_here(&gemm->kernel)) continue;
        ds__random random = {5};
        for (size_t s = 0; s < sizeof splits / sizeof *splits; s++)
            for (size_t k = 1; k < 70; k += k % 4 ? 1 : 5) {
                size_t n = splits[s][0] + splits[s][1] + splits[s][2], bytes = 0, ldw = k + 3;
                float *w = matrix(&random, n, k, ldw);
                void *at_once = pack(gemm, w, ldw, n, k), *packed = start(gemm, n, k, &bytes);
                size_t ends[3] = {splits[s][0], splits[s][0] + splits[s][1], n};
                for (int turn = 0; turn < 3; turn++) { /* in no particular order */
                    int source = (turn + (int)s) % 3;
                    size_t first = source ? ends[source - 1] : 0, rows = ends[source] - first;
                    float *part = guard_alloc(((rows - 1) * ldw + k) * sizeof *part);
                    memcpy(part, w + first * ldw, ((rows - 1) * ldw + k) * sizeof *part);
                    gemm->pack(part, ldw, rows, k, first, packed);
                    guard_free(part);
                }
                assert_memory_equal(packed, at_once, bytes);
                guard_free(w);
                guard_free(at_once);
                guard_free(packed);
            }
    }
}

/* NaN and infinity in one row of A, or in W's column, stay there; also as the last input of an odd number. */
static void check_not_finite(const ds__gemm *gemm, size_t k) {
    const size_t m = 9, n = 37;
    ds__random random = {11};
    float *a = matrix(&random, m, k, k), *w = matrix(&random, n, k, k), *c = empty_matrix(m, n, n);
    a[5 * k - 1] = NAN;
    w[20 * k + 5] = INFINITY;
    w[30 * k + k - 1] = -INFINITY;
    ds__gemm_args args = {.a = a, .lda = k, .c = c, .ldc = n, .m = m, .n = n, .k = k, .m1 = m, .n1 = n};
    void *packed = pack(gemm, w, k, n, k), *prepared = prepare(gemm, &args);
    args.w = packed;
    gemm->run(&args);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float y = c[i * n + j];
            bool right = i == 4 ? isnan(y) : j == 20 || j == 30 ? isinf(y) : isfinite(y);
            if (!right) fail_msg("%s: k=%zu: C(%zu, %zu) is %g", gemm->kernel.name, k, i, j, (double)y);
        }
    void *all[] = {a, w, c, packed, prepared};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void test_not_finite(void **state) {
    (void)state;
    for (int v = 0; v < variant_count; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        check_not_finite(variants[v], 12);
        check_not_finite(variants[v], 13);
    }
}

static void test_packed_bytes(void **state) {
    (void)state;
    for (int v = 0; v < variant_count; v++) {
        const ds__gemm *gemm = variants[v];
        size_t bytes = 1;
        assert_true(ds__gemm_packed_bytes(gemm, 0, 10, &bytes));
        assert_int_equal(bytes, 0);
        assert_true(ds__gemm_packed_bytes(gemm, 1, 32, &bytes));
        assert_int_equal(bytes, 32 * gemm->nr * (rounds ? 2 : 4));
        assert_true(ds__gemm_packed_bytes(gemm, gemm->nr + 1, 64, &bytes));
        assert_int_equal(bytes, 2 * 64 * gemm->nr * (rounds ? 2 : 4));
        assert_false(ds__gemm_packed_bytes(gemm, SIZE_MAX, 1, &bytes));
        assert_false(ds__gemm_packed_bytes(gemm, SIZE_MAX / 64, 64, &bytes));
        assert_false(ds__gemm_packed_bytes(gemm, SIZE_MAX / 2, 1, &bytes)); /* too many bytes, not too many numbers */
        assert_false(ds__gemm_packed_bytes(gemm, 1, SIZE_MAX, &bytes));
        assert_true(!gemm->row_bytes == !gemm->prepare);
        if (gemm->row_bytes) assert_false(gemm->row_bytes(SIZE_MAX, &bytes));
    }
}

/* The tests that a program of either op runs. */
#define GEMM_TESTS                                                                                                     \
    cmocka_unit_test(test_small_sizes), cmocka_unit_test(test_large_sizes), cmocka_unit_test(test_every_epilogue),     \
        cmocka_unit_test(test_row_depends_on_itself_only), cmocka_unit_test(test_pack_from_several_sources),           \
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_packed_bytes)

#endif
