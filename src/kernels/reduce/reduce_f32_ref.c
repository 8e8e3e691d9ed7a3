/* reduce_f32 in portable C. */
#include <math.h>

#include "kernels/reduce/reduce.h"

static void softmax(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        float largest = -INFINITY;
        for (size_t i = 0; i < n; i++)
            if (x[i] > largest) largest = x[i];
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            y[i] = expf(x[i] - largest);
            sum += (double)y[i];
        }
        float scale = (float)(1.0 / sum);
        for (size_t i = 0; i < n; i++) y[i] *= scale;
    }
}

/* y is the running sum, so that x is read in the order it lies in. */
static void mean_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    for (size_t c = 0; c < n; c++) y[c] = x[c];
    for (size_t r = 1; r < rows; r++)
        for (size_t c = 0; c < n; c++) y[c] += x[r * ldx + c];
    for (size_t c = 0; c < n; c++) y[c] /= (float)rows;
}

/* A NaN in a column gives NaN. */
static void max_rows(const float *x, size_t ldx, float *y, size_t rows, size_t n) {
    for (size_t c = 0; c < n; c++) y[c] = x[c];
    for (size_t r = 1; r < rows; r++) {
        const float *row = x + r * ldx;
        for (size_t c = 0; c < n; c++)
            if (row[c] > y[c] || isnan(row[c])) y[c] = row[c];
    }
}

const ds__reduce_f32 ds__reduce_f32_ref = {
    .kernel = DS_KERNEL_HEAD(reduce, reduce_f32, ref, "plain loops"),
    .softmax = softmax,
    .mean_rows = mean_rows,
    .max_rows = max_rows,
};
