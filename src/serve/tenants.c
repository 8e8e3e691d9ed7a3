/* Reading the file of keys, finding a tenant by its key, its limits. */
#include "serve/tenants.h"

#include <math.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"
#include "serve/service_internal.h"

enum { MAX_FILE_BYTES = 16 << 20, MAX_KEY_BYTES = 1024 };

void ds__tenants_init(ds__tenants *tenants) {
    *tenants = (ds__tenants){0};
    memcpy(tenants->everybody.name, "everybody", sizeof "everybody");
    tenants->everybody.is_admin = true;
}

void ds__tenants_free(ds__heap *heap, ds__tenant *list) {
    for (ds__tenant *next; list; list = next) {
        next = list->next;
        ds__free(heap, list, sizeof *list);
    }
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void read_key(ds__json *json, ds__tenant *tenant) {
    ds__str text = ds__json_string(json, DS_STR("an entry of keys"));
    if (!ds__json_ok(json)) return;
    if (tenant->key_count == DS__TENANT_KEYS || text.size != 2 * DS__KEY_HASH_BYTES) {
        ds__json_fail(json, DS_BAD_FORMAT,
                      "keys has an entry of %zu characters, expected at most %d entries of 64 "
                      "hexadecimal digits: the SHA-256 of each key",
                      text.size, DS__TENANT_KEYS);
        return;
    }
    for (size_t i = 0; i < DS__KEY_HASH_BYTES; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            ds__json_fail(json, DS_BAD_FORMAT, "keys has an entry with a character that is no hexadecimal digit");
            return;
        }
        tenant->keys[tenant->key_count][i] = (unsigned char)(high << 4 | low);
    }
    tenant->key_count++;
}

static void read_name(ds__json *json, ds__str field, char *out, size_t room) {
    ds__str text = ds__json_string(json, field);
    if (!ds__json_ok(json)) return;
    if (!text.size || text.size >= room || memchr(text.data, '\0', text.size)) {
        ds__json_fail(json, DS_BAD_FORMAT, "%.*s has %zu bytes, expected 1 to %zu and no NUL", DS_STR_ARG(field),
                      text.size, room - 1);
        return;
    }
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
}

static void read_model(ds__json *json, ds__tenant *tenant) {
    if (tenant->model_count == DS__TENANT_MODELS) {
        ds__json_fail(json, DS_BAD_FORMAT, "models has more than %d names", DS__TENANT_MODELS);
        return;
    }
    read_name(json, DS_STR("an entry of models"), tenant->models[tenant->model_count], sizeof tenant->models[0]);
    tenant->model_count++;
}

static void read_member(ds__json *json, ds__str key, ds__tenant *tenant) {
    if (ds__str_is(key, "tenant"))
        read_name(json, key, tenant->name, sizeof tenant->name);
    else if (ds__str_is(key, "keys"))
        while (ds__json_next_item(json)) read_key(json, tenant);
    else if (ds__str_is(key, "models"))
        while (ds__json_next_item(json)) read_model(json, tenant);
    else if (ds__str_is(key, "admin"))
        tenant->is_admin = ds__json_bool(json, key);
    else if (ds__str_is(key, "log_text"))
        tenant->log_text = ds__json_bool(json, key);
    else if (ds__str_is(key, "requests_per_second"))
        tenant->requests_per_s = ds__json_number(json, key, 0.001, 1e9);
    else if (ds__str_is(key, "concurrent"))
        tenant->concurrent = (size_t)ds__json_int(json, key, 1, 1 << 30);
    else
        ds__json_fail(json, DS_BAD_FORMAT,
                      "has the member \"%.*s\", expected tenant, keys, models, admin, log_text, "
                      "requests_per_second and concurrent",
                      DS_STR_ARG(key));
}

/* One line. */
static ds_status read_tenant(ds__heap *heap, ds__str line, ds__tenant **out, ds_error *error) {
    ds__json json;
    ds__tenant *tenant = ds__alloc_zeroed(heap, sizeof *tenant);
    if (!tenant) return ds__alloc_failed(heap, sizeof *tenant, "a tenant", error);
    ds__json_init(&json, heap, "the tenant", line);
    for (ds__str key; ds__json_next_key(&json, &key);) read_member(&json, key, tenant);
    if (ds__json_ok(&json) && (!tenant->name[0] || !tenant->key_count))
        ds__json_fail(&json, DS_BAD_FORMAT, "has %s; a tenant needs both a name and keys",
                      tenant->name[0] ? "no \"keys\"" : "no \"tenant\"");
    ds_status status = ds__json_finish(&json, error);
    if (status == DS_OK)
        *out = tenant;
    else
        ds__free(heap, tenant, sizeof *tenant);
    return status;
}

static ds_status read_lines(ds__heap *heap, ds__str text, ds__tenant **list, ds_error *error) {
    size_t number = 0;
    while (text.size) {
        const char *end = memchr(text.data, '\n', text.size);
        ds__str line = {text.data, end ? (size_t)(end - text.data) : text.size};
        text = (ds__str){text.data + line.size + (end != NULL), text.size - line.size - (end != NULL)};
        number++;
        if (line.size && line.data[line.size - 1] == '\r') line.size--;
        if (!line.size) continue;
        ds__tenant *tenant;
        ds_status status = read_tenant(heap, line, &tenant, error);
        if (status != DS_OK) return ds__fail_in(error, status, "line %zu", number);
        for (const ds__tenant *other = *list; other; other = other->next)
            if (strcmp(other->name, tenant->name) == 0) {
                ds__free(heap, tenant, sizeof *tenant);
                return ds__fail(error, DS_BAD_FORMAT,
                                "line %zu: the tenant \"%s\" is there already; give it all its "
                                "keys on one line",
                                number, other->name);
            }
        tenant->next = *list;
        *list = tenant;
    }
    return *list ? DS_OK : ds__fail(error, DS_BAD_FORMAT, "has no tenant; nobody could use the server");
}

ds_status ds__tenants_read(ds__heap *heap, const char *path, ds__tenant **out, ds_error *error) {
    ds__buffer text;
    ds__tenant *list = NULL;
    ds__buffer_init(&text, heap);
    ds_status status = ds__file_read(path, MAX_FILE_BYTES, &text, error);
    if (status == DS_OK) {
        status = read_lines(heap, ds__buffer_str(&text), &list, error);
        if (status != DS_OK) ds__fail_in(error, status, "%s", path);
    }
    ds__buffer_deinit(&text);
    if (status == DS_OK)
        *out = list;
    else
        ds__tenants_free(heap, list);
    return status;
}

void ds__tenants_merge(ds__tenants *tenants, ds__heap *heap, ds__tenant *list) {
    tenants->has_keys = true;
    for (ds__tenant *old = tenants->first; old; old = old->next) old->key_count = 0;
    for (ds__tenant *fresh = list, *next; fresh; fresh = next) {
        next = fresh->next;
        ds__tenant *old = tenants->first;
        while (old && strcmp(old->name, fresh->name) != 0) old = old->next;
        if (!old) {
            fresh->next = tenants->first;
            tenants->first = fresh;
            continue;
        }
        memcpy(old->keys, fresh->keys, sizeof old->keys);
        memcpy(old->models, fresh->models, sizeof old->models);
        old->key_count = fresh->key_count;
        old->model_count = fresh->model_count;
        old->is_admin = fresh->is_admin;
        old->log_text = fresh->log_text;
        old->requests_per_s = fresh->requests_per_s;
        old->concurrent = fresh->concurrent;
        ds__free(heap, fresh, sizeof *fresh);
    }
}

ds__tenant *ds__tenants_find(ds__tenants *tenants, ds__str key) {
    unsigned char hash[DS__KEY_HASH_BYTES];
    ds__tenant *found = NULL;
    if (!tenants->has_keys) return &tenants->everybody;
    if (!key.size || key.size > MAX_KEY_BYTES || !EVP_Digest(key.data, key.size, hash, NULL, EVP_sha256(), NULL))
        return NULL;
    for (ds__tenant *tenant = tenants->first; tenant; tenant = tenant->next)
        for (size_t i = 0; i < tenant->key_count; i++)
            if (CRYPTO_memcmp(tenant->keys[i], hash, sizeof hash) == 0) found = tenant;
    return found;
}

bool ds__tenant_may_use(const ds__tenant *tenant, ds__str model) {
    bool allowed = tenant->model_count == 0;
    for (size_t i = 0; i < tenant->model_count; i++) allowed |= ds__str_is(model, tenant->models[i]);
    return allowed;
}

ds__serve_code ds__tenant_admit(ds__tenant *tenant, ds__str model, uint64_t now_ns, uint32_t *retry_after_s,
                                ds_error *error) {
    if (!ds__tenant_may_use(tenant, model))
        return ds__refuse(error, DS__SERVE_DENIED, "the tenant \"%s\" may not use the model \"%.*s\"", tenant->name,
                          DS_STR_ARG(model));
    if (tenant->concurrent && tenant->running >= tenant->concurrent) {
        *retry_after_s = 1;
        return ds__refuse(error, DS__SERVE_QUEUE_FULL, "the tenant \"%s\" has %zu requests under way, and may have %zu",
                          tenant->name, tenant->running, tenant->concurrent);
    }
    if (tenant->requests_per_s > 0) {
        double most = tenant->requests_per_s < 1 ? 1 : tenant->requests_per_s;
        if (!tenant->credit_ns) tenant->credit = most;
        tenant->credit += (double)(now_ns - tenant->credit_ns) * 1e-9 * tenant->requests_per_s;
        if (!tenant->credit_ns || tenant->credit > most) tenant->credit = most;
        tenant->credit_ns = now_ns;
        if (tenant->credit < 1) {
            *retry_after_s = (uint32_t)ceil((1 - tenant->credit) / tenant->requests_per_s);
            return ds__refuse(error, DS__SERVE_QUEUE_FULL,
                              "the tenant \"%s\" sends more than its %g requests a second; wait %u s", tenant->name,
                              tenant->requests_per_s, *retry_after_s);
        }
        tenant->credit -= 1;
    }
    tenant->running++;
    tenant->requests++;
    return DS__SERVE_OK;
}
