/* Looking at a model folder without running it: also at one that cannot be run, with the reasons. */
#ifndef DEEPSEEK_INSPECT_H
#define DEEPSEEK_INSPECT_H

#include "deepseek/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ds_inspection ds_inspection;

typedef struct ds_tensor_info {
    const char *name;
    const char *dtype; /* as stored: "F32" */
    int rank;
    const int64_t *shape;
    uint64_t bytes;
    bool used; /* by the graphs of this architecture */
} ds_tensor_info;

/* Fails only when there is nothing to look at (no folder, no memory); what is wrong inside is found in the problems. */
DS_API DS_MUST_CHECK ds_status ds_inspect(ds_context *context, const char *folder, ds_inspection **out,
                                          ds_error *error);
DS_API void ds_inspection_destroy(ds_inspection *inspection);

/* NULL when config.json cannot be understood. */
DS_API const ds_model_info *ds_inspection_info(const ds_inspection *inspection);
/* Whether the folder can be opened, and if not (or not for everything) why: one sentence each. */
DS_API size_t ds_inspection_problems(const ds_inspection *inspection);
DS_API const char *ds_inspection_problem(const ds_inspection *inspection, size_t index);
DS_API size_t ds_inspection_tensors(const ds_inspection *inspection);
DS_API ds_tensor_info ds_inspection_tensor(const ds_inspection *inspection, size_t index);
/* DS_UNSUPPORTED when the folder cannot be opened. */
DS_API DS_MUST_CHECK ds_status ds_inspection_plan(const ds_inspection *inspection, size_t tokens, size_t texts,
                                                  ds_memory_plan *plan, ds_error *error);

#ifdef __cplusplus
}
#endif
#endif
