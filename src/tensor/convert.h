/* Conversions between the float formats that weights are stored in, one value at a time and exact: the portable kernels
 * and everything that is not worth a vector use them. */
#ifndef DS_TENSOR_CONVERT_H
#define DS_TENSOR_CONVERT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "deepseek/tensor.h"

static inline float ds__f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t ds__f32_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* bfloat16 is the upper half of a float. */
static inline float ds__bf16_to_f32(uint16_t half) { return ds__f32_from_bits((uint32_t)half << 16); }

/* To the nearest, ties to even; too large becomes infinity, NaN keeps the upper part of its payload. */
static inline uint16_t ds__f32_to_bf16(float value) {
    uint32_t bits = ds__f32_to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) { /* NaN: must not round or lose its last payload bit to infinity */
        uint16_t upper = (uint16_t)(bits >> 16);
        return (upper & 0x7f) ? upper : (uint16_t)(upper | 0x40);
    }
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static inline float ds__f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 0) /* zero or denormal: fraction * 2^-24, exact in float */
        return ds__f32_from_bits(sign | ds__f32_to_bits((float)fraction * 0x1p-24f));
    if (exponent == 31) return ds__f32_from_bits(sign | 0x7f800000u | fraction << 13);
    return ds__f32_from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

/* To the nearest, ties to even; 65520 and above become infinity, NaN keeps the upper part of its payload. */
static inline uint16_t ds__f32_to_f16(float value) {
    uint32_t bits = ds__f32_to_bits(value), size = bits & 0x7fffffffu;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (size > 0x7f800000u) {
        uint16_t fraction = (uint16_t)(size >> 13 & 0x3ffu);
        return (uint16_t)(sign | 0x7c00u | (fraction ? fraction : 0x200u));
    }
    if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (size < 0x38800000u) { /* below 2^-14: next to 0.5 a float counts in steps of 2^-24, as a denormal half does */
        uint32_t steps = ds__f32_to_bits(ds__f32_from_bits(size) + 0.5f) - ds__f32_to_bits(0.5f);
        return (uint16_t)(sign | steps);
    }
    uint32_t rounded = size + 0xfffu + (size >> 13 & 1);
    return (uint16_t)(sign | (rounded - ((127u - 15u) << 23)) >> 13);
}

/* n values of `from` (F32, F16, BF16, or F64, which is rounded to the nearest float) as they lie in a file: x needs no
 * alignment and does not overlap y.  DS_UNSUPPORTED for every other type. */
ds_status ds__widen_to_f32(ds_dtype from, const void *x, float *y, size_t n) DS_MUST_CHECK;

#endif
