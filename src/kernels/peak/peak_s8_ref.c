/* The limit in portable C: products of small integers, in 16 bits on the machines there are. */
#include "kernels/peak/peak.h"

enum { CHAINS = 10, LANES = 8, STEPS = 4 };

typedef int16_t lanes __attribute__((vector_size(LANES * sizeof(int16_t))));

/* Named variables and not an array: they stay in registers whatever the compiler is asked to optimise. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#define START(i) lanes sum##i = {i, i, i, i, i, i, i, i};
#define STEP(i) sum##i = sum##i * factor + term;
#define STORE(i) sums[i] = sum##i;

static uint64_t run(uint64_t rounds) {
    const lanes factor = {0, 1, 0, 1, 0, 1, 0, 1}, term = {1, 0, 1, 0, 1, 0, 1, 0};
    lanes sums[CHAINS];
    EACH(START)
    for (uint64_t round = 0; round < rounds; round++) {
        EACH(STEP) EACH(STEP) EACH(STEP) EACH(STEP)
    }
    EACH(STORE)
    /* An empty statement that claims to read them, so that no chain can be dropped. */
    __asm__ volatile("" : : "r"(sums) : "memory");
    return rounds * STEPS * CHAINS * LANES * 2;
}

const ds__peak ds__peak_s8_ref = {
    .kernel = DS_KERNEL_HEAD(peak, peak_s8, ref, "10 independent sums of 8 products in 16 bits, portable C"),
    .run = run,
};
