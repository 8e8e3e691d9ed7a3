/* Accuracy, F1, Matthews' coefficient, and the two correlations. */
#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Of one label. */
typedef struct tally {
    uint64_t right, predicted, expected;
} tally;

static ds_metrics no_metrics(size_t count) {
    return (ds_metrics){.count = count,
                        .loss = NAN,
                        .accuracy = NAN,
                        .f1 = NAN,
                        .f1_macro = NAN,
                        .mcc = NAN,
                        .pearson = NAN,
                        .spearman = NAN,
                        .ece = NAN};
}

static double f1_of(tally t) {
    uint64_t both = t.predicted + t.expected;
    return both ? 2 * (double)t.right / (double)both : 0;
}

static ds_status check_label(const char *list, const int32_t *values, size_t at, int32_t labels, ds_error *error) {
    if (values[at] >= 0 && values[at] < labels) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "%s[%zu] is %d, expected a label from 0 to %d", list, at, values[at],
                    labels - 1);
}

static ds_status check_count(int32_t labels, ds_error *error) {
    return labels > 0 ? DS_OK : ds__fail(error, DS_INVALID_ARGUMENT, "labels is %d, expected at least 1", labels);
}

static ds_status make_tallies(ds__heap *heap, int32_t labels, tally **out, ds_error *error) {
    DS_TRY(check_count(labels, error));
    *out = ds__alloc_zeroed(heap, (size_t)labels * sizeof **out);
    return *out ? DS_OK : ds__alloc_failed(heap, (size_t)labels * sizeof **out, "metrics", error);
}

/* Gorodkin's coefficient (2004): a correlation of the two assignments; 0 where one of them does not vary. */
static double gorodkin(const tally *tallies, int32_t labels, size_t count, uint64_t right) {
    double all = (double)count, both = 0, predicted = 0, expected = 0;
    for (int32_t i = 0; i < labels; i++) {
        double p = (double)tallies[i].predicted, e = (double)tallies[i].expected;
        both += p * e;
        predicted += p * p;
        expected += e * e;
    }
    double spread = (all * all - predicted) * (all * all - expected);
    return spread > 0 ? ((double)right * all - both) / sqrt(spread) : 0;
}

static ds_status tally_labels(const int32_t *predicted, const int32_t *expected, size_t count, int32_t labels,
                              tally *tallies, ds_error *error) {
    for (size_t i = 0; i < count; i++) {
        DS_TRY(check_label("predicted", predicted, i, labels, error));
        DS_TRY(check_label("expected", expected, i, labels, error));
        tallies[predicted[i]].predicted++;
        tallies[expected[i]].expected++;
        tallies[expected[i]].right += predicted[i] == expected[i];
    }
    return DS_OK;
}

ds_status ds__metrics_labels(ds__heap *heap, const int32_t *predicted, const int32_t *expected, size_t count,
                             int32_t labels, ds_metrics *out, ds_error *error) {
    tally *tallies;
    DS_TRY(make_tallies(heap, labels, &tallies, error));
    ds_status status = tally_labels(predicted, expected, count, labels, tallies, error);
    if (status == DS_OK) {
        *out = no_metrics(count);
        uint64_t right = 0;
        int32_t occurring = 0;
        double sum = 0;
        for (int32_t i = 0; i < labels; i++) {
            right += tallies[i].right;
            occurring += tallies[i].predicted || tallies[i].expected;
            sum += f1_of(tallies[i]);
        }
        if (count) {
            out->accuracy = (double)right / (double)count;
            out->f1_macro = sum / occurring;
            out->f1 = labels == 2 ? f1_of(tallies[1]) : out->f1_macro;
            out->mcc = gorodkin(tallies, labels, count, right);
        }
    }
    ds__free(heap, tallies, (size_t)labels * sizeof *tallies);
    return status;
}

static ds_status check_decision(const char *list, float value, size_t text, size_t label, ds_error *error) {
    if (value == 0 || value == 1) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "%s[%zu, %zu] is %g, expected 0 or 1", list, text, label,
                    (double)value);
}

/* *whole: texts of which every label is right. */
static ds_status tally_decisions(const float *predicted, const float *expected, size_t count, size_t labels,
                                 tally *tallies, uint64_t *whole, ds_error *error) {
    *whole = 0;
    for (size_t i = 0; i < count; i++) {
        bool same = true;
        for (size_t k = 0; k < labels; k++) {
            float p = predicted[i * labels + k], e = expected[i * labels + k];
            DS_TRY(check_decision("predicted", p, i, k, error));
            DS_TRY(check_decision("expected", e, i, k, error));
            tallies[k].predicted += p == 1;
            tallies[k].expected += e == 1;
            tallies[k].right += p == 1 && e == 1;
            same = same && p == e;
        }
        *whole += same;
    }
    return DS_OK;
}

ds_status ds__metrics_multilabel(ds__heap *heap, const float *predicted, const float *expected, size_t count,
                                 int32_t labels, ds_metrics *out, ds_error *error) {
    tally *tallies, all = {0, 0, 0};
    uint64_t whole;
    DS_TRY(make_tallies(heap, labels, &tallies, error));
    ds_status status = tally_decisions(predicted, expected, count, (size_t)labels, tallies, &whole, error);
    if (status == DS_OK) {
        *out = no_metrics(count);
        double sum = 0;
        for (int32_t i = 0; i < labels; i++) {
            all.right += tallies[i].right;
            all.predicted += tallies[i].predicted;
            all.expected += tallies[i].expected;
            sum += f1_of(tallies[i]);
        }
        if (count) {
            out->accuracy = (double)whole / (double)count;
            out->f1 = f1_of(all);
            out->f1_macro = sum / labels;
        }
    }
    ds__free(heap, tallies, (size_t)labels * sizeof *tallies);
    return status;
}

/* NAN where one list does not vary: its mean may be rounded, so that its sum of squares would be a small garbage. */
static double correlation(const double *x, const double *y, size_t count) {
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    bool x_varies = false, y_varies = false;
    for (size_t i = 0; i < count; i++) {
        mean_x += x[i];
        mean_y += y[i];
        x_varies = x_varies || x[i] != x[0];
        y_varies = y_varies || y[i] != y[0];
    }
    if (!x_varies || !y_varies) return NAN;
    mean_x /= (double)count;
    mean_y /= (double)count;
    for (size_t i = 0; i < count; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    double r = xy / (sqrt(xx) * sqrt(yy));
    return r > 1 ? 1 : r < -1 ? -1 : r;
}

typedef struct placed {
    float value;
    uint32_t at;
} placed;

static int by_value(const void *a, const void *b) {
    const placed *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

/* ranks: [count], from 1; equal values get the mean of their ranks. */
static void rank_values(const float *values, size_t count, placed *order, double *ranks) {
    for (size_t i = 0; i < count; i++) order[i] = (placed){values[i], (uint32_t)i};
    qsort(order, count, sizeof *order, by_value);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && order[end].value == order[first].value; end++) {}
        double rank = ((double)first + 1 + (double)end) / 2;
        for (size_t i = first; i < end; i++) ranks[order[i].at] = rank;
    }
}

static ds_status check_values(const char *list, const float *values, size_t count, ds_error *error) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return ds__fail(error, DS_INVALID_ARGUMENT, "%s[%zu] is %g, expected a finite number", list, i,
                            (double)values[i]);
    return DS_OK;
}

ds_status ds__metrics_values(ds__heap *heap, const float *predicted, const float *expected, size_t count,
                             ds_metrics *out, ds_error *error) {
    size_t bytes;
    DS_TRY(check_values("predicted", predicted, count, error));
    DS_TRY(check_values("expected", expected, count, error));
    if (count > UINT32_MAX || !ds__size_mul(count, 2 * sizeof(double) + sizeof(placed), &bytes))
        return ds__fail(error, DS_INVALID_ARGUMENT, "there are %zu values, at most %u are compared", count, UINT32_MAX);
    double *x = ds__alloc(heap, bytes), *y = x + count;
    if (!x) return ds__alloc_failed(heap, bytes, "metrics", error);
    placed *order = (placed *)(void *)(y + count);
    *out = no_metrics(count);
    for (size_t i = 0; i < count; i++) {
        x[i] = predicted[i];
        y[i] = expected[i];
    }
    out->pearson = correlation(x, y, count);
    rank_values(predicted, count, order, x);
    rank_values(expected, count, order, y);
    out->spearman = correlation(x, y, count);
    ds__free(heap, x, bytes);
    return DS_OK;
}

ds_status ds__metrics_confusion(const int32_t *predicted, const int32_t *expected, size_t count, int32_t labels,
                                uint32_t *matrix, ds_error *error) {
    size_t cells, bytes;
    DS_TRY(check_count(labels, error));
    if (!ds__size_mul((size_t)labels, (size_t)labels, &cells) || !ds__size_mul(cells, sizeof *matrix, &bytes))
        return ds__fail(error, DS_INVALID_ARGUMENT, "a matrix of %d times %d labels is too large", labels, labels);
    memset(matrix, 0, bytes);
    for (size_t i = 0; i < count; i++) {
        DS_TRY(check_label("predicted", predicted, i, labels, error));
        DS_TRY(check_label("expected", expected, i, labels, error));
        matrix[(size_t)expected[i] * (size_t)labels + (size_t)predicted[i]]++;
    }
    return DS_OK;
}

void ds__reliability_add(ds__reliability *bins, double confidence, bool right) {
    const double upper = ceil(confidence * DS__RELIABILITY_BINS); /* bin b: (b / 15, (b + 1) / 15] */
    const int bin = !(upper > 1) ? 0 : upper < DS__RELIABILITY_BINS ? (int)upper - 1 : DS__RELIABILITY_BINS - 1;
    bins->count[bin]++;
    bins->right[bin] += right;
    bins->sum[bin] += confidence;
}

double ds__reliability_error(const ds__reliability *bins) {
    double error = 0;
    uint64_t count = 0;
    for (int i = 0; i < DS__RELIABILITY_BINS; i++) {
        error += fabs((double)bins->right[i] - bins->sum[i]);
        count += bins->count[i];
    }
    return count ? error / (double)count : NAN;
}
