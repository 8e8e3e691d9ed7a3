/* Every variant of matmul_f32 and matmul_bf16 against sums in double (all small sizes, strides, blocks, transpositions,
 * bias, residual), and the promise that an element's bits depend on nothing but its row of A and column of B.
 *
 * matmul_bf16 is held against operands rounded to bfloat16: products are exact then, and the bound is that on a sum of
 * k floats, as for matmul_f32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "activation_reference.h"
#include "base/random.h"
#include "kernels/matmul/matmul.h"
#include "support/guard.h"
#include "tensor/convert.h"

static const ds__matmul *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/matmul/matmul_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants, CANARY = 0x7fc0beef };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

/* An operand's number as the products use it. */
static float used(const ds__matmul *matmul, float x) {
    return strcmp(matmul->kernel.op, "matmul_bf16") == 0 ? ds__bf16_to_f32(ds__f32_to_bf16(x)) : x;
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

/* Full of NaNs at first, and of what earlier calls left later. */
static float *scratch_of(const ds__matmul *matmul) {
    assert_true(matmul->scratch_floats % 16 == 0);
    return guard_alloc_aligned(matmul->scratch_floats * sizeof(float), 64);
}

static size_t at_a(const ds__matmul_args *args, size_t i, size_t p) {
    return args->a_transposed ? p * args->lda + i : i * args->lda + p;
}

static size_t at_b(const ds__matmul_args *args, size_t p, size_t j) {
    return args->b_transposed ? j * args->ldb + p : p * args->ldb + j;
}

/* Operands for the sizes and transpositions in `args`, with `gap` floats between rows. */
static void draw_operands(ds__random *random, ds__matmul_args *args, size_t gap_a, size_t gap_b) {
    const size_t m = args->m, n = args->n, k = args->k;
    args->lda = (args->a_transposed ? m : k) + gap_a;
    args->ldb = (args->b_transposed ? k : n) + gap_b;
    args->a = args->a_transposed ? matrix(random, k, m, args->lda) : matrix(random, m, k, args->lda);
    args->b = args->b_transposed ? matrix(random, n, k, args->ldb) : matrix(random, k, n, args->ldb);
}

static void free_operands(const ds__matmul_args *args) {
    guard_free((float *)(uintptr_t)args->a);
    guard_free((float *)(uintptr_t)args->b);
}

/* What C(i, j) should be without the residual, and how far rounding may take it: the usual bound on a sum of k
 * products; the last term is for sums that a CPU takes for zero as they are denormal. */
static double expected_at(const ds__matmul *matmul, const ds__matmul_args *args, size_t i, size_t j, double *bound) {
    double sum = args->bias ? (double)args->bias[j] : 0, size = fabs(sum);
    for (size_t p = 0; p < args->k; p++) {
        double product =
            (double)used(matmul, args->a[at_a(args, i, p)]) * (double)used(matmul, args->b[at_b(args, p, j)]);
        sum += product;
        size += fabs(product);
    }
    *bound = 1.13 * (double)(args->k + 2) * (size * 0x1p-24 + 0x1p-126);
    return sum;
}

/* Inside the block the right numbers, outside what was there. `before`: C as it was, with the same stride, where it
 * holds the residual, or NULL for canaries. */
static void check(const ds__matmul *matmul, const ds__matmul_args *args, const float *before) {
    const char *name = matmul->kernel.name;
    for (size_t i = 0; i < args->m; i++)
        for (size_t j = 0; j < args->ldc && (j < args->n || i + 1 < args->m); j++) {
            const float got = args->c[i * args->ldc + j];
            if (i < args->m0 || i >= args->m1 || j < args->n0 || j >= args->n1) {
                uint32_t kept = before ? ds__f32_to_bits(before[i * args->ldc + j]) : (uint32_t)CANARY;
                if (ds__f32_to_bits(got) != kept)
                    fail_msg("%s: m=%zu n=%zu k=%zu: C(%zu, %zu) is outside the block and was written", name, args->m,
                             args->n, args->k, i, j);
                continue;
            }
            float residual = 0;
            if (args->residual) residual = before ? before[i * args->ldc + j] : args->residual[i * args->ldr + j];
            double bound, expected = expected_at(matmul, args, i, j, &bound) + (double)residual;
            bound += ulp_of(expected) + ulp_of((double)residual);
            if (!(fabs((double)got - expected) <= bound))
                fail_msg("%s: m=%zu n=%zu k=%zu transposed %d %d: C(%zu, %zu) is %.9g, should be %.9g within %.2g",
                         name, args->m, args->n, args->k, args->a_transposed, args->b_transposed, i, j, (double)got,
                         expected, bound);
        }
}

/* A part of [0, size), perhaps all of it or nothing. */
static void draw_range(ds__random *random, size_t size, size_t *from, size_t *to) {
    *from = ds__random_below(random, (uint32_t)size + 1);
    *to = *from + ds__random_below(random, (uint32_t)(size - *from) + 1);
}

typedef enum residual_kind { RESIDUAL_NONE, RESIDUAL_APART, RESIDUAL_IN_PLACE, RESIDUAL_KINDS } residual_kind;

/* One product, everything about it that `size` does not give drawn at random. */
static void run_case(const ds__matmul *matmul, ds__random *random, const size_t size[3], float *scratch) {
    const residual_kind kind = (residual_kind)ds__random_below(random, RESIDUAL_KINDS);
    ds__matmul_args args = {.m = size[0], .n = size[1], .k = size[2], .m1 = size[0], .n1 = size[1], .scratch = scratch};
    args.a_transposed = ds__random_below(random, 2);
    args.b_transposed = ds__random_below(random, 2);
    args.ldc = args.n + ds__random_below(random, 4);
    args.ldr = kind == RESIDUAL_IN_PLACE ? args.ldc : args.n + ds__random_below(random, 4);
    if (ds__random_below(random, 2)) {
        draw_range(random, args.m, &args.m0, &args.m1);
        draw_range(random, args.n, &args.n0, &args.n1);
    }
    draw_operands(random, &args, ds__random_below(random, 5), ds__random_below(random, 3));
    float *bias = matrix(random, 1, args.n, args.n), *apart = matrix(random, args.m, args.n, args.ldr);
    float *before = kind == RESIDUAL_IN_PLACE ? matrix(random, args.m, args.n, args.ldc) : NULL;
    float *c = empty_matrix(args.m, args.n, args.ldc);
    if (before) memcpy(c, before, ((args.m - 1) * args.ldc + args.n) * sizeof *c);
    args.bias = ds__random_below(random, 2) ? bias : NULL;
    args.residual = kind == RESIDUAL_NONE ? NULL : kind == RESIDUAL_APART ? apart : c;
    args.c = c;
    matmul->run(&args);
    check(matmul, &args, before);
    free_operands(&args);
    void *all[] = {bias, apart, before, c};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void test_small_sizes(void **state) {
    (void)state;
    static const size_t columns[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100};
    static const size_t depths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 129};
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v};
        float *scratch = scratch_of(variants[v]);
        for (size_t m = 1; m <= 34; m++)
            for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
                for (int turn = 0; turn < 6; turn++) {
                    size_t k = depths[ds__random_below(&random, sizeof depths / sizeof *depths)];
                    run_case(variants[v], &random, (size_t[]){m, columns[j], k}, scratch);
                }
        guard_free(scratch);
    }
}

/* Several blocks of rows, several chunks of k, and the sizes around them. */
static void test_large_sizes(void **state) {
    (void)state;
    static const size_t sizes[][3] = {{257, 33, 20}, {600, 16, 5},  {40, 70, 768},   {128, 9, 256}, {129, 9, 257},
                                      {9, 70, 3000}, {3, 5, 4097},  {300, 40, 1050}, {7, 33, 512},  {7, 33, 513},
                                      {5, 20, 1024}, {5, 20, 1025}, {1, 1, 1}};
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 100};
        float *scratch = scratch_of(variants[v]);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int turn = 0; turn < 8; turn++) run_case(variants[v], &random, sizes[i], scratch);
        guard_free(scratch);
    }
}

/* Each transposition with and without bias and each residual: the draws above might miss a combination. */
static void test_every_combination(void **state) {
    (void)state;
    const size_t m = 11, n = 45, k = 1029; /* two chunks of every variant at least */
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {7};
        float *scratch = scratch_of(variants[v]);
        float *bias = matrix(&random, 1, n, n), *residual = matrix(&random, m, n, n);
        for (int which = 0; which < 4 * 2 * RESIDUAL_KINDS; which++) {
            const int kind = which / 8;
            float *c = empty_matrix(m, n, n);
            ds__matmul_args args = {.m = m, .n = n, .k = k, .m1 = m, .n1 = n, .ldc = n, .ldr = n, .scratch = scratch};
            args.a_transposed = which & 1;
            args.b_transposed = which & 2;
            draw_operands(&random, &args, 0, 0);
            args.bias = which & 4 ? bias : NULL;
            args.residual = kind == RESIDUAL_NONE ? NULL : kind == RESIDUAL_APART ? residual : c;
            args.c = c;
            if (kind == RESIDUAL_IN_PLACE) memcpy(c, residual, m * n * sizeof *c);
            variants[v]->run(&args);
            check(variants[v], &args, kind == RESIDUAL_IN_PLACE ? residual : NULL);
            free_operands(&args);
            guard_free(c);
        }
        void *all[] = {bias, residual, scratch};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
    }
}

/* The same operands stored in another way, with other strides and so alignments. */
static ds__matmul_args stored_again(const ds__matmul_args *args, bool a_transposed, bool b_transposed) {
    ds__random random = {0};
    ds__matmul_args other = *args;
    other.a_transposed = a_transposed;
    other.b_transposed = b_transposed;
    draw_operands(&random, &other, 1, 3);
    for (size_t p = 0; p < args->k; p++) {
        for (size_t i = 0; i < args->m; i++)
            ((float *)(uintptr_t)other.a)[at_a(&other, i, p)] = args->a[at_a(args, i, p)];
        for (size_t j = 0; j < args->n; j++)
            ((float *)(uintptr_t)other.b)[at_b(&other, p, j)] = args->b[at_b(args, p, j)];
    }
    return other;
}

/* The product put together from random blocks, from operands stored in all four ways, gives the bits of the product at
 * once; with C as the residual, so that a block that was done twice would show. */
static void check_same_bits(const ds__matmul *matmul, ds__random *random, const size_t size[3], float *scratch) {
    const size_t m = size[0], n = size[1], k = size[2];
    ds__matmul_args args = {.m = m, .n = n, .k = k, .m1 = m, .n1 = n, .ldc = n, .ldr = n, .scratch = scratch};
    args.b_transposed = true;
    draw_operands(random, &args, 0, 0);
    float *bias = matrix(random, 1, n, n), *before = matrix(random, m, n, n);
    float *whole = guard_alloc(m * n * sizeof *whole), *parts = guard_alloc(m * n * sizeof *parts);
    memcpy(whole, before, m * n * sizeof *whole);
    args.bias = bias;
    args.residual = args.c = whole;
    matmul->run(&args);
    for (int way = 0; way < 4; way++) {
        ds__matmul_args part = stored_again(&args, way & 1, way & 2);
        memcpy(parts, before, m * n * sizeof *parts);
        part.residual = part.c = parts;
        for (part.n0 = 0; part.n0 < n; part.n0 = part.n1) {
            part.n1 = part.n0 + 1 + ds__random_below(random, (uint32_t)(n - part.n0));
            for (part.m0 = 0; part.m0 < m; part.m0 = part.m1) {
                part.m1 = part.m0 + 1 + ds__random_below(random, (uint32_t)(m - part.m0));
                matmul->run(&part);
            }
        }
        if (memcmp(parts, whole, m * n * sizeof *whole) != 0)
            fail_msg("%s: m=%zu n=%zu k=%zu: blocks give other bits, transposed %d %d", matmul->kernel.name, m, n, k,
                     part.a_transposed, part.b_transposed);
        free_operands(&part);
    }
    if (strcmp(matmul->kernel.op, "matmul_bf16") == 0) { /* B rounded beforehand */
        ds__matmul_args part = stored_again(&args, true, false);
        uint16_t *rounded = guard_alloc(((k - 1) * part.ldb + n) * sizeof *rounded);
        for (size_t i = 0; i < (k - 1) * part.ldb + n; i++) rounded[i] = ds__f32_to_bf16(part.b[i]);
        const float *b = part.b;
        memcpy(parts, before, m * n * sizeof *parts);
        part.residual = part.c = parts;
        part.b = NULL;
        part.b_bf16 = rounded;
        for (part.n0 = 0; part.n0 < n; part.n0 = part.n1) {
            part.n1 = part.n0 + 1 + ds__random_below(random, (uint32_t)(n - part.n0));
            matmul->run(&part);
        }
        if (memcmp(parts, whole, m * n * sizeof *whole) != 0)
            fail_msg("%s: m=%zu n=%zu k=%zu: a rounded B gives other bits", matmul->kernel.name, m, n, k);
        part.b = b;
        guard_free(rounded);
        free_operands(&part);
    }
    free_operands(&args);
    void *all[] = {bias, before, whole, parts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void test_bits_depend_on_row_and_column_only(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {3};
        float *scratch = scratch_of(variants[v]);
        for (size_t m = 1; m <= 40; m += 3) check_same_bits(variants[v], &random, (size_t[]){m, 75, 50}, scratch);
        check_same_bits(variants[v], &random, (size_t[]){600, 40, 33}, scratch);
        check_same_bits(variants[v], &random, (size_t[]){21, 130, 1537}, scratch);
        guard_free(scratch);
    }
}

/* NaN in a row of A and infinities in columns of B stay there; also as the last input of an odd number. */
static void check_not_finite(const ds__matmul *matmul, size_t k, float *scratch) {
    ds__random random = {11};
    for (int way = 0; way < 4; way++) {
        ds__matmul_args args = {.m = 9, .n = 37, .k = k, .m1 = 9, .n1 = 37, .ldc = 37, .scratch = scratch};
        args.a_transposed = way & 1;
        args.b_transposed = way & 2;
        draw_operands(&random, &args, 0, 0);
        ((float *)(uintptr_t)args.a)[at_a(&args, 4, k - 1)] = NAN;
        ((float *)(uintptr_t)args.b)[at_b(&args, 5, 20)] = INFINITY;
        ((float *)(uintptr_t)args.b)[at_b(&args, k - 1, 30)] = -INFINITY;
        args.c = empty_matrix(args.m, args.n, args.ldc);
        matmul->run(&args);
        for (size_t i = 0; i < args.m; i++)
            for (size_t j = 0; j < args.n; j++) {
                float y = args.c[i * args.ldc + j];
                bool right = i == 4 ? isnan(y) : j == 20 || j == 30 ? isinf(y) : isfinite(y);
                if (!right) fail_msg("%s: k=%zu: C(%zu, %zu) is %g", matmul->kernel.name, k, i, j, (double)y);
            }
        free_operands(&args);
        guard_free(args.c);
    }
}

static void test_not_finite(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        float *scratch = scratch_of(variants[v]);
        for (size_t k = 12; k <= 13; k++) check_not_finite(variants[v], k, scratch);
        guard_free(scratch);
    }
}

/* A product with a single one is a number as the op uses it: ties, the largest floats, NaNs whose payload is in the
 * lower half.  Through either operand, as the first or second input of a pair. */
static void test_rounding(void **state) {
    (void)state;
    static const uint32_t awkward[] = {0x7f800001, 0xff800001, 0x7fc01234, 0x7f800000, 0xff800000, 0x7f7fffff,
                                       0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x80000000, 0x00800000,
                                       0xbf808000, 0xbf818000, 0x3fffffff, 0x477fffff, 0x7f7f7fff, 0x33333333};
    enum { COUNT = sizeof awkward / sizeof *awkward };
    for (int v = 0; v < VARIANTS; v++) {
        const ds__matmul *matmul = variants[v];
        if (!runs_here(&matmul->kernel)) continue;
        float *scratch = scratch_of(matmul);
        for (int way = 0; way < 16; way++) {
            const bool through_a = way & 4;
            const size_t k = way & 8 ? 2 : 1, m = through_a ? COUNT : 1, n = through_a ? 1 : COUNT;
            ds__random random = {1};
            ds__matmul_args args = {.m = m, .n = n, .k = k, .m1 = m, .n1 = n, .ldc = n, .scratch = scratch};
            args.a_transposed = way & 1;
            args.b_transposed = way & 2;
            draw_operands(&random, &args, 0, 0);
            float *a = (float *)(uintptr_t)args.a, *b = (float *)(uintptr_t)args.b;
            for (size_t p = 0; p < k; p++) { /* the last input is the number, one before it is 0 */
                const float one = p + 1 == k ? 1.0f : 0.0f;
                for (size_t i = 0; i < m; i++)
                    a[at_a(&args, i, p)] = through_a ? one * ds__f32_from_bits(one > 0 ? awkward[i] : 0) : one;
                for (size_t j = 0; j < n; j++)
                    b[at_b(&args, p, j)] = through_a ? one : one * ds__f32_from_bits(one > 0 ? awkward[j] : 0);
            }
            args.c = empty_matrix(m, n, n);
            matmul->run(&args);
            for (size_t i = 0; i < COUNT; i++) {
                const float right = used(matmul, ds__f32_from_bits(awkward[i]));
                if (!(isnan(right) ? isnan(args.c[i]) : args.c[i] == right))
                    fail_msg("%s: 0x%08x becomes %.9g, should be %.9g", matmul->kernel.name, awkward[i],
                             (double)args.c[i], (double)right);
            }
            free_operands(&args);
            guard_free(args.c);
        }
        guard_free(scratch);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_sizes),       cmocka_unit_test(test_large_sizes),
        cmocka_unit_test(test_every_combination), cmocka_unit_test(test_bits_depend_on_row_and_column_only),
        cmocka_unit_test(test_not_finite),        cmocka_unit_test(test_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
