/* optim_f32 in portable C: the definition, operation by operation. */
#include <math.h>

#include "kernels/optim/optim.h"

static void adamw(const ds__adamw *with, const float *g, float *w, float *m, float *v, size_t n) {
    const ds__adamw k = *with; /* no store can change it */
    for (size_t i = 0; i < n; i++) {
        const float scaled = k.grad_scale * g[i];
        m[i] = m[i] + k.one_minus_beta1 * (scaled - m[i]);
        v[i] = k.beta2 * v[i] + k.one_minus_beta2 * scaled * scaled;
        w[i] = w[i] * k.decay - k.step_size * m[i] / (sqrtf(v[i]) * k.v_correction + k.epsilon);
    }
}

static void sgd(const ds__sgd *with, const float *g, float *w, float *m, size_t n) {
    const ds__sgd k = *with;
    for (size_t i = 0; i < n; i++) {
        float step = k.grad_scale * g[i] + k.weight_decay * w[i];
        if (k.momentum != 0) step = m[i] = k.momentum * m[i] + step;
        w[i] = w[i] - k.rate * step;
    }
}

static double sum_of_squares(const float *x, size_t n) {
    double s[8] = {0};
    for (size_t i = 0; i < n; i++) s[i % 8] += (double)x[i] * (double)x[i];
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

const ds__optim_f32 ds__optim_f32_ref = {
    .kernel = DS_KERNEL_HEAD(optim, optim_f32, ref, "plain loops"),
    .adamw = adamw,
    .sgd = sgd,
    .sum_of_squares = sum_of_squares,
};
