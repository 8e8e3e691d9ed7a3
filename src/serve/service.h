/* The server's core as the transports (HTTP, gRPC) see it: tensors in, tensors out, and the administration of models.
 * It knows no protocol.
 *
 * A transport works on one thread that runs a libevent base.  It makes one outbox for that base; whatever the core
 * finishes on its own threads comes back through the outbox, so that `done` is always called on the transport's thread
 * and never from inside a call into the core.  No call in this file blocks on the engine or on a file.
 *
 *     ds__serve_request *r = ds__serve_request_create(service, outbox, answer, call);   // NULL: out of memory
 *     ... fill model, inputs; memory that must live as long comes from r->arena ...
 *     if (!ds__serve_submit(r)) answer(r);          // refused at once: r->code and r->error say why
 *     ... later, on this thread: answer(r) reads r->code, r->results ... ds__serve_request_release(r)
 *
 * A client that leaves: ds__serve_cancel(r); `done` still comes (once), and releases. */
#ifndef DS_SERVE_SERVICE_H
#define DS_SERVE_SERVICE_H

#include "base/arena.h"
#include "base/str.h"
#include "deepseek/model.h"

struct event_base;

/* X(name, HTTP status, gRPC status): every way in which a request can end. */
#define DS__SERVE_CODE_LIST(X)                                                                                         \
    X(OK, 200, 0)                                                                                                      \
    X(INVALID, 400, 3) /* the request itself is wrong */                                                               \
    X(UNAUTHENTICATED, 401, 16)                                                                                        \
    X(DENIED, 403, 7)    /* a known tenant that may not */                                                             \
    X(NOT_FOUND, 404, 5) /* no such model, version or label */                                                         \
    X(CONFLICT, 409, 9)  /* a label to a version that is not loaded, a rollback without a version before */            \
    X(TOO_LARGE, 413, 8)                                                                                               \
    X(QUEUE_FULL, 429, 8) /* retry_after_s says when; also a tenant's own limits */                                    \
    X(CANCELLED, 499, 1)                                                                                               \
    X(INTERNAL, 500, 13)                                                                                               \
    X(UNIMPLEMENTED, 501, 12)                                                                                          \
    X(UNAVAILABLE, 503, 14) /* the server drains, or the model is not ready */                                         \
    X(EXPIRED, 504, 4)      /* the deadline has passed; it was not run */

typedef enum ds__serve_code {
#define DS__SERVE_CODE_ENUM(name, http, grpc) DS__SERVE_##name,
    DS__SERVE_CODE_LIST(DS__SERVE_CODE_ENUM)
#undef DS__SERVE_CODE_ENUM
        DS__SERVE_CODE_COUNT
} ds__serve_code;

int ds__serve_http_status(ds__serve_code code);
int ds__serve_grpc_status(ds__serve_code code);

/* X(name, bytes of an element): the Open Inference Protocol's; BYTES has elements of any size. */
#define DS__SERVE_DATATYPE_LIST(X)                                                                                     \
    X(BOOL, 1)                                                                                                         \
    X(UINT8, 1)                                                                                                        \
    X(UINT16, 2)                                                                                                       \
    X(UINT32, 4)                                                                                                       \
    X(UINT64, 8)                                                                                                       \
    X(INT8, 1)                                                                                                         \
    X(INT16, 2)                                                                                                        \
    X(INT32, 4)                                                                                                        \
    X(INT64, 8)                                                                                                        \
    X(FP16, 2)                                                                                                         \
    X(FP32, 4)                                                                                                         \
    X(FP64, 8)                                                                                                         \
    X(BF16, 2)                                                                                                         \
    X(BYTES, 0)

typedef enum ds__serve_datatype {
#define DS__SERVE_DATATYPE_ENUM(name, bytes) DS__SERVE_##name,
    DS__SERVE_DATATYPE_LIST(DS__SERVE_DATATYPE_ENUM)
#undef DS__SERVE_DATATYPE_ENUM
        DS__SERVE_DATATYPE_COUNT
} ds__serve_datatype;

const char *ds__serve_datatype_name(ds__serve_datatype datatype);
size_t ds__serve_datatype_size(ds__serve_datatype datatype); /* 0: BYTES */
/* "FP32" and so on; false for a name that is none. */
bool ds__serve_datatype_parse(ds__str name, ds__serve_datatype *out);

enum { DS__SERVE_MAX_RANK = 8, DS__SERVE_MAX_TENSORS = 64 };

/* Never owns: an input lies in the transport's memory until `done`, a result in the request's until its release.
 * Elements are dense, row by row, little endian, as both protocols' raw forms have them, at any alignment. */
typedef struct ds__serve_tensor {
    ds__str name;
    ds__serve_datatype datatype;
    int rank;
    int64_t shape[DS__SERVE_MAX_RANK];
    size_t elements;      /* the shape's product */
    const void *data;     /* [elements] of the datatype's size; NULL for BYTES */
    const ds_text *texts; /* BYTES: [elements]; else NULL */
} ds__serve_tensor;

/* The product of a shape from outside: false when an extent is negative, or the product over 2^40. */
bool ds__serve_shape_elements(const int64_t *shape, int rank, size_t *out);
/* Checks name, shape and size of what the transport filled in (name, datatype, rank, shape), sets `elements`, and takes
 * `raw`: for BYTES, elements with 4-byte lengths, whose list is made in the arena (the bytes stay where they are). */
ds__serve_code ds__serve_tensor_from_raw(ds__serve_tensor *tensor, ds__str raw, ds__arena *arena,
                                         ds_error *error) DS_MUST_CHECK;
/* Bytes of a tensor in raw form, and writing it there. */
size_t ds__serve_tensor_raw_size(const ds__serve_tensor *tensor);
void ds__serve_tensor_to_raw(const ds__serve_tensor *tensor, void *out);

typedef struct ds__service ds__service;
typedef struct ds__outbox ds__outbox;
typedef struct ds__tenant ds__tenant;
typedef struct ds__serve_request ds__serve_request;

/* What transports take their own memory from: the context's heap, under the same limit. */
ds__heap *ds__service_heap(ds__service *service);

/* ---- the way back ---- */

/* Belongs to the thread that runs `base`.  Destroyed on that thread, when no request or action of it is under way. */
ds_status ds__outbox_create(ds__service *service, struct event_base *base, ds__outbox **out,
                            ds_error *error) DS_MUST_CHECK;
void ds__outbox_destroy(ds__outbox *outbox);

/* ---- tenants ---- */

/* key: of "Authorization: Bearer KEY" (a gRPC metadata entry of the same name); size 0: none was given.  Without a
 * file of keys everybody is one tenant that may do everything.  The tenant lives as long as the service. */
ds__serve_code ds__serve_authenticate(ds__service *service, ds__str key, ds__tenant **out,
                                      ds_error *error) DS_MUST_CHECK;
/* For administration: load, unload, rollback, labels. DENIED with a sentence, or OK. */
ds__serve_code ds__serve_may_administer(const ds__tenant *tenant, ds_error *error) DS_MUST_CHECK;
const char *ds__tenant_name(const ds__tenant *tenant);
bool ds__tenant_logs_text(const ds__tenant *tenant); /* its requests' texts may stand in the access log */
/* Whether it may use or look at the model; ds__serve_submit asks by itself. */
bool ds__serve_may_use(ds__service *service, const ds__tenant *tenant, ds__str model);

/* ---- inference ---- */

typedef enum ds__serve_transport { DS__SERVE_REST, DS__SERVE_GRPC, DS__SERVE_TRANSPORTS } ds__serve_transport;

/* How many connections a transport has open, which it counts itself and the metrics show. */
_Atomic size_t *ds__serve_connections(ds__service *service, ds__serve_transport transport);

struct ds__serve_request {
    /* The transport's to fill; all borrowed until `done`. */
    ds__serve_transport transport;
    ds__str model;
    ds__str version; /* a number or a label; size 0: the current version */
    ds__str id;      /* echoed by the transport */
    ds__tenant *tenant;
    uint64_t deadline_ns; /* by ds__clock_ns; 0: none */
    int32_t priority;     /* 0: default (2); 1 goes first, 3 and more go last */
    bool truncate;        /* parameter "truncate": texts that are too long are cut instead of refused */
    const ds__serve_tensor *inputs;
    size_t input_count;
    const ds__str *outputs; /* the names asked for; 0 of them: all */
    size_t output_count;

    /* The core's to fill before `done`. */
    ds__serve_code code;
    ds_error error;         /* the sentence, when code is not OK */
    uint32_t retry_after_s; /* with QUEUE_FULL and UNAVAILABLE */
    int64_t model_version;  /* the one that answered */
    const ds__serve_tensor *results;
    size_t result_count;
    size_t tokens;                                 /* computed for this request */
    uint64_t received_ns, started_ns, finished_ns; /* submitted, first taken into a batch, last batch done */

    ds__arena arena; /* the request's memory: for what the transport decodes; the core's results; wiped at release */
    void *own;       /* the transport's */
};

/* done: called on the outbox's thread, once for every accepted request. */
ds__serve_request *ds__serve_request_create(ds__service *service, ds__outbox *outbox,
                                            void (*done)(ds__serve_request *request), void *own) DS_MUST_CHECK;
/* false: refused at once; code and error are set and `done` will not be called. */
bool ds__serve_submit(ds__serve_request *request) DS_MUST_CHECK;
/* What is still queued is not run.  `done` comes all the same, with CANCELLED or with the result if it was ready. */
void ds__serve_cancel(ds__serve_request *request);
void ds__serve_request_release(ds__serve_request *request);

/* ---- asking ---- */

bool ds__serve_is_live(const ds__service *service);
/* Every model that was there at the start is loaded, and the server does not drain. */
bool ds__serve_is_ready(const ds__service *service);
/* version: as in a request.  OK, NOT_FOUND, or UNAVAILABLE with the reason. */
ds__serve_code ds__serve_model_is_ready(ds__service *service, ds__str model, ds__str version,
                                        ds_error *error) DS_MUST_CHECK;
/* Rises with everything that can change an answer of the two above; for health watches, to be looked at now and then.
 */
uint64_t ds__serve_generation(const ds__service *service);

/* Of metadata and configuration; -1 in a shape: any extent. */
typedef struct ds__serve_tensor_spec {
    const char *name;
    ds__serve_datatype datatype;
    int rank;
    int64_t shape[3];
    bool is_optional; /* an input: another one may stand in its place */
} ds__serve_tensor_spec;

typedef struct ds__serve_label {
    ds__str name;
    int64_t version;
} ds__serve_label;

/* A model with one of its versions. Arrays and texts lie in the arena that was given. */
typedef struct ds__serve_description {
    ds__str name;
    const char *platform;    /* "deepseek", "identity" */
    int64_t version;         /* the one described */
    const int64_t *versions; /* those loaded, ascending */
    size_t version_count;
    const ds__serve_label *labels;
    size_t label_count;
    const ds__serve_tensor_spec *inputs, *outputs;
    size_t input_count, output_count;
    int32_t max_tokens;              /* of a text; 0: no texts */
    size_t batch_tokens;             /* the budget that was measured or set */
    const ds_model_info *info;       /* NULL for built-in models; numbers only, its texts may be gone */
    const char *const *class_labels; /* [info->labels] */
} ds__serve_description;
ds__serve_code ds__serve_describe(ds__service *service, ds__str model, ds__str version, ds__arena *arena,
                                  ds__serve_description *out, ds_error *error) DS_MUST_CHECK;

typedef struct ds__serve_duration {
    uint64_t count, ns;
} ds__serve_duration;

enum { DS__SERVE_BATCH_SIZES = 11 }; /* of 1, 2, 4 ... 1024 texts and more */
typedef struct ds__serve_statistics {
    ds__str name;
    int64_t version;
    uint64_t last_inference_ms; /* since 1970; 0: none yet */
    uint64_t inference_count;   /* texts (rows) */
    uint64_t execution_count;   /* batches */
    uint64_t tokens;
    ds__serve_duration success, fail, queue, compute_input, compute_infer, compute_output;
    ds__serve_duration batches[DS__SERVE_BATCH_SIZES]; /* [i]: batches of up to 2^i texts */
} ds__serve_statistics;
/* model, version: size 0 for all. */
ds__serve_code ds__serve_get_statistics(ds__service *service, ds__str model, ds__str version, ds__arena *arena,
                                        ds__serve_statistics **out, size_t *count, ds_error *error) DS_MUST_CHECK;

typedef struct ds__serve_index_entry {
    ds__str name;
    int64_t version;   /* 0: none known */
    const char *state; /* "READY", "LOADING", "UNLOADING", "UNAVAILABLE" */
    ds__str reason;
} ds__serve_index_entry;
/* Everything in the repository, loaded or not.  ready: only what is READY. */
ds__serve_code ds__serve_index(ds__service *service, bool ready, ds__arena *arena, ds__serve_index_entry **out,
                               size_t *count, ds_error *error) DS_MUST_CHECK;

/* ---- administration ---- */

typedef enum ds__serve_action_kind {
    DS__SERVE_LOAD,      /* version 0: the newest in the repository; it becomes the current one once it is ready */
    DS__SERVE_UNLOAD,    /* version 0: all of the model's; what runs is finished first */
    DS__SERVE_ROLLBACK,  /* to the version that was current before, loaded again if need be */
    DS__SERVE_SET_LABEL, /* `label` to `version`, which must be loaded */
    DS__SERVE_DROP_LABEL,
} ds__serve_action_kind;

/* The caller's memory until `done`, which comes on the outbox's thread, always and once. */
typedef struct ds__serve_action {
    ds__serve_action_kind kind;
    ds__str model, label;
    int64_t version;
    ds__outbox *outbox;
    void (*done)(struct ds__serve_action *action);
    void *own;
    ds__serve_code code; /* the outcome, with the version that the action came to */
    ds_error error;
    struct ds__serve_action *next; /* the core's */
} ds__serve_action;
/* The transport has asked ds__serve_may_administer before. */
void ds__serve_act(ds__service *service, ds__serve_action *action);

#endif
