/* The methods of the Open Inference Protocol, of gRPC's health checking and of its reflection, over the core. */
#ifndef DS_SERVE_GRPC_GRPC_SERVICE_H
#define DS_SERVE_GRPC_GRPC_SERVICE_H

#include "serve/grpc/grpc_call.h"
#include "serve/service.h"

/* The server's `user`. */
typedef struct ds__grpc_binding {
    ds__service *service;
    ds__outbox *outbox;
} ds__grpc_binding;

/* Every method there is: grpc_methods.def. */
const ds__grpc_method *const *ds__grpc_methods(size_t *count);

/* For methods. */
static inline const ds__grpc_binding *ds__grpc_binding_of(const ds__grpc_exchange *exchange) { return exchange->user; }
void ds__grpc_refuse_code(ds__grpc_exchange *exchange, ds__serve_code code, const ds_error *error);
/* Who asks. false: refused, the exchange has ended. */
bool ds__grpc_who(ds__grpc_exchange *exchange, ds__tenant **out) DS_MUST_CHECK;
/* false: the model is not that tenant's; refused, the exchange has ended. */
bool ds__grpc_may_use(ds__grpc_exchange *exchange, const ds__tenant *tenant, ds__str model) DS_MUST_CHECK;
/* The key in the metadata, as ds__serve_authenticate wants it. */
ds__str ds__grpc_key(const ds__grpc_exchange *exchange);

/* A request of a name and a version, which most are; false: refused, the exchange has ended. */
typedef struct ds__grpc_subject {
    ds__str name, version;
} ds__grpc_subject;
bool ds__grpc_subject_of(ds__grpc_exchange *exchange, const char *message, ds__grpc_subject *out) DS_MUST_CHECK;

#endif
