/* A trainer to a checkpoint and back, and to a model's folder; as in deepseek/train.h. */
#ifndef DS_TRAIN_TRAINER_CHECKPOINT_H
#define DS_TRAIN_TRAINER_CHECKPOINT_H

#include "train/trainer.h"

ds_status ds__trainer_save(ds_trainer *trainer, const char *path, const ds_save_options *options,
                           ds_error *error) DS_MUST_CHECK;
ds_status ds__trainer_save_checkpoint(ds_trainer *trainer, const char *path, const char *state,
                                      ds_error *error) DS_MUST_CHECK;
ds_status ds__trainer_load_checkpoint(ds_trainer *trainer, const char *path, const char **state,
                                      ds_error *error) DS_MUST_CHECK;

#endif
