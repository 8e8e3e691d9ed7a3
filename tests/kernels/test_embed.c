/* Every variant of embed_f32: all types, small and large rows, tables that end at a guard page and start anywhere. */
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

/* Element i of the table holds `value`; what was stored is `expected`, exactly. */
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
    /* The table is as long as its content: for two-byte elements and odd n it starts at a multiple of two only. */
    void *table = guard_alloc(ROWS * n * (dtype == DS_F32 ? 4 : 2));
    float *expected = guard_alloc(ROWS * n * sizeof *expected), *y = guard_alloc(floats * sizeof *y);
    int32_t *ids = guard_alloc(sizeof some_ids);
    memcpy(ids, some_ids, sizeof some_ids);
    for (size_t i = 0; i < ROWS * n; i++) expected[i] = store(table, dtype, i, ds__random_f32(&random));
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
    static const ds_dtype dtypes[] = {DS_F32, DS_F16, DS_BF16};
    static const size_t large[] = {127, 128, 129, 384, 768, 1001};
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        for (size_t d = 0; d < 3; d++) {
            for (size_t n = 0; n <= 70; n++) check_gather(variants[v], dtypes[d], n, n % 4);
            for (size_t l = 0; l < sizeof large / sizeof *large; l++) check_gather(variants[v], dtypes[d], large[l], l);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gather_of_all_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
