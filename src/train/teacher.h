/* Learning from another model: its probabilities or vectors are what a batch is to give. */
#ifndef DS_TRAIN_TEACHER_H
#define DS_TRAIN_TEACHER_H

#include "train/fit.h"

typedef struct ds__teacher ds__teacher;

/* folder: a model with the same labels (classification; the order may differ), or with vectors of the same length
 * (embedding); its tokenizer may be another one. */
ds_status ds__teacher_open(const char *folder, const ds_trainer *student, ds__teacher **out,
                           ds_error *error) DS_MUST_CHECK;
void ds__teacher_close(ds__teacher *teacher); /* NULL is allowed */
/* Sets the batch's targets out of its kept texts. */
ds_status ds__teacher_fill(ds__teacher *teacher, ds__fit_batch *batch, ds_error *error) DS_MUST_CHECK;

#endif
