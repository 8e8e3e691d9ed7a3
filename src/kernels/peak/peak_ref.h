/* The multiply-add loop in portable C: a product and a sum, unless the baseline has both in one.  bfloat16 without
 * instructions for it is multiplied as floats, so its limit is the same. */
#ifndef DS_KERNELS_PEAK_REF_H
#define DS_KERNELS_PEAK_REF_H

#include <stdint.h>

enum { CHAINS = 10, LANES = 4, STEPS = 4 };

/* The compilers' own vector type: four floats are a register on every machine that has any. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* Named variables and not an array: they stay in registers whatever the compiler is asked to optimise. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#define START(i) lanes sum##i = {i, i, i, i};
#define STEP(i) sum##i = sum##i * factor + term;
#define STORE(i) sums[i] = sum##i;

static inline uint64_t ds__peak_run_ref(uint64_t rounds) {
    /* Every sum goes to 0.5: no denormals, no overflow. */
    const lanes factor = {0.5f, 0.5f, 0.5f, 0.5f}, term = {0.25f, 0.25f, 0.25f, 0.25f};
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

#endif
