/* The table of methods, and what they have in common. */
#include "serve/grpc/grpc_service.h"

#include <strings.h>

#include "base/error.h"
#include "serve/grpc/wire.h"

#define DS__GRPC_METHOD(name) extern const ds__grpc_method ds__grpc_##name;
#include "serve/grpc/grpc_methods.def"
#undef DS__GRPC_METHOD

static const ds__grpc_method *const methods[] = {
#define DS__GRPC_METHOD(name) &ds__grpc_##name,
#include "serve/grpc/grpc_methods.def"
#undef DS__GRPC_METHOD
};

const ds__grpc_method *const *ds__grpc_methods(size_t *count) {
    *count = sizeof methods / sizeof *methods;
    return methods;
}

void ds__grpc_refuse_code(ds__grpc_exchange *exchange, ds__serve_code code, const ds_error *error) {
    bool may_retry = code == DS__SERVE_QUEUE_FULL || code == DS__SERVE_UNAVAILABLE; /* as REST's Retry-After */
    if (may_retry && !exchange->retry_after_s) exchange->retry_after_s = 1;
    ds__grpc_refuse(exchange, ds__serve_grpc_status(code), error->message);
}

ds__str ds__grpc_key(const ds__grpc_exchange *exchange) {
    static const ds__str scheme = {"Bearer ", 7};
    ds__str value = exchange->authorization;
    if (value.size <= scheme.size || strncasecmp(value.data, scheme.data, scheme.size) != 0) return (ds__str){"", 0};
    return (ds__str){value.data + scheme.size, value.size - scheme.size};
}

bool ds__grpc_who(ds__grpc_exchange *exchange, ds__tenant **out) {
    ds_error error = {DS_OK, ""};
    ds__serve_code code =
        ds__serve_authenticate(ds__grpc_binding_of(exchange)->service, ds__grpc_key(exchange), out, &error);
    if (code == DS__SERVE_OK) {
        exchange->about.tenant = ds__tenant_name(*out);
        return true;
    }
    ds__grpc_refuse_code(exchange, code, &error);
    return false;
}

bool ds__grpc_may_use(ds__grpc_exchange *exchange, const ds__tenant *tenant, ds__str model) {
    if (ds__serve_may_use(ds__grpc_binding_of(exchange)->service, tenant, model)) return true;
    ds_error error;
    (void)ds__fail(&error, DS_INVALID_ARGUMENT, "the tenant \"%s\" may not use the model \"%.*s\"",
                   ds__tenant_name(tenant), DS_STR_ARG(model));
    ds__grpc_refuse_code(exchange, DS__SERVE_DENIED, &error);
    return false;
}

bool ds__grpc_subject_of(ds__grpc_exchange *exchange, const char *message, ds__grpc_subject *out) {
    ds_error error = {DS_OK, ""};
    ds__wire wire = ds__wire_of(exchange->message, message, &error);
    *out = (ds__grpc_subject){{"", 0}, {"", 0}};
    while (ds__wire_next(&wire)) {
        if (wire.field == 1) out->name = ds__wire_text(&wire, "name");
        if (wire.field == 2) out->version = ds__wire_text(&wire, "version");
    }
    if (ds__wire_ok(&wire)) return true;
    ds__grpc_refuse_code(exchange, DS__SERVE_INVALID, &error);
    return false;
}
