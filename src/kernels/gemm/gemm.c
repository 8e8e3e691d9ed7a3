/* The choice among the products' variants, and the size of a packed weight. */
#include "kernels/gemm/gemm.h"

#include "base/alloc.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/gemm/gemm_variants.def"
#undef DS_KERNEL
};

const ds__gemm_f32 *ds__gemm_f32_choose(void) {
    return (const ds__gemm_f32 *)ds__kernel_choose(rows, sizeof rows / sizeof *rows);
}

bool ds__gemm_f32_packed_size(const ds__gemm_f32 *gemm, size_t n, size_t k, size_t *elements) {
    size_t padded, bytes;
    if (!ds__size_add(n, gemm->nr - 1, &padded)) return false;
    padded -= padded % gemm->nr;
    return ds__size_mul(padded, k, elements) && ds__size_mul(*elements, sizeof(float), &bytes);
}
