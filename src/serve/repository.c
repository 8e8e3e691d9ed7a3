/* Models, their versions and labels, and the thread that loads them.
 *
 * A version that is taken out of a model's list stays alive until the last request that was given to it is released;
 * the loader closes it then.  So a load, an unload or a rollback never touches a request under way. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "serve/service_internal.h"

/* ---- finding, under the lock ---- */

static ds__served_model *find_model(const ds__service *service, ds__str name) {
    ds__served_model *model = service->models;
    while (model && !ds__str_equal(model->name, name)) model = model->next;
    return model;
}

static ds__instance *instance_of(const ds__served_model *model, int64_t version) {
    ds__instance *instance = model->instances;
    while (instance && instance->version != version) instance = instance->next;
    return instance;
}

/* A version's number, 1 to 2^62; 0: the text is none. */
static int64_t parse_version(ds__str text) {
    int64_t number = 0;
    if (!text.size || text.size > 18) return 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return 0;
        number = 10 * number + (text.data[i] - '0');
    }
    return number;
}

static ds__serve_code not_loaded(const ds__served_model *model, ds__str version, ds_error *error) {
    bool is_starting = model->wanted && !model->settled; /* a label may still come */
    if (model->instances && !is_starting)
        return ds__refuse(error, DS__SERVE_NOT_FOUND, "the model \"%.*s\" has no version or label \"%.*s\" loaded",
                          DS_STR_ARG(model->name), DS_STR_ARG(version));
    if (model->state == DS__LOAD_WAITING || is_starting)
        return ds__refuse(error, DS__SERVE_UNAVAILABLE, "the model \"%.*s\" is being loaded; ask again in a moment",
                          DS_STR_ARG(model->name));
    return ds__refuse(error, DS__SERVE_UNAVAILABLE, "the model \"%.*s\" is not loaded%s%s", DS_STR_ARG(model->name),
                      model->state == DS__LOAD_FAILED ? ": " : "",
                      model->state == DS__LOAD_FAILED ? model->reason : "");
}

ds__serve_code ds__service_resolve(const ds__service *service, ds__str name, ds__str version, ds__instance **out,
                                   ds_error *error) {
    const ds__served_model *model = find_model(service, name);
    if (!model) return ds__refuse(error, DS__SERVE_NOT_FOUND, "there is no model \"%.*s\" here", DS_STR_ARG(name));
    int64_t number = version.size ? parse_version(version) : model->current;
    for (size_t i = 0; !number && i < model->label_count; i++)
        if (ds__str_equal(model->labels[i].name, version)) number = model->labels[i].version;
    *out = number ? instance_of(model, number) : NULL;
    return *out ? DS__SERVE_OK : not_loaded(model, version, error);
}

void ds__instance_unref(ds__service *service, ds__instance *instance) {
    if (--instance->refs) return;
    ds__instance **at = &service->live;
    while (*at && *at != instance) at = &(*at)->next_live;
    if (*at) *at = instance->next_live;
    if (service->turn == instance) service->turn = NULL;
    instance->next = service->retired;
    service->retired = instance;
    pthread_cond_signal(&service->tasks);
}

/* ---- what there is ---- */

static bool good_name(ds__str name, size_t most) {
    if (!name.size || name.size > most || name.data[0] == '.') return false;
    for (size_t i = 0; i < name.size; i++)
        if (!isascii((unsigned char)name.data[i]) ||
            (!isalnum((unsigned char)name.data[i]) && !strchr("._-", name.data[i])))
            return false;
    return true;
}

/* Adds a name, in its place in the alphabet; under the lock. */
static ds_status add_model(ds__service *service, ds__str name, const ds__named_model *section, bool is_identity,
                           ds_error *error) {
    if (find_model(service, name)) return DS_OK;
    ds__served_model *model = ds__arena_zeroed(&service->arena, sizeof *model);
    ds__str copy = ds__arena_copy(&service->arena, name);
    if (!model || !copy.data) return ds__alloc_failed(service->heap, sizeof *model, "a model's name", error);
    model->name = copy;
    model->section = section;
    model->is_identity = is_identity;
    ds__served_model **at = &service->models;
    while (*at && strcmp((*at)->name.data, copy.data) < 0) at = &(*at)->next;
    model->next = *at;
    *at = model;
    return DS_OK;
}

static ds_status scan_folder(ds__service *service, ds_error *error) {
    DIR *folder = opendir(service->options.repository);
    if (!folder) return ds__file_failed(service->options.repository, "open", error);
    ds__buffer path;
    ds__buffer_init(&path, service->heap);
    ds_status status = DS_OK;
    for (struct dirent *item; status == DS_OK && (item = readdir(folder));) {
        ds__str name = ds__str_of(item->d_name);
        if (name.data[0] == '.' || !ds__path_join(&path, service->options.repository, item->d_name) ||
            !ds__folder_exists(path.data))
            continue;
        if (!good_name(name, DS__MAX_NAME_BYTES)) {
            ds__log(service->context, DS_LOG_WARNING,
                    "%s is left out: a model's name has letters, digits, '.', '_' and '-', at most %d of them",
                    path.data, DS__MAX_NAME_BYTES);
            continue;
        }
        pthread_mutex_lock(&service->lock);
        status = add_model(service, name, NULL, false, error);
        pthread_mutex_unlock(&service->lock);
    }
    closedir(folder);
    ds__buffer_deinit(&path);
    return status;
}

ds_status ds__service_scan(ds__service *service, ds_error *error) {
    const ds__service_options *options = &service->options;
    for (size_t i = 0; i < options->model_count; i++) {
        ds__str name = ds__str_of(options->models[i].name);
        if (!good_name(name, DS__MAX_NAME_BYTES))
            return ds__fail(error, DS_INVALID_ARGUMENT,
                            "the model's name \"%.*s\" is not made of 1 to %d letters, digits, '.', '_' and '-'",
                            DS_STR_ARG(name), DS__MAX_NAME_BYTES);
        pthread_mutex_lock(&service->lock);
        ds_status status = add_model(service, name, &options->models[i], false, error);
        pthread_mutex_unlock(&service->lock);
        if (status != DS_OK) return status;
    }
    if (options->test_models) {
        pthread_mutex_lock(&service->lock);
        ds_status status = add_model(service, DS_STR("identity"), NULL, true, error);
        pthread_mutex_unlock(&service->lock);
        if (status != DS_OK) return status;
    }
    return options->repository ? scan_folder(service, error) : DS_OK;
}

/* The newest version in the model's folder of the repository; 0: none. */
static int64_t newest_version(const char *path) {
    DIR *folder = opendir(path);
    int64_t newest = 0;
    for (struct dirent *item; folder && (item = readdir(folder));) {
        int64_t number = parse_version(ds__str_of(item->d_name));
        if (number > newest) newest = number;
    }
    if (folder) closedir(folder);
    return newest;
}

/* The version's folder in `path`, and the version itself where 0 was asked for. */
static ds_status find_folder(const ds__service *service, const ds__served_model *model, int64_t *version,
                             ds__buffer *path, ds_error *error) {
    const char *own = model->section ? model->section->folder : NULL;
    if (model->is_identity || own) {
        if (*version > 1)
            return ds__fail(error, DS_NOT_FOUND, "the model \"%s\" has one version, 1; %lld is asked for",
                            model->name.data, (long long)*version);
        *version = 1;
        ds__buffer_text(path, own ? own : "");
    } else {
        ds__buffer_printf(path, "%s/%s", service->options.repository, model->name.data);
        const char *folder = ds__buffer_cstr(path);
        if (folder && !*version) *version = newest_version(folder);
        if (folder && !*version)
            return ds__fail(error, DS_NOT_FOUND, "%s has no folder whose name is a version's number, such as 1",
                            folder);
        ds__buffer_printf(path, "/%lld", (long long)*version);
    }
    return ds__buffer_cstr(path) ? DS_OK : ds__alloc_failed(service->heap, 4096, "a path", error);
}

/* ---- changes, under the lock ---- */

/* Takes it out of the model's list; requests that hold it go on. */
static void retire(ds__service *service, ds__instance *instance) {
    ds__instance **at = &instance->model->instances;
    while (*at && *at != instance) at = &(*at)->next;
    if (*at) *at = instance->next;
    instance->next = NULL;
    ds__instance_unref(service, instance);
}

static bool is_labelled(const ds__served_model *model, int64_t version) {
    for (size_t i = 0; i < model->label_count; i++)
        if (model->labels[i].version == version) return true;
    return false;
}

static void add_instance(ds__service *service, ds__instance *fresh) {
    ds__served_model *model = fresh->model;
    ds__instance *same = instance_of(model, fresh->version);
    if (same) retire(service, same);
    ds__instance **at = &model->instances;
    while (*at && (*at)->version < fresh->version) at = &(*at)->next;
    fresh->next = *at;
    *at = fresh;
    fresh->next_live = service->live;
    service->live = fresh;
    model->state = DS__LOAD_READY;
    model->state_version = fresh->version;
}

/* A new version becomes the current one.  The one before stays for a rollback, labelled ones stay, others go. */
static void make_current(ds__service *service, ds__instance *fresh) {
    ds__served_model *model = fresh->model;
    if (model->current != fresh->version) model->previous = model->current;
    model->current = fresh->version;
    for (ds__instance *instance = model->instances, *next; instance; instance = next) {
        next = instance->next;
        if (instance->version != model->current && instance->version != model->previous &&
            !is_labelled(model, instance->version))
            retire(service, instance);
    }
}

static void drop_labels(ds__served_model *model, int64_t version) {
    size_t kept = 0;
    for (size_t i = 0; i < model->label_count; i++) {
        if (model->labels[i].version == version) continue;
        if (kept != i) {
            memcpy(model->label_names[kept], model->label_names[i], DS__MAX_LABEL_BYTES);
            model->labels[kept] =
                (ds__model_label){{model->label_names[kept], model->labels[i].name.size}, model->labels[i].version};
        }
        kept++;
    }
    model->label_count = kept;
}

/* ---- actions, on the loader ---- */

static ds__serve_code load(ds__service *service, ds__served_model *model, int64_t *version, bool is_current,
                           ds_error *error) {
    ds__buffer path;
    ds__instance *instance = NULL;
    ds__buffer_init(&path, service->heap);
    ds_status status = find_folder(service, model, version, &path, error);
    pthread_mutex_lock(&service->lock);
    model->state = DS__LOAD_WAITING;
    model->state_version = *version;
    pthread_mutex_unlock(&service->lock);
    if (status == DS_OK) status = ds__instance_open(service, model, *version, ds__buffer_cstr(&path), &instance, error);
    ds__buffer_deinit(&path);
    pthread_mutex_lock(&service->lock);
    if (status == DS_OK) {
        add_instance(service, instance);
        if (is_current) make_current(service, instance);
    } else {
        model->state = DS__LOAD_FAILED;
        snprintf(model->reason, sizeof model->reason, "%s", error->message);
    }
    pthread_mutex_unlock(&service->lock);
    atomic_fetch_add(&service->generation, 1);
    if (status == DS_OK)
        ds__log(service->context, DS_LOG_INFO, "loaded %s version %lld: batches of %zu tokens, %.0f tokens/s",
                model->name.data, (long long)*version, instance->batch_tokens, instance->tokens_per_s);
    else
        ds__log(service->context, DS_LOG_WARNING, "cannot load %s version %lld: %s", model->name.data,
                (long long)*version, error->message);
    return status == DS_OK ? DS__SERVE_OK : status == DS_NOT_FOUND ? DS__SERVE_NOT_FOUND : DS__SERVE_INVALID;
}

/* Where no version is the current one, the newest of those that are loaded serves. */
static void serve_newest(ds__served_model *model) {
    for (ds__instance *instance = model->instances; !model->current && instance; instance = instance->next)
        if (!instance->next) model->current = instance->version;
}

static ds__serve_code unload(ds__service *service, ds__served_model *model, int64_t version, ds_error *error) {
    pthread_mutex_lock(&service->lock);
    bool found = false;
    for (ds__instance *instance = model->instances, *next; instance; instance = next) {
        next = instance->next;
        if (version && instance->version != version) continue;
        found = true;
        drop_labels(model, instance->version);
        if (model->previous == instance->version) model->previous = 0;
        if (model->current == instance->version) model->current = 0;
        retire(service, instance);
    }
    serve_newest(model);
    if (!model->instances) {
        model->state = DS__LOAD_NEVER;
        model->previous = 0;
        model->wanted = false;
    }
    pthread_mutex_unlock(&service->lock);
    atomic_fetch_add(&service->generation, 1);
    if (found) return DS__SERVE_OK;
    return version ? ds__refuse(error, DS__SERVE_NOT_FOUND, "the model \"%s\" has no version %lld loaded",
                                model->name.data, (long long)version)
                   : ds__refuse(error, DS__SERVE_NOT_FOUND, "the model \"%s\" is not loaded", model->name.data);
}

static ds__serve_code rollback(ds__service *service, ds__served_model *model, int64_t *version, ds_error *error) {
    pthread_mutex_lock(&service->lock);
    int64_t target = *version = model->previous;
    bool loaded = target && instance_of(model, target);
    if (loaded) {
        model->previous = model->current;
        model->current = target;
    }
    pthread_mutex_unlock(&service->lock);
    atomic_fetch_add(&service->generation, 1);
    if (!target)
        return ds__refuse(error, DS__SERVE_CONFLICT, "the model \"%s\" has served no version before the current one",
                          model->name.data);
    return loaded ? DS__SERVE_OK : load(service, model, version, true, error);
}

static ds__serve_code set_label(ds__service *service, ds__served_model *model, ds__str label, int64_t version,
                                ds_error *error) {
    if (!good_name(label, DS__MAX_LABEL_BYTES - 1) || parse_version(label))
        return ds__refuse(error, DS__SERVE_INVALID,
                          "the label \"%.*s\" is not made of 1 to %d letters, digits, '.', '_' and '-', or is a number",
                          DS_STR_ARG(label), DS__MAX_LABEL_BYTES - 1);
    pthread_mutex_lock(&service->lock);
    size_t place = 0;
    while (place < model->label_count && !ds__str_equal(model->labels[place].name, label)) place++;
    ds__serve_code code = DS__SERVE_OK;
    if (!instance_of(model, version))
        code = ds__refuse(error, DS__SERVE_CONFLICT,
                          "version %lld of \"%s\" is not loaded, and a label goes to a loaded one only; load it first",
                          (long long)version, model->name.data);
    else if (place == DS__MAX_LABELS)
        code = ds__refuse(error, DS__SERVE_CONFLICT, "the model \"%s\" has %d labels already; drop one first",
                          model->name.data, DS__MAX_LABELS);
    if (code == DS__SERVE_OK) {
        if (place == model->label_count) {
            memcpy(model->label_names[place], label.data, label.size);
            model->label_names[place][label.size] = '\0';
            model->label_count++;
        }
        model->labels[place] = (ds__model_label){{model->label_names[place], label.size}, version};
    }
    pthread_mutex_unlock(&service->lock);
    return code;
}

static ds__serve_code drop_label(ds__service *service, ds__served_model *model, ds__str label, ds_error *error) {
    pthread_mutex_lock(&service->lock);
    size_t place = 0;
    while (place < model->label_count && !ds__str_equal(model->labels[place].name, label)) place++;
    bool found = place < model->label_count;
    if (found) {
        model->labels[place].version = -1;
        drop_labels(model, -1);
    }
    pthread_mutex_unlock(&service->lock);
    return found ? DS__SERVE_OK
                 : ds__refuse(error, DS__SERVE_NOT_FOUND, "the model \"%s\" has no label \"%.*s\"", model->name.data,
                              DS_STR_ARG(label));
}

static ds__serve_code act(ds__service *service, ds__serve_action *action) {
    if (action->kind == DS__SERVE_LOAD && ds__service_scan(service, &action->error) != DS_OK) return DS__SERVE_INTERNAL;
    pthread_mutex_lock(&service->lock);
    ds__served_model *model = find_model(service, action->model);
    pthread_mutex_unlock(&service->lock);
    if (!model)
        return ds__refuse(&action->error, DS__SERVE_NOT_FOUND, "there is no model \"%.*s\" in the repository",
                          DS_STR_ARG(action->model));
    switch (action->kind) {
    case DS__SERVE_LOAD: return load(service, model, &action->version, true, &action->error);
    case DS__SERVE_UNLOAD: return unload(service, model, action->version, &action->error);
    case DS__SERVE_ROLLBACK: return rollback(service, model, &action->version, &action->error);
    case DS__SERVE_SET_LABEL: return set_label(service, model, action->label, action->version, &action->error);
    case DS__SERVE_DROP_LABEL: return drop_label(service, model, action->label, &action->error);
    }
    return DS__SERVE_INTERNAL;
}

/* Closes what nobody holds any more; under the lock, which is let go meanwhile. */
static void close_retired(ds__service *service) {
    while (service->retired) {
        ds__instance *instance = service->retired;
        service->retired = instance->next;
        pthread_mutex_unlock(&service->lock);
        ds__instance_close(service, instance);
        pthread_mutex_lock(&service->lock);
    }
}

/* The first thing that failed when a model was loaded at the start. */
typedef struct start_failure {
    bool any;
    int64_t version;
    ds_error error;
} start_failure;

static void load_at_start(ds__service *service, ds__served_model *model, int64_t version, bool is_current,
                          start_failure *failure) {
    ds_error error;
    if (load(service, model, &version, is_current, &error) == DS__SERVE_OK || failure->any) return;
    *failure = (start_failure){true, version, error};
}

/* A label that the options give, with its version. What cannot be is said; the model serves what it has. */
static void label_at_start(ds__service *service, ds__served_model *model, const ds__named_label *label,
                           start_failure *failure) {
    ds_error error;
    pthread_mutex_lock(&service->lock);
    bool is_loaded = instance_of(model, label->version) != NULL;
    pthread_mutex_unlock(&service->lock);
    if (!is_loaded) load_at_start(service, model, label->version, false, failure);
    if (set_label(service, model, ds__str_of(label->name), label->version, &error) == DS__SERVE_OK) return;
    ds__log(service->context, DS_LOG_WARNING, "%s gets no label %s: %s", model->name.data, label->name, error.message);
    if (!failure->any) *failure = (start_failure){true, label->version, error};
}

static void load_wanted(ds__service *service, ds__served_model *model) {
    const ds__named_model *section = model->section;
    start_failure failure = {.any = false};
    load_at_start(service, model, 0, true, &failure);
    for (size_t i = 0; section && i < section->label_count; i++)
        label_at_start(service, model, &section->labels[i], &failure);
    pthread_mutex_lock(&service->lock);
    serve_newest(model);
    model->settled = true;
    if (failure.any) { /* the index says so beside what is ready */
        model->state = DS__LOAD_FAILED;
        model->state_version = failure.version;
        snprintf(model->reason, sizeof model->reason, "%s", failure.error.message);
    }
    pthread_mutex_unlock(&service->lock);
    atomic_fetch_add(&service->generation, 1);
}

static void load_first(ds__service *service) {
    for (ds__served_model *model = service->models; model && !service->stopping;) {
        bool wanted = model->wanted;
        pthread_mutex_unlock(&service->lock);
        if (wanted) load_wanted(service, model);
        pthread_mutex_lock(&service->lock);
        model = model->next;
    }
}

void *ds__loader_main(void *argument) {
    ds__service *service = argument;
    pthread_mutex_lock(&service->lock);
    load_first(service);
    while (!service->stopping) {
        close_retired(service);
        ds__serve_action *action = service->actions;
        if (!action) {
            if (!service->retired) pthread_cond_wait(&service->tasks, &service->lock);
            continue;
        }
        service->actions = action->next;
        if (!service->actions) service->last_action = &service->actions;
        pthread_mutex_unlock(&service->lock);
        action->code = act(service, action);
        ds__outbox_push_action(action->outbox, action);
        pthread_mutex_lock(&service->lock);
    }
    pthread_mutex_unlock(&service->lock);
    return NULL;
}
