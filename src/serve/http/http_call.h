/* One HTTP request as a route sees it: what came, and how to answer.
 *
 * A handler answers before it returns (ds__http_send, ds__http_fail), or has given a request to the core
 * (ds__http_infer, ds__http_act) whose outcome answers.  The call's memory dies with the answer. */
#ifndef DS_SERVE_HTTP_HTTP_CALL_H
#define DS_SERVE_HTTP_HTTP_CALL_H

#include "formats/json.h"
#include "serve/http/http_body.h"
#include "serve/http/http_head.h"
#include "serve/http/http_server.h"

typedef struct ds__http_call ds__http_call;

typedef enum ds__route_access {
    DS__ACCESS_PUBLIC, /* health, and what describes the protocol */
    DS__ACCESS_TENANT,
    DS__ACCESS_ADMIN,
} ds__route_access;

enum { DS__ROUTE_PARAMETERS = 3 };

/* One line in routes.def, one of these in a file under routes/. */
typedef struct ds__route {
    const char *method, *path; /* "/v2/models/{model}/infer"; a name in braces is a segment */
    ds__route_access access;
    void (*handle)(ds__http_call *call);
    const char *summary;            /* for people and openapi.json */
    const char *request, *response; /* JSON schemas of the bodies; NULL: none, or not JSON */
    const char *response_type;      /* NULL: application/json */
    bool needs_body;                /* else it may be left out */
    bool quiet;                     /* good answers are not logged: probes ask all the time */
} ds__route;

struct ds__http_call {
    ds__service *service;
    ds__outbox *outbox;
    ds__heap *heap;
    const ds__route *route; /* NULL until it is found */
    const ds__http_head *head;
    ds__str body;
    struct {
        const char *name; /* borrowed from the route's path, up to the brace */
        size_t name_size;
        ds__str value; /* unescaped */
    } parameters[DS__ROUTE_PARAMETERS];
    char unescaped[256]; /* where values with escapes lie */
    size_t unescaped_size;
    ds__tenant *tenant;
    ds__serve_request *request; /* under way in the core, or answered and not released */
    ds__serve_action *action;
    void (*answer)(ds__http_call *call, ds__serve_request *request);
    ds__buffer out;    /* the answer's body, written by the handler */
    char header[128];  /* one more header line of the answer, with its end; or empty */
    ds__str model, id; /* for the log */
    void *own;         /* a handler's, from the request's arena */
};

/* A part of the path; size 0: the route has none of that name. */
ds__str ds__http_parameter(const ds__http_call *call, const char *name);

/* Answers with call->out. type: NULL for application/json. */
void ds__http_send(ds__http_call *call, int status, const char *type);
/* Answers with a sentence, in the shape that the protocol's clients read. */
void ds__http_fail(ds__http_call *call, int status, const char *sentence);
void ds__http_refuse(ds__http_call *call, ds__serve_code code, const ds_error *error, uint32_t retry_after_s);

/* A request to the core, whose tenant and model are set; the handler fills in the rest in its arena and calls
 * ds__http_infer.  NULL: out of memory, and that is answered. */
ds__serve_request *ds__http_request(ds__http_call *call, ds__str model, ds__str version);
/* answer: called when it is well, and sends. Otherwise the error is answered here. */
void ds__http_infer(ds__http_call *call, void (*answer)(ds__http_call *call, ds__serve_request *request));
/* Answers {"model", "version"} or the error. */
void ds__http_act(ds__http_call *call, ds__serve_action_kind kind, int64_t version, ds__str label);

/* A model's name in the path that the tenant may not see: answered, false. */
bool ds__http_may_see(ds__http_call *call, ds__str model);

/* ---- routes ---- */

/* Finds the route of call->head, with its parameters. NULL: *status is 400, 404, or 405 with the methods in `allow`. */
const ds__route *ds__route_find(ds__http_call *call, int *status, char allow[64]);
size_t ds__route_count(void);
const ds__route *ds__route_at(size_t index);

#endif
