/* Writing a model folder with a smaller vocabulary. */
#ifndef DS_PIPELINE_PRUNE_FOLDER_H
#define DS_PIPELINE_PRUNE_FOLDER_H

#include "deepseek/model.h"

/* See ds_model_prune. */
ds_status ds__model_prune(ds_context *context, const char *folder, const char *output, const ds_prune_options *options,
                          ds_prune_stats *stats, ds_error *error) DS_MUST_CHECK;

#endif
