/* reduce_f32 on 256-bit registers; what is left of a row behind full registers goes through masked loads and stores. */
#include <math.h>

#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/elementwise/vec_math_avx2.h"
#include "kernels/reduce/reduce.h"

/* x: [n].  NaN need not win here: exp(NaN - max) makes the sum NaN, and with it the row. */
static inline float largest_of(const float *x, size_t n) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 m0 = lowest, m1 = lowest;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        m0 = _mm256_max_ps(m0, _mm256_loadu_ps(x + i));
        m1 = _mm256_max_ps(m1, _mm256_loadu_ps(x + i + 8));
    }
    for (; i + 8 <= n; i += 8) m0 = _mm256_max_ps(m0, _mm256_loadu_ps(x + i));
    if (i < n) {
        __m256i tail = ds__tail_avx2(n - i);
        __m256 v = _mm256_blendv_ps(lowest, _mm256_maskload_ps(x + i, tail), _mm256_castsi256_ps(tail));
        m1 = _mm256_max_ps(m1, v);
    }
    return ds__lanes_max_avx2(_mm256_max_ps(m0, m1));
}

/* y = exp(x - largest); returns the sum of y. */
static inline float exp_row(const float *x, float *y, size_t n, float largest) {
    const __m256 minus = _mm256_set1_ps(largest);
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 e0 = ds__exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(x + i), minus));
        __m256 e1 = ds__exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(x + i + 8), minus));
        _mm256_storeu_ps(y + i, e0);
        _mm256_storeu_ps(y + i + 8, e1);
        s0 = _mm256_add_ps(s0, e0);
        s1 = _mm256_add_ps(s1, e1);
    }
    for (; i < n; i += 8) {
        __m256i mask = n - i < 8 ? ds__tail_avx2(n - i) : _mm256_set1_epi32(-1);
        __m256 e = ds__exp_avx2(_mm256_sub_ps(_mm256_maskload_ps(x + i, mask), minus));
        _mm256_maskstore_ps(y + i, mask, e);
        s0 = _mm256_add_ps(s0, _mm256_and_ps(e, _mm256_castsi256_ps(mask)));
    }
    return ds__lanes_sum_avx2(_mm256_add_ps(s0, s1));
}

static void softmax(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const __m256 scale = _mm256_set1_ps(1.0f / exp_row(x, y, n, largest_of(x, n)));
        size_t i = 0;
        for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(y + i), scale));
        for (; i < n; i++) y[i] *= _mm256_cvtss_f32(scale);
    }
}

/* The columns of four registers at once, so that each row gives whole cache lines and sums stay in registers. */
static void mean_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    const __m256 count = _mm256_set1_ps((float)rows);
    size_t c = 0;
    for (; c + 32 <= n; c += 32) {
        const float *row = x + c;
        __m256 s0 = _mm256_loadu_ps(row), s1 = _mm256_loadu_ps(row + 8);
        __m256 s2 = _mm256_loadu_ps(row + 16), s3 = _mm256_loadu_ps(row + 24);
        for (size_t r = 1; r < rows; r++) {
            row += ldx;
            s0 = _mm256_add_ps(s0, _mm256_loadu_ps(row));
            s1 = _mm256_add_ps(s1, _mm256_loadu_ps(row + 8));
            s2 = _mm256_add_ps(s2, _mm256_loadu_ps(row + 16));
            s3 = _mm256_add_ps(s3, _mm256_loadu_ps(row + 24));
        }
        _mm256_storeu_ps(y + c, _mm256_div_ps(s0, count));
        _mm256_storeu_ps(y + c + 8, _mm256_div_ps(s1, count));
        _mm256_storeu_ps(y + c + 16, _mm256_div_ps(s2, count));
        _mm256_storeu_ps(y + c + 24, _mm256_div_ps(s3, count));
    }
    for (; c < n; c += 8) {
        __m256i mask = n - c < 8 ? ds__tail_avx2(n - c) : _mm256_set1_epi32(-1);
        __m256 sum = _mm256_maskload_ps(x + c, mask);
        for (size_t r = 1; r < rows; r++) sum = _mm256_add_ps(sum, _mm256_maskload_ps(x + r * ldx + c, mask));
        _mm256_maskstore_ps(y + c, mask, _mm256_div_ps(sum, count));
    }
}

/* max keeps `largest` when either is NaN; a NaN that comes in is put there by hand and then stays. */
static inline __m256 max_or_nan(__m256 largest, __m256 v) {
    return _mm256_blendv_ps(_mm256_max_ps(v, largest), v, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

static void max_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    size_t c = 0;
    for (; c + 32 <= n; c += 32) {
        const float *row = x + c;
        __m256 m0 = _mm256_loadu_ps(row), m1 = _mm256_loadu_ps(row + 8);
        __m256 m2 = _mm256_loadu_ps(row + 16), m3 = _mm256_loadu_ps(row + 24);
        for (size_t r = 1; r < rows; r++) {
            row += ldx;
            m0 = max_or_nan(m0, _mm256_loadu_ps(row));
            m1 = max_or_nan(m1, _mm256_loadu_ps(row + 8));
            m2 = max_or_nan(m2, _mm256_loadu_ps(row + 16));
            m3 = max_or_nan(m3, _mm256_loadu_ps(row + 24));
        }
        _mm256_storeu_ps(y + c, m0);
        _mm256_storeu_ps(y + c + 8, m1);
        _mm256_storeu_ps(y + c + 16, m2);
        _mm256_storeu_ps(y + c + 24, m3);
    }
    for (; c < n; c += 8) {
        __m256i mask = n - c < 8 ? ds__tail_avx2(n - c) : _mm256_set1_epi32(-1);
        __m256 m = _mm256_maskload_ps(x + c, mask);
        for (size_t r = 1; r < rows; r++) m = max_or_nan(m, _mm256_maskload_ps(x + r * ldx + c, mask));
        _mm256_maskstore_ps(y + c, mask, m);
    }
}

const ds__reduce_f32 ds__reduce_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(reduce, reduce_f32, avx2, "8 floats at once, own exp"),
    .softmax = softmax,
    .mean_rows = mean_rows,
    .max_rows = max_rows,
};
