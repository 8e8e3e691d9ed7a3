/* The choice among the variants of the products of two matrices, op by op. */
#include "kernels/matmul/matmul.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/matmul/matmul_variants.def"
#undef DS_KERNEL
};

static const ds__matmul *choose(const char *op) {
    return (const ds__matmul *)ds__kernel_choose_op(rows, sizeof rows / sizeof *rows, op);
}

const ds__matmul *ds__matmul_f32_choose(void) { return choose("matmul_f32"); }
const ds__matmul *ds__matmul_bf16_choose(void) { return choose("matmul_bf16"); }
