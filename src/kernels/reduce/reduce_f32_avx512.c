/* reduce_f32 on 512-bit registers; what is left of a row behind full registers goes through masks. */
#include <math.h>

#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/elementwise/vec_math_avx512.h"
#include "kernels/reduce/reduce.h"

/* x: [n].  NaN need not win here: exp(NaN - max) makes the sum NaN, and with it the row. */
static inline float largest_of(const float *x, size_t n) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 m0 = lowest, m1 = lowest;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        m0 = _mm512_max_ps(m0, _mm512_loadu_ps(x + i));
        m1 = _mm512_max_ps(m1, _mm512_loadu_ps(x + i + 16));
    }
    for (; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? ds__tail_avx512(n - i) : (__mmask16)0xffff;
        m0 = _mm512_max_ps(m0, _mm512_mask_loadu_ps(lowest, mask, x + i));
    }
    return _mm512_reduce_max_ps(_mm512_max_ps(m0, m1));
}

/* y = exp(x - largest); returns the sum of y. */
static inline float exp_row(const float *x, float *y, size_t n, float largest) {
    const __m512 minus = _mm512_set1_ps(largest);
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 e0 = ds__exp_avx512(_mm512_sub_ps(_mm512_loadu_ps(x + i), minus));
        __m512 e1 = ds__exp_avx512(_mm512_sub_ps(_mm512_loadu_ps(x + i + 16), minus));
        _mm512_storeu_ps(y + i, e0);
        _mm512_storeu_ps(y + i + 16, e1);
        s0 = _mm512_add_ps(s0, e0);
        s1 = _mm512_add_ps(s1, e1);
    }
    for (; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? ds__tail_avx512(n - i) : (__mmask16)0xffff;
        __m512 e = ds__exp_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), minus));
        _mm512_mask_storeu_ps(y + i, mask, e);
        s0 = _mm512_mask_add_ps(s0, mask, s0, e);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

static void softmax(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const __m512 scale = _mm512_set1_ps(1.0f / exp_row(x, y, n, largest_of(x, n)));
        size_t i = 0;
        for (; i + 16 <= n; i += 16) _mm512_storeu_ps(y + i, _mm512_mul_ps(_mm512_loadu_ps(y + i), scale));
        __mmask16 tail = ds__tail_avx512(n - i);
        if (tail) _mm512_mask_storeu_ps(y + i, tail, _mm512_mul_ps(_mm512_maskz_loadu_ps(tail, y + i), scale));
    }
}

/* The columns of four registers at once, so that each row gives whole cache lines and sums stay in registers. */
static void mean_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    const __m512 count = _mm512_set1_ps((float)rows);
    size_t c = 0;
    for (; c + 64 <= n; c += 64) {
        const float *row = x + c;
        __m512 s0 = _mm512_loadu_ps(row), s1 = _mm512_loadu_ps(row + 16);
        __m512 s2 = _mm512_loadu_ps(row + 32), s3 = _mm512_loadu_ps(row + 48);
        for (size_t r = 1; r < rows; r++) {
            row += ldx;
            s0 = _mm512_add_ps(s0, _mm512_loadu_ps(row));
            s1 = _mm512_add_ps(s1, _mm512_loadu_ps(row + 16));
            s2 = _mm512_add_ps(s2, _mm512_loadu_ps(row + 32));
            s3 = _mm512_add_ps(s3, _mm512_loadu_ps(row + 48));
        }
        _mm512_storeu_ps(y + c, _mm512_div_ps(s0, count));
        _mm512_storeu_ps(y + c + 16, _mm512_div_ps(s1, count));
        _mm512_storeu_ps(y + c + 32, _mm512_div_ps(s2, count));
        _mm512_storeu_ps(y + c + 48, _mm512_div_ps(s3, count));
    }
    for (; c < n; c += 16) {
        __mmask16 mask = n - c < 16 ? ds__tail_avx512(n - c) : (__mmask16)0xffff;
        __m512 sum = _mm512_maskz_loadu_ps(mask, x + c);
        for (size_t r = 1; r < rows; r++) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, x + r * ldx + c));
        _mm512_mask_storeu_ps(y + c, mask, _mm512_div_ps(sum, count));
    }
}

/* max keeps `largest` when either is NaN; a NaN that comes in is put there by hand and then stays. */
static inline __m512 max_or_nan(__m512 largest, __m512 v) {
    return _mm512_mask_mov_ps(_mm512_max_ps(v, largest), _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), v);
}

static void max_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    size_t c = 0;
    for (; c + 64 <= n; c += 64) {
        const float *row = x + c;
        __m512 m0 = _mm512_loadu_ps(row), m1 = _mm512_loadu_ps(row + 16);
        __m512 m2 = _mm512_loadu_ps(row + 32), m3 = _mm512_loadu_ps(row + 48);
        for (size_t r = 1; r < rows; r++) {
            row += ldx;
            m0 = max_or_nan(m0, _mm512_loadu_ps(row));
            m1 = max_or_nan(m1, _mm512_loadu_ps(row + 16));
            m2 = max_or_nan(m2, _mm512_loadu_ps(row + 32));
            m3 = max_or_nan(m3, _mm512_loadu_ps(row + 48));
        }
        _mm512_storeu_ps(y + c, m0);
        _mm512_storeu_ps(y + c + 16, m1);
        _mm512_storeu_ps(y + c + 32, m2);
        _mm512_storeu_ps(y + c + 48, m3);
    }
    for (; c < n; c += 16) {
        __mmask16 mask = n - c < 16 ? ds__tail_avx512(n - c) : (__mmask16)0xffff;
        __m512 m = _mm512_maskz_loadu_ps(mask, x + c);
        for (size_t r = 1; r < rows; r++) m = max_or_nan(m, _mm512_maskz_loadu_ps(mask, x + r * ldx + c));
        _mm512_mask_storeu_ps(y + c, mask, m);
    }
}

const ds__reduce_f32 ds__reduce_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(reduce, reduce_f32, avx512, "16 floats at once, own exp"),
    .softmax = softmax,
    .mean_rows = mean_rows,
    .max_rows = max_rows,
};
