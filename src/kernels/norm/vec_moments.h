/* What a layer norm knows of a row, for the families that need it; the vector code: vec_moments_<isa>.h.
 *
 * A mean kept in a float is off by up to half an ulp, which is much against the spread of a row like 10000 +- 1.  So
 * the first pass sums x - x[0], which is small and exact there, and the second one measures against the rounded mean m
 * both d = x - m and d^2: mean = m + E[d] and variance = E[d^2] - E[d]^2, where E[d] is tiny, so that nothing cancels.
 * A row of equal values has d = 0 exactly.  The squares overflow where a spread exceeds 1e17. */
#ifndef DS_KERNELS_VEC_MOMENTS_H
#define DS_KERNELS_VEC_MOMENTS_H

#include <stddef.h>

typedef struct ds__moments {
    float center; /* the row's mean but for rounding */
    float rest;   /* exact mean - center */
    float scale;  /* 1 / sqrt(variance + eps) */
} ds__moments;

#endif
