/* Element types, dense views, and the conversions between float formats: all values of the short ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tensor/convert.h"

static void dtypes_have_names_and_sizes(void **state) {
    static const struct {
        ds_dtype dtype;
        const char *name;
        size_t bytes;
    } rows[] = {{DS_F32, "float32", 4}, {DS_F16, "float16", 2}, {DS_BF16, "bfloat16", 2}, {DS_F64, "float64", 8},
                {DS_I8, "int8", 1},     {DS_U8, "uint8", 1},    {DS_I16, "int16", 2},     {DS_I32, "int32", 4},
                {DS_I64, "int64", 8},   {DS_BOOL, "bool", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal(ds_dtype_name(rows[i].dtype), rows[i].name);
        assert_int_equal(ds_dtype_size(rows[i].dtype), rows[i].bytes);
    }
    assert_string_equal(ds_dtype_name((ds_dtype)1000), "unknown");
    assert_int_equal(ds_dtype_size((ds_dtype)1000), 0);
    assert_int_equal(ds_dtype_size((ds_dtype)-1), 0);
}

static void dense_views_are_row_major(void **state) {
    float data[1];
    const int64_t shape[DS_MAX_RANK] = {2, 3, 4, 5, 6, 7};
    ds_tensor tensor = ds_tensor_dense(DS_F16, 3, shape, data);
    assert_int_equal(tensor.dtype, DS_F16);
    assert_int_equal(tensor.rank, 3);
    assert_ptr_equal(tensor.data, data);
    const int64_t strides[] = {12, 4, 1, 0, 0, 0};
    for (int i = 0; i < DS_MAX_RANK; i++) {
        assert_int_equal(tensor.shape[i], i < 3 ? shape[i] : 0);
        assert_int_equal(tensor.stride[i], strides[i]);
    }
    tensor = ds_tensor_dense(DS_F32, 6, shape, data);
    assert_int_equal(tensor.stride[0], 3 * 4 * 5 * 6 * 7);
    assert_int_equal(ds_tensor_dense(DS_F32, 0, NULL, data).rank, 0);
    /* Wrong ranks and absurd sizes stay in the view for a check to refuse; building it is harmless. */
    assert_int_equal(ds_tensor_dense(DS_F32, 99, shape, data).rank, 99);
    assert_int_equal(ds_tensor_dense(DS_F32, -5, shape, data).rank, -5);
    const int64_t huge[] = {INT64_MAX, INT64_MAX, INT64_MIN};
    assert_int_equal(ds_tensor_dense(DS_F32, 3, huge, data).shape[0], INT64_MAX);
}

static void all_halves_round_trip(void **state) {
    for (uint32_t i = 0; i < 65536; i++) {
        assert_int_equal(ds__f32_to_f16(ds__f16_to_f32((uint16_t)i)), i);
        assert_int_equal(ds__f32_to_bf16(ds__bf16_to_f32((uint16_t)i)), i);
    }
}

static void halves_have_their_values(void **state) {
    static const struct {
        uint16_t f16;
        float value;
    } rows[] = {{0x0000, 0},        {0x3c00, 1},         {0xc000, -2},
                {0x7bff, 65504},    {0x0400, 0x1p-14f},  {0x03ff, 1023 * 0x1p-24f},
                {0x0001, 0x1p-24f}, {0x8001, -0x1p-24f}, {0x3555, 0.333251953125f},
                {0x7c00, INFINITY}, {0xfc00, -INFINITY}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_true(ds__f16_to_f32(rows[i].f16) == rows[i].value);
    assert_true(signbit(ds__f16_to_f32(0x8000)));
    assert_true(isnan(ds__f16_to_f32(0x7c01)) && isnan(ds__f16_to_f32(0xffff)));
    assert_true(ds__bf16_to_f32(0x3f80) == 1 && ds__bf16_to_f32(0xc040) == -3 && ds__bf16_to_f32(0x0001) == 0x1p-133f);
}

/* The nearest half of `value` and, between two, the even one: found by comparing with both neighbours in double. */
static void check_rounding(float value, uint16_t half, float (*widen)(uint16_t), uint16_t infinity, double overflow) {
    uint16_t magnitude = half & 0x7fff;
    double x = fabs((double)value);
    assert_int_equal(half >> 15, signbit(value) ? 1 : 0);
    if (magnitude == infinity) { /* from half a step above the largest finite one on */
        assert_true(x >= overflow);
        return;
    }
    assert_true(magnitude < infinity && x < overflow);
    double here = (double)widen(magnitude), off = fabs(x - here);
    double below = magnitude ? fabs(x - (double)widen((uint16_t)(magnitude - 1))) : INFINITY;
    double above = magnitude + 1 < infinity ? fabs(x - (double)widen((uint16_t)(magnitude + 1))) : INFINITY;
    assert_true(off <= below && off <= above);
    if (off == below || off == above) assert_int_equal(magnitude & 1, 0);
}

static void check_both(float value) {
    check_rounding(value, ds__f32_to_f16(value), ds__f16_to_f32, 0x7c00, 65520);
    check_rounding(value, ds__f32_to_bf16(value), ds__bf16_to_f32, 0x7f80, 0x1.ffp127);
}

static void narrowing_rounds_to_nearest_even(void **state) {
    ds__random random = {1};
    for (int i = 0; i < 500000; i++) {
        uint32_t bits = (uint32_t)ds__random_u64(&random);
        if ((bits & 0x7f800000) == 0x7f800000) continue;
        check_both(ds__f32_from_bits(bits));
        /* Exponents that float16 has, with many ties. */
        check_both(ds__f32_from_bits((bits & 0x80000000) | (100 + bits % 50) << 23 | (bits & 0x7ff000)));
    }
    for (uint32_t i = 0; i < 0x7c00; i++) { /* exactly between two neighbours, and one float to either side */
        float middle = 0.5f * (ds__f16_to_f32((uint16_t)i) + (i == 0x7bff ? 65536 : ds__f16_to_f32((uint16_t)(i + 1))));
        check_both(middle);
        check_both(nextafterf(middle, INFINITY));
        check_both(nextafterf(middle, -INFINITY));
        check_both(-middle);
    }
    assert_int_equal(ds__f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(ds__f32_to_bf16(-INFINITY), 0xff80);
}

static void narrowing_keeps_nan(void **state) {
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001, 0x7fffffff, 0x7f801000};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        uint16_t f16 = ds__f32_to_f16(ds__f32_from_bits(nans[i])), bf16 = ds__f32_to_bf16(ds__f32_from_bits(nans[i]));
        assert_true((f16 & 0x7fff) > 0x7c00 && (bf16 & 0x7fff) > 0x7f80);
        assert_int_equal(f16 >> 15, nans[i] >> 31);
        assert_int_equal(bf16 >> 15, nans[i] >> 31);
    }
}

static void bulk_widening_reads_anywhere(void **state) {
    enum { N = 21 };
    const double values[N] = {0, 1, -2, 0.5, 1e10, -1e-10, 1.0000000001, 3.5};
    unsigned char bytes[N * 8 + 8];
    for (size_t shift = 0; shift < 8; shift++) {
        float y[N + 1];
        y[N] = 77;
        for (size_t i = 0; i < N; i++) memcpy(bytes + shift + i * 8, &values[i], 8);
        assert_int_equal(ds__widen_to_f32(DS_F64, bytes + shift, y, N), DS_OK);
        for (size_t i = 0; i < N; i++) assert_true(y[i] == (float)values[i]);
        for (size_t i = 0; i < N; i++) memcpy(bytes + shift + i * 4, &y[i], 4);
        float again[N];
        assert_int_equal(ds__widen_to_f32(DS_F32, bytes + shift, again, N), DS_OK);
        assert_memory_equal(again, y, sizeof again);
        for (size_t i = 0; i < N; i++) {
            uint16_t half = ds__f32_to_bf16(y[i]);
            memcpy(bytes + shift + i * 2, &half, 2);
        }
        assert_int_equal(ds__widen_to_f32(DS_BF16, bytes + shift, again, N), DS_OK);
        for (size_t i = 0; i < N; i++) assert_true(again[i] == ds__bf16_to_f32(ds__f32_to_bf16(y[i])));
        for (size_t i = 0; i < N; i++) {
            uint16_t half = ds__f32_to_f16(y[i]);
            memcpy(bytes + shift + i * 2, &half, 2);
        }
        assert_int_equal(ds__widen_to_f32(DS_F16, bytes + shift, again, N), DS_OK);
        for (size_t i = 0; i < N; i++) assert_true(again[i] == ds__f16_to_f32(ds__f32_to_f16(y[i])));
        assert_true(y[N] == 77);
    }
    assert_int_equal(ds__widen_to_f32(DS_F32, NULL, NULL, 0), DS_OK);
    float y = 77;
    assert_int_equal(ds__widen_to_f32(DS_I32, bytes, &y, 1), DS_UNSUPPORTED);
    assert_int_equal(ds__widen_to_f32((ds_dtype)1000, bytes, &y, 1), DS_UNSUPPORTED);
    assert_true(y == 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes_have_names_and_sizes),
        cmocka_unit_test(dense_views_are_row_major),
        cmocka_unit_test(all_halves_round_trip),
        cmocka_unit_test(halves_have_their_values),
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(narrowing_keeps_nan),
        cmocka_unit_test(bulk_widening_reads_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
