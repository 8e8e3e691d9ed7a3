/* What is in the repository, loading and unloading. */
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "serve/grpc/grpc_service.h"
#include "serve/grpc/wire.h"

static void put_entry(ds__buffer *answer, const ds__serve_index_entry *entry) {
    char version[24];
    snprintf(version, sizeof version, "%" PRId64, entry->version);
    size_t opened = ds__wire_open(answer, 1);
    ds__wire_put_bytes(answer, 1, entry->name);
    if (entry->version) ds__wire_put_text(answer, 2, version);
    ds__wire_put_text(answer, 3, entry->state);
    ds__wire_put_bytes(answer, 4, entry->reason);
    ds__wire_close(answer, opened);
}

static void repository_index(ds__grpc_exchange *exchange) {
    ds_error error = {DS_OK, ""};
    ds__arena arena;
    ds__tenant *tenant;
    ds__serve_index_entry *entries;
    size_t count;
    bool ready = false;
    if (!ds__grpc_who(exchange, &tenant)) return;
    ds__wire wire = ds__wire_of(exchange->message, "RepositoryIndexRequest", &error);
    while (ds__wire_next(&wire))
        if (wire.field == 2) ready = ds__wire_bool(&wire, "ready");
    ds__arena_init(&arena, exchange->heap, 0);
    ds__service *service = ds__grpc_binding_of(exchange)->service;
    ds__serve_code code = DS__SERVE_INVALID;
    if (ds__wire_ok(&wire)) code = ds__serve_index(service, ready, &arena, &entries, &count, &error);
    ds__buffer answer;
    ds__grpc_answer_init(exchange, &answer);
    for (size_t i = 0; code == DS__SERVE_OK && i < count; i++)
        if (ds__serve_may_use(service, tenant, entries[i].name)) put_entry(&answer, &entries[i]);
    ds__arena_deinit(&arena);
    if (code == DS__SERVE_OK) {
        ds__grpc_reply(exchange, &answer);
    } else {
        ds__buffer_deinit(&answer);
        ds__grpc_refuse_code(exchange, code, &error);
    }
}

/* ---- load and unload ---- */

/* Two dialects share these paths.  Triton's has the repository's name in field 1 and the model's in field 2, and an
 * empty answer; KServe's has the model's name in field 1 and answers with that name and "yes". */
typedef struct change {
    ds__serve_action action;
    ds__grpc_exchange *exchange;
    bool is_kserve;
} change;

static void change_done(ds__serve_action *action) {
    change *self = (change *)action; /* its first member */
    ds__grpc_exchange *exchange = self->exchange;
    ds_error error = action->error;
    ds__serve_code code = action->code;
    ds__buffer answer;
    ds__grpc_answer_init(exchange, &answer);
    if (self->is_kserve) {
        ds__wire_put_bytes(&answer, 1, action->model);
        ds__wire_put_uint(&answer, 2, true);
    }
    ds__free(exchange->heap, self, sizeof *self);
    if (code == DS__SERVE_OK) {
        ds__grpc_reply(exchange, &answer);
    } else {
        ds__buffer_deinit(&answer);
        ds__grpc_refuse_code(exchange, code, &error);
    }
}

/* One entry of the parameters. "version" is ours; a configuration or files in the request are not taken. */
static void read_parameter(ds__wire *outer, int64_t *version) {
    ds__str name = {"", 0};
    uint64_t number = 0;
    bool is_number = false;
    ds__wire entry = ds__wire_inside(outer, "parameters");
    while (ds__wire_next(&entry)) {
        if (entry.field == 1) {
            name = ds__wire_text(&entry, "key");
        } else if (entry.field == 2) {
            ds__wire value = ds__wire_inside(&entry, "ModelRepositoryParameter");
            while (ds__wire_next(&value)) {
                is_number = value.field == 2;
                if (is_number) number = ds__wire_uint(&value, "int64_param");
            }
        }
    }
    if (ds__str_is(name, "config") || ds__str_starts(name, DS_STR("file:"))) {
        ds__wire_fail(outer,
                      "parameter \"%.*s\": a model is loaded as its folder in the repository says, not as the "
                      "request does; leave it out",
                      DS_STR_ARG(name));
    } else if (ds__str_is(name, "version")) {
        if (!is_number || number == 0 || number > INT64_MAX)
            ds__wire_fail(outer, "parameter \"version\" is no positive int64_param");
        else
            *version = (int64_t)number;
    }
}

static void read_change(change *self, const char *message, ds_error *error) {
    ds__str first = {"", 0}, second = {"", 0};
    ds__wire wire = ds__wire_of(self->exchange->message, message, error);
    while (ds__wire_next(&wire)) {
        if (wire.field == 1) first = ds__wire_text(&wire, "repository_name");
        if (wire.field == 2) second = ds__wire_text(&wire, "model_name");
        if (wire.field == 3) read_parameter(&wire, &self->action.version);
    }
    self->is_kserve = second.size == 0;
    self->action.model = self->is_kserve ? first : second;
    if (!self->action.model.size)
        ds__wire_fail(&wire, "model_name is empty");
    else if (first.size && second.size)
        ds__wire_fail(&wire, "repository_name is \"%.*s\", but there is one repository, without a name; leave it out",
                      DS_STR_ARG(first));
}

static void begin_change(ds__grpc_exchange *exchange, ds__serve_action_kind kind, const char *message) {
    ds_error error = {DS_OK, ""};
    ds__tenant *tenant;
    const ds__grpc_binding *binding = ds__grpc_binding_of(exchange);
    if (!ds__grpc_who(exchange, &tenant)) return;
    ds__serve_code code = ds__serve_may_administer(tenant, &error);
    change *self = code == DS__SERVE_OK ? ds__alloc_zeroed(exchange->heap, sizeof *self) : NULL;
    if (code == DS__SERVE_OK && !self) {
        (void)ds__alloc_failed(exchange->heap, sizeof *self, "a change of the repository", &error);
        code = DS__SERVE_QUEUE_FULL;
    }
    if (self) {
        self->exchange = exchange;
        self->action = (ds__serve_action){.kind = kind, .outbox = binding->outbox, .done = change_done};
        read_change(self, message, &error);
        if (error.status == DS_OK) {
            ds__serve_act(binding->service, &self->action);
            return;
        }
        ds__free(exchange->heap, self, sizeof *self);
        code = DS__SERVE_INVALID;
    }
    ds__grpc_refuse_code(exchange, code, &error);
}

static void model_load(ds__grpc_exchange *exchange) {
    begin_change(exchange, DS__SERVE_LOAD, "RepositoryModelLoadRequest");
}

static void model_unload(ds__grpc_exchange *exchange) {
    begin_change(exchange, DS__SERVE_UNLOAD, "RepositoryModelUnloadRequest");
}

const ds__grpc_method ds__grpc_repository_index = {
    .path = "/inference.GRPCInferenceService/RepositoryIndex", .kind = DS__GRPC_UNARY, .handle = repository_index};
const ds__grpc_method ds__grpc_repository_model_load = {
    .path = "/inference.GRPCInferenceService/RepositoryModelLoad", .kind = DS__GRPC_UNARY, .handle = model_load};
const ds__grpc_method ds__grpc_repository_model_unload = {
    .path = "/inference.GRPCInferenceService/RepositoryModelUnload", .kind = DS__GRPC_UNARY, .handle = model_unload};
