/* The choice among the peak loops. */
#include "kernels/peak/peak.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/peak/peak_variants.def"
#undef DS_KERNEL
};

const ds__peak_f32 *ds__peak_f32_choose(void) {
    return (const ds__peak_f32 *)ds__kernel_choose(rows, sizeof rows / sizeof *rows);
}
