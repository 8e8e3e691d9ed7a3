/* The choice among the kernels of attention in training. */
#include "kernels/attention_train/attention_train.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/attention_train/attention_train_variants.def"
#undef DS_KERNEL
};

const ds__attention_train_f32 *ds__attention_train_f32_choose(void) {
    return (const ds__attention_train_f32 *)ds__kernel_choose(rows, sizeof rows / sizeof *rows);
}
