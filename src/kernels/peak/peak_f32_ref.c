/* The multiply-add loop in plain C: what the compiler makes of it for the baseline (SSE2: a product and a sum). */
#include "kernels/peak/peak.h"

enum { CHAINS = 10, LANES = 4, STEPS = 16 };

static uint64_t run(uint64_t rounds) {
    float sums[CHAINS][LANES];
    for (int c = 0; c < CHAINS; c++)
        for (int l = 0; l < LANES; l++) sums[c][l] = (float)(c + l);
    float factor = 0.5f, term = 0.25f; /* everything converges to 0.5: no denormals, no overflow */
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : : "r"(sums), "r"(&factor), "r"(&term) : "memory"); /* nothing below is known in advance */
        for (int step = 0; step < STEPS; step++)
            for (int c = 0; c < CHAINS; c++)
                for (int l = 0; l < LANES; l++) sums[c][l] = sums[c][l] * factor + term;
    }
    __asm__ volatile("" : : "r"(sums) : "memory");
    return rounds * STEPS * CHAINS * LANES * 2;
}

const ds__peak_f32 ds__peak_f32_ref = {
    .kernel = DS_KERNEL_HEAD(peak, peak_f32, ref, "40 independent sums, as compiled for the baseline"),
    .run = run,
};
