/* Who may use the server, with which models and how much: a file of JSON lines, one tenant a line, keys hashed.
 *
 * A tenant is never freed before the service is: requests keep pointers to it.  When the file is read again, tenants
 * are told apart by their names; one that is gone from the file keeps its counters and loses its keys. */
#ifndef DS_SERVE_TENANTS_H
#define DS_SERVE_TENANTS_H

#include "base/buffer.h"
#include "serve/service.h"

enum { DS__KEY_HASH_BYTES = 32, DS__TENANT_KEYS = 8, DS__TENANT_NAME_BYTES = 64, DS__TENANT_MODELS = 64 };

struct ds__tenant {
    char name[DS__TENANT_NAME_BYTES + 1];
    unsigned char keys[DS__TENANT_KEYS][DS__KEY_HASH_BYTES]; /* SHA-256 */
    size_t key_count;
    char models[DS__TENANT_MODELS][129]; /* names; none: all models */
    size_t model_count;
    bool is_admin, log_text;
    double requests_per_s; /* 0: no limit */
    size_t concurrent;     /* 0: no limit */
    double credit;         /* requests it may send at once, filled up with time, at most a second's worth */
    uint64_t credit_ns;
    size_t running;
    uint64_t requests, refused, tokens;
    struct ds__tenant *next;
};

typedef struct ds__tenants {
    ds__tenant *first;
    ds__tenant everybody; /* where there are no keys */
    bool has_keys;
} ds__tenants;

void ds__tenants_init(ds__tenants *tenants);
/* Reads lines of the file into a list of its own; then ds__tenants_merge takes it over, under the lock. */
ds_status ds__tenants_read(ds__heap *heap, const char *path, ds__tenant **out, ds_error *error) DS_MUST_CHECK;
void ds__tenants_merge(ds__tenants *tenants, ds__heap *heap, ds__tenant *list);
void ds__tenants_free(ds__heap *heap, ds__tenant *list);
/* Under the lock. All keys are compared, each in constant time. */
ds__tenant *ds__tenants_find(ds__tenants *tenants, ds__str key);
bool ds__tenant_may_use(const ds__tenant *tenant, ds__str model);
/* Whether a request may run now: model, rate, how many at once. Counts it as running when it may. */
ds__serve_code ds__tenant_admit(ds__tenant *tenant, ds__str model, uint64_t now_ns, uint32_t *retry_after_s,
                                ds_error *error) DS_MUST_CHECK;

#endif
