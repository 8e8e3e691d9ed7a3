/* Inspection goes as far as the folder allows and keeps the sentence of each thing that failed. */
#include "pipeline/inspect.h"

#include "base/error.h"

void ds__inspection_destroy(ds_inspection *inspection) {
    if (!inspection) return;
    ds__heap *heap = &inspection->context->heap;
    ds__model_close(inspection->model);
    ds__free(heap, inspection->used, inspection->tensors * sizeof *inspection->used);
    if (inspection->has_folder)
        ds__folder_close(&inspection->folder);
    else
        ds__weights_close(inspection->weights);
    ds__free(heap, inspection, sizeof *inspection);
}

/* Notes a failure that is the folder's; memory running out is the caller's and returned. */
static ds_status note(ds_inspection *inspection, ds_status status, const ds_error *problem, ds_error *error) {
    if (status == DS_OK) return DS_OK;
    if (status == DS_OUT_OF_MEMORY) return ds__fail(error, status, "%s", problem->message);
    for (size_t i = 0; i < inspection->problem_count; i++)
        if (strcmp(inspection->problems[i].message, problem->message) == 0) return DS_OK;
    if (inspection->problem_count < DS__MAX_PROBLEMS) inspection->problems[inspection->problem_count++] = *problem;
    return DS_OK;
}

/* Builds one graph only to see which tensors it takes. */
static ds_status mark_used(ds_inspection *inspection, ds_output output, ds_error *error) {
    ds_graph *graph;
    ds_error problem;
    DS_TRY(ds__graph_create(inspection->context, &graph, error));
    ds__graph_wish wish = {
        .output = output, .pooling = inspection->folder.pooling, .normalize = inspection->folder.normalize};
    ds_status status = ds__folder_build_graph(&inspection->folder, &wish, graph, inspection->used, &problem);
    ds__graph_destroy(graph);
    return note(inspection, status, &problem, error);
}

static ds_status look(ds_inspection *inspection, const char *path, const ds__backend *const *backends,
                      size_t backend_count, ds_error *error) {
    ds__heap *heap = &inspection->context->heap;
    ds_error problem;
    ds_status status = ds__folder_open(heap, path, NULL, &inspection->folder, &problem);
    inspection->has_folder = status == DS_OK;
    DS_TRY(note(inspection, status, &problem, error));
    if (inspection->has_folder)
        inspection->weights = inspection->folder.weights;
    else
        DS_TRY(note(inspection, ds__weights_open(heap, path, &inspection->weights, &problem), &problem, error));
    if (!inspection->weights) return DS_OK;
    inspection->tensors = ds__weights_count(inspection->weights);
    inspection->used = ds__alloc_zeroed(heap, inspection->tensors * sizeof *inspection->used);
    if (!inspection->used) return ds__alloc_failed(heap, inspection->tensors, "an inspection", error);
    if (!inspection->has_folder) return DS_OK;
    DS_TRY(mark_used(inspection, DS_OUTPUT_EMBEDDING, error));
    if (inspection->folder.config.head != DS_HEAD_NONE) DS_TRY(mark_used(inspection, DS_OUTPUT_LOGITS, error));
    ds_model_options options = {0};
    status = ds__model_open(inspection->context, path, &options, backends, backend_count, &inspection->model, &problem);
    if (status != DS_OK) inspection->model = NULL;
    return note(inspection, status, &problem, error);
}

ds_status ds__inspect(ds_context *context, const char *path, const ds__backend *const *backends, size_t backend_count,
                      ds_inspection **out, ds_error *error) {
    if (!ds__folder_exists(path)) return ds__fail(error, DS_NOT_FOUND, "%s: there is no such folder", path);
    ds_inspection *inspection = ds__alloc_zeroed(&context->heap, sizeof *inspection);
    if (!inspection) return ds__alloc_failed(&context->heap, sizeof *inspection, "an inspection", error);
    inspection->context = context;
    ds_status status = look(inspection, path, backends, backend_count, error);
    if (status != DS_OK) {
        ds__inspection_destroy(inspection);
        return status;
    }
    *out = inspection;
    return DS_OK;
}
