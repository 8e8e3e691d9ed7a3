/* The choice among the loops, op by op. */
#include "kernels/peak/peak.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/peak/peak_variants.def"
#undef DS_KERNEL
};

static const ds__peak *choose(const char *op) {
    return (const ds__peak *)ds__kernel_choose_op(rows, sizeof rows / sizeof *rows, op);
}

const ds__peak *ds__peak_f32_choose(void) { return choose("peak_f32"); }
const ds__peak *ds__peak_bf16_choose(void) { return choose("peak_bf16"); }
const ds__peak *ds__peak_s8_choose(void) { return choose("peak_s8"); }
