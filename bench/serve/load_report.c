/* What the load generator has counted, for people and as one line of JSON. */
#include <stdio.h>

#include "bench/serve/load.h"
#include "formats/json.h"

/* The place of a time: its highest bit, and the LOAD_FRACTION_BITS below that. */
static size_t bucket_of(uint64_t ns) {
    if (ns < (1u << LOAD_FRACTION_BITS)) return (size_t)ns;
    const int shift = 63 - __builtin_clzll(ns) - LOAD_FRACTION_BITS;
    return ((size_t)(shift + 1) << LOAD_FRACTION_BITS) + ((ns >> shift) & ((1u << LOAD_FRACTION_BITS) - 1));
}

/* The longest time that has this place. */
static uint64_t longest_of(size_t bucket) {
    const size_t fraction = bucket & ((1u << LOAD_FRACTION_BITS) - 1), shift = bucket >> LOAD_FRACTION_BITS;
    if (!shift) return bucket;
    return ((((uint64_t)1 << LOAD_FRACTION_BITS) + fraction + 1) << (shift - 1)) - 1;
}

void load_histogram_add(load_histogram *histogram, uint64_t ns) {
    histogram->counts[bucket_of(ns)]++;
    histogram->total++;
    histogram->sum += ns;
    if (ns > histogram->max) histogram->max = ns;
}

double load_percentile(const load_histogram *histogram, double percent) {
    uint64_t seen = 0;
    const double wanted = percent / 100 * (double)histogram->total;
    if (!histogram->total) return 0;
    for (size_t i = 0; i < LOAD_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (!histogram->counts[i] || (double)seen < wanted) continue;
        const uint64_t longest = longest_of(i);
        return (double)(longest < histogram->max ? longest : histogram->max) * 1e-6;
    }
    return (double)histogram->max * 1e-6;
}

typedef struct percentile {
    const char *name;
    double percent;
} percentile;
static const percentile answers[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"max", 100}};
static const percentile refusals[] = {{"p50", 50}, {"p99", 99}};
#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

static double per_second(const load *l) { return l->counts.seconds > 0 ? (double)l->counts.ok / l->counts.seconds : 0; }

static void put_percentiles(ds__json_writer *json, const char *key, const load_histogram *histogram,
                            const percentile *list, size_t count) {
    ds__json_key(json, key);
    ds__json_open_object(json);
    ds__json_key(json, "mean");
    ds__json_put_fixed(json, histogram->total ? (double)histogram->sum * 1e-6 / (double)histogram->total : 0, 4);
    for (size_t i = 0; i < count; i++) {
        ds__json_key(json, list[i].name);
        ds__json_put_fixed(json, load_percentile(histogram, list[i].percent), 3);
    }
    ds__json_close_object(json);
}

static void name_status(int status, char out[16]) {
    if (status == LOAD_NO_STATUS)
        snprintf(out, 16, "none");
    else
        snprintf(out, 16, "%d", status);
}

static void put_statuses(ds__json_writer *json, const load_counts *counts) {
    ds__json_key(json, "status");
    ds__json_open_object(json);
    for (int status = 0; status < LOAD_STATUSES; status++) {
        char name[16];
        if (!counts->by_status[status]) continue;
        name_status(status, name);
        ds__json_key(json, name);
        ds__json_put_int(json, (int64_t)counts->by_status[status]);
    }
    ds__json_close_object(json);
}

static void report_json(const load *l) {
    const load_counts *counts = &l->counts;
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {{"connections", l->options.connections},
                   {"texts", l->text_count},
                   {"different", l->different},
                   {"requests", counts->sent},
                   {"ok", counts->ok},
                   {"wrong", counts->wrong},
                   {"lost", counts->lost},
                   {"unsent", counts->unsent},
                   {"connection_errors", counts->connection_errors},
                   {"reconnects", counts->reconnects}};
    ds__buffer out;
    ds__buffer_init(&out, &load_heap);
    ds__json_writer json = {&out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "protocol");
    ds__json_put_string(&json, ds__str_of(l->options.protocol->name));
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        ds__json_key(&json, numbers[i].key);
        ds__json_put_int(&json, (int64_t)numbers[i].value);
    }
    put_statuses(&json, counts);
    ds__json_key(&json, "seconds");
    ds__json_put_fixed(&json, counts->seconds, 3);
    ds__json_key(&json, "ok_per_s");
    ds__json_put_fixed(&json, per_second(l), 2);
    ds__json_key(&json, "texts_per_s");
    ds__json_put_fixed(&json, per_second(l) * (double)l->options.texts_per_request, 2);
    put_percentiles(&json, "latency_ms", &counts->latency, answers, COUNT_OF(answers));
    put_percentiles(&json, "refused_ms", &counts->refused, refusals, COUNT_OF(refusals));
    ds__json_key(&json, "ok_by_second");
    ds__json_open_array(&json);
    for (size_t i = 0; i < counts->seconds_used; i++) ds__json_put_int(&json, counts->ok_by_second[i]);
    ds__json_close_array(&json);
    ds__json_close_object(&json);
    load_is_whole(&out);
    printf("%.*s\n", (int)out.size, out.data);
    ds__buffer_deinit(&out);
}

static void print_percentiles(const char *name, const load_histogram *histogram, const percentile *list, size_t count) {
    printf("  %-11s", name);
    for (size_t i = 0; i < count; i++) printf("  %s %.3f", list[i].name, load_percentile(histogram, list[i].percent));
    printf("\n");
}

static void report_text(const load *l) {
    const load_options *options = &l->options;
    const load_counts *c = &l->counts;
    printf("%s, %zu connections, ", options->protocol->name, options->connections);
    if (options->rate > 0)
        printf("open loop at %g/s", options->rate);
    else
        printf("closed loop");
    printf(", %zu text%s a request, %.1f s\n", options->texts_per_request, options->texts_per_request == 1 ? "" : "s",
           c->seconds);
    printf("  requests     %llu, ok %llu (", (unsigned long long)c->sent, (unsigned long long)c->ok);
    const char *comma = "";
    for (int status = 0; status < LOAD_STATUSES; status++) {
        if (!c->by_status[status]) continue;
        char name[16];
        name_status(status, name);
        printf("%s%s: %llu", comma, name, (unsigned long long)c->by_status[status]);
        comma = ", ";
    }
    printf(")\n  lost %llu, unsent %llu, connection errors %llu, reconnects %llu\n", (unsigned long long)c->lost,
           (unsigned long long)c->unsent, (unsigned long long)c->connection_errors, (unsigned long long)c->reconnects);
    if (options->verify)
        printf("  wrong        %llu (%zu texts with %zu different vectors)\n", (unsigned long long)c->wrong,
               l->text_count, l->different);
    printf("  ok/s         %.1f (%.1f texts/s)\n", per_second(l), per_second(l) * (double)options->texts_per_request);
    print_percentiles("latency, ms", &c->latency, answers, COUNT_OF(answers));
    if (c->refused.total) print_percentiles("refused, ms", &c->refused, refusals, COUNT_OF(refusals));
}

void load_report(const load *l) {
    if (l->options.json)
        report_json(l);
    else
        report_text(l);
}
