/* deepseek serve: models behind sockets, until a signal says stop. */
#include <event2/event.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/serve_arguments.h"
#include "serve/foreign_memory.h"
#include "serve/grpc/grpc.h"
#include "serve/grpc/grpc_service.h"

enum { TICK_MS = 100, MAX_BODY = 128 << 20, DESCRIPTORS_KEPT = 64, OWN_PAGES = 256 << 10 };

typedef struct server {
    serve_arguments arguments;
    ds_context *context;
    ds__service *service;
    struct event_base *base;
    ds__outbox *outbox;
    ds__http_server *http;
    ds__grpc_server *grpc; /* NULL: not wanted */
    ds__grpc_binding binding;
    struct ssl_ctx_st *grpc_tls;
    struct event *events[4];
    bool stopping;
    uint64_t stop_ns; /* when the grace is over */
    bool said_ready;
} server;

static void write_log(void *user, ds__str line) {
    (void)user;
    fwrite(line.data, 1, line.size, stdout); /* a log that nobody reads must not stop the server */
    fputc('\n', stdout);
}

static void on_stop(evutil_socket_t signal_number, short what, void *argument) {
    (void)what;
    server *s = argument;
    if (s->stopping) return;
    fprintf(stderr, "deepseek: %s: finishing what runs, for at most %d s\n",
            signal_number == SIGTERM ? "SIGTERM" : "SIGINT", s->arguments.grace_s);
    s->stopping = true;
    s->stop_ns = ds__clock_ns() + (uint64_t)s->arguments.grace_s * 1000000000u;
    ds__service_drain(s->service);
    ds__http_server_drain(s->http);
    if (s->grpc) ds__grpc_server_drain(s->grpc);
}

static void on_hangup(evutil_socket_t signal_number, short what, void *argument) {
    (void)signal_number;
    (void)what;
    server *s = argument;
    ds_error error;
    if (ds__service_read_keys(s->service, &error) != DS_OK)
        fprintf(stderr, "deepseek: warning: the API keys stay as they were: %s\n", error.message);
    else
        fprintf(stderr, "deepseek: the API keys are read again\n");
}

static void on_tick(evutil_socket_t fd, short what, void *argument) {
    (void)fd;
    (void)what;
    server *s = argument;
    fflush(stdout);
    if (!s->said_ready && ds__serve_is_ready(s->service)) {
        fprintf(stderr, "deepseek: ready\n");
        s->said_ready = true;
    }
    if (!s->stopping) return;
    bool is_late = ds__clock_ns() >= s->stop_ns;
    if (is_late) ds__http_server_abort(s->http);
    if (is_late && s->grpc) ds__grpc_server_stop(s->grpc);
    bool is_busy = ds__http_server_connections(s->http) || (s->grpc && ds__grpc_server_busy(s->grpc));
    if (!is_busy && !ds__service_pending(s->service)) event_base_loopbreak(s->base);
}

/* As many files as the system lets us open; how many connections that makes. */
static size_t raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024 - DESCRIPTORS_KEPT;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024 - DESCRIPTORS_KEPT;
    size_t most = limit.rlim_cur > 65536 ? 65536 : (size_t)limit.rlim_cur;
    return most > 2 * DESCRIPTORS_KEPT ? most - DESCRIPTORS_KEPT : DESCRIPTORS_KEPT;
}

static int open_service(server *s) {
    serve_arguments *a = &s->arguments;
    ds_error error;
    for (size_t i = 0; i < a->model_count; i++) {
        const int code = a->models[i].folder ? cli_find_model(&a->models[i].folder) : CLI_DONE;
        if (code != CLI_DONE) return code;
    }
    ds__service_options options = {
        .repository = a->repository,
        .models = a->models,
        .model_count = a->model_count,
        .model = {.precision = a->common.precision, .quantization = a->common.quantization},
        .max_seq_len = a->common.max_seq_len,
        .max_queue = a->max_queue,
        .max_batch_tokens = a->max_batch_tokens,
        .max_delay_us = a->max_delay_us,
        .test_models = a->test_models,
        .api_keys = a->api_keys,
    };
    int code = cli_open_context(&a->common, &s->context);
    if (code != CLI_DONE) return code;
    return ds__service_create(s->context, &options, &s->service, &error) == DS_OK ? CLI_DONE : cli_fail_error(&error);
}

/* libevent's memory is the process's, and so is the heap that it comes from: sockets' buffers count like all else. */
static ds__heap *event_heap;
static void *event_alloc(size_t bytes) { return ds__foreign_alloc(event_heap, bytes); }
static void *event_resize(void *memory, size_t bytes) { return ds__foreign_resize(event_heap, memory, bytes); }
static void event_release(void *memory) { ds__foreign_free(event_heap, memory); }

static int open_http(server *s) {
    const serve_arguments *a = &s->arguments;
    ds_error error;
    uint64_t limit = a->common.memory_limit;
    ds__http_options options = {
        .bind = a->bind,
        .port = a->http_port,
        .metrics_port = a->metrics_port,
        .tls_cert = a->tls_cert,
        .tls_key = a->tls_key,
        .max_body = limit && limit / 4 < MAX_BODY ? (size_t)(limit / 4) : MAX_BODY,
        .max_connections = raise_descriptors(),
        .idle_s = 75,
        .header_s = 10,
        .log = write_log,
    };
    event_heap = ds__service_heap(s->service);
    event_set_mem_functions(event_alloc, event_resize, event_release);
    s->base = event_base_new();
    if (!s->base) return cli_fail("cannot start the event loop");
    if (ds__outbox_create(s->service, s->base, &s->outbox, &error) != DS_OK ||
        ds__http_server_create(s->service, s->base, s->outbox, &options, &s->http, &error) != DS_OK)
        return cli_fail_error(&error);
    char metrics[48] = ""; /* one write: the loader's log must not come between */
    if (a->metrics_port >= 0)
        snprintf(metrics, sizeof metrics, ", metrics on port %d", ds__http_server_metrics_port(s->http));
    fprintf(stderr, "deepseek: REST on http%s://%s:%d%s; models are being loaded\n", a->tls_cert ? "s" : "", a->bind,
            ds__http_server_port(s->http), metrics);
    return CLI_DONE;
}

static int open_grpc(server *s) {
    const serve_arguments *a = &s->arguments;
    ds_error error;
    uint64_t limit = a->common.memory_limit;
    if (a->grpc_port < 0) return CLI_DONE;
    if (a->tls_cert && ds__grpc_tls_create(a->tls_cert, a->tls_key, &s->grpc_tls, &error) != DS_OK)
        return cli_fail_error(&error);
    s->binding = (ds__grpc_binding){s->service, s->outbox};
    ds__grpc_options options = {
        .bind = a->bind,
        .port = a->grpc_port,
        .user = &s->binding,
        .tls = s->grpc_tls,
        .max_message_bytes = limit && limit / 4 < MAX_BODY ? (size_t)(limit / 4) : MAX_BODY,
        .max_connections = raise_descriptors(),
        .log = write_log,
        .connections = ds__serve_connections(s->service, DS__SERVE_GRPC),
    };
    options.methods = ds__grpc_methods(&options.method_count);
    if (ds__grpc_server_create(ds__service_heap(s->service), s->base, &options, &s->grpc, &error) != DS_OK)
        return cli_fail_error(&error);
    fprintf(stderr, "deepseek: gRPC%s on %s:%d\n", a->tls_cert ? " over TLS" : "", a->bind,
            ds__grpc_server_port(s->grpc));
    return CLI_DONE;
}

static int run(server *s) {
    struct timeval tick = {0, TICK_MS * 1000};
    signal(SIGTERM, SIG_IGN); /* what libevent restores: another one must not turn an orderly end into a death */
    signal(SIGINT, SIG_IGN);
    s->events[0] = evsignal_new(s->base, SIGTERM, on_stop, s);
    s->events[1] = evsignal_new(s->base, SIGINT, on_stop, s);
    s->events[2] = evsignal_new(s->base, SIGHUP, on_hangup, s);
    s->events[3] = event_new(s->base, -1, EV_PERSIST, on_tick, s);
    for (int i = 0; i < 4; i++)
        if (!s->events[i] || event_add(s->events[i], i == 3 ? &tick : NULL) != 0)
            return cli_fail("cannot watch for signals");
    event_base_dispatch(s->base);
    fprintf(stderr, "deepseek: stopped\n");
    return CLI_DONE;
}

/* --check: everything is loaded once, and what fails is said. */
static int check(server *s) {
    ds_error error;
    ds__arena arena;
    ds__serve_index_entry *entries;
    size_t count;
    int code = CLI_DONE;
    while (!ds__service_is_settled(s->service)) usleep(20000);
    ds__arena_init(&arena, cli_heap(), 0);
    if (ds__serve_index(s->service, false, &arena, &entries, &count, &error) != DS__SERVE_OK)
        code = cli_fail_error(&error);
    else
        for (size_t i = 0; i < count; i++) {
            printf("%s version %lld: %s\n", entries[i].name.data, (long long)entries[i].version, entries[i].state);
            if (strcmp(entries[i].state, "READY") != 0) code = CLI_FAILED; /* the log has said why */
        }
    if (code == CLI_DONE && !count) code = cli_fail("%s has no model in it", s->arguments.repository);
    ds__arena_deinit(&arena);
    return code;
}

static void close_all(server *s) {
    for (int i = 0; i < 4; i++)
        if (s->events[i]) event_free(s->events[i]);
    ds__http_server_destroy(s->http);
    ds__grpc_server_destroy(s->grpc);
    SSL_CTX_free(s->grpc_tls);
    ds__outbox_destroy(s->outbox);
    if (s->base) event_base_free(s->base);
    ds__service_destroy(s->service);
    ds_context_destroy(s->context);
    ds__arena_deinit(&s->arguments.arena);
}

int cli_serve(int argc, char **argv) {
    static server s;
    serve_parse(&s.arguments, argc, argv);
#ifdef M_MMAP_THRESHOLD /* glibc's: a version's weights go back to the system when it does */
    mallopt(M_MMAP_THRESHOLD, OWN_PAGES);
#endif
    int code = open_service(&s);
    if (code == CLI_DONE) code = s.arguments.check ? check(&s) : open_http(&s);
    if (code == CLI_DONE && !s.arguments.check) code = open_grpc(&s);
    if (code == CLI_DONE && !s.arguments.check) code = run(&s);
    close_all(&s);
    return code;
}
