/* Health: of the server, and of one model. */
#include "serve/routes/route_json.h"

static void answer(ds__http_call *call, const char *name, bool value, int status) {
    ds__json_writer json = {&call->out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, name);
    ds__json_put_bool(&json, value);
    ds__json_close_object(&json);
    ds__http_send(call, status, NULL);
}

static void live(ds__http_call *call) { answer(call, "live", ds__serve_is_live(call->service), 200); }

static void ready(ds__http_call *call) {
    if (ds__serve_is_ready(call->service))
        answer(call, "ready", true, 200);
    else
        ds__http_fail(call, 503, "not every model is loaded, or the server is about to stop");
}

static void model_ready(ds__http_call *call) {
    ds_error error;
    ds__str model = ds__http_parameter(call, "model");
    ds__serve_code code = ds__serve_model_is_ready(call->service, model, ds__http_parameter(call, "version"), &error);
    if (code != DS__SERVE_OK) {
        ds__http_refuse(call, code, &error, 1);
        return;
    }
    ds__json_writer json = {&call->out, false};
    ds__json_open_object(&json);
    ds__put_text(&json, "name", model);
    ds__json_key(&json, "ready");
    ds__json_put_bool(&json, true);
    ds__json_close_object(&json);
    ds__http_send(call, 200, NULL);
}

#define SCHEMA(name)                                                                                                   \
    "{\"type\":\"object\",\"required\":[\"" name "\"],\"properties\":{\"" name "\":{\"type\":\"boolean\"}}}"

const ds__route ds__route_health_live = {.method = "GET",
                                         .path = "/v2/health/live",
                                         .handle = live,
                                         .summary = "Whether the server runs",
                                         .response = SCHEMA("live"),
                                         .quiet = true};
const ds__route ds__route_health_ready = {.method = "GET",
                                          .path = "/v2/health/ready",
                                          .handle = ready,
                                          .summary = "Whether every model is loaded and requests are taken",
                                          .response = SCHEMA("ready"),
                                          .quiet = true};
const ds__route ds__route_model_ready = {.method = "GET",
                                         .path = "/v2/models/{model}/ready",
                                         .handle = model_ready,
                                         .summary = "Whether a model is loaded",
                                         .response = SCHEMA("ready"),
                                         .quiet = true};
const ds__route ds__route_version_ready = {.method = "GET",
                                           .path = "/v2/models/{model}/versions/{version}/ready",
                                           .handle = model_ready,
                                           .summary = "Whether a version of a model is loaded",
                                           .response = SCHEMA("ready"),
                                           .quiet = true};
