/* What every kernel variant has in common, and the list of all of them.
 *
 * A family (gemm, attention, ...) has a header with its contract, a folder with one file a variant, and a list
 * <family>_variants.def whose rows DS_KERNEL(op, isa) stand in the order of preference.  A variant's file defines one
 * const structure ds__<op>_<isa> whose first member is a ds__kernel.  Kernels never allocate, log, keep state, or touch
 * memory outside the extent that the contract states; they do not know of graphs or threads. */
#ifndef DS_KERNELS_KERNELS_H
#define DS_KERNELS_KERNELS_H

#include <stddef.h>

#include "base/cpu.h"

typedef struct ds__kernel {
    const char *family; /* "gemm" */
    const char *op;     /* "gemm_f32": what it computes; variants of one op are interchangeable */
    const char *name;   /* "gemm_f32_avx512" */
    ds__isa isa;        /* what the machine must have */
    const char *about;  /* a few words for people: "tiles of 14x32, 512-bit registers" */
} ds__kernel;

/* Fills the head of a variant's structure; `op` and `isa` are bare words as in the .def row. */
#define DS_KERNEL_HEAD(family_, op_, isa_, about_)                                                                     \
    { .family = #family_, .op = #op_, .name = #op_ "_" #isa_, .isa = DS__ISA_##isa_, .about = about_ }

/* The first row that this machine and DS_ISA allow; the last row of every op is portable, so there always is one. */
const ds__kernel *ds__kernel_choose(const ds__kernel *const *rows, size_t count);
/* The same for a family of several ops. */
const ds__kernel *ds__kernel_choose_op(const ds__kernel *const *rows, size_t count, const char *op);

/* All variants of all families, op by op, in the order of preference. */
size_t ds__kernel_count(void);
const ds__kernel *ds__kernel_at(size_t index);
/* Whether it is the one used here; *why gets one sentence for people, a constant string. */
bool ds__kernel_is_used(const ds__kernel *kernel, const char **why);

#endif
