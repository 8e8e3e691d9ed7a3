/* Fitting a temperature; see the header.
 *
 * In b = 1 / T the loss is convex, so its slope rises, and where the slope is 0 is found by bisection on log T: no step
 * size, no starting point, and it cannot miss. */
#include "train/temperature.h"

#include <math.h>

#include "models/architecture.h"

enum { HALVINGS = 60 }; /* of log(100 / 0.01): to the last bit of a float, and far beyond */

static size_t best_of(const float *logits, size_t labels) {
    size_t best = 0;
    for (size_t i = 1; i < labels; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

double ds__confidence(const float *logits, size_t labels, size_t best, double temperature) {
    const double top = (double)logits[best];
    double sum = 0;
    for (size_t i = 0; i < labels; i++) sum += exp(((double)logits[i] - top) / temperature);
    return 1 / sum;
}

/* -log of the expected label's share; *slope: its derivative in b. */
static double row_loss(const float *z, size_t labels, size_t expected, double b, double *slope) {
    const double top = (double)z[best_of(z, labels)];
    double sum = 0, weighted = 0;
    for (size_t i = 0; i < labels; i++) {
        const double share = exp(b * ((double)z[i] - top));
        sum += share;
        weighted += share * (double)z[i];
    }
    *slope = weighted / sum - (double)z[expected];
    return log(sum) - b * ((double)z[expected] - top);
}

/* The same for labels that are each there or not. */
static double decisions_loss(const float *z, const float *targets, size_t labels, double b, double *slope) {
    double loss = 0;
    *slope = 0;
    for (size_t i = 0; i < labels; i++) {
        const double x = b * (double)z[i], target = (double)targets[i];
        loss += fmax(x, 0) - x * target + log1p(exp(-fabs(x)));
        *slope += (1 / (1 + exp(-x)) - target) * (double)z[i];
    }
    *slope /= (double)labels;
    return loss / (double)labels;
}

/* Means over the rows. */
static double loss_of(const ds__logit_rows *rows, double b, double *slope) {
    double loss = 0, one;
    *slope = 0;
    for (size_t r = 0; r < rows->count; r++) {
        const float *z = rows->logits + r * rows->labels;
        loss += rows->targets ? decisions_loss(z, rows->targets + r * rows->labels, rows->labels, b, &one)
                              : row_loss(z, rows->labels, (size_t)rows->expected[r], b, &one);
        *slope += one;
    }
    *slope /= (double)rows->count;
    return loss / (double)rows->count;
}

double ds__temperature_loss(const ds__logit_rows *rows, double temperature) {
    double slope;
    return loss_of(rows, 1 / temperature, &slope);
}

double ds__temperature_ece(const ds__logit_rows *rows, double temperature) {
    ds__reliability bins = {{0}, {0}, {0}};
    for (size_t r = 0; r < rows->count && rows->expected; r++) {
        const float *z = rows->logits + r * rows->labels;
        const size_t best = best_of(z, rows->labels);
        ds__reliability_add(&bins, ds__confidence(z, rows->labels, best, temperature),
                            best == (size_t)rows->expected[r]);
    }
    return ds__reliability_error(&bins);
}

bool ds__temperature_fit(const ds__logit_rows *rows, double *temperature) {
    double low = log(DS__LEAST_TEMPERATURE), high = log(DS__MOST_TEMPERATURE), slope;
    loss_of(rows, 1 / DS__LEAST_TEMPERATURE, &slope);
    if (!(slope > 0)) return false;
    loss_of(rows, 1 / DS__MOST_TEMPERATURE, &slope);
    if (!(slope < 0)) return false;
    for (int i = 0; i < HALVINGS; i++) {
        const double middle = (low + high) / 2;
        loss_of(rows, exp(-middle), &slope);
        if (slope > 0) /* a larger b is worse: T lies above */
            low = middle;
        else
            high = middle;
    }
    *temperature = exp((low + high) / 2);
    return true;
}
