/* See the header. */
#include "pipeline/scores.h"

#include <math.h>

void ds__softmax_scores(const float *x, size_t n, double temperature, float *y) {
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) top = fmax(top, x[i]);
    for (size_t i = 0; i < n; i++) sum += exp((x[i] - top) / temperature);
    for (size_t i = 0; i < n; i++) y[i] = (float)(exp((x[i] - top) / temperature) / sum);
}

void ds__scores_of_logits(const ds_model_info *info, const float *logits, float *scores) {
    const size_t labels = (size_t)info->labels;
    const double temperature = (double)info->temperature;
    if (info->problem == DS_PROBLEM_SINGLE_LABEL) {
        ds__softmax_scores(logits, labels, temperature, scores);
        return;
    }
    for (size_t c = 0; c < labels; c++)
        scores[c] = info->problem == DS_PROBLEM_MULTI_LABEL ? (float)(1 / (1 + exp(-(double)logits[c] / temperature)))
                                                            : logits[c];
}
