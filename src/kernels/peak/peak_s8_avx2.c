/* Independent chains of 8-bit products added in pairs, and in pairs again, with 256-bit registers. */
#include <immintrin.h>

#include "kernels/peak/peak.h"

/* Named variables and not an array: they stay in registers whatever the compiler is asked to optimise. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define START(i) __m256i sum##i = _mm256_setzero_si256();
#define STEP(i)                                                                                                        \
    {                                                                                                                  \
        HIDE(left)                                                                                                     \
        sum##i = _mm256_add_epi32(sum##i, _mm256_madd_epi16(_mm256_maddubs_epi16(left, right), ones));                 \
    }
/* The product must not be worked out once and for all: its operand claims to change. */
#define HIDE(x) __asm__ volatile("" : "+x"(x));
/* An empty statement that claims to change the register, so that its chain cannot be dropped. */
#define KEEP(i) __asm__ volatile("" : "+x"(sum##i));

enum { CHAINS = 8, PRODUCTS = 32, STEPS = 4 };

static uint64_t run(uint64_t rounds) {
    __m256i left = _mm256_set1_epi8(1);
    const __m256i right = left, ones = _mm256_set1_epi16(1);
    EACH(START)
    for (uint64_t round = 0; round < rounds; round++) {
        EACH(STEP) EACH(STEP) EACH(STEP) EACH(STEP)
    }
    EACH(KEEP)
    return rounds * STEPS * CHAINS * PRODUCTS * 2;
}

const ds__peak ds__peak_s8_avx2 = {
    .kernel = DS_KERNEL_HEAD(peak, peak_s8, avx2, "8 independent sums of 8-bit products in pairs, 256 bits"),
    .run = run,
};
