/* Public functions on inspections. */
#include "deepseek/inspect.h"

#include "backends/backends.h"
#include "base/error.h"
#include "pipeline/inspect.h"

ds_status ds_inspect(ds_context *context, const char *folder, ds_inspection **out, ds_error *error) {
    *out = NULL;
    return ds__inspect(context, folder, ds__backends, DS__BACKEND_COUNT, out, error);
}

void ds_inspection_destroy(ds_inspection *inspection) { ds__inspection_destroy(inspection); }

const ds_model_info *ds_inspection_info(const ds_inspection *inspection) {
    return inspection->model ? &inspection->model->info : inspection->has_folder ? &inspection->folder.info : NULL;
}

size_t ds_inspection_problems(const ds_inspection *inspection) { return inspection->problem_count; }

const char *ds_inspection_problem(const ds_inspection *inspection, size_t index) {
    return index < inspection->problem_count ? inspection->problems[index].message : NULL;
}

size_t ds_inspection_tensors(const ds_inspection *inspection) { return inspection->tensors; }

ds_tensor_info ds_inspection_tensor(const ds_inspection *inspection, size_t index) {
    const ds__safetensor *tensor = ds__weights_at(inspection->weights, index);
    return (ds_tensor_info){.name = tensor->name.data,
                            .dtype = tensor->dtype_name.data,
                            .rank = tensor->rank,
                            .shape = tensor->shape,
                            .bytes = tensor->bytes,
                            .used = inspection->used[index]};
}

ds_status ds_inspection_plan(const ds_inspection *inspection, size_t tokens, size_t texts, ds_memory_plan *plan,
                             ds_error *error) {
    if (!inspection->model)
        return ds__fail(error, DS_UNSUPPORTED, "the folder cannot be opened: %s",
                        inspection->problem_count ? inspection->problems[0].message : "no reason was noted");
    return ds__model_plan(inspection->model, tokens, texts, plan, error);
}
