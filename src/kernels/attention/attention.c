/* The choice among the attention kernels. */
#include "kernels/attention/attention.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/attention/attention_variants.def"
#undef DS_KERNEL
};

const ds__attention_f32 *ds__attention_f32_choose(void) {
    return (const ds__attention_f32 *)ds__kernel_choose(rows, sizeof rows / sizeof *rows);
}
