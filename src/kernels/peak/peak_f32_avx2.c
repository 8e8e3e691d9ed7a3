/* 12 independent chains of 256-bit multiply-adds: more than latency times units on the machines there are. */
#include <immintrin.h>

#include "kernels/peak/peak.h"

/* Named variables and not an array: they stay in registers whatever the compiler is asked to optimise. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define START(i) __m256 sum##i = _mm256_set1_ps(i);
#define STEP(i) sum##i = _mm256_fmadd_ps(sum##i, factor, term);
/* An empty statement that claims to change the register, so that its chain cannot be dropped. */
#define KEEP(i) __asm__ volatile("" : "+x"(sum##i));

enum { CHAINS = 12, LANES = 8, STEPS = 4 };

static uint64_t run(uint64_t rounds) {
    /* Every sum goes to 0.5: no denormals, no overflow. */
    const __m256 factor = _mm256_set1_ps(0.5f), term = _mm256_set1_ps(0.25f);
    EACH(START)
    for (uint64_t round = 0; round < rounds; round++) {
        EACH(STEP) EACH(STEP) EACH(STEP) EACH(STEP)
    }
    EACH(KEEP)
    return rounds * STEPS * CHAINS * LANES * 2;
}

const ds__peak ds__peak_f32_avx2 = {
    .kernel = DS_KERNEL_HEAD(peak, peak_f32, avx2, "12 independent 256-bit sums"),
    .run = run,
};
