/* Which variant of elementwise_f32 is used here: the list of rows, in the order of preference. */
#include "kernels/elementwise/elementwise.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/elementwise/elementwise_variants.def"
#undef DS_KERNEL
};

const ds__elementwise_f32 *ds__elementwise_f32_choose(void) {
    /* The head is a variant's first member. */
    return (const ds__elementwise_f32 *)ds__kernel_choose(rows, sizeof rows / sizeof *rows);
}
