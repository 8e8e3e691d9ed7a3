/* The list of operators. */
#include "ops/ops.h"

static const ds__op_entry entries[] = {
#define DS_OP(name, about) {&ds__op_##name, about},
#include "ops/ops.def"
#undef DS_OP
};

size_t ds__op_count(void) { return sizeof entries / sizeof *entries; }
ds__op_entry ds__op_at(size_t index) { return entries[index]; }
