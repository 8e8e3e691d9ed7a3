/* load: puts an inference server under load and says what came back.  bench/serve/README.md shows how it is used. */
#include <argp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/serve/load.h"
#include "formats/table.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

ds__heap load_heap;

void load_die(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "load: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    exit(EXIT_FAILED);
}

/* ---- the command line ---- */

enum {
    KEY_PROTOCOL = 256,
    KEY_PORT,
    KEY_MODEL,
    KEY_TEXTS,
    KEY_CONNECTIONS,
    KEY_SECONDS,
    KEY_REQUESTS,
    KEY_RATE,
    KEY_TEXTS_PER_REQUEST,
    KEY_OUTPUT,
    KEY_SEED,
    KEY_VERIFY,
    KEY_JSON
};

static const struct argp_option option_list[] = {
    {"protocol", KEY_PROTOCOL, "NAME", 0, "rest (Open Inference Protocol, bytes out), openai, or grpc", 0},
    {"port", KEY_PORT, "N", 0, "Of a server on this machine", 0},
    {"model", KEY_MODEL, "NAME", 0, "Whom to ask", 0},
    {"texts", KEY_TEXTS, "FILE", 0,
     "A .csv or .tsv with a header (column text, else sentence, else the first), or lines of any other file", 0},
    {"connections", KEY_CONNECTIONS, "N", 0, "Each with one request at a time (64)", 0},
    {"seconds", KEY_SECONDS, "S", 0, "How long (10)", 0},
    {"requests", KEY_REQUESTS, "N", 0, "How many, however long it takes; with --seconds whatever comes first", 0},
    {"rate", KEY_RATE, "R", 0,
     "Open loop: R requests a second at times fixed beforehand, latency from when a request was due; default: every "
     "connection sends when it has its answer",
     0},
    {"texts-per-request", KEY_TEXTS_PER_REQUEST, "N", 0, "(1)", 0},
    {"expected-output", KEY_OUTPUT, "NAME", 0, "The tensor to ask for: embedding (default) or logits", 0},
    {"seed", KEY_SEED, "N", 0, "Of the arrival times and of the text to begin with (1)", 0},
    {"verify", KEY_VERIFY, NULL, 0,
     "Ask for every text once, alone; then every answer must have the same bits, and its request's id", 0},
    {"json", KEY_JSON, NULL, 0, "One line of JSON, with the good answers of every second", 0},
    {0}};

static double number(struct argp_state *state, const char *option, const char *text, double low, double high) {
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= low && value <= high))
        argp_error(state, "--%s is \"%s\", expected a number from %g to %g", option, text, low, high);
    return value;
}

static uint64_t whole(struct argp_state *state, const char *option, const char *text, uint64_t low, uint64_t high) {
    const double value = number(state, option, text, (double)low, (double)high);
    if (value != (double)(uint64_t)value) argp_error(state, "--%s is \"%s\", expected a whole number", option, text);
    return (uint64_t)value;
}

static const load_protocol *protocol_of(struct argp_state *state, const char *name) {
    const load_protocol *const all[] = {&load_rest, &load_openai, &load_grpc};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    argp_error(state, "--protocol is \"%s\", expected rest, openai or grpc", name);
    return NULL;
}

static void check_options(struct argp_state *state, const load_options *o) {
    if (!o->protocol || !o->port || !o->model || !o->texts)
        argp_error(state, "--protocol, --port, --model and --texts are needed");
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    load_options *o = state->input;
    switch (key) {
    case KEY_PROTOCOL: o->protocol = protocol_of(state, argument); break;
    case KEY_PORT: o->port = (int)whole(state, "port", argument, 1, 65535); break;
    case KEY_MODEL: o->model = argument; break;
    case KEY_TEXTS: o->texts = argument; break;
    case KEY_CONNECTIONS: o->connections = whole(state, "connections", argument, 1, LOAD_MAX_CONNECTIONS); break;
    case KEY_SECONDS: o->seconds = number(state, "seconds", argument, 0.001, 1e6); break;
    case KEY_REQUESTS: o->requests = whole(state, "requests", argument, 1, UINT64_C(1) << 50); break;
    case KEY_RATE: o->rate = number(state, "rate", argument, 0.001, 1e7); break;
    case KEY_TEXTS_PER_REQUEST:
        o->texts_per_request = whole(state, "texts-per-request", argument, 1, LOAD_MAX_TEXTS);
        break;
    case KEY_OUTPUT:
        if (strcmp(argument, "embedding") != 0 && strcmp(argument, "logits") != 0)
            argp_error(state, "--expected-output is \"%s\", expected embedding or logits", argument);
        o->output = argument;
        break;
    case KEY_SEED: o->seed = whole(state, "seed", argument, 0, UINT64_C(1) << 50); break;
    case KEY_VERIFY: o->verify = true; break;
    case KEY_JSON: o->json = true; break;
    case ARGP_KEY_ARG: argp_error(state, "\"%s\" belongs to no option", argument); break;
    case ARGP_KEY_END: check_options(state, o); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char about[] =
    "Puts an inference server under load and says what came back.\v"
    "  load --protocol rest --port 8000 --model minilm --texts dev.tsv --verify\n"
    "  load --protocol grpc --port 8001 --model minilm --texts dev.tsv --json\n"
    "  load --protocol openai --port 8000 --model m --texts dev.tsv --rate 200\n\n"
    "SIGINT and SIGTERM end it early, with its report. Exit codes: 0 done, 1 failed (nobody listens, no good answer, a "
    "wrong one), 2 wrong usage.";

/* ---- texts and requests ---- */

static void read_texts(load *l) {
    const ds__str path = ds__str_of(l->options.texts);
    const ds__table_format format = ds__str_ends(path, DS_STR(".csv"))   ? DS__TABLE_COMMA
                                    : ds__str_ends(path, DS_STR(".tsv")) ? DS__TABLE_TAB
                                                                         : DS__TABLE_LINES;
    const ds__table_options options = {.path = path.data, .format = format, .has_header = true};
    ds__table *table;
    ds_error error;
    size_t capacity = 0;
    bool end = false;
    if (ds__table_open(&load_heap, &options, &table, &error) != DS_OK) load_die("%s", error.message);
    for (;;) {
        ds__str text, pair;
        if (ds__table_next(table, &text, &pair, &end, &error) != DS_OK) load_die("%s", error.message);
        if (end) break;
        if (!text.size) continue;
        text = ds__arena_copy(&l->arena, text);
        if (!text.data || !ds__grow(&load_heap, (void **)&l->texts, &capacity, l->text_count + 1, sizeof *l->texts))
            load_die("out of memory");
        l->texts[l->text_count++] = (load_text){text, 0};
    }
    ds__table_close(table);
    if (!l->text_count) load_die("%s has no texts", path.data);
}

/* Groups of texts in their order; what is left of them joins no group. */
static void build_requests(load *l, size_t texts_per_request) {
    if (texts_per_request > l->text_count)
        load_die("%s has %zu texts, and --texts-per-request is %zu", l->options.texts, l->text_count,
                 texts_per_request);
    l->request_count = l->text_count / texts_per_request;
    l->requests = ds__arena_zeroed(&l->arena, l->request_count * sizeof *l->requests);
    if (!l->requests) load_die("out of memory");
    ds__buffer bytes;
    ds__buffer_init(&bytes, &load_heap);
    for (size_t i = 0; i < l->request_count; i++) {
        load_request *request = &l->requests[i];
        request->first = i * texts_per_request;
        request->count = texts_per_request;
        ds__buffer_clear(&bytes);
        l->options.protocol->build(&l->options, l->texts + request->first, request, &bytes);
        load_is_whole(&bytes);
        request->bytes = ds__arena_copy(&l->arena, ds__buffer_str(&bytes));
        if (!request->bytes.data) load_die("out of memory");
    }
    ds__buffer_deinit(&bytes);
}

static void raise_descriptors(size_t connections) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < connections + 16)
        load_die("--connections is %zu, and this process may open %llu files; raise the limit (ulimit -Hn)",
                 connections, (unsigned long long)limit.rlim_cur);
}

int main(int argc, char **argv) {
    static load l = {.options = {.connections = 64, .texts_per_request = 1, .output = "embedding", .seed = 1}};
    const struct argp argp = {option_list, parse, NULL, about, NULL, NULL, NULL};
    load_options *o = &l.options;
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, o);
    if (!o->seconds) o->seconds = o->requests ? 1e6 : 10;
    ds__heap_init(&load_heap, NULL, 0);
    ds__arena_init(&l.arena, &load_heap, 1 << 20);
    raise_descriptors(o->connections);
    read_texts(&l);
    if (o->verify) {
        build_requests(&l, 1);
        load_learn(&l);
        fprintf(stderr, "load: %zu texts asked for alone, %zu different vectors\n", l.text_count, l.different);
    }
    if (!o->verify || o->texts_per_request != 1) build_requests(&l, o->texts_per_request);
    load_run(&l);
    load_report(&l);
    return l.counts.ok && !l.counts.wrong ? EXIT_SUCCESS : EXIT_FAILED;
}
