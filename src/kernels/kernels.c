/* The list of all kernel variants, and the rule that chooses among them: the first that may be used.
 *
 * A new variant is a line in its family's .def; a new family is a header and a line in the list here. */
#include "kernels/kernels.h"

#include <string.h>

#include "kernels/attention/attention.h"
#include "kernels/attention_train/attention_train.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embed/embed.h"
#include "kernels/gemm/gemm.h"
#include "kernels/grad/grad.h"
#include "kernels/matmul/matmul.h"
#include "kernels/norm/norm.h"
#include "kernels/optim/optim.h"
#include "kernels/peak/peak.h"
#include "kernels/reduce/reduce.h"

typedef struct listed {
    const ds__kernel *kernel;
    const char *preferred; /* the sentence about those that stand behind this one */
} listed;

#define DS_KERNEL(op, isa)                                                                                             \
    {&ds__##op##_##isa.kernel, "not used: " #op "_" #isa " stands before it in the list and runs here"},
static const listed list[] = {
#include "kernels/attention/attention_variants.def"
#include "kernels/attention_train/attention_train_variants.def"
#include "kernels/elementwise/elementwise_variants.def"
#include "kernels/embed/embed_variants.def"
#include "kernels/gemm/gemm_variants.def"
#include "kernels/grad/grad_variants.def"
#include "kernels/matmul/matmul_variants.def"
#include "kernels/norm/norm_variants.def"
#include "kernels/optim/optim_variants.def"
#include "kernels/peak/peak_variants.def"
#include "kernels/reduce/reduce_variants.def"
};
#undef DS_KERNEL

/* By the instruction set that is missing, and by the cap that hides a variant. */
static const char *const lacking[] = {
#define LACKING(suffix, text) "not used: this CPU has no " text,
    DS__ISA_LIST(LACKING)
#undef LACKING
};

static const char *const hidden[] = {
#define HIDDEN(suffix, text) "not used: DS_ISA=" #suffix " hides it",
    DS__ISA_LIST(HIDDEN)
#undef HIDDEN
};

const ds__kernel *ds__kernel_choose(const ds__kernel *const *rows, size_t count) {
    for (size_t i = 0; i + 1 < count; i++)
        if (ds__cpu_allows(rows[i]->isa)) return rows[i];
    return rows[count - 1];
}

const ds__kernel *ds__kernel_choose_op(const ds__kernel *const *rows, size_t count, const char *op) {
    const ds__kernel *portable = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i]->op, op) != 0) continue;
        if (ds__cpu_allows(rows[i]->isa)) return rows[i];
        portable = rows[i];
    }
    return portable;
}

size_t ds__kernel_count(void) { return sizeof list / sizeof *list; }

const ds__kernel *ds__kernel_at(size_t index) { return list[index].kernel; }

/* The list's first usable variant of the same op. */
static const listed *used_instead_of(const ds__kernel *kernel) {
    for (size_t i = 0; i < ds__kernel_count(); i++)
        if (strcmp(list[i].kernel->op, kernel->op) == 0 && ds__cpu_allows(list[i].kernel->isa)) return &list[i];
    return NULL;
}

bool ds__kernel_is_used(const ds__kernel *kernel, const char **why) {
    const listed *used = used_instead_of(kernel);
    if (!ds__cpu_get()->has[kernel->isa]) {
        *why = lacking[kernel->isa];
    } else if (!ds__cpu_allows(kernel->isa)) {
        *why = hidden[ds__cpu_get()->cap];
    } else if (used && used->kernel != kernel) {
        *why = used->preferred;
    } else {
        *why = "used: the first in its list that this CPU and DS_ISA allow";
        return true;
    }
    return false;
}
