/* The CPU record: what this machine can do and how large its caches are.  Read once, constant afterwards. */
#ifndef DS_BASE_CPU_H
#define DS_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The instruction sets that kernels are written for, in the order DS_ISA caps them: a cap hides every later one.
 * X(suffix, text): `suffix` is a kernel file's ending. */
#define DS__ISA_LIST(X)                                                                                                \
    X(ref, "portable C")                                                                                               \
    X(avx2, "AVX2, FMA and F16C")                                                                                      \
    X(avx512, "AVX-512 F, BW, DQ and VL")                                                                              \
    X(avx512vnni, "AVX-512 and VNNI")                                                                                  \
    X(avx512bf16, "AVX-512, VNNI and BF16")

typedef enum ds__isa {
#define DS__ISA_ENUM(suffix, text) DS__ISA_##suffix,
    DS__ISA_LIST(DS__ISA_ENUM)
#undef DS__ISA_ENUM
        DS__ISA_COUNT
} ds__isa;

typedef struct ds__cpu {
    bool has[DS__ISA_COUNT];              /* the CPU and the operating system support it */
    ds__isa cap;                          /* the highest that DS_ISA allows; the last one when unset */
    size_t l1d_bytes, l2_bytes, l3_bytes; /* of one core for L1 and L2; 0: unknown */
    char name[64];                        /* the brand string */
} ds__cpu;

const ds__cpu *ds__cpu_get(void);
/* Usable here: supported and not above the cap. */
bool ds__cpu_allows(ds__isa isa);
const char *ds__isa_name(ds__isa isa); /* "avx512" */
const char *ds__isa_text(ds__isa isa); /* "AVX-512 F, BW, DQ and VL" */
/* How many threads the affinity mask and the cgroup's quota (v1 or v2, rounded up) allow; at least 1. */
int ds__cpu_count_allowed(void);

#endif
