/* Every variant of gemm_s8 against the portable one, bit by bit: rows as they are quantised, weights as they are
 * packed, products in all small sizes, strides, blocks and epilogues; what the scheme promises (no pair of codes over
 * 128, no sum that saturates); and the portable one against sums in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "activation_reference.h"
#include "base/random.h"
#include "kernels/gemm/gemm_s8.h"
#include "support/guard.h"

static const ds__gemm *const all_rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/gemm/gemm_variants.def"
#undef DS_KERNEL
};

enum { ROWS = sizeof all_rows / sizeof *all_rows, CANARY = 0x7fc0beef };

static const ds__gemm *const ref = &ds__gemm_s8_ref;

/* The next variant of gemm_s8 from *index on that this CPU has; NULL behind the last one. */
static const ds__gemm *next_variant(size_t *index) {
    while (*index < ROWS) {
        const ds__gemm *gemm = all_rows[(*index)++];
        if (strcmp(gemm->kernel.op, "gemm_s8") != 0) continue;
        if (ds__cpu_get()->has[gemm->kernel.isa]) return gemm;
        print_message("skipped: %s, this CPU has no %s\n", gemm->kernel.name, ds__isa_text(gemm->kernel.isa));
    }
    return NULL;
}

static size_t below(ds__random *random, size_t end) { return ds__random_below(random, (uint32_t)end); }

/* Roughly normal: the sum of four uniform numbers, now and then ten times as large, as weights and activations are. */
static float normal(ds__random *random) {
    float x = 0;
    for (int i = 0; i < 4; i++) x += ds__random_f32(random);
    return below(random, 100) == 0 ? 10 * x : x;
}

static float *matrix(ds__random *random, size_t rows, size_t columns, size_t ld) {
    float *x = guard_alloc(((rows - 1) * ld + columns) * sizeof *x);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) x[i * ld + j] = normal(random);
    return x;
}

static void *pack(const ds__gemm *gemm, const float *w, size_t ldw, size_t n, size_t k) {
    size_t bytes = 0;
    assert_true(ds__gemm_packed_bytes(gemm, n, k, &bytes));
    void *packed = guard_alloc_aligned(bytes, 64);
    ds__gemm_start(gemm, n, k, packed);
    gemm->pack(w, ldw, n, k, 0, packed);
    return packed;
}

static void *prepare(const ds__gemm *gemm, const float *a, size_t lda, size_t m, size_t k) {
    size_t bytes = 0;
    assert_true(gemm->row_bytes(k, &bytes) && bytes % 64 == 0);
    void *prepared = guard_alloc_aligned(m * bytes, 64);
    gemm->prepare(a, lda, m, k, prepared);
    return prepared;
}

/* Output `column` out of a packed weight: its codes; returns its scale and, by the pointer, the sum that is stored. */
static float unpack(const ds__gemm *gemm, const void *packed, size_t k, size_t column, int8_t *codes, int32_t *sum) {
    const size_t nr = gemm->nr, lane = column % nr;
    const ds__s8_panel panel = ds__s8_panel_at(nr, packed, k, column - lane);
    const int8_t *from = (const int8_t *)packed + 4 * (column / nr) * ds__gemm_panel_words(nr, ds__s8_steps(k), 8 * nr);
    for (size_t p = 0; p < k; p++) codes[p] = from[4 * (p / 4 * nr + lane) + p % 4];
    *sum = panel.code_sums[lane];
    return panel.scales[lane];
}

/* Rows of every kind: 0 normal, 1 all equal, 2 zeros, 3 huge, 4 tiny, 5 negative only, 6 with a NaN, 7 with an
 * infinity, 8 with a range that no float holds. */
enum { KINDS = 9 };
static void fill_row(ds__random *random, float *x, size_t k, int kind) {
    for (size_t p = 0; p < k; p++) {
        float v = normal(random);
        x[p] = kind == 1   ? 0.7f
               : kind == 2 ? 0.0f
               : kind == 3 ? v * 1e37f
               : kind == 4 ? v * 1e-38f
               : kind == 5 ? -fabsf(v)
                           : v;
    }
    float *one = &x[below(random, k)];
    if (kind == 6) *one = NAN;
    if (kind == 7) *one = -INFINITY;
    if (kind == 8) *one = 3e38f, x[0] = -3e38f;
}

static void rows_are_quantised_alike(void **state) {
    (void)state;
    const ds__gemm *gemm;
    for (size_t v = 0; (gemm = next_variant(&v));) {
        ds__random random = {7};
        for (size_t k = 1; k <= 150; k++)
            for (int kind = 0; kind < KINDS; kind++) {
                float *x = guard_alloc(k * sizeof *x);
                fill_row(&random, x, k, kind);
                uint8_t *got = prepare(gemm, x, k, 1, k), *expected = prepare(ref, x, k, 1, k);
                const ds__s8_row row = ds__s8_row_about(got, k, 0), wanted = ds__s8_row_about(expected, k, 0);
                if (memcmp(got, expected, 4 * ds__s8_steps(k)) != 0 || row.zero != wanted.zero ||
                    memcmp(&row.scale, &wanted.scale, sizeof row.scale) != 0)
                    fail_msg("%s: a row of %zu of kind %d has other codes than the portable one's", gemm->kernel.name,
                             k, kind);
                assert_int_equal(isnan(row.scale) != 0, kind >= 6 && (kind != 8 || k > 1));
                for (size_t p = 0; p < k && kind < 3; p++) /* within half a step, and 0 exactly */
                    if (!(fabsf(row.scale * (float)((int)got[p] - row.zero) - x[p]) <= 0.501f * row.scale))
                        fail_msg("%s: %.9g became %.9g", gemm->kernel.name, (double)x[p],
                                 (double)(row.scale * (float)((int)got[p] - row.zero)));
                guard_free(got);
                guard_free(expected);
                guard_free(x);
            }
    }
}

static void check_weight_row(const char *name, const float *w, const int8_t *codes, float scale, size_t k) {
    for (size_t p = 0; p < k; p++) {
        int pair = abs(codes[p]) + (p + 1 < k && p % 2 == 0 ? abs(codes[p + 1]) : 0);
        if (codes[p] == -128 || pair > 128) fail_msg("%s: codes %d, %d at input %zu", name, codes[p], codes[p + 1], p);
        if (!(fabsf(scale * (float)codes[p] - w[p]) <= 0.501f * scale))
            fail_msg("%s: weight %.9g became %.9g", name, (double)w[p], (double)(scale * (float)codes[p]));
    }
}

/* Normal rows, and such as try to break the rule for pairs: equal, halves, one large beside many, near the ties. */
static void weights_keep_the_scheme(void **state) {
    (void)state;
    const ds__gemm *gemm;
    enum { N = 40, K = 70 };
    for (size_t v = 0; (gemm = next_variant(&v));) {
        ds__random random = {8};
        for (int turn = 0; turn < 60; turn++) {
            const size_t k = 1 + below(&random, K), n = 1 + below(&random, N);
            float *w = matrix(&random, n, k, k);
            for (size_t r = 0; r < n; r++)
                for (size_t p = 0; p < k && r % 5; p++) {
                    float sign = below(&random, 2) ? 1.0f : -1.0f;
                    if (r % 5 == 1) w[r * k + p] = sign * 0.37f;
                    if (r % 5 == 2) w[r * k + p] = sign * (p % 2 ? 63.5f : 64.49f);
                    if (r % 5 == 3) w[r * k + p] = p == 0 ? 127.0f : p == 1 ? 0.999f : sign;
                    if (r % 5 == 4) w[r * k + p] = sign * (float)below(&random, 128) * 0.5f;
                }
            void *packed = pack(gemm, w, k, n, k), *expected = pack(ref, w, k, n, k);
            for (size_t r = 0; r < n; r++) {
                int8_t codes[K + 1] = {0}, wanted[K + 1] = {0};
                int32_t sum, wanted_sum, total = 0;
                float scale = unpack(gemm, packed, k, r, codes, &sum);
                float wanted_scale = unpack(ref, expected, k, r, wanted, &wanted_sum);
                check_weight_row(gemm->kernel.name, w + r * k, codes, scale, k);
                for (size_t p = 0; p < k; p++) total += codes[p];
                assert_int_equal(sum, total);
                assert_memory_equal(codes, wanted, k);
                assert_true(scale == wanted_scale);
            }
            guard_free(w);
            guard_free(packed);
            guard_free(expected);
        }
    }
}

/* From codes as from floats, in one call or row by row in any order, next to others' columns. */
static void packing_in_parts_changes_nothing(void **state) {
    (void)state;
    const ds__gemm *gemm;
    for (size_t v = 0; (gemm = next_variant(&v));) {
        ds__random random = {9};
        for (int turn = 0; turn < 40; turn++) {
            const size_t k = 1 + below(&random, 140), n = 1 + below(&random, 100), ldw = k + below(&random, 3);
            size_t bytes = 0;
            float *w = matrix(&random, n, k, ldw), *scales = guard_alloc(n * sizeof *scales);
            int8_t *codes = guard_alloc(n * k);
            void *whole = pack(gemm, w, ldw, n, k);
            assert_true(ds__gemm_packed_bytes(gemm, n, k, &bytes));
            void *parts = guard_alloc_aligned(bytes, 64), *coded = guard_alloc_aligned(bytes, 64);
            ds__gemm_start(gemm, n, k, parts);
            ds__gemm_start(gemm, n, k, coded);
            for (size_t r = 0; r < n; r++) {
                int32_t sum;
                scales[r] = unpack(gemm, whole, k, r, codes + r * k, &sum);
            }
            for (size_t end = n; end > 0;) { /* from the last rows to the first */
                const size_t count = 1 + below(&random, end), first = end - count;
                gemm->pack(w + first * ldw, ldw, count, k, first, parts);
                gemm->pack_codes(codes + first * k, scales + first, count, k, first, coded);
                end = first;
            }
            for (size_t r = 0; r < n; r++) {
                int8_t got[140], again[140];
                int32_t sum, sum_again, expected;
                float scale = unpack(gemm, parts, k, r, got, &sum),
                      scale_again = unpack(gemm, coded, k, r, again, &sum_again);
                (void)unpack(gemm, whole, k, r, got, &expected);
                assert_true(scale == scales[r] && scale_again == scales[r]);
                assert_true(sum == expected && sum_again == expected);
                assert_memory_equal(got, codes + r * k, k);
                assert_memory_equal(again, codes + r * k, k);
            }
            void *all[] = {w, scales, codes, whole, parts, coded};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
        }
    }
}

/* C of `gemm` for a case whose operands are floats; every float outside the block is a canary, or the residual in
 * place.
 */
static float *product(const ds__gemm *gemm, ds__gemm_args args, const float *w, size_t ldw, const float *in_place) {
    size_t floats = (args.m - 1) * args.ldc + args.n;
    float *c = guard_alloc(floats * sizeof *c);
    const uint32_t canary = CANARY;
    for (size_t i = 0; i < floats; i++)
        memcpy(c + i, in_place ? (const void *)(in_place + i) : (const void *)&canary, 4);
    void *packed = pack(gemm, w, ldw, args.n, args.k), *prepared = prepare(gemm, args.a, args.lda, args.m, args.k);
    args.w = packed;
    args.prepared = prepared;
    args.c = c;
    if (in_place) args.residual = c;
    gemm->run(&args);
    guard_free(packed);
    guard_free(prepared);
    return c;
}

static void run_case(const ds__gemm *gemm, ds__random *random, size_t m, size_t n, size_t k) {
    const size_t lda = k + below(random, 4), ldw = k + below(random, 3), kind = below(random, 3);
    ds__gemm_args args = {.lda = lda, .m = m, .n = n, .k = k, .m1 = m, .n1 = n, .ldc = n + below(random, 4)};
    args.ldr = kind == 2 ? args.ldc : n + below(random, 4);
    args.activation = (ds__activation)below(random, DS__ACTIVATION_COUNT);
    if (below(random, 2)) { /* a block: columns in multiples that suit both */
        const size_t step = 32, panels = (n + step - 1) / step;
        args.m0 = below(random, m + 1);
        args.m1 = args.m0 + below(random, m - args.m0 + 1);
        args.n0 = below(random, panels) * step;
        size_t end = args.n0 + (1 + below(random, panels)) * step;
        args.n1 = end < n ? end : n;
    }
    float *a = matrix(random, m, k, lda), *w = matrix(random, n, k, ldw), *bias = matrix(random, 1, n, n);
    float *apart = matrix(random, m, n, args.ldr), *before = matrix(random, m, n, args.ldc);
    args.a = a;
    args.bias = below(random, 2) ? bias : NULL;
    args.residual = kind == 1 ? apart : NULL;
    float *got = product(gemm, args, w, ldw, kind == 2 ? before : NULL);
    float *expected = product(ref, args, w, ldw, kind == 2 ? before : NULL);
    const bool exact = args.activation == DS__ACTIVATION_NONE || args.activation == DS__ACTIVATION_RELU;
    for (size_t i = 0; i < (m - 1) * args.ldc + n; i++) {
        const size_t row = i / args.ldc, column = i % args.ldc;
        const bool inside = row >= args.m0 && row < args.m1 && column >= args.n0 && column < args.n1;
        double bound = fmax(8 * ulp_of((double)expected[i]), 3e-6) + 2 * ulp_of(100);
        bool same = memcmp(got + i, expected + i, sizeof *got) == 0;
        if (!same && (exact || !inside || !(fabs((double)got[i] - (double)expected[i]) <= bound)))
            fail_msg("%s: m=%zu n=%zu k=%zu, activation %d: C(%zu, %zu) is %.9g, should be %.9g", gemm->kernel.name, m,
                     n, k, (int)args.activation, row, column, (double)got[i], (double)expected[i]);
    }
    float *all[] = {a, w, bias, apart, before, got, expected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

static void products_have_the_same_bits(void **state) {
    (void)state;
    static const size_t columns[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100};
    static const size_t depths[] = {1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 63, 64, 65, 130};
    const ds__gemm *gemm;
    for (size_t v = 0; (gemm = next_variant(&v));) {
        ds__random random = {10};
        for (size_t m = 1; m <= 20; m++)
            for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
                for (int turn = 0; turn < 2; turn++)
                    run_case(gemm, &random, m, columns[j], depths[below(&random, sizeof depths / sizeof *depths)]);
    }
}

/* Looking for a broken pair in vectors finds what looking at one after the other finds. */
static void broken_codes_are_found_where_they_are(void **state) {
    (void)state;
    ds__random random = {13};
    for (int turn = 0; turn < 3000; turn++) {
        int8_t codes[200];
        const size_t k = 1 + below(&random, sizeof codes);
        for (size_t p = 0; p < k; p++) codes[p] = (int8_t)((int)below(&random, 129) - 64);
        for (size_t bad = below(&random, 3); bad > 0; bad--)
            codes[below(&random, k)] = (int8_t)((int)below(&random, 256) - 128);
        size_t expected = k;
        for (size_t p = k - 1 - (k - 1) % 2 + 2; p >= 2; p -= 2) {
            int a = codes[p - 2], b = p - 1 < k ? codes[p - 1] : 0;
            if (a == -128 || b == -128 || abs(a) + abs(b) > 128) expected = p - 2;
        }
        assert_int_equal(ds__weight_codes_broken_at(codes, k), expected);
    }
}

/* The largest sums that the scheme allows, at the largest k: codes 255 against pairs of 128 in all. */
static void nothing_saturates(void **state) {
    (void)state;
    const ds__gemm *gemm;
    enum { N = 32, K = DS__QUANTIZE_MAX_K };
    static const int8_t pairs[][2] = {{64, 64}, {127, 1}, {1, 127}, {-64, -64}, {-127, -1}, {100, 28}};
    int8_t *codes = guard_alloc((size_t)N * K);
    float *a = guard_alloc(K * sizeof *a), scales[N];
    for (size_t r = 0; r < N; r++) {
        scales[r] = 0x1p-20f;
        for (size_t p = 0; p < K; p++) codes[r * K + p] = pairs[r % 6][p % 2];
    }
    for (size_t p = 0; p < K; p++) a[p] = 1;
    for (size_t v = 0; (gemm = next_variant(&v));) {
        size_t bytes = 0;
        float c[N];
        assert_true(ds__gemm_packed_bytes(gemm, N, K, &bytes));
        void *packed = guard_alloc_aligned(bytes, 64), *prepared = prepare(gemm, a, K, 1, K);
        ds__gemm_start(gemm, N, K, packed);
        gemm->pack_codes(codes, scales, N, K, 0, packed);
        gemm->run(&(ds__gemm_args){
            .prepared = prepared, .w = packed, .c = c, .ldc = N, .m = 1, .n = N, .k = K, .m1 = 1, .n1 = N});
        for (size_t r = 0; r < N; r++) {
            double sum = (double)K / 2 * (pairs[r % 6][0] + pairs[r % 6][1]) * 0x1p-20;
            if (!(fabs((double)c[r] - sum) <= 1e-6 * fabs(sum)))
                fail_msg("%s: %.9g, should be %.9g", gemm->kernel.name, (double)c[r], sum);
        }
        guard_free(packed);
        guard_free(prepared);
    }
    guard_free(codes);
    guard_free(a);
}

/* How far quantising may take a product: half a step of each factor. */
static void the_portable_one_is_near_the_product(void **state) {
    (void)state;
    enum { M = 5, N = 33, K = 97 };
    ds__random random = {11};
    for (int turn = 0; turn < 20; turn++) {
        float *a = matrix(&random, M, K, K), *w = matrix(&random, N, K, K);
        ds__gemm_args args = {.a = a, .lda = K, .m = M, .n = N, .k = K, .m1 = M, .n1 = N, .ldc = N};
        float *c = product(ref, args, w, K, NULL);
        void *packed = pack(ref, w, K, N, K), *prepared = prepare(ref, a, K, M, K);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++) {
                int8_t codes[K];
                int32_t code_sum;
                double sum = 0, bound = 1e-5;
                const double step_a = 0.501 * (double)ds__s8_row_about(prepared, K, i).scale;
                const double step_w = 0.501 * (double)unpack(ref, packed, K, j, codes, &code_sum);
                for (size_t p = 0; p < K; p++) {
                    double x = (double)a[i * K + p], y = (double)w[j * K + p];
                    sum += x * y;
                    bound += step_a * fabs(y) + step_w * fabs(x) + step_a * step_w;
                }
                assert_true(fabs((double)c[i * N + j] - sum) <= bound);
            }
        void *all[] = {a, w, c, packed, prepared};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
    }
}

static void a_row_that_is_not_finite_gives_nan(void **state) {
    (void)state;
    const ds__gemm *gemm;
    enum { M = 3, N = 20, K = 50 };
    for (size_t v = 0; (gemm = next_variant(&v));) {
        ds__random random = {12};
        float *a = matrix(&random, M, K, K), *w = matrix(&random, N, K, K);
        a[K + 7] = NAN;
        ds__gemm_args args = {.a = a, .lda = K, .m = M, .n = N, .k = K, .m1 = M, .n1 = N, .ldc = N};
        float *c = product(gemm, args, w, K, NULL);
        for (size_t i = 0; i < (size_t)M * N; i++) assert_int_equal(isnan(c[i]) != 0, i / N == 1);
        guard_free(a);
        guard_free(w);
        guard_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_quantised_alike),
        cmocka_unit_test(weights_keep_the_scheme),
        cmocka_unit_test(packing_in_parts_changes_nothing),
        cmocka_unit_test(products_have_the_same_bits),
        cmocka_unit_test(broken_codes_are_found_where_they_are),
        cmocka_unit_test(nothing_saturates),
        cmocka_unit_test(the_portable_one_is_near_the_product),
        cmocka_unit_test(a_row_that_is_not_finite_gives_nan),
    };
    return cmocka_run_group_tests_name("gemm_s8", tests, NULL, NULL);
}
