/* Every variant of gemm_bf16: see gemm_case.h; and the bits of what it packs and prepares. */
#include "gemm_case.h"

/* Numbers of every size, and those that rounding could spoil: NaNs whose payload is in the lower half, ties, the
 * largest floats. Denormals only where asked for. */
static float *awkward(ds__random *random, size_t count, bool denormals) {
    static const uint32_t some[] = {0x7f800001, 0xff800001, 0x7fc01234, 0x7f7fffff, 0x3f808000, 0x3f818000, 0x80000000,
                                    0x00800000, 0x7f800000, 0xff800000, 0x00000001, 0x007fffff, 0x80008000, 0x807f8000};
    const uint32_t kinds = sizeof some / sizeof *some - (denormals ? 0 : 4);
    float *x = guard_alloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)ds__random_u64(random);
        if (!(bits & 0x7f800000)) bits |= 0x00800000;
        x[i] = ds__f32_from_bits(ds__random_below(random, 3) ? bits : some[ds__random_below(random, kinds)]);
    }
    return x;
}

/* gemm_bf16.h's order, element by element. */
static void test_packed_bits(void **state) {
    (void)state;
    for (int v = 0; v < variant_count; v++) {
        const ds__gemm *gemm = variants[v];
        if (!runs_here(&gemm->kernel)) continue;
        ds__random random = {21};
        for (size_t k = 1; k < 80; k += 3) {
            const size_t n = 70, ldw = k + 2;
            size_t panel = 0;
            assert_true(gemm->panel_bytes(k, &panel));
            float *w = awkward(&random, (n - 1) * ldw + k, true);
            char *packed = pack(gemm, w, ldw, n, k);
            for (size_t j = 0; j < (n + gemm->nr - 1) / gemm->nr * gemm->nr; j++)
                for (size_t p = 0; p < k + k % 2; p++) {
                    uint16_t got, right = j < n && p < k ? ds__f32_to_bf16(w[j * ldw + p]) : 0;
                    memcpy(&got, packed + j / gemm->nr * panel + 4 * (p / 2 * gemm->nr + j % gemm->nr) + 2 * (p % 2),
                           2);
                    if (got != right)
                        fail_msg("%s: k=%zu: W(%zu, %zu) is packed as 0x%04x, should be 0x%04x", gemm->kernel.name, k,
                                 j, p, got, right);
                }
            guard_free(w);
            guard_free(packed);
        }
    }
}

/* The conversion of A may make any NaN of a NaN, and zero of a denormal. */
static void test_prepared_bits(void **state) {
    (void)state;
    const size_t m = 5;
    for (int v = 0; v < variant_count; v++) {
        const ds__gemm *gemm = variants[v];
        if (!gemm->prepare || !runs_here(&gemm->kernel)) continue;
        ds__random random = {22};
        for (size_t k = 1; k < 140; k++) {
            ds__gemm_args args = {.lda = k + 3, .m = m, .k = k};
            size_t bytes = 0;
            assert_true(gemm->row_bytes(k, &bytes));
            float *a = awkward(&random, (m - 1) * args.lda + k, false);
            args.a = a;
            char *prepared = prepare(gemm, &args);
            for (size_t i = 0; i < m; i++)
                for (size_t p = 0; p < k + k % 2; p++) {
                    uint16_t got, right = p < k ? ds__f32_to_bf16(a[i * args.lda + p]) : 0;
                    memcpy(&got, prepared + i * bytes + 2 * p, 2);
                    if (got != right && !(isnan(ds__bf16_to_f32(got)) && isnan(ds__bf16_to_f32(right))))
                        fail_msg("%s: k=%zu: A(%zu, %zu) is 0x%04x, should be 0x%04x", gemm->kernel.name, k, i, p, got,
                                 right);
                }
            guard_free(a);
            guard_free(prepared);
        }
    }
}

int main(void) {
    choose_variants("gemm_bf16");
    const struct CMUnitTest tests[] = {GEMM_TESTS, cmocka_unit_test(test_packed_bits),
                                       cmocka_unit_test(test_prepared_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
