/* /openapi.json, made from the table of routes. */
#include "serve/routes/route_json.h"

static void put_schema(ds__json_writer *json, const char *type, const char *schema) {
    ds__json_key(json, "content");
    ds__json_open_object(json);
    ds__json_key(json, type);
    ds__json_open_object(json);
    ds__json_key(json, "schema");
    ds__json_put_raw(json, schema ? ds__str_of(schema) : DS_STR("{}"));
    ds__json_close_object(json);
    ds__json_close_object(json);
}

static void put_response(ds__json_writer *json, const char *status, const char *about, const char *type,
                         const char *schema) {
    ds__json_key(json, status);
    ds__json_open_object(json);
    ds__put_text(json, "description", ds__str_of(about));
    put_schema(json, type ? type : "application/json", schema);
    ds__json_close_object(json);
}

static void put_parameters(ds__json_writer *json, const char *path) {
    ds__json_key(json, "parameters");
    ds__json_open_array(json);
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        ds__json_open_object(json);
        ds__put_text(json, "name", (ds__str){at + 1, strcspn(at + 1, "}")});
        ds__put_text(json, "in", DS_STR("path"));
        ds__json_key(json, "required");
        ds__json_put_bool(json, true);
        ds__json_key(json, "schema");
        ds__json_put_raw(json, DS_STR("{\"type\":\"string\"}"));
        ds__json_close_object(json);
    }
    ds__json_close_array(json);
}

static void put_operation(ds__json_writer *json, const ds__route *route) {
    static const struct {
        const char *status, *about;
    } errors[] = {{"400", "The request is wrong, and the answer says where"},
                  {"401", "The API key is missing or not known"},
                  {"403", "The tenant may not"},
                  {"404", "There is no such model, version or label"},
                  {"405", "The path does not take this method"},
                  {"409", "What is asked for does not fit what is loaded"},
                  {"413", "The body is too large"},
                  {"415", "The body's encoding is not known"},
                  {"429", "The queue is full, or the tenant's limits are reached; Retry-After says when to come back"},
                  {"431", "The request's head is too large"},
                  {"503", "The model is not loaded, or the server is about to stop"},
                  {"504", "The request's deadline passed before it was run"}};
    char method[8] = "";
    for (size_t i = 0; route->method[i] && i + 1 < sizeof method; i++) method[i] = (char)(route->method[i] | 0x20);
    ds__json_key(json, method);
    ds__json_open_object(json);
    ds__put_text(json, "summary", ds__str_of(route->summary));
    put_parameters(json, route->path);
    if (route->access == DS__ACCESS_PUBLIC) {
        ds__json_key(json, "security");
        ds__json_put_raw(json, DS_STR("[]"));
    }
    if (route->request) {
        ds__json_key(json, "requestBody");
        ds__json_open_object(json);
        ds__json_key(json, "required");
        ds__json_put_bool(json, route->needs_body);
        put_schema(json, "application/json", route->request);
        ds__json_close_object(json);
    }
    ds__json_key(json, "responses");
    ds__json_open_object(json);
    put_response(json, "200", route->summary, route->response_type, route->response);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        put_response(json, errors[i].status, errors[i].about, NULL, DS__SCHEMA_ERROR);
    ds__json_close_object(json);
    ds__json_close_object(json);
}

static void put_paths(ds__json_writer *json) {
    ds__json_key(json, "paths");
    ds__json_open_object(json);
    for (size_t i = 0; i < ds__route_count(); i++) {
        const char *path = ds__route_at(i)->path;
        bool again = false; /* another method of a path that is written already */
        for (size_t k = 0; k < i; k++) again |= strcmp(ds__route_at(k)->path, path) == 0;
        if (again) continue;
        ds__json_key(json, path);
        ds__json_open_object(json);
        for (size_t k = i; k < ds__route_count(); k++)
            if (strcmp(ds__route_at(k)->path, path) == 0) put_operation(json, ds__route_at(k));
        ds__json_close_object(json);
    }
    ds__json_close_object(json);
}

static void openapi(ds__http_call *call) {
    ds__json_writer json = {&call->out, false};
    ds__json_open_object(&json);
    ds__put_text(&json, "openapi", DS_STR("3.1.0"));
    ds__json_key(&json, "info");
    ds__json_open_object(&json);
    ds__put_text(&json, "title", DS_STR("deepseek serve"));
    ds__put_text(&json, "version", ds__str_of(ds_version()));
    ds__json_close_object(&json);
    ds__json_key(&json, "components");
    ds__json_put_raw(&json, DS_STR("{\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}}}"));
    ds__json_key(&json, "security");
    ds__json_put_raw(&json, DS_STR("[{\"key\":[]},{}]"));
    put_paths(&json);
    ds__json_close_object(&json);
    ds__http_send(call, 200, NULL);
}

const ds__route ds__route_openapi = {.method = "GET",
                                     .path = "/openapi.json",
                                     .handle = openapi,
                                     .summary = "This description",
                                     .response = "{\"type\":\"object\"}"};
