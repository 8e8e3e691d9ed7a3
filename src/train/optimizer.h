/* One optimiser step over all trained parameters, shared out over the pool; and the schedule of the rate. */
#ifndef DS_TRAIN_OPTIMIZER_H
#define DS_TRAIN_OPTIMIZER_H

#include "base/pool.h"
#include "train/parameters.h"

/* What the step with this number (from 1) multiplies the learning rate by, as transformers' get_*_schedule_with_warmup.
 */
double ds__schedule_at(ds_schedule schedule, int64_t step, int64_t warmup, int64_t total);
/* The length of all gradients together; the same bits whatever the number of threads. */
double ds__gradient_norm(const ds__parameters *parameters, ds__pool *pool);
/* Updates weights and moments in place: gradients count times gradient_scale. step: from 1. */
void ds__optimizer_step(ds__parameters *parameters, ds__pool *pool, int64_t step, float rate, float gradient_scale);
/* What the graph's own `update` of a parameter needs for that: out: [DS__UPDATE_COLUMNS], as ops/ops.h has them. */
void ds__optimizer_settings(const ds__parameters *parameters, const ds__parameter *parameter, int64_t step, float rate,
                            float *out);
/* How many moments the options' optimiser keeps. */
int ds__optimizer_moments(const ds_trainer_options *options);

#endif
