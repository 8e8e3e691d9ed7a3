/* The 8-bit scheme: one for every instruction set, for weights at load and in files, and for activations at each run.
 *
 * Weights, each output (row of W) by itself, symmetric:  w ~ scale * code,  code in [-127, 127].  Neighbouring codes of
 * a pair (2p, 2p + 1) also keep |code| + |code| <= 128: an instruction that adds two products of 8-bit numbers in 16
 * bits (vpmaddubsw) then never saturates, since 255 * 128 < 2^15, and activations keep all 8 bits.  A row's steps grow
 * only as far as its largest pair asks, where 7-bit codes of either factor would always double them.
 *
 * Activations, each row of A (one token) by itself, asymmetric and found at the run:  a ~ scale * (code - zero), code
 * and zero in [0, 255], 0 itself always exact.  A row with a NaN, an infinity, or a range beyond the floats gets scale
 * NaN, and so results NaN; one whose range is below 2^-118 counts as zeros.
 *
 * All of it is ordinary IEEE arithmetic in a fixed order (min and max, one division, a product and a rounding to the
 * nearest even for each element), so every instruction set makes the same codes. */
#ifndef DS_TENSOR_QUANTIZE_H
#define DS_TENSOR_QUANTIZE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* More inputs than this and a sum could leave 32 bits: 255 * 127 * 2^16 < 2^31. */
enum { DS__QUANTIZE_MAX_K = 1 << 16 };

/* Of a weight's row: the largest magnitude and the largest sum of a pair's magnitudes. An odd last one is its own pair.
 */
typedef struct ds__weight_range {
    float most, most_of_pair;
} ds__weight_range;

/* The row's scale; 0 for a row of zeros. 127.99 and not 128: rounding must not take a pair's sum to 129. */
static inline float ds__weight_scale(ds__weight_range range) {
    float by_code = range.most * (1.0f / 127.0f), by_pair = range.most_of_pair * (1.0f / 127.99f);
    float scale = by_code > by_pair ? by_code : by_pair;
    return scale >= 0x1p-118f ? scale : 0.0f;
}

/* What a weight is multiplied by before it is rounded to its code. */
static inline float ds__weight_factor(float scale) { return scale > 0 ? 1.0f / scale : 0.0f; }

/* Of a row of activations. */
typedef struct ds__row_codes {
    float scale;
    int32_t zero;
    float factor; /* code = clamp(round(x * factor) + zero, 0, 255); 0 where there is nothing to code */
} ds__row_codes;

/* low: the least of the row and 0, high: the largest of the row and 0, finite: the row holds no NaN and no infinity. */
static inline ds__row_codes ds__row_codes_for(float low, float high, bool finite) {
    float range = high - low;
    if (!finite || !(range <= 3.4028234e38f)) return (ds__row_codes){NAN, 0, 0.0f};
    if (range < 0x1p-118f) return (ds__row_codes){0.0f, 0, 0.0f};
    float factor = 255.0f / range;
    return (ds__row_codes){range * (1.0f / 255.0f), (int32_t)rintf(-low * factor), factor};
}

/* One row in portable C: the definition. code = round(w * factor). Weights that are not finite are the caller's to
 * refuse. */
static inline ds__weight_range ds__weight_range_of(const float *w, size_t k) {
    ds__weight_range range = {0, 0};
    for (size_t p = 0; p < k; p += 2) {
        float a = fabsf(w[p]), b = p + 1 < k ? fabsf(w[p + 1]) : 0.0f;
        if (a > range.most) range.most = a;
        if (b > range.most) range.most = b;
        if (a + b > range.most_of_pair) range.most_of_pair = a + b;
    }
    return range;
}

/* Whether 64 codes keep to the scheme: pairs as words, so that compilers make vectors of it. */
static inline bool ds__weight_codes_keep(const int8_t *codes) {
    int16_t words[32], most = 0, least = 0;
    memcpy(words, codes, sizeof words);
    for (int i = 0; i < 32; i++) {
        int16_t a = (int16_t)((int16_t)((uint16_t)words[i] << 8) >> 8), b = (int16_t)(words[i] >> 8);
        int16_t sum = (int16_t)((a < 0 ? -a : a) + (b < 0 ? -b : b));
        most = sum > most ? sum : most;
        least = a < least ? a : least;
        least = b < least ? b : least;
    }
    return most <= 128 && least > -128;
}

/* The first input at which a row of codes breaks the scheme, k when it keeps to it. */
static inline size_t ds__weight_codes_broken_at(const int8_t *codes, size_t k) {
    size_t p = 0;
    while (p + 64 <= k && ds__weight_codes_keep(codes + p)) p += 64;
    for (; p < k; p += 2) {
        int a = codes[p], b = p + 1 < k ? codes[p + 1] : 0;
        int sum = (a < 0 ? -a : a) + (b < 0 ? -b : b);
        if (sum > 128 || a == -128 || b == -128) return p;
    }
    return k;
}

static inline int8_t ds__weight_code(float w, float factor) { return (int8_t)rintf(w * factor); }

static inline uint8_t ds__row_code(float x, const ds__row_codes *row) {
    int32_t code = (int32_t)rintf(x * row->factor) + row->zero;
    return (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
}

#endif
