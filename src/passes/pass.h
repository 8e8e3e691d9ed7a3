/* Graph rewrites: each a const structure in a file of its own and a row in passes.def.
 *
 * The driver verifies the graph before the first pass and after each one, so a pass that breaks something is named. Any
 * pass can be switched off by name and the result must stay the same but for rounding; the tests do that. */
#ifndef DS_PASSES_PASS_H
#define DS_PASSES_PASS_H

#include "ops/ops.h"

typedef struct ds__pass {
    const char *name, *about;
    ds_status (*run)(ds_graph *graph, ds_error *error);
} ds__pass;

size_t ds__pass_count(void);
ds__pass ds__pass_at(size_t index);

typedef struct ds__pass_options {
    const char *off;  /* comma-separated names, or "all"; NULL: none */
    const char *dump; /* comma-separated "after:NAME" and "before:NAME": logged at DS_LOG_INFO; NULL: none */
} ds__pass_options;

/* Verifies and rewrites. */
ds_status ds__passes_run(ds_graph *graph, const ds__pass_options *options, ds_error *error) DS_MUST_CHECK;

#define DS_PASS(name, about) ds_status ds__pass_##name(ds_graph *graph, ds_error *error);
#include "passes/passes.def"
#undef DS_PASS

/* For passes: out of memory as a status. */
ds_status ds__pass_out_of_memory(const ds_graph *graph, ds_error *error);
/* The node that makes `value`, if only one reader has it; -1 otherwise. */
int32_t ds__pass_sole_producer(const ds_graph *graph, int32_t value);
/* The same if it is a linear. */
int32_t ds__pass_sole_linear(const ds_graph *graph, int32_t value);
/* Moves the node at `from` to the place of the node at `to` (later in the graph), whose output it takes over. */
void ds__pass_absorb(ds_graph *graph, size_t from, size_t to);

#endif
