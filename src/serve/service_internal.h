/* What the parts of the core share: models with their loaded versions, calls on their way, the two threads.
 *
 * One lock guards everything that is written here after the start; it is held for look-ups and list operations only,
 * never while a file, the tokenizer or the engine is at work.  Three kinds of thread meet: transports (submit, cancel,
 * ask), the executor (the only one that runs batches) and the loader (opens, warms up and closes models). */
#ifndef DS_SERVE_SERVICE_INTERNAL_H
#define DS_SERVE_SERVICE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/context_internal.h"
#include "serve/serve_metrics.h"
#include "serve/serve_options.h"
#include "serve/serve_queue.h"
#include "serve/service.h"
#include "serve/tenants.h"

enum {
    DS__SERVE_MAX_ROWS = 16384,      /* texts of one request */
    DS__SERVE_BYTES_A_TOKEN = 256,   /* a text with more bytes for each token it may have is not looked at */
    DS__SERVE_BATCH_BYTES = 1 << 20, /* a batch is closed behind so many bytes of text, whatever tokens they gave */
    DS__SERVE_BATCH_TEXTS = 1024,
    DS__SERVE_ARENA_KEPT = 64 * 1024, /* of a request's memory, for the next request */
    DS__SERVE_REQUESTS_KEPT = 256,
};

typedef struct ds__instance ds__instance;
typedef struct ds__served_model ds__served_model;

/* What the engine can be run for: a model with a head is one more pass over the same weights for whoever wants vectors.
 */
typedef enum ds__pass { DS__PASS_LOGITS, DS__PASS_EMBEDDING, DS__PASSES } ds__pass;

/* A request with what only the core sees of it; the public part comes first. */
typedef struct ds__serve_call {
    ds__serve_request request;
    ds__service *service;
    ds__outbox *outbox;
    void (*done)(ds__serve_request *request);
    ds__instance *instance;       /* holds a reference to it from acceptance to release: labels are the model's */
    ds__queue_link link;          /* of its lane */
    struct ds__serve_call *next;  /* in the outbox, or among the unused */
    size_t rows;                  /* texts */
    bool wants[DS__PASSES];       /* what is to be computed of each of them */
    size_t work, taken, computed; /* rows times passes; what the executor took of it; what is done */
    bool accepted, cancelled, failed;
    /* Text models: where rows come from and go to. */
    const ds_text *texts;      /* [rows], or NULL: ids */
    const int64_t *ids, *mask; /* [rows][width] at any alignment; mask may be NULL */
    size_t width;
    float *out[DS__PASSES];                    /* [rows][row_floats]; NULL: not wanted */
    uint64_t compute_ns, encode_ns, output_ns; /* its batches' */
} ds__serve_call;

/* How a loaded version does its work. */
typedef enum ds__instance_kind { DS__INSTANCE_EMBED, DS__INSTANCE_CLASSIFY, DS__INSTANCE_IDENTITY } ds__instance_kind;

struct ds__instance {
    ds__served_model *model;
    int64_t version;
    ds__instance_kind kind;
    ds_model *engine;               /* NULL: identity */
    ds_session *session;            /* the executor's; the loader's until the instance is ready */
    int32_t max_tokens[DS__PASSES]; /* of a text */
    ds_model_info info;             /* its texts live as long as the engine */
    size_t row_floats[DS__PASSES];  /* 0: the model has no such pass */
    size_t batch_tokens;
    double tokens_per_s; /* of full batches, measured at load */
    size_t refs;         /* calls, and 1 while it is in the model's list */
    ds__queue queue;
    ds__instance_metrics metrics;
    uint64_t waiting_since_ns; /* when the queue was last empty */
    size_t queued_rows;
    ds__instance *next;      /* of the model, ascending by version; then of those to be closed */
    ds__instance *next_live; /* of the service: everything that may still have something queued */
};

typedef enum ds__load_state {
    DS__LOAD_NEVER,
    DS__LOAD_WAITING,
    DS__LOAD_FAILED,
    DS__LOAD_READY,
    DS__LOAD_UNLOADING
} ds__load_state;

typedef struct ds__model_label {
    ds__str name;
    int64_t version;
} ds__model_label;

enum { DS__MAX_LABELS = 32, DS__MAX_LABEL_BYTES = 64, DS__MAX_NAME_BYTES = 128 };

/* A name in the repository, loaded or not; never forgotten once seen. */
struct ds__served_model {
    ds__str name;                   /* in the service's arena */
    const ds__named_model *section; /* what the options say of it; NULL: nothing */
    bool is_identity;               /* built in */
    bool wanted;                    /* at the start: readiness waits for it */
    bool settled;                   /* what the start asks for is loaded, or has failed */
    ds__instance *instances;
    int64_t current, previous; /* versions; 0: none */
    ds__model_label labels[DS__MAX_LABELS];
    char label_names[DS__MAX_LABELS][DS__MAX_LABEL_BYTES];
    size_t label_count;
    ds__load_state state;
    int64_t state_version;              /* that the state speaks of */
    char reason[DS_ERROR_MESSAGE_SIZE]; /* FAILED: why */
    ds__served_model *next;
};

struct ds__service {
    ds_context *context;
    ds__heap *heap; /* the context's: the memory limit covers requests too */
    ds__service_options options;
    ds__arena arena; /* names; guarded by the lock */
    pthread_mutex_t lock;
    pthread_cond_t work;  /* the executor: something is queued */
    pthread_cond_t tasks; /* the loader: an action, an instance to close */
    pthread_t executor, loader;
    bool has_executor, has_loader;
    bool stopping; /* the threads end */
    bool draining; /* nothing new is taken */
    _Atomic uint64_t generation;
    _Atomic size_t connections[DS__SERVE_TRANSPORTS];
    ds__served_model *models;                 /* in the order of their names */
    ds__serve_action *actions, **last_action; /* waiting for the loader */
    ds__instance *retired;                    /* out of use, for the loader to close */
    ds__serve_call *unused;
    size_t unused_count, open_calls; /* created and not released */
    ds__instance *live, *turn;       /* what the executor looks at; whose turn it was */
    size_t queued_rows;              /* all instances */
    size_t queued_deadlines;         /* calls in queues that have one */
    ds__tenants tenants;
    ds__service_metrics metrics;
    uint64_t started_ns;
};

/* ---- repository.c, under the lock ---- */

/* The version that a request means: a number, a label, or the current one. */
ds__serve_code ds__service_resolve(const ds__service *service, ds__str model, ds__str version, ds__instance **out,
                                   ds_error *error) DS_MUST_CHECK;
void ds__instance_unref(ds__service *service, ds__instance *instance);
/* Lists the repository: names that are new are added. Without the lock, which it takes. */
ds_status ds__service_scan(ds__service *service, ds_error *error) DS_MUST_CHECK;
void *ds__loader_main(void *service);

/* ---- instance.c, on the loader ---- */

ds_status ds__instance_open(ds__service *service, ds__served_model *model, int64_t version, const char *folder,
                            ds__instance **out, ds_error *error) DS_MUST_CHECK;
void ds__instance_close(ds__service *service, ds__instance *instance);
/* What the model is for: logits where it has a head. */
ds__pass ds__instance_pass(const ds__instance *instance);
/* Runs packed texts; on the thread that has the session. */
ds_status ds__instance_run(const ds__instance *instance, ds__pass pass, const ds_packed_batch *batch, float *out,
                           ds_error *error) DS_MUST_CHECK;

/* ---- call_rows.c ---- */

/* Checks a request against its model and makes room for the results; without the lock. */
ds__serve_code ds__serve_call_prepare(ds__serve_call *call, ds_error *error) DS_MUST_CHECK;
/* Fills in the results of a call whose rows are all computed. */
void ds__serve_call_finish(ds__serve_call *call);
/* Inputs and outputs of a kind of model. */
void ds__instance_specs(const ds__instance *instance, ds__arena *arena, ds__serve_description *out);

/* ---- executor.c ---- */

void *ds__executor_main(void *service);
/* Takes a call out of its queue; under the lock. */
void ds__serve_call_unqueue(ds__serve_call *call);
/* Ends a call that is in no lane and no batch; under the lock. The outbox gets it. */
void ds__serve_call_complete(ds__serve_call *call, ds__serve_code code);

/* ---- outbox.c ---- */

void ds__outbox_push(ds__outbox *outbox, ds__serve_call *call);
void ds__outbox_push_action(ds__outbox *outbox, ds__serve_action *action);

/* A code with its sentence: return ds__refuse(error, DS__SERVE_INVALID, "..."). */
ds__serve_code ds__refuse(ds_error *error, ds__serve_code code, const char *format, ...) DS_PRINTF(3, 4);

#endif
