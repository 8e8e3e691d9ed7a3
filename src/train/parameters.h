/* The tensors of a model in training: float32 masters in memory of the trainer's, their gradients, and what the
 * optimiser keeps for each. */
#ifndef DS_TRAIN_PARAMETERS_H
#define DS_TRAIN_PARAMETERS_H

#include "deepseek/train.h"
#include "pipeline/folder.h"

typedef struct ds__parameter {
    const char *name; /* it is saved by */
    int rank;
    int64_t shape[DS_MAX_RANK];
    size_t elements;
    float *data, *gradient;       /* gradient: NULL until there is one */
    float *first, *second;        /* moments; NULL until the first step, and where the optimiser has none */
    const ds__safetensor *stored; /* in the folder that training began with; NULL: it is new */
    bool trained, decays;         /* decays: neither a bias nor a norm */
    float rate;                   /* times the step's rate */
} ds__parameter;

typedef struct ds__parameters {
    ds__heap *heap;
    ds__arena arena; /* names */
    const ds__folder *folder;
    const ds_trainer_options *options;
    ds__parameter *items;
    size_t count, capacity;
    uint64_t bytes; /* of data */
} ds__parameters;

/* Both are borrowed. */
void ds__parameters_init(ds__parameters *parameters, const ds__folder *folder, const ds_trainer_options *options,
                         ds__heap *heap);
void ds__parameters_deinit(ds__parameters *parameters);
/* For ds__training_wish: the memory of `name`, read from the folder or drawn when it is asked for first. */
float *ds__parameters_get(void *parameters, const char *name, const ds__safetensor *stored, int rank,
                          const int64_t *shape, ds_error *error);
/* For ds__training_wish: adapters as the options say. */
int32_t ds__parameters_adapter(void *parameters, const char *name, float *scale);
/* NULL: there is none of that name. */
ds__parameter *ds__parameters_find(const ds__parameters *parameters, const char *name);
/* Makes gradients, and moments when they are asked for, of everything that is trained. */
ds_status ds__parameters_reserve(ds__parameters *parameters, bool gradients, int moments,
                                 ds_error *error) DS_MUST_CHECK;
/* Each trained parameter becomes (1 - share) of itself and `share` of what is stored, but for heads and what is new.
 * Gradients are overwritten. */
ds_status ds__parameters_interpolate(ds__parameters *parameters, float share, ds_error *error) DS_MUST_CHECK;
/* Elements of those that are trained. */
int64_t ds__parameters_trained(const ds__parameters *parameters);

#endif
