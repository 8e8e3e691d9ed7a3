/* Looking at a folder: what it is, which tensors it has, which of them a graph uses, and why it cannot be run. */
#ifndef DS_PIPELINE_INSPECT_H
#define DS_PIPELINE_INSPECT_H

#include "deepseek/inspect.h"
#include "pipeline/model.h"

enum { DS__MAX_PROBLEMS = 8 };

struct ds_inspection {
    ds_context *context;
    bool has_folder; /* the configuration and the weights could be read */
    ds__folder folder;
    ds__weights *weights; /* the folder's, or opened alone when the folder is not understood; NULL: none */
    bool *used;           /* [tensors] */
    size_t tensors;
    ds_model *model; /* NULL: cannot be opened */
    ds_error problems[DS__MAX_PROBLEMS];
    size_t problem_count;
};

ds_status ds__inspect(ds_context *context, const char *path, const ds__backend *const *backends, size_t backend_count,
                      ds_inspection **out, ds_error *error) DS_MUST_CHECK;
void ds__inspection_destroy(ds_inspection *inspection);

#endif
