/* Histograms, and the page that Prometheus reads. */
#include "serve/serve_metrics.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "serve/service_internal.h"

static const double bounds[][DS__HISTOGRAM_BUCKETS] = {
    [DS__SCALE_SECONDS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
                           10},
    [DS__SCALE_COUNT] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768},
};

void ds__histogram_add(ds__histogram *histogram, ds__histogram_scale scale, double value) {
    int place = 0;
    while (place < DS__HISTOGRAM_BUCKETS && value > bounds[scale][place]) place++;
    histogram->buckets[place]++;
    histogram->count++;
    histogram->sum += value;
}

static void put_head(ds__buffer *out, const char *name, const char *type, const char *help) {
    ds__buffer_printf(out, "# HELP deepseek_%s %s\n# TYPE deepseek_%s %s\n", name, help, name, type);
}

static void put_histogram(ds__buffer *out, const char *name, const ds__instance *instance, const ds__histogram *h,
                          ds__histogram_scale scale) {
    const char *model = instance->model->name.data;
    long long version = instance->version;
    uint64_t sum = 0;
    for (int i = 0; i < DS__HISTOGRAM_BUCKETS; i++) {
        sum += h->buckets[i];
        ds__buffer_printf(out, "deepseek_%s_bucket{model=\"%s\",version=\"%lld\",le=\"%g\"} %llu\n", name, model,
                          version, bounds[scale][i], (unsigned long long)sum);
    }
    ds__buffer_printf(out, "deepseek_%s_bucket{model=\"%s\",version=\"%lld\",le=\"+Inf\"} %llu\n", name, model, version,
                      (unsigned long long)h->count);
    ds__buffer_printf(out, "deepseek_%s_sum{model=\"%s\",version=\"%lld\"} %.9g\n", name, model, version, h->sum);
    ds__buffer_printf(out, "deepseek_%s_count{model=\"%s\",version=\"%lld\"} %llu\n", name, model, version,
                      (unsigned long long)h->count);
}

/* X(name, member, scale, help) */
#define HISTOGRAMS(X)                                                                                                  \
    X("queue_seconds", queue_s, DS__SCALE_SECONDS, "Time from arrival to the first batch.")                            \
    X("compute_seconds", compute_s, DS__SCALE_SECONDS, "Time of a batch in the engine.")                               \
    X("request_seconds", total_s, DS__SCALE_SECONDS, "Time from arrival to the answer.")                               \
    X("batch_texts", batch_texts, DS__SCALE_COUNT, "Texts in a batch.")                                                \
    X("batch_tokens", batch_tokens, DS__SCALE_COUNT, "Tokens in a batch.")

static void put_instances(const ds__service *service, ds__buffer *out) {
#define PUT(name, member, scale, help)                                                                                 \
    put_head(out, name, "histogram", help);                                                                            \
    for (const ds__instance *i = service->live; i; i = i->next_live)                                                   \
        put_histogram(out, name, i, &i->metrics.member, scale);
    HISTOGRAMS(PUT)
#undef PUT
    put_head(out, "queued_texts", "gauge", "Texts that wait for a batch.");
    for (const ds__instance *i = service->live; i; i = i->next_live)
        ds__buffer_printf(out, "deepseek_queued_texts{model=\"%s\",version=\"%lld\"} %zu\n", i->model->name.data,
                          (long long)i->version, i->queued_rows);
    put_head(out, "tokens_total", "counter", "Tokens computed.");
    for (const ds__instance *i = service->live; i; i = i->next_live)
        ds__buffer_printf(out, "deepseek_tokens_total{model=\"%s\",version=\"%lld\"} %llu\n", i->model->name.data,
                          (long long)i->version, (unsigned long long)i->metrics.tokens);
}

/* A tenant's name may hold anything. */
static void put_label_value(ds__buffer *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') ds__buffer_put(out, '\\');
        if (*text == '\n')
            ds__buffer_text(out, "\\n");
        else
            ds__buffer_put(out, *text);
    }
}

static void put_tenant(ds__buffer *out, const char *name, const ds__tenant *tenant, uint64_t value) {
    ds__buffer_printf(out, "deepseek_%s{tenant=\"", name);
    put_label_value(out, tenant->name);
    ds__buffer_printf(out, "\"} %llu\n", (unsigned long long)value);
}

static void put_tenants(const ds__service *service, ds__buffer *out) {
    const ds__tenants *tenants = &service->tenants;
    const ds__tenant *first = tenants->has_keys ? tenants->first : &tenants->everybody;
    put_head(out, "tenant_requests_total", "counter", "Inference requests taken, by tenant.");
    for (const ds__tenant *t = first; t; t = t->next) put_tenant(out, "tenant_requests_total", t, t->requests);
    put_head(out, "tenant_refused_total", "counter",
             "Inference requests refused for the tenant's limits or the queue's.");
    for (const ds__tenant *t = first; t; t = t->next) put_tenant(out, "tenant_refused_total", t, t->refused);
    put_head(out, "tenant_tokens_total", "counter", "Tokens computed, by tenant.");
    for (const ds__tenant *t = first; t; t = t->next) put_tenant(out, "tenant_tokens_total", t, t->tokens);
    put_head(out, "tenant_running", "gauge", "Inference requests under way, by tenant.");
    for (const ds__tenant *t = first; t; t = t->next) put_tenant(out, "tenant_running", t, t->running);
}

static uint64_t resident_bytes(ds__heap *heap) {
    ds__buffer text;
    unsigned long long pages = 0, ignored;
    ds__buffer_init(&text, heap);
    if (ds__file_read("/proc/self/statm", 4096, &text, NULL) == DS_OK && ds__buffer_cstr(&text) &&
        sscanf(text.data, "%llu %llu", &ignored, &pages) != 2)
        pages = 0;
    ds__buffer_deinit(&text);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void ds__service_put_metrics(ds__service *service, ds__buffer *out) {
    static const char *const codes[] = {
#define CODE(name, http, grpc) [DS__SERVE_##name] = #name,
        DS__SERVE_CODE_LIST(CODE)
#undef CODE
    };
    static const char *const transports[] = {[DS__SERVE_REST] = "rest", [DS__SERVE_GRPC] = "grpc"};
    uint64_t resident = resident_bytes(service->heap);
    pthread_mutex_lock(&service->lock);
    put_head(out, "requests_total", "counter", "Inference requests, by how they ended.");
    for (int c = 0; c < DS__SERVE_CODE_COUNT; c++)
        for (int t = 0; t < DS__SERVE_TRANSPORTS; t++)
            ds__buffer_printf(out, "deepseek_requests_total{outcome=\"%s\",protocol=\"%s\"} %llu\n", codes[c],
                              transports[t], (unsigned long long)service->metrics.ended[c][t]);
    put_instances(service, out);
    put_tenants(service, out);
    pthread_mutex_unlock(&service->lock);
    put_head(out, "connections", "gauge",
             "Open connections, those that only ask for metrics on a port of their own left out.");
    for (int t = 0; t < DS__SERVE_TRANSPORTS; t++)
        ds__buffer_printf(out, "deepseek_connections{protocol=\"%s\"} %zu\n", transports[t],
                          atomic_load(&service->connections[t]));
    put_head(out, "allocated_bytes", "gauge", "Memory that models and requests hold, weights' files not counted.");
    ds__buffer_printf(out, "deepseek_allocated_bytes %llu\n", (unsigned long long)atomic_load(&service->heap->bytes));
    put_head(out, "uptime_seconds", "gauge", "Since the server started.");
    ds__buffer_printf(out, "deepseek_uptime_seconds %.3f\n", (double)(ds__clock_ns() - service->started_ns) * 1e-9);
    put_head(out, "resident_bytes", "gauge", "Resident memory of the process.");
    ds__buffer_printf(out, "deepseek_resident_bytes %llu\n", (unsigned long long)resident);
}
