/* norm_f32 in portable C, with sums in double. */
#include <math.h>

#include "kernels/norm/norm.h"

static void layer_norm(const float *x, size_t ldx, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; i++) sum += (double)x[i];
        double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
        double scale = 1.0 / sqrt(squares / (double)n + (double)eps);
        for (size_t i = 0; i < n; i++) y[i] = (float)(((double)x[i] - mean) * scale) * gamma[i] + beta[i];
    }
}

static void l2_normalize(const float *x, size_t ldx, float eps, float *y, size_t ldy, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        double squares = 0;
        for (size_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
        float length = (float)sqrt(squares);
        if (length < eps) length = eps; /* NaN stays */
        for (size_t i = 0; i < n; i++) y[i] = x[i] / length;
    }
}

const ds__norm_f32 ds__norm_f32_ref = {
    .kernel = DS_KERNEL_HEAD(norm, norm_f32, ref, "plain loops, sums in double"),
    .layer_norm = layer_norm,
    .l2_normalize = l2_normalize,
};
