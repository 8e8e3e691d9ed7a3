/* grad_f32 in portable C, a row's sums in double. */
#include <math.h>

#include "kernels/grad/grad.h"
#include "kernels/grad/vec_gradient_ref.h"
#include "tensor/convert.h"

/* One loop an activation: the switch inside ds__activation_gradient_ref folds away. */
static void activate(ds__activation activation, const float *x, const float *dy, float *dx, size_t n) {
    switch (activation) {
#define ACTIVATE(name, text)                                                                                           \
    case DS__ACTIVATION_##name:                                                                                        \
        for (size_t i = 0; i < n; i++) dx[i] = ds__activation_gradient_ref(DS__ACTIVATION_##name, x[i]) * dy[i];       \
        break;
        DS__ACTIVATION_LIST(ACTIVATE)
#undef ACTIVATE
    case DS__ACTIVATION_COUNT: break;
    }
}

/* xhat = (x - mean) * scale. */
typedef struct moments {
    double mean, scale;
} moments;

static moments measure(const float *x, size_t n, float eps) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (moments){mean, 1.0 / sqrt(squares / (double)n + (double)eps)};
}

static void layer_norm(const float *x, size_t ldx, const float *gamma, float eps, const float *dy, size_t lddy,
                       float *dx, size_t lddx, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, dy += lddy, dx += lddx) {
        const moments row = measure(x, n, eps);
        double mean = 0, along = 0;
        for (size_t i = 0; i < n; i++) {
            const double g = (double)dy[i] * (double)gamma[i];
            mean += g;
            along += g * ((double)x[i] - row.mean) * row.scale;
        }
        mean /= (double)n;
        along /= (double)n;
        for (size_t i = 0; i < n; i++) {
            const double g = (double)dy[i] * (double)gamma[i], unit = ((double)x[i] - row.mean) * row.scale;
            dx[i] = (float)(row.scale * (g - mean - unit * along));
        }
    }
}

static void layer_norm_gamma(const float *x, size_t ldx, float eps, const float *dy, size_t lddy, float *dgamma,
                             size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, dy += lddy) {
        const moments row = measure(x, n, eps);
        for (size_t c = 0; c < n; c++) dgamma[c] += dy[c] * (float)(((double)x[c] - row.mean) * row.scale);
    }
}

static void sum_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx)
        for (size_t c = 0; c < n; c++) y[c] += x[c];
}

static void dropout(const ds__dropout *dropout, uint32_t first_row, const float *x, size_t ldx, float *y, size_t ldy,
                    size_t rows, size_t n) {
    const uint32_t threshold = ds__dropout_threshold(dropout->rate);
    const float scale = ds__dropout_scale(dropout->rate);
    const ds__dropout with = *dropout; /* no store to y can change it */
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t c = 0; c < n; c += 4) {
            const uint32_t counter[4] = {(uint32_t)(c / 4), first_row + (uint32_t)r, with.site, with.draw};
            uint32_t words[4];
            ds__philox(counter, with.seed, words);
            for (size_t i = 0; i < 4 && c + i < n; i++) y[c + i] = words[i] >= threshold ? x[c + i] * scale : 0.0f;
        }
}

const ds__grad_f32 ds__grad_f32_ref = {
    .kernel = DS_KERNEL_HEAD(grad, grad_f32, ref, "plain loops, a row's sums in double"),
    .activate = activate,
    .layer_norm = layer_norm,
    .layer_norm_gamma = layer_norm_gamma,
    .sum_rows = sum_rows,
    .dropout = dropout,
};
