/* Every variant of embed_f32: all types, small and large rows, tables that end at a guard page and start anywhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/embed/embed.h"
#include "support/guard.h"
#include "tensor/convert.h"

static const ds__embed_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/embed/embed_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants, ROWS = 7, COUNT = 9 };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

/* Bytes of a table's row. */
static size_t row_bytes(ds_dtype dtype, size_t n) {
    return dtype == DS_I8 ? n + sizeof(float) : n * (dtype == DS_F32 ? 4 : 2);
}

/* Row `row` of codes, all 256 of them in the long ones, and its scale. */
static void store_codes(void *table, size_t row, size_t n, float scale, float *expected) {
    int8_t *codes = (int8_t *)table + row * row_bytes(DS_I8, n);
    for (size_t i = 0; i < n; i++) {
        codes[i] = (int8_t)(uint8_t)(i * 37 + row);
        expected[i] = (float)codes[i] * scale;
    }
    memcpy(codes + n, &scale, sizeof scale);
}

/* Element i of the table holds `value`; what was stored is returned, exactly. */
static float store(void *table, ds_dtype dtype, size_t i, float value) {
    if (dtype == DS_F32) {
        ((float *)table)[i] = value;
        return value;
    }
    uint16_t half = dtype == DS_F16 ? ds__f32_to_f16(value) : ds__f32_to_bf16(value);
    ((uint16_t *)table)[i] = half;
    return dtype == DS_F16 ? ds__f16_to_f32(half) : ds__bf16_to_f32(half);
}

static void check_gather(const ds__embed_f32 *kernel, ds_dtype dtype, size_t n, size_t gap) {
    static const int32_t some_ids[COUNT] = {ROWS - 1, 0, 3, 3, 1, 2, 5, 0, ROWS - 1};
    ds__random random = {n};
    size_t ldy = n + gap, floats = (COUNT - 1) * ldy + n;
    /* The table is as long as its content: for small elements and odd n it starts at a multiple of their size only. */
    void *table = guard_alloc(ROWS * row_bytes(dtype, n));
    float *expected = guard_alloc(ROWS * n * sizeof *expected), *y = guard_alloc(floats * sizeof *y);
    int32_t *ids = guard_alloc(sizeof some_ids);
    memcpy(ids, some_ids, sizeof some_ids);
    for (size_t i = 0; i < (dtype == DS_I8 ? 0 : ROWS * n); i++)
        expected[i] = store(table, dtype, i, ds__random_f32(&random));
    for (size_t row = 0; row < (dtype == DS_I8 ? ROWS : 0); row++)
        store_codes(table, row, n, ds__random_f32(&random), expected + row * n);
    for (size_t i = 0; i < floats; i++) y[i] = 77;
    kernel->gather(table, dtype, ids, y, ldy, COUNT, n);
    for (size_t i = 0; i < COUNT; i++) {
        assert_memory_equal(y + i * ldy, expected + (size_t)ids[i] * n, n * sizeof *y);
        for (size_t k = n; k < ldy && i + 1 < COUNT; k++) assert_true(y[i * ldy + k] == 77);
    }
    kernel->gather(table, dtype, ids, NULL, ldy, 0, n); /* no ids, nothing written */
    guard_free(table);
    guard_free(expected);
    guard_free(y);
    guard_free(ids);
}

static void gather_of_all_sizes(void **state) {
    static const ds_dtype dtypes[] = {DS_F32, DS_F16, DS_BF16, DS_I8};
    static const size_t large[] = {127, 128, 129, 384, 768, 1001};
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
            for (size_t n = 0; n <= 70; n++) check_gather(variants[v], dtypes[d], n, n % 4);
            for (size_t l = 0; l < sizeof large / sizeof *large; l++) check_gather(variants[v], dtypes[d], large[l], l);
        }
    }
}

/* The rows that every variant makes are the portable one's, byte by byte, and what they mean is near. */
static void quantised_rows_are_alike(void **state) {
    (void)state;
    enum { MOST = 100, SOME = 3 };
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {5};
        for (size_t n = 1; n <= MOST; n++) {
            const size_t ld = n + n % 3;
            float *rows = guard_alloc(((SOME - 1) * ld + n) * sizeof *rows), y[MOST];
            char *got = guard_alloc(SOME * (n + 4)), *expected = guard_alloc(SOME * (n + 4));
            for (size_t i = 0; i < (SOME - 1) * ld + n; i++) rows[i] = ds__random_f32(&random);
            variants[v]->quantize(rows, ld, SOME, n, got);
            ds__embed_f32_ref.quantize(rows, ld, SOME, n, expected);
            assert_memory_equal(got, expected, SOME * (n + 4));
            variants[v]->gather(got, DS_I8, (const int32_t[]){1}, y, n, 1, n);
            for (size_t p = 0; p < n; p++) assert_true(fabsf(y[p] - rows[ld + p]) <= 0.51f * 2 / 127);
            guard_free(rows);
            guard_free(got);
            guard_free(expected);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gather_of_all_sizes),
                                       cmocka_unit_test(quantised_rows_are_alike)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
