/* Administration: the index, load, unload, rollback, labels. */
#include "serve/routes/route_json.h"

static void put_index(ds__http_call *call, const ds__serve_index_entry *entries, size_t count) {
    ds__json_writer json = {&call->out, false};
    ds__json_open_array(&json);
    for (size_t i = 0; i < count; i++) {
        if (!ds__serve_may_use(call->service, call->tenant, entries[i].name)) continue;
        ds__json_open_object(&json);
        ds__put_text(&json, "name", entries[i].name);
        if (entries[i].version) ds__put_version(&json, "version", entries[i].version);
        ds__put_text(&json, "state", ds__str_of(entries[i].state));
        ds__put_text(&json, "reason", entries[i].reason);
        ds__json_close_object(&json);
    }
    ds__json_close_array(&json);
    ds__http_send(call, 200, NULL);
}

static void index_models(ds__http_call *call) {
    ds_error error;
    bool ready = false;
    if (call->body.size) {
        ds__json json;
        ds__json_init(&json, call->heap, "the body", call->body);
        for (ds__str key; ds__json_next_key(&json, &key);) {
            if (ds__str_is(key, "ready"))
                ready = ds__json_bool(&json, key);
            else
                ds__json_skip(&json);
        }
        if (!ds__finish_body(call, &json)) return;
    }
    ds__arena arena;
    ds__serve_index_entry *entries;
    size_t count;
    ds__arena_init(&arena, call->heap, 0);
    ds__serve_code code = ds__serve_index(call->service, ready, &arena, &entries, &count, &error);
    if (code == DS__SERVE_OK)
        put_index(call, entries, count);
    else
        ds__http_refuse(call, code, &error, 1);
    ds__arena_deinit(&arena);
}

/* {"version": N}, or {"parameters": {"version": N}} as Triton's clients can send it; other parameters would change the
 * model in ways that there are not here. */
static void read_parameters(ds__json *json, int64_t *version) {
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "version"))
            *version = ds__read_integer(json, key, 1, (int64_t)1 << 53);
        else if (ds__str_is(key, "parameters"))
            read_parameters(json, version);
        else if (ds__str_is(key, "unload_dependents"))
            ds__json_bool(json, key); /* models have none */
        else
            ds__json_fail(json, DS_UNSUPPORTED, "the parameter \"%.*s\" is not known here, only version is",
                          DS_STR_ARG(key));
    }
}

static bool read_version(ds__http_call *call, int64_t *version) {
    ds__json json;
    *version = 0;
    if (!call->body.size) return true;
    ds__json_init(&json, call->heap, "the body", call->body);
    read_parameters(&json, version);
    return ds__finish_body(call, &json);
}

static void load(ds__http_call *call) {
    int64_t version;
    if (read_version(call, &version)) ds__http_act(call, DS__SERVE_LOAD, version, (ds__str){"", 0});
}

static void unload(ds__http_call *call) {
    int64_t version;
    if (read_version(call, &version)) ds__http_act(call, DS__SERVE_UNLOAD, version, (ds__str){"", 0});
}

static void rollback(ds__http_call *call) { ds__http_act(call, DS__SERVE_ROLLBACK, 0, (ds__str){"", 0}); }

static void set_label(ds__http_call *call) {
    int64_t version;
    if (!read_version(call, &version)) return;
    if (!version)
        ds__http_fail(call, 400, "the body is missing; it says to which version the label goes: {\"version\": 2}");
    else
        ds__http_act(call, DS__SERVE_SET_LABEL, version, ds__http_parameter(call, "label"));
}

static void drop_label(ds__http_call *call) {
    ds__http_act(call, DS__SERVE_DROP_LABEL, 0, ds__http_parameter(call, "label"));
}

#define VERSION                                                                                                        \
    "{\"type\":\"object\",\"properties\":{\"version\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":"                \
    "9007199254740992}},"                                                                                              \
    "\"additionalProperties\":false}"
#define NEEDED_VERSION                                                                                                 \
    "{\"type\":\"object\",\"required\":[\"version\"],\"properties\":{\"version\":{\"type\":\"integer\","               \
    "\"minimum\":1,\"maximum\":9007199254740992}},\"additionalProperties\":false}"

const ds__route ds__route_repository_index = {
    .method = "POST",
    .path = "/v2/repository/index",
    .access = DS__ACCESS_TENANT,
    .handle = index_models,
    .summary = "Every model and version, loaded or not, with its state",
    .request = "{\"type\":\"object\",\"properties\":{\"ready\":{\"type\":\"boolean\"}}}",
    .response = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\",\"state\"]}}"};
const ds__route ds__route_repository_load = {.method = "POST",
                                             .path = "/v2/repository/models/{model}/load",
                                             .access = DS__ACCESS_ADMIN,
                                             .handle = load,
                                             .summary =
                                                 "Loads a version (the newest, if none is named) and makes it current",
                                             .request = VERSION,
                                             .response = DS__SCHEMA_MODEL_VERSION};
const ds__route ds__route_repository_unload = {.method = "POST",
                                               .path = "/v2/repository/models/{model}/unload",
                                               .access = DS__ACCESS_ADMIN,
                                               .handle = unload,
                                               .summary =
                                                   "Unloads a version (all, if none is named); what runs is finished",
                                               .request = VERSION,
                                               .response = DS__SCHEMA_MODEL_VERSION};
const ds__route ds__route_repository_rollback = {.method = "POST",
                                                 .path = "/v2/repository/models/{model}/rollback",
                                                 .access = DS__ACCESS_ADMIN,
                                                 .handle = rollback,
                                                 .summary = "Makes the version that was current before current again",
                                                 .response = DS__SCHEMA_MODEL_VERSION};
const ds__route ds__route_label_set = {.method = "PUT",
                                       .path = "/v2/repository/models/{model}/labels/{label}",
                                       .access = DS__ACCESS_ADMIN,
                                       .handle = set_label,
                                       .summary = "Moves a label to a loaded version",
                                       .needs_body = true,
                                       .request = NEEDED_VERSION,
                                       .response = DS__SCHEMA_MODEL_VERSION};
const ds__route ds__route_label_drop = {.method = "DELETE",
                                        .path = "/v2/repository/models/{model}/labels/{label}",
                                        .access = DS__ACCESS_ADMIN,
                                        .handle = drop_label,
                                        .summary = "Takes a label away",
                                        .response = DS__SCHEMA_MODEL_VERSION};
