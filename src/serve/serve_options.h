/* How a server is set up: what the command line and --config say. */
#ifndef DS_SERVE_SERVE_OPTIONS_H
#define DS_SERVE_SERVE_OPTIONS_H

#include "deepseek/model.h"

typedef struct ds__named_label {
    const char *name;
    int64_t version;
} ds__named_label;

/* A model that is named, and how it differs from the others. */
typedef struct ds__named_model {
    const char *name;
    const char *folder; /* its only version, 1; NULL: REPOSITORY/NAME/VERSION/ */
    ds_model_options model;
    int32_t max_seq_len;           /* 0: as the model says */
    const ds__named_label *labels; /* set at the start, their versions loaded beside the newest one */
    size_t label_count;
} ds__named_model;

/* Borrowed for the service's life. A zeroed structure means the defaults. */
typedef struct ds__service_options {
    const char *repository; /* REPOSITORY/NAME/VERSION/; NULL: none */
    const ds__named_model *models;
    size_t model_count;
    ds_model_options model;  /* how to open those that are not named */
    int32_t max_seq_len;     /* theirs; 0: as the model says */
    size_t max_queue;        /* texts waiting, over all models */
    size_t max_batch_tokens; /* 0: measured */
    uint32_t max_delay_us;
    bool test_models;     /* "identity" is there */
    const char *api_keys; /* a file; NULL: no keys */
} ds__service_options;

struct ds__service;
/* Starts the threads; models load in the background.  The options are copied, what they point to is not. */
ds_status ds__service_create(ds_context *context, const ds__service_options *options, struct ds__service **out,
                             ds_error *error) DS_MUST_CHECK;
/* Nothing new is accepted from now on. */
void ds__service_drain(struct ds__service *service);
/* Every model that was there at the start is loaded or has failed. */
bool ds__service_is_settled(struct ds__service *service);
/* Requests and actions that are not over. */
size_t ds__service_pending(struct ds__service *service);
/* All requests are released and all outboxes gone. */
void ds__service_destroy(struct ds__service *service);
/* Reads the file of keys again; on failure the old ones stay. */
ds_status ds__service_read_keys(struct ds__service *service, ds_error *error) DS_MUST_CHECK;

#endif
