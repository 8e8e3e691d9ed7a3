/* The limit in portable C. */
#include "kernels/peak/peak.h"
#include "kernels/peak/peak_ref.h"

const ds__peak ds__peak_f32_ref = {
    .kernel = DS_KERNEL_HEAD(peak, peak_f32, ref, "10 independent sums of 4 in portable C"),
    .run = ds__peak_run_ref,
};
