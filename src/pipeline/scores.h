/* From a head's logits to scores. */
#ifndef DS_PIPELINE_SCORES_H
#define DS_PIPELINE_SCORES_H

#include "deepseek/model.h"

/* Of x / temperature; x, y: [n], and y may be x. */
void ds__softmax_scores(const float *x, size_t n, double temperature, float *y);
/* A text's scores as info.problem and info.temperature have them; logits, scores: [info->labels], may be the same. */
void ds__scores_of_logits(const ds_model_info *info, const float *logits, float *scores);

#endif
