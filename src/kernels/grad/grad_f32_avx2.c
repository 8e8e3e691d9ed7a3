/* grad_f32 on 256-bit registers; what is left of a row behind full registers goes through masked loads and stores.
 *
 * Each row and each column goes the same way, whatever stands beside it, and sums over rows run row after row: a matrix
 * in one call or in parts gives the same bits. */
#include "kernels/elementwise/vec_io_avx2.h"
#include "kernels/grad/grad.h"
#include "kernels/grad/vec_gradient_avx2.h"
#include "kernels/grad/vec_philox_avx2.h"
#include "kernels/norm/vec_moments_avx2.h"

/* GAMMA_ROWS: rows whose statistics are made at once, few enough that they still are in the caches when they are read
 * again.  SUM_ROWS: rows that a block of columns goes down before the next one, few enough pages for the TLB. */
enum { GAMMA_ROWS = 16, SUM_ROWS = 32 };

/* Inlined once an activation, so that the switch inside folds away. */
DS__VEC_INLINE void activate_all(ds__activation activation, const float *x, const float *dy, float *dx, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 slope = ds__activation_gradient_avx2(activation, _mm256_loadu_ps(x + i));
        _mm256_storeu_ps(dx + i, _mm256_mul_ps(slope, _mm256_loadu_ps(dy + i)));
    }
    if (i == n) return;
    const __m256i tail = ds__tail_avx2(n - i);
    const __m256 slope = ds__activation_gradient_avx2(activation, _mm256_maskload_ps(x + i, tail));
    _mm256_maskstore_ps(dx + i, tail, _mm256_mul_ps(slope, _mm256_maskload_ps(dy + i, tail)));
}

static void activate(ds__activation activation, const float *x, const float *dy, float *dx, size_t n) {
    switch (activation) {
#define ACTIVATE(name, text)                                                                                           \
    case DS__ACTIVATION_##name: activate_all(DS__ACTIVATION_##name, x, dy, dx, n); break;
        DS__ACTIVATION_LIST(ACTIVATE)
#undef ACTIVATE
    case DS__ACTIVATION_COUNT: break;
    }
}

/* g = dy * gamma; returns the mean of g but for rounding. */
static inline float scale_row(const float *dy, const float *gamma, float *g, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256 g0 = _mm256_mul_ps(_mm256_loadu_ps(dy + i), _mm256_loadu_ps(gamma + i));
        const __m256 g1 = _mm256_mul_ps(_mm256_loadu_ps(dy + i + 8), _mm256_loadu_ps(gamma + i + 8));
        _mm256_storeu_ps(g + i, g0);
        _mm256_storeu_ps(g + i + 8, g1);
        s0 = _mm256_add_ps(s0, g0);
        s1 = _mm256_add_ps(s1, g1);
    }
    for (; i < n; i += 8) {
        const __m256i mask = n - i < 8 ? ds__tail_avx2(n - i) : _mm256_set1_epi32(-1);
        const __m256 some = _mm256_mul_ps(_mm256_maskload_ps(dy + i, mask), _mm256_maskload_ps(gamma + i, mask));
        _mm256_maskstore_ps(g + i, mask, some);
        s0 = _mm256_add_ps(s0, some);
    }
    return ds__lanes_sum_avx2(_mm256_add_ps(s0, s1)) / (float)n;
}

typedef struct row_lanes {
    __m256 center, scale, shift;
} row_lanes;

DS__VEC_INLINE row_lanes lanes_of(ds__moments row) {
    return (row_lanes){_mm256_set1_ps(row.center), _mm256_set1_ps(row.scale), _mm256_set1_ps(-row.rest * row.scale)};
}

DS__VEC_INLINE __m256 normal_of(__m256 x, const row_lanes *row) {
    return _mm256_fmadd_ps(_mm256_sub_ps(x, row->center), row->scale, row->shift);
}

/* The gradient of one row, g in the place of dx.  Its mean is rounded as x's is, so what is left of it, E[d] with
 * d = g - mean, is taken away as well; E[xhat] = 0 makes E[d * xhat] = E[g * xhat]. */
static inline void layer_norm_row(const float *x, const row_lanes *row, float mean, float *dx, size_t n) {
    const __m256 center = _mm256_set1_ps(mean);
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, p0 = s0, p1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(dx + i), center);
        const __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(dx + i + 8), center);
        s0 = _mm256_add_ps(s0, d0);
        s1 = _mm256_add_ps(s1, d1);
        p0 = _mm256_fmadd_ps(d0, normal_of(_mm256_loadu_ps(x + i), row), p0);
        p1 = _mm256_fmadd_ps(d1, normal_of(_mm256_loadu_ps(x + i + 8), row), p1);
    }
    for (; i + 8 <= n; i += 8) {
        const __m256 d = _mm256_sub_ps(_mm256_loadu_ps(dx + i), center);
        s0 = _mm256_add_ps(s0, d);
        p0 = _mm256_fmadd_ps(d, normal_of(_mm256_loadu_ps(x + i), row), p0);
    }
    if (i < n) { /* d = 0 behind n */
        const __m256 d = ds__tail_minus_avx2(dx, i, n, center);
        const __m256 unit = _mm256_fmadd_ps(ds__tail_minus_avx2(x, i, n, row->center), row->scale, row->shift);
        s1 = _mm256_add_ps(s1, d);
        p1 = _mm256_fmadd_ps(d, unit, p1);
    }
    const __m256 rest = _mm256_set1_ps(ds__lanes_sum_avx2(_mm256_add_ps(s0, s1)) / (float)n);
    const __m256 along = _mm256_set1_ps(ds__lanes_sum_avx2(_mm256_add_ps(p0, p1)) / (float)n);
    for (i = 0; i + 8 <= n; i += 8) {
        const __m256 d = _mm256_sub_ps(_mm256_sub_ps(_mm256_loadu_ps(dx + i), center), rest);
        const __m256 out = _mm256_fnmadd_ps(normal_of(_mm256_loadu_ps(x + i), row), along, d);
        _mm256_storeu_ps(dx + i, _mm256_mul_ps(out, row->scale));
    }
    if (i == n) return;
    const __m256i tail = ds__tail_avx2(n - i);
    const __m256 d = _mm256_sub_ps(_mm256_sub_ps(_mm256_maskload_ps(dx + i, tail), center), rest);
    const __m256 out = _mm256_fnmadd_ps(normal_of(_mm256_maskload_ps(x + i, tail), row), along, d);
    _mm256_maskstore_ps(dx + i, tail, _mm256_mul_ps(out, row->scale));
}

static void layer_norm(const float *x, size_t ldx, const float *gamma, float eps, const float *dy, size_t lddy,
                       float *dx, size_t lddx, size_t rows, size_t n) {
    if (n == 0) return;
    for (size_t r = 0; r < rows; r++, x += ldx, dy += lddy, dx += lddx) {
        const row_lanes row = lanes_of(ds__moments_avx2(x, n, eps));
        layer_norm_row(x, &row, scale_row(dy, gamma, dx, n), dx, n);
    }
}

/* What layer_norm_gamma needs of a few rows: xhat = (x - center) * scale + shift. */
typedef struct few_rows {
    size_t rows;
    float center[GAMMA_ROWS], scale[GAMMA_ROWS], shift[GAMMA_ROWS];
} few_rows;

static inline void measure_rows(few_rows *few, const float *x, size_t ldx, size_t n, float eps) {
    for (size_t r = 0; r < few->rows; r++) {
        const ds__moments row = ds__moments_avx2(x + r * ldx, n, eps);
        few->center[r] = row.center;
        few->scale[r] = row.scale;
        few->shift[r] = -row.rest * row.scale;
    }
}

DS__VEC_INLINE __m256 normal_in(const few_rows *few, size_t r, __m256 x) {
    return _mm256_fmadd_ps(_mm256_sub_ps(x, _mm256_set1_ps(few->center[r])), _mm256_set1_ps(few->scale[r]),
                           _mm256_set1_ps(few->shift[r]));
}

/* The columns of four registers at once, so that sums stay in registers. */
static inline void add_gamma(const few_rows *few, const float *x, size_t ldx, const float *dy, size_t lddy,
                             float *dgamma, size_t n) {
    size_t c = 0;
    for (; c + 32 <= n; c += 32) {
        const float *px = x + c, *py = dy + c;
        __m256 s0 = _mm256_loadu_ps(dgamma + c), s1 = _mm256_loadu_ps(dgamma + c + 8);
        __m256 s2 = _mm256_loadu_ps(dgamma + c + 16), s3 = _mm256_loadu_ps(dgamma + c + 24);
        for (size_t r = 0; r < few->rows; r++, px += ldx, py += lddy) {
            s0 = _mm256_fmadd_ps(_mm256_loadu_ps(py), normal_in(few, r, _mm256_loadu_ps(px)), s0);
            s1 = _mm256_fmadd_ps(_mm256_loadu_ps(py + 8), normal_in(few, r, _mm256_loadu_ps(px + 8)), s1);
            s2 = _mm256_fmadd_ps(_mm256_loadu_ps(py + 16), normal_in(few, r, _mm256_loadu_ps(px + 16)), s2);
            s3 = _mm256_fmadd_ps(_mm256_loadu_ps(py + 24), normal_in(few, r, _mm256_loadu_ps(px + 24)), s3);
        }
        _mm256_storeu_ps(dgamma + c, s0);
        _mm256_storeu_ps(dgamma + c + 8, s1);
        _mm256_storeu_ps(dgamma + c + 16, s2);
        _mm256_storeu_ps(dgamma + c + 24, s3);
    }
    for (; c < n; c += 8) {
        const __m256i mask = n - c < 8 ? ds__tail_avx2(n - c) : _mm256_set1_epi32(-1);
        __m256 sum = _mm256_maskload_ps(dgamma + c, mask);
        for (size_t r = 0; r < few->rows; r++) {
            const __m256 unit = normal_in(few, r, _mm256_maskload_ps(x + r * ldx + c, mask));
            sum = _mm256_fmadd_ps(_mm256_maskload_ps(dy + r * lddy + c, mask), unit, sum);
        }
        _mm256_maskstore_ps(dgamma + c, mask, sum);
    }
}

static void layer_norm_gamma(const float *x, size_t ldx, float eps, const float *dy, size_t lddy, float *dgamma,
                             size_t rows, size_t n) {
    few_rows few;
    if (n == 0) return;
    for (size_t r = 0; r < rows; r += GAMMA_ROWS) {
        few.rows = rows - r < GAMMA_ROWS ? rows - r : GAMMA_ROWS;
        measure_rows(&few, x + r * ldx, ldx, n, eps);
        add_gamma(&few, x + r * ldx, ldx, dy + r * lddy, lddy, dgamma, n);
    }
}

/* The columns of four registers at once, so that sums stay in registers. */
static inline void add_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    size_t c = 0;
    for (; c + 32 <= n; c += 32) {
        const float *row = x + c;
        __m256 s0 = _mm256_loadu_ps(y + c), s1 = _mm256_loadu_ps(y + c + 8);
        __m256 s2 = _mm256_loadu_ps(y + c + 16), s3 = _mm256_loadu_ps(y + c + 24);
        for (size_t r = 0; r < rows; r++, row += ldx) {
            s0 = _mm256_add_ps(s0, _mm256_loadu_ps(row));
            s1 = _mm256_add_ps(s1, _mm256_loadu_ps(row + 8));
            s2 = _mm256_add_ps(s2, _mm256_loadu_ps(row + 16));
            s3 = _mm256_add_ps(s3, _mm256_loadu_ps(row + 24));
        }
        _mm256_storeu_ps(y + c, s0);
        _mm256_storeu_ps(y + c + 8, s1);
        _mm256_storeu_ps(y + c + 16, s2);
        _mm256_storeu_ps(y + c + 24, s3);
    }
    for (; c < n; c += 8) {
        const __m256i mask = n - c < 8 ? ds__tail_avx2(n - c) : _mm256_set1_epi32(-1);
        __m256 sum = _mm256_maskload_ps(y + c, mask);
        for (size_t r = 0; r < rows; r++) sum = _mm256_add_ps(sum, _mm256_maskload_ps(x + r * ldx + c, mask));
        _mm256_maskstore_ps(y + c, mask, sum);
    }
}

static void sum_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r += SUM_ROWS)
        add_rows(x + r * ldx, ldx, y, rows - r < SUM_ROWS ? rows - r : SUM_ROWS, n);
}

/* Of x where a word is no less than `threshold`, else 0. */
DS__VEC_INLINE __m256 drop(__m256 x, __m256i words, __m256i threshold, __m256 scale) {
    const __m256i kept = _mm256_cmpeq_epi32(_mm256_max_epu32(words, threshold), words);
    return _mm256_and_ps(_mm256_mul_ps(x, scale), _mm256_castsi256_ps(kept));
}

static void dropout(const ds__dropout *dropout, uint32_t first_row, const float *x, size_t ldx, float *y, size_t ldy,
                    size_t rows, size_t n) {
    const __m256i threshold = _mm256_set1_epi32((int)ds__dropout_threshold(dropout->rate));
    const __m256 scale = _mm256_set1_ps(ds__dropout_scale(dropout->rate));
    const ds__dropout with = *dropout; /* no store to y can change it */
    __m256i words[2];
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const uint32_t row = first_row + (uint32_t)r;
        size_t c = 0;
        for (; c + 16 <= n; c += 16) {
            ds__philox_columns_avx2(&with, row, (uint32_t)(c / 4), words);
            _mm256_storeu_ps(y + c, drop(_mm256_loadu_ps(x + c), words[0], threshold, scale));
            _mm256_storeu_ps(y + c + 8, drop(_mm256_loadu_ps(x + c + 8), words[1], threshold, scale));
        }
        if (c == n) continue;
        ds__philox_columns_avx2(&with, row, (uint32_t)(c / 4), words);
        for (int i = 0; c < n; c += 8, i++) {
            const __m256i mask = n - c < 8 ? ds__tail_avx2(n - c) : _mm256_set1_epi32(-1);
            _mm256_maskstore_ps(y + c, mask, drop(_mm256_maskload_ps(x + c, mask), words[i], threshold, scale));
        }
    }
}

const ds__grad_f32 ds__grad_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(grad, grad_f32, avx2, "8 floats at once, 16 words of dropout at once"),
    .activate = activate,
    .layer_norm = layer_norm,
    .layer_norm_gamma = layer_norm_gamma,
    .sum_rows = sum_rows,
    .dropout = dropout,
};
