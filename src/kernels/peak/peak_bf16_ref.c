/* The limit in portable C, bfloat16 multiplied as floats. */
#include "kernels/peak/peak.h"
#include "kernels/peak/peak_ref.h"

const ds__peak ds__peak_bf16_ref = {
    .kernel = DS_KERNEL_HEAD(peak, peak_bf16, ref, "10 independent sums of 4 in portable C"),
    .run = ds__peak_run_ref,
};
