/* What can be asked about models: metadata, statistics, the index. Copies are made in the caller's arena. */
#include "serve/service_internal.h"

static ds__serve_code no_memory(ds_error *error) {
    return ds__refuse(error, DS__SERVE_QUEUE_FULL, "no memory is left for the answer; wait a moment");
}

static bool copy_class_labels(const ds__instance *instance, ds__arena *arena, ds__serve_description *out) {
    size_t count = (size_t)instance->info.labels;
    const char **labels = ds__arena_alloc(arena, count * sizeof *labels);
    for (size_t i = 0; labels && i < count; i++) {
        labels[i] = ds__arena_copy(arena, ds__str_of(ds_model_label(instance->engine, (int32_t)i))).data;
        if (!labels[i]) return false;
    }
    out->class_labels = labels;
    return labels != NULL;
}

static bool copy_versions(const ds__served_model *model, ds__arena *arena, ds__serve_description *out) {
    size_t count = 0;
    for (const ds__instance *i = model->instances; i; i = i->next) count++;
    int64_t *versions = ds__arena_alloc(arena, count * sizeof *versions);
    ds__serve_label *labels = ds__arena_alloc(arena, model->label_count * sizeof *labels);
    if (!versions || !labels) return false;
    out->versions = versions;
    out->labels = labels;
    for (const ds__instance *i = model->instances; i; i = i->next) versions[out->version_count++] = i->version;
    for (size_t i = 0; i < model->label_count; i++) {
        labels[i] = (ds__serve_label){ds__arena_copy(arena, model->labels[i].name), model->labels[i].version};
        if (!labels[i].name.data) return false;
        out->label_count++;
    }
    return true;
}

static bool describe(const ds__instance *instance, ds__arena *arena, ds__serve_description *out) {
    bool is_model = instance->kind != DS__INSTANCE_IDENTITY;
    *out = (ds__serve_description){.name = ds__arena_copy(arena, instance->model->name),
                                   .platform = is_model ? "deepseek" : "identity",
                                   .version = instance->version,
                                   .max_tokens = instance->max_tokens[ds__instance_pass(instance)],
                                   .batch_tokens = instance->batch_tokens};
    ds__instance_specs(instance, arena, out);
    if (!out->name.data || !out->output_count || !copy_versions(instance->model, arena, out)) return false;
    if (!is_model) return true;
    ds_model_info *info = ds__arena_alloc(arena, sizeof *info);
    if (!info) return false;
    *info = instance->info;
    out->info = info;
    return instance->kind != DS__INSTANCE_CLASSIFY || copy_class_labels(instance, arena, out);
}

ds__serve_code ds__serve_describe(ds__service *service, ds__str model, ds__str version, ds__arena *arena,
                                  ds__serve_description *out, ds_error *error) {
    ds__instance *instance;
    pthread_mutex_lock(&service->lock);
    ds__serve_code code = ds__service_resolve(service, model, version, &instance, error);
    bool copied = code != DS__SERVE_OK || describe(instance, arena, out);
    pthread_mutex_unlock(&service->lock);
    return copied ? code : no_memory(error);
}

static ds__serve_statistics statistics_of(const ds__instance *instance, ds__str name) {
    const ds__instance_metrics *m = &instance->metrics;
    ds__serve_statistics s = {.name = name,
                              .version = instance->version,
                              .last_inference_ms = m->last_inference_ms,
                              .inference_count = m->rows,
                              .execution_count = m->executions,
                              .tokens = m->tokens,
                              .success = m->success,
                              .fail = m->fail,
                              .queue = m->queue,
                              .compute_input = m->compute_input,
                              .compute_infer = m->compute_infer,
                              .compute_output = m->compute_output};
    memcpy(s.batches, m->batches, sizeof s.batches);
    return s;
}

ds__serve_code ds__serve_get_statistics(ds__service *service, ds__str model, ds__str version, ds__arena *arena,
                                        ds__serve_statistics **out, size_t *count, ds_error *error) {
    ds__instance *only = NULL;
    ds__serve_code code = DS__SERVE_OK;
    size_t most = 0;
    *count = 0;
    pthread_mutex_lock(&service->lock);
    if (model.size) code = ds__service_resolve(service, model, version, &only, error);
    for (const ds__served_model *m = service->models; m; m = m->next)
        for (const ds__instance *i = m->instances; i; i = i->next) most++;
    *out = ds__arena_alloc(arena, most * sizeof **out);
    for (const ds__served_model *m = service->models; code == DS__SERVE_OK && *out && m; m = m->next)
        for (const ds__instance *i = m->instances; i; i = i->next)
            if (!only || i == only || (m == only->model && !version.size)) {
                (*out)[*count] = statistics_of(i, ds__arena_copy(arena, m->name));
                *count += (*out)[*count].name.data != NULL;
            }
    pthread_mutex_unlock(&service->lock);
    return code == DS__SERVE_OK && !*out ? no_memory(error) : code;
}

static const char *state_name(ds__load_state state) {
    return state == DS__LOAD_WAITING ? "LOADING" : state == DS__LOAD_UNLOADING ? "UNLOADING" : "UNAVAILABLE";
}

ds__serve_code ds__serve_index(ds__service *service, bool ready, ds__arena *arena, ds__serve_index_entry **out,
                               size_t *count, ds_error *error) {
    size_t most = 0;
    *count = 0;
    pthread_mutex_lock(&service->lock);
    for (const ds__served_model *m = service->models; m; m = m->next, most++)
        for (const ds__instance *i = m->instances; i; i = i->next) most++;
    ds__serve_index_entry *entries = *out = ds__arena_alloc(arena, most * sizeof *entries);
    for (const ds__served_model *m = service->models; entries && m; m = m->next) {
        ds__str name = ds__arena_copy(arena, m->name);
        for (const ds__instance *i = m->instances; i; i = i->next)
            entries[(*count)++] = (ds__serve_index_entry){name, i->version, "READY", {"", 0}};
        bool is_said = m->state == DS__LOAD_READY || (m->state == DS__LOAD_NEVER && m->instances);
        if (ready || is_said) continue;
        ds__str reason = m->state == DS__LOAD_FAILED ? ds__str_of(m->reason) : DS_STR("");
        if (m->state == DS__LOAD_NEVER) reason = DS_STR("not loaded");
        entries[(*count)++] =
            (ds__serve_index_entry){name, m->state_version, state_name(m->state), ds__arena_copy(arena, reason)};
    }
    pthread_mutex_unlock(&service->lock);
    return entries ? DS__SERVE_OK : no_memory(error);
}
