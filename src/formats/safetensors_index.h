/* The weights of a model folder: one model.safetensors, or shards named by model.safetensors.index.json. */
#ifndef DS_FORMATS_SAFETENSORS_INDEX_H
#define DS_FORMATS_SAFETENSORS_INDEX_H

#include "formats/safetensors.h"

typedef struct ds__weights ds__weights;

/* Refuses by name what is there instead (pytorch_model.bin), and an index that names files outside of the folder. */
ds_status ds__weights_open(ds__heap *heap, const char *folder, ds__weights **out, ds_error *error) DS_MUST_CHECK;
void ds__weights_close(ds__weights *weights); /* NULL is allowed */

/* Tensors of all shards. at: shard by shard; find: NULL when there is none; *index (may be NULL) gets its number. */
size_t ds__weights_count(const ds__weights *weights);
const ds__safetensor *ds__weights_at(const ds__weights *weights, size_t index);
const ds__safetensor *ds__weights_find(const ds__weights *weights, ds__str name, size_t *index);
/* A tensor that is in none of the files: in place of the one of its name, else behind all others. What it points to
 * must outlive the weights. */
ds_status ds__weights_put(ds__weights *weights, const ds__safetensor *tensor, ds_error *error) DS_MUST_CHECK;
size_t ds__weights_shards(const ds__weights *weights);
const ds__file_map *ds__weights_map(const ds__weights *weights, size_t shard);
/* The one file, or the index: what a message about a missing tensor names. */
const char *ds__weights_path(const ds__weights *weights);

#endif
