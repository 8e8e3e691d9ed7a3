/* Which variant of optim_f32 is used here: the list of rows, in the order of preference. */
#include "kernels/optim/optim.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/optim/optim_variants.def"
#undef DS_KERNEL
};

const ds__optim_f32 *ds__optim_f32_choose(void) {
    /* The head is a variant's first member. */
    return (const ds__optim_f32 *)ds__kernel_choose(rows, sizeof rows / sizeof *rows);
}
