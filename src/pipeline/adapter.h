/* LoRA adapters (Hu et al. 2021) as PEFT stores them, merged into the weights that a folder is opened with. */
#ifndef DS_PIPELINE_ADAPTER_H
#define DS_PIPELINE_ADAPTER_H

#include "pipeline/folder.h"

/* weight[rows, cols] += scale * b[rows, rank] * a[rank, cols]. */
typedef struct ds__low_rank {
    size_t rows, cols, rank;
    double scale;
    const float *a, *b;
} ds__low_rank;
/* Sums are made in double; row: [cols], workspace. */
void ds__low_rank_add(const ds__low_rank *low, float *weight, double *row);

/* Reads adapter_config.json and adapter_model.safetensors in `path`.  Each pair of matrices is added to the weight of
 * its module, which becomes float32 in the folder's memory; modules that were saved whole (modules_to_save: heads)
 * take the place of the folder's, and a head of another size, or where the folder has none, changes its configuration:
 * its labels are LABEL_0, LABEL_1, ... then.  Refused by name: what is not plain LoRA on matrices, a rank or a shape
 * that does not fit, a tensor of a module that the model does not have.  The folder is to be closed whatever happens.
 */
ds_status ds__adapter_merge(ds__folder *folder, const char *path, ds_error *error) DS_MUST_CHECK;

#endif
