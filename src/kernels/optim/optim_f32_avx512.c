/* optim_f32 on 512-bit registers; the last n % 16 elements go through masked loads and stores.  The operations and
 * their order are the portable variant's, so no multiply-add is fused. */
#include <stdbool.h>

#include "kernels/elementwise/vec_io_avx512.h"
#include "kernels/elementwise/vec_math_poly.h"
#include "kernels/optim/optim.h"

typedef struct adamw_lanes {
    __m512 grad_scale, decay, step_size, v_correction, epsilon, one_minus_beta1, beta2, one_minus_beta2;
} adamw_lanes;

DS__VEC_INLINE void adamw_step(const adamw_lanes *k, __m512 g, __m512 *w, __m512 *m, __m512 *v) {
    const __m512 scaled = _mm512_mul_ps(k->grad_scale, g);
    *m = _mm512_add_ps(*m, _mm512_mul_ps(k->one_minus_beta1, _mm512_sub_ps(scaled, *m)));
    *v = _mm512_add_ps(_mm512_mul_ps(k->beta2, *v), _mm512_mul_ps(_mm512_mul_ps(k->one_minus_beta2, scaled), scaled));
    const __m512 divisor = _mm512_add_ps(_mm512_mul_ps(_mm512_sqrt_ps(*v), k->v_correction), k->epsilon);
    *w = _mm512_sub_ps(_mm512_mul_ps(*w, k->decay), _mm512_div_ps(_mm512_mul_ps(k->step_size, *m), divisor));
}

static void adamw(const ds__adamw *with, const float *g, float *w, float *m, float *v, size_t n) {
    const adamw_lanes k = {
        .grad_scale = _mm512_set1_ps(with->grad_scale),
        .decay = _mm512_set1_ps(with->decay),
        .step_size = _mm512_set1_ps(with->step_size),
        .v_correction = _mm512_set1_ps(with->v_correction),
        .epsilon = _mm512_set1_ps(with->epsilon),
        .one_minus_beta1 = _mm512_set1_ps(with->one_minus_beta1),
        .beta2 = _mm512_set1_ps(with->beta2),
        .one_minus_beta2 = _mm512_set1_ps(with->one_minus_beta2),
    };
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 wi = _mm512_loadu_ps(w + i), mi = _mm512_loadu_ps(m + i), vi = _mm512_loadu_ps(v + i);
        adamw_step(&k, _mm512_loadu_ps(g + i), &wi, &mi, &vi);
        _mm512_storeu_ps(w + i, wi);
        _mm512_storeu_ps(m + i, mi);
        _mm512_storeu_ps(v + i, vi);
    }
    const __mmask16 tail = ds__tail_avx512(n - i);
    if (!tail) return;
    __m512 wi = _mm512_maskz_loadu_ps(tail, w + i), mi = _mm512_maskz_loadu_ps(tail, m + i);
    __m512 vi = _mm512_maskz_loadu_ps(tail, v + i);
    adamw_step(&k, _mm512_maskz_loadu_ps(tail, g + i), &wi, &mi, &vi);
    _mm512_mask_storeu_ps(w + i, tail, wi);
    _mm512_mask_storeu_ps(m + i, tail, mi);
    _mm512_mask_storeu_ps(v + i, tail, vi);
}

/* Without momentum m is not looked at. */
static void sgd(const ds__sgd *with, const float *g, float *w, float *m, size_t n) {
    const bool has_momentum = with->momentum != 0;
    const __m512 grad_scale = _mm512_set1_ps(with->grad_scale), weight_decay = _mm512_set1_ps(with->weight_decay);
    const __m512 momentum = _mm512_set1_ps(with->momentum), rate = _mm512_set1_ps(with->rate);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = n - i < 16 ? ds__tail_avx512(n - i) : (__mmask16)0xffff;
        const __m512 wi = _mm512_maskz_loadu_ps(mask, w + i);
        __m512 step = _mm512_mul_ps(grad_scale, _mm512_maskz_loadu_ps(mask, g + i));
        step = _mm512_add_ps(step, _mm512_mul_ps(weight_decay, wi));
        if (has_momentum) {
            step = _mm512_add_ps(_mm512_mul_ps(momentum, _mm512_maskz_loadu_ps(mask, m + i)), step);
            _mm512_mask_storeu_ps(m + i, mask, step);
        }
        _mm512_mask_storeu_ps(w + i, mask, _mm512_sub_ps(wi, _mm512_mul_ps(rate, step)));
    }
}

/* The contract's eight partial sums are one register's lanes; the square of a float is exact in double. */
static double sum_of_squares(const float *x, size_t n) {
    __m512d sum = _mm512_setzero_pd();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m512d some = _mm512_cvtps_pd(_mm256_loadu_ps(x + i));
        sum = _mm512_add_pd(sum, _mm512_mul_pd(some, some));
    }
    const __m512d some = _mm512_cvtps_pd(_mm256_maskz_loadu_ps((__mmask8)ds__tail_avx512(n - i), x + i));
    double s[8];
    _mm512_storeu_pd(s, _mm512_add_pd(sum, _mm512_mul_pd(some, some)));
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

const ds__optim_f32 ds__optim_f32_avx512 = {
    .kernel = DS_KERNEL_HEAD(optim, optim_f32, avx512, "16 floats at once"),
    .adamw = adamw,
    .sgd = sgd,
    .sum_of_squares = sum_of_squares,
};
