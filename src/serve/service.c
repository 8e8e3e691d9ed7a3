/* The service: its life, requests from creation to release, and who may send them. */
#include "base/clock.h"
#include "base/error.h"
#include "serve/service_internal.h"

static ds_status start_threads(ds__service *service, ds_error *error) {
    service->has_executor = pthread_create(&service->executor, NULL, ds__executor_main, service) == 0;
    service->has_loader =
        service->has_executor && pthread_create(&service->loader, NULL, ds__loader_main, service) == 0;
    if (service->has_loader) return DS_OK;
    return ds__fail(error, DS_OUT_OF_MEMORY,
                    "cannot start the server's two threads; the limit of processes may be too low");
}

/* Names that --model gives; then what the repository holds; all are loaded by the loader. */
static ds_status list_models(ds__service *service, ds_error *error) {
    DS_TRY(ds__service_scan(service, error));
    for (ds__served_model *model = service->models; model; model = model->next) {
        model->wanted = true;
        model->state = DS__LOAD_WAITING;
    }
    return DS_OK;
}

ds_status ds__service_create(ds_context *context, const ds__service_options *options, ds__service **out,
                             ds_error *error) {
    ds__service *service = ds__alloc_zeroed(&context->heap, sizeof *service);
    if (!service) return ds__alloc_failed(&context->heap, sizeof *service, "the server", error);
    service->context = context;
    service->heap = &context->heap;
    service->options = *options;
    service->last_action = &service->actions;
    service->started_ns = ds__clock_ns();
    ds__arena_init(&service->arena, service->heap, 0);
    ds__tenants_init(&service->tenants);
    pthread_mutex_init(&service->lock, NULL);
    pthread_cond_init(&service->tasks, NULL);
    pthread_condattr_t attributes; /* waits are by the clock that cannot be set */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&service->work, &attributes);
    pthread_condattr_destroy(&attributes);
    ds_status status = options->api_keys ? ds__service_read_keys(service, error) : DS_OK;
    if (status == DS_OK) status = list_models(service, error);
    if (status == DS_OK) status = start_threads(service, error);
    if (status != DS_OK) {
        ds__service_destroy(service);
        return status;
    }
    *out = service;
    return DS_OK;
}

ds_status ds__service_read_keys(ds__service *service, ds_error *error) {
    ds__tenant *list;
    if (!service->options.api_keys) return DS_OK;
    DS_TRY(ds__tenants_read(service->heap, service->options.api_keys, &list, error));
    pthread_mutex_lock(&service->lock);
    ds__tenants_merge(&service->tenants, service->heap, list);
    pthread_mutex_unlock(&service->lock);
    return DS_OK;
}

void ds__service_drain(ds__service *service) {
    pthread_mutex_lock(&service->lock);
    service->draining = true;
    pthread_mutex_unlock(&service->lock);
    atomic_fetch_add(&service->generation, 1);
}

bool ds__service_is_settled(ds__service *service) {
    pthread_mutex_lock(&service->lock);
    bool settled = true;
    for (const ds__served_model *model = service->models; model; model = model->next)
        settled &= !model->wanted || model->settled;
    pthread_mutex_unlock(&service->lock);
    return settled;
}

size_t ds__service_pending(ds__service *service) {
    pthread_mutex_lock(&service->lock);
    size_t pending = service->open_calls + (service->actions != NULL);
    pthread_mutex_unlock(&service->lock);
    return pending;
}

static void free_call(ds__service *service, ds__serve_call *call) {
    ds__arena_deinit(&call->request.arena);
    ds__free(service->heap, call, sizeof *call);
}

void ds__service_destroy(ds__service *service) {
    if (!service) return;
    pthread_mutex_lock(&service->lock);
    service->stopping = service->draining = true;
    pthread_cond_broadcast(&service->work);
    pthread_cond_broadcast(&service->tasks);
    pthread_mutex_unlock(&service->lock);
    if (service->has_executor) pthread_join(service->executor, NULL);
    if (service->has_loader) pthread_join(service->loader, NULL);
    for (ds__served_model *model = service->models; model; model = model->next)
        for (ds__instance *instance = model->instances, *next; instance; instance = next) {
            next = instance->next;
            ds__instance_close(service, instance);
        }
    for (ds__instance *instance = service->retired, *next; instance; instance = next) {
        next = instance->next;
        ds__instance_close(service, instance);
    }
    for (ds__serve_call *call = service->unused, *next; call; call = next) {
        next = call->next;
        free_call(service, call);
    }
    ds__tenants_free(service->heap, service->tenants.first);
    ds__arena_deinit(&service->arena);
    pthread_cond_destroy(&service->work);
    pthread_cond_destroy(&service->tasks);
    pthread_mutex_destroy(&service->lock);
    ds__free(service->heap, service, sizeof *service);
}

/* ---- tenants ---- */

ds__serve_code ds__serve_authenticate(ds__service *service, ds__str key, ds__tenant **out, ds_error *error) {
    pthread_mutex_lock(&service->lock);
    *out = ds__tenants_find(&service->tenants, key);
    pthread_mutex_unlock(&service->lock);
    if (*out) return DS__SERVE_OK;
    return ds__refuse(error, DS__SERVE_UNAUTHENTICATED,
                      key.size ? "the API key is not known here; check it, or ask who runs the server for one"
                               : "there is no API key; send \"Authorization: Bearer KEY\"");
}

ds__serve_code ds__serve_may_administer(const ds__tenant *tenant, ds_error *error) {
    if (tenant->is_admin) return DS__SERVE_OK;
    return ds__refuse(error, DS__SERVE_DENIED, "the tenant \"%s\" may not administer models; use an admin key",
                      tenant->name);
}

bool ds__tenant_logs_text(const ds__tenant *tenant) { return tenant->log_text; }
ds__heap *ds__service_heap(ds__service *service) { return service->heap; }

_Atomic size_t *ds__serve_connections(ds__service *service, ds__serve_transport transport) {
    return &service->connections[transport];
}

const char *ds__tenant_name(const ds__tenant *tenant) { return tenant->name; }

bool ds__serve_may_use(ds__service *service, const ds__tenant *tenant, ds__str model) {
    pthread_mutex_lock(&service->lock);
    bool allowed = ds__tenant_may_use(tenant, model);
    pthread_mutex_unlock(&service->lock);
    return allowed;
}

/* ---- requests ---- */

ds__serve_request *ds__serve_request_create(ds__service *service, ds__outbox *outbox,
                                            void (*done)(ds__serve_request *request), void *own) {
    pthread_mutex_lock(&service->lock);
    ds__serve_call *call = service->unused;
    if (call) {
        service->unused = call->next;
        service->unused_count--;
    }
    service->open_calls++;
    pthread_mutex_unlock(&service->lock);
    ds__arena arena = {0};
    if (call)
        arena = call->request.arena;
    else
        call = ds__alloc(service->heap, sizeof *call);
    if (!call) {
        pthread_mutex_lock(&service->lock);
        service->open_calls--;
        pthread_mutex_unlock(&service->lock);
        return NULL;
    }
    if (!arena.heap) ds__arena_init(&arena, service->heap, 4096);
    *call = (ds__serve_call){.service = service, .outbox = outbox, .done = done};
    call->request.arena = arena;
    call->request.own = own;
    return &call->request;
}

void ds__serve_request_release(ds__serve_request *request) {
    ds__serve_call *call = (ds__serve_call *)request;
    ds__service *service = call->service;
    ds__arena_wipe(&request->arena, DS__SERVE_ARENA_KEPT);
    pthread_mutex_lock(&service->lock);
    if (call->instance) ds__instance_unref(service, call->instance);
    service->open_calls--;
    bool keep = service->unused_count < DS__SERVE_REQUESTS_KEPT;
    if (keep) {
        call->next = service->unused;
        service->unused = call;
        service->unused_count++;
    }
    pthread_mutex_unlock(&service->lock);
    if (!keep) free_call(service, call);
}

static uint32_t wait_estimate_s(const ds__service *service, const ds__instance *instance) {
    double tokens = 32.0 * (double)service->queued_rows; /* what is queued is not tokenised yet: a guess */
    double seconds = instance->tokens_per_s > 0 ? tokens / instance->tokens_per_s : 1;
    return seconds < 1 ? 1 : seconds > 60 ? 60 : (uint32_t)(seconds + 0.5);
}

/* Finds the version and takes a reference to it, and the tenant's leave; under the lock. */
static ds__serve_code admit(ds__serve_call *call) {
    ds__service *service = call->service;
    ds__serve_request *r = &call->request;
    if (service->draining) {
        r->retry_after_s = 1;
        return ds__refuse(&r->error, DS__SERVE_UNAVAILABLE, "the server is about to stop; send the request again");
    }
    if (!r->tenant) r->tenant = &service->tenants.everybody;
    ds__instance *instance;
    ds__serve_code code = ds__service_resolve(service, r->model, r->version, &instance, &r->error);
    if (code != DS__SERVE_OK) return code;
    code = ds__tenant_admit(r->tenant, r->model, r->received_ns, &r->retry_after_s, &r->error);
    if (code != DS__SERVE_OK) {
        r->tenant->refused++;
        return code;
    }
    call->instance = instance;
    instance->refs++;
    call->accepted = true;
    r->model_version = call->instance->version;
    return DS__SERVE_OK;
}

/* Puts it into its queue, if there is room; under the lock. */
static ds__serve_code enqueue(ds__serve_call *call) {
    ds__service *service = call->service;
    ds__serve_request *r = &call->request;
    size_t most = service->options.max_queue, waiting = service->queued_rows;
    if (waiting && call->work > (most > waiting ? most - waiting : 0)) {
        r->retry_after_s = wait_estimate_s(service, call->instance);
        r->tenant->refused++;
        return ds__refuse(&r->error, DS__SERVE_QUEUE_FULL,
                          "the queue has %zu texts waiting and takes %zu, too few for the request's %zu; wait %u s",
                          waiting, most, call->work, r->retry_after_s);
    }
    if (!ds__queue_put(&call->instance->queue, service->heap, r->tenant, r->priority, &call->link)) {
        r->retry_after_s = 1;
        return ds__refuse(&r->error, DS__SERVE_QUEUE_FULL, "out of memory for the queue; wait %u s", r->retry_after_s);
    }
    if (call->instance->queue.count == 1) call->instance->waiting_since_ns = r->received_ns;
    service->queued_rows += call->work;
    call->instance->queued_rows += call->work;
    service->queued_deadlines += r->deadline_ns != 0;
    return DS__SERVE_OK;
}

/* Gives back what admission took; under the lock. */
static void refuse(ds__serve_call *call, ds__serve_code code) {
    call->request.code = code;
    call->service->metrics.ended[code][call->request.transport]++;
    if (!call->accepted) return;
    call->accepted = false;
    call->request.tenant->running--;
    call->instance->metrics.fail.count++;
}

bool ds__serve_submit(ds__serve_request *request) {
    ds__serve_call *call = (ds__serve_call *)request;
    ds__service *service = call->service;
    request->received_ns = ds__clock_ns();
    pthread_mutex_lock(&service->lock);
    ds__serve_code code = admit(call);
    if (code == DS__SERVE_OK) {
        pthread_mutex_unlock(&service->lock);
        code = ds__serve_call_prepare(call, &request->error);
        pthread_mutex_lock(&service->lock);
        if (code == DS__SERVE_QUEUE_FULL) request->retry_after_s = 1; /* memory */
        if (code == DS__SERVE_OK) code = enqueue(call);
    }
    if (code != DS__SERVE_OK) refuse(call, code);
    pthread_mutex_unlock(&service->lock);
    if (code == DS__SERVE_OK) pthread_cond_signal(&service->work); /* who wakes finds the lock free */
    return code == DS__SERVE_OK;
}

void ds__serve_cancel(ds__serve_request *request) {
    ds__serve_call *call = (ds__serve_call *)request;
    ds__service *service = call->service;
    pthread_mutex_lock(&service->lock);
    if (call->accepted) {
        call->cancelled = true;
        if (call->link.lane) { /* else the executor has it, or it is done */
            ds__serve_call_unqueue(call);
            if (call->computed == call->taken) {
                ds__refuse(&request->error, DS__SERVE_CANCELLED, "the client has left");
                ds__serve_call_complete(call, DS__SERVE_CANCELLED);
            }
        }
    }
    pthread_mutex_unlock(&service->lock);
}

/* ---- asking ---- */

bool ds__serve_is_live(const ds__service *service) {
    (void)service;
    return true;
}

bool ds__serve_is_ready(const ds__service *service) {
    pthread_mutex_t *lock = (pthread_mutex_t *)&service->lock;
    pthread_mutex_lock(lock);
    bool ready = !service->draining;
    for (const ds__served_model *model = service->models; ready && model; model = model->next)
        ready = !model->wanted || (model->settled && model->instances);
    pthread_mutex_unlock(lock);
    return ready;
}

uint64_t ds__serve_generation(const ds__service *service) { return atomic_load(&service->generation); }

ds__serve_code ds__serve_model_is_ready(ds__service *service, ds__str model, ds__str version, ds_error *error) {
    ds__instance *instance;
    pthread_mutex_lock(&service->lock);
    ds__serve_code code = ds__service_resolve(service, model, version, &instance, error);
    pthread_mutex_unlock(&service->lock);
    return code;
}

void ds__serve_act(ds__service *service, ds__serve_action *action) {
    action->next = NULL;
    action->code = DS__SERVE_OK;
    pthread_mutex_lock(&service->lock);
    *service->last_action = action;
    service->last_action = &action->next;
    pthread_cond_signal(&service->tasks);
    pthread_mutex_unlock(&service->lock);
}
