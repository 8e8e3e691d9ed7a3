/* Measures the machine's own limit: a loop of independent multiply-adds that touches no memory. */
#ifndef DS_KERNELS_PEAK_H
#define DS_KERNELS_PEAK_H

#include <stdint.h>

#include "kernels/kernels.h"

typedef struct ds__peak_f32 {
    ds__kernel kernel;
    /* Runs `rounds` rounds and returns the floating-point operations done (a multiply-add is two). */
    uint64_t (*run)(uint64_t rounds);
} ds__peak_f32;

const ds__peak_f32 *ds__peak_f32_choose(void);

#define DS_KERNEL(op, isa) extern const ds__peak_f32 ds__##op##_##isa;
#include "kernels/peak/peak_variants.def"
#undef DS_KERNEL

#endif
