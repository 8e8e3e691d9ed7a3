/* Writing a model folder with its layers and tables in int8. */
#ifndef DS_PIPELINE_QUANTIZE_FOLDER_H
#define DS_PIPELINE_QUANTIZE_FOLDER_H

#include "deepseek/model.h"

/* See ds_model_quantize. */
ds_status ds__model_quantize(ds_context *context, const char *folder, const char *output,
                             const ds_quantize_options *options, ds_quantize_stats *stats,
                             ds_error *error) DS_MUST_CHECK;

#endif
