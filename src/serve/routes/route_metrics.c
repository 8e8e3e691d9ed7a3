/* Metrics for Prometheus. */
#include "serve/routes/route_json.h"
#include "serve/serve_metrics.h"

static void metrics(ds__http_call *call) {
    ds__service_put_metrics(call->service, &call->out);
    ds__http_send(call, 200, "text/plain; version=0.0.4");
}

const ds__route ds__route_metrics = {.method = "GET",
                                     .path = "/metrics",
                                     .access = DS__ACCESS_ADMIN, /* not on the port of its own */
                                     .handle = metrics,
                                     .summary = "Counters and histograms for Prometheus",
                                     .response_type = "text/plain",
                                     .quiet = true};
