/* Public functions of training. */
#include "backends/backends.h"
#include "base/error.h"
#include "train/calibrate.h"
#include "train/fit.h"
#include "train/metrics.h"
#include "train/trainer_checkpoint.h"

ds_status ds_trainer_create(ds_context *context, const char *folder, const ds_trainer_options *options,
                            ds_trainer **out, ds_error *error) {
    *out = NULL;
    return ds__trainer_create(context, folder, options, ds__backends, DS__BACKEND_COUNT, out, error);
}

void ds_trainer_destroy(ds_trainer *trainer) { ds__trainer_destroy(trainer); }
const ds_trainer_info *ds_trainer_describe(const ds_trainer *trainer) { return &trainer->info; }
const ds_tokenizer *ds_trainer_tokenizer(const ds_trainer *trainer) { return trainer->tokenizer; }

const char *ds_trainer_label(const ds_trainer *trainer, int32_t label) {
    const ds__model_config *config = &trainer->folder.config;
    return label >= 0 && label < config->labels ? config->label_names[label] : NULL;
}

ds_status ds_trainer_step(ds_trainer *trainer, const ds_train_batch *batch, ds_train_step *step, ds_error *error) {
    return ds__trainer_step(trainer, batch, step, error);
}

ds_status ds_trainer_evaluate(ds_trainer *trainer, const ds_train_batch *batch, float *out, double *loss,
                              ds_error *error) {
    return ds__trainer_evaluate(trainer, batch, out, loss, error);
}

size_t ds_trainer_tensor_count(const ds_trainer *trainer) { return trainer->parameters.count; }

ds_status ds_trainer_tensor(ds_trainer *trainer, size_t index, ds_train_tensor *out, ds_error *error) {
    if (index >= trainer->parameters.count)
        return ds__fail(error, DS_INVALID_ARGUMENT, "tensor %zu of %zu", index, trainer->parameters.count);
    const ds__parameter *p = &trainer->parameters.items[index];
    *out = (ds_train_tensor){.name = p->name, .rank = p->rank, .data = p->data, .gradient = p->gradient};
    memcpy(out->shape, p->shape, sizeof out->shape);
    return DS_OK;
}

ds_status ds_trainer_save(ds_trainer *trainer, const char *folder, const ds_save_options *options, ds_error *error) {
    return ds__trainer_save(trainer, folder, options, error);
}

ds_status ds_trainer_save_checkpoint(ds_trainer *trainer, const char *folder, const char *state, ds_error *error) {
    return ds__trainer_save_checkpoint(trainer, folder, state, error);
}

ds_status ds_trainer_load_checkpoint(ds_trainer *trainer, const char *folder, const char **state, ds_error *error) {
    return ds__trainer_load_checkpoint(trainer, folder, state, error);
}

ds_status ds_metrics_labels(ds_context *context, const int32_t *predicted, const int32_t *expected, size_t count,
                            int32_t labels, ds_metrics *out, ds_error *error) {
    return ds__metrics_labels(&context->heap, predicted, expected, count, labels, out, error);
}

ds_status ds_metrics_multilabel(ds_context *context, const float *predicted, const float *expected, size_t count,
                                int32_t labels, ds_metrics *out, ds_error *error) {
    return ds__metrics_multilabel(&context->heap, predicted, expected, count, labels, out, error);
}

ds_status ds_metrics_values(ds_context *context, const float *predicted, const float *expected, size_t count,
                            ds_metrics *out, ds_error *error) {
    return ds__metrics_values(&context->heap, predicted, expected, count, out, error);
}

ds_status ds_fit(ds_context *context, const char *folder, const ds_trainer_options *how, const ds_fit_options *options,
                 ds_fit_result *result, ds_error *error) {
    const ds__fit_subject subject = {context, folder, ds__backends, DS__BACKEND_COUNT};
    return ds__fit(&subject, how, options, result, error);
}

ds_status ds_evaluate(ds_session *session, const ds_evaluate_options *options, ds_metrics *out, ds_error *error) {
    return ds__evaluate(session, options, out, error);
}

ds_status ds_calibrate(ds_session *session, const ds_calibrate_options *options, ds_calibration *out, ds_error *error) {
    return ds__calibrate(session, options, out, error);
}
