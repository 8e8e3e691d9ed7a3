/* The table of routes, and finding one by method and path. */
#include <stdio.h>

#include "serve/http/http_call.h"

#define DS_ROUTE(name) extern const ds__route ds__route_##name;
#include "serve/routes/routes.def"
#undef DS_ROUTE

static const ds__route *const routes[] = {
#define DS_ROUTE(name) &ds__route_##name,
#include "serve/routes/routes.def"
#undef DS_ROUTE
};

size_t ds__route_count(void) { return sizeof routes / sizeof *routes; }
const ds__route *ds__route_at(size_t index) { return routes[index]; }

static const char *segment_end(const char *at, const char *end) {
    const char *slash = memchr(at, '/', (size_t)(end - at));
    return slash ? slash : end;
}

/* Whether the path has the pattern's form; its parameters go into the call, as they are. */
static bool matches(const char *pattern, ds__str path, ds__http_call *call) {
    const char *p = pattern, *p_end = pattern + strlen(pattern), *at = path.data, *end = path.data + path.size;
    size_t count = 0;
    for (;;) {
        const char *p_next = segment_end(p, p_end), *next = segment_end(at, end);
        if (*p == '{') {
            if (next == at || count == DS__ROUTE_PARAMETERS) return false;
            call->parameters[count].name = p + 1;
            call->parameters[count].name_size = (size_t)(p_next - p - 2);
            call->parameters[count++].value = (ds__str){at, (size_t)(next - at)};
        } else if (p_next - p != next - at || memcmp(p, at, (size_t)(next - at)) != 0) {
            return false;
        }
        if (p_next == p_end || next == end) {
            for (; count < DS__ROUTE_PARAMETERS; count++) call->parameters[count].name = NULL;
            return p_next == p_end && next == end;
        }
        p = p_next + 1;
        at = next + 1;
    }
}

/* 0, or the status to refuse the path with. */
static int unescape_parameters(ds__http_call *call) {
    for (size_t i = 0; i < DS__ROUTE_PARAMETERS && call->parameters[i].name; i++) {
        ds__str *value = &call->parameters[i].value;
        size_t size = value->size;
        if (!memchr(value->data, '%', size)) continue;
        char *to = call->unescaped + call->unescaped_size;
        if (size > sizeof call->unescaped - call->unescaped_size) return 404; /* no name is so long */
        memcpy(to, value->data, size);
        if (!ds__http_unescape(to, &size)) return 400;
        *value = (ds__str){to, size};
        call->unescaped_size += size;
    }
    return 0;
}

const ds__route *ds__route_find(ds__http_call *call, int *status, char allow[64]) {
    ds__str path = call->head->path, method = call->head->method;
    if (ds__str_is(method, "HEAD")) method = DS_STR("GET");
    if (path.size > 1 && path.data[path.size - 1] == '/') path.size--;
    size_t used = 0;
    *status = 404;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!matches(routes[i]->path, path, call)) continue;
        if (ds__str_is(method, routes[i]->method)) {
            *status = unescape_parameters(call);
            return *status ? NULL : routes[i];
        }
        used += (size_t)snprintf(allow + used, 64 - used, "%s%s", used ? ", " : "", routes[i]->method);
        *status = 405;
    }
    call->parameters[0].name = NULL;
    return NULL;
}

ds__str ds__http_parameter(const ds__http_call *call, const char *name) {
    for (size_t i = 0; i < DS__ROUTE_PARAMETERS && call->parameters[i].name; i++)
        if (strlen(name) == call->parameters[i].name_size &&
            memcmp(call->parameters[i].name, name, call->parameters[i].name_size) == 0)
            return call->parameters[i].value;
    return (ds__str){"", 0};
}

bool ds__http_may_see(ds__http_call *call, ds__str model) {
    if (!call->tenant || ds__serve_may_use(call->service, call->tenant, model)) return true;
    char sentence[DS_ERROR_MESSAGE_SIZE];
    snprintf(sentence, sizeof sentence, "the tenant \"%s\" may not use the model \"%.*s\"",
             ds__tenant_name(call->tenant), DS_STR_ARG(model));
    ds__http_fail(call, 403, sentence);
    return false;
}
