/* The choice among the products' variants, op by op, and the size of a packed weight. */
#include "kernels/gemm/gemm.h"

#include <string.h>

#include "base/alloc.h"

static const ds__kernel *const rows[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa.kernel,
#include "kernels/gemm/gemm_variants.def"
#undef DS_KERNEL
};

static const ds__gemm *choose(const char *op) {
    return (const ds__gemm *)ds__kernel_choose_op(rows, sizeof rows / sizeof *rows, op);
}

const ds__gemm *ds__gemm_f32_choose(void) { return choose("gemm_f32"); }
const ds__gemm *ds__gemm_bf16_choose(void) { return choose("gemm_bf16"); }
const ds__gemm *ds__gemm_s8_choose(void) { return choose("gemm_s8"); }

bool ds__gemm_packed_bytes(const ds__gemm *gemm, size_t n, size_t k, size_t *bytes) {
    size_t panel;
    return gemm->panel_bytes(k, &panel) && ds__size_mul(n / gemm->nr + (n % gemm->nr != 0), panel, bytes);
}

void ds__gemm_start(const ds__gemm *gemm, size_t n, size_t k, void *packed) {
    const size_t panels = n / gemm->nr + (n % gemm->nr != 0);
    size_t panel, trailer;
    if (!gemm->panel_bytes(k, &panel)) return;
    if (k % 4 != 0) { /* a word holds inputs that do not exist */
        memset(packed, 0, panels * panel);
        return;
    }
    if (n % gemm->nr != 0) memset((char *)packed + (panels - 1) * panel, 0, panel); /* outputs that do not exist */
    if (!gemm->pack_codes || !gemm->panel_bytes(0, &trailer)) return;
    for (size_t i = 0; i < panels; i++) memset((char *)packed + (i + 1) * panel - trailer, 0, trailer); /* sums */
}
