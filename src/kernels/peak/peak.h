/* Measures the machine's own limit: loops of independent multiply-adds that touch no memory, one op for each kind of
 * number that products are made of: peak_f32, peak_bf16, peak_s8.  A precision that the CPU has no products of reaches
 * what its widest portable way does. */
#ifndef DS_KERNELS_PEAK_H
#define DS_KERNELS_PEAK_H

#include <stdint.h>

#include "kernels/kernels.h"

typedef struct ds__peak {
    ds__kernel kernel;
    /* Runs `rounds` rounds and returns the operations done (a multiply-add is two). */
    uint64_t (*run)(uint64_t rounds);
} ds__peak;

const ds__peak *ds__peak_f32_choose(void);
const ds__peak *ds__peak_bf16_choose(void);
const ds__peak *ds__peak_s8_choose(void);

#define DS_KERNEL(op, isa) extern const ds__peak ds__##op##_##isa;
#include "kernels/peak/peak_variants.def"
#undef DS_KERNEL

#endif
