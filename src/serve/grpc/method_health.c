/* grpc.health.v1: whether the server answers, once or as it changes.  A service's name is that of the inference
 * service, none (the server as a whole), or a model's. */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/error.h"
#include "serve/grpc/grpc_service.h"
#include "serve/grpc/wire.h"

enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };
enum { LOOK_EVERY_MS = 200 };

static int state_of(ds__service *service, ds__str name) {
    ds_error error;
    if (!name.size || ds__str_is(name, "inference.GRPCInferenceService"))
        return ds__serve_is_ready(service) ? SERVING : NOT_SERVING;
    ds__serve_code code = ds__serve_model_is_ready(service, name, (ds__str){"", 0}, &error);
    return code == DS__SERVE_OK ? SERVING : code == DS__SERVE_NOT_FOUND ? SERVICE_UNKNOWN : NOT_SERVING;
}

static void write_state(const ds__grpc_exchange *exchange, int state, ds__buffer *answer) {
    ds__grpc_answer_init(exchange, answer);
    ds__wire_put_uint(answer, 1, (uint64_t)state);
}

static void health_check(ds__grpc_exchange *exchange) {
    ds__grpc_subject subject;
    if (!ds__grpc_subject_of(exchange, "HealthCheckRequest", &subject)) return;
    int state = state_of(ds__grpc_binding_of(exchange)->service, subject.name);
    if (state == SERVICE_UNKNOWN) {
        ds_error error;
        (void)ds__fail(&error, DS_NOT_FOUND, "there is no service or model \"%.*s\"", DS_STR_ARG(subject.name));
        ds__grpc_refuse(exchange, DS__GRPC_NOT_FOUND, error.message);
        return;
    }
    ds__buffer answer;
    write_state(exchange, state, &answer);
    ds__grpc_reply(exchange, &answer);
}

/* ---- watching ---- */

typedef struct watch {
    struct event timer;
    ds__grpc_exchange *exchange;
    ds__str name; /* in the message */
    uint64_t generation;
    int told;
} watch;

static void tell(watch *self) {
    ds__service *service = ds__grpc_binding_of(self->exchange)->service;
    uint64_t generation = ds__serve_generation(service);
    if (self->told && generation == self->generation) return;
    int state = state_of(service, self->name);
    self->generation = generation;
    if (state == self->told) return;
    self->told = state;
    ds__buffer answer;
    write_state(self->exchange, state, &answer);
    ds__grpc_push(self->exchange, &answer);
}

static void on_look(evutil_socket_t fd, short what, void *argument) { tell(argument); }

static void cancel_watch(ds__grpc_exchange *exchange) {
    watch *self = exchange->own;
    event_del(&self->timer);
    ds__free(exchange->heap, self, sizeof *self);
    ds__grpc_refuse(exchange, DS__GRPC_CANCELLED, "the client left");
}

static void health_watch(ds__grpc_exchange *exchange) {
    static const struct timeval period = {0, LOOK_EVERY_MS * 1000};
    ds__grpc_subject subject;
    if (!ds__grpc_subject_of(exchange, "HealthCheckRequest", &subject)) return;
    watch *self = ds__alloc_zeroed(exchange->heap, sizeof *self);
    if (!self) {
        ds__grpc_refuse(exchange, DS__GRPC_RESOURCE_EXHAUSTED, "out of memory for a health watch; try again");
        return;
    }
    self->exchange = exchange;
    self->name = subject.name;
    exchange->own = self;
    exchange->cancel = cancel_watch;
    event_assign(&self->timer, exchange->base, -1, EV_PERSIST, on_look, self);
    event_add(&self->timer, &period);
    tell(self);
}

const ds__grpc_method ds__grpc_health_check = {
    .path = "/grpc.health.v1.Health/Check", .kind = DS__GRPC_UNARY, .handle = health_check, .quiet = true};
const ds__grpc_method ds__grpc_health_watch = {
    .path = "/grpc.health.v1.Health/Watch", .kind = DS__GRPC_WATCH, .handle = health_watch, .quiet = true};
