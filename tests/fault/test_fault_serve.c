/* The n-th allocation fails, for every n, while a server starts, and while it answers: nothing is lost, nothing hangs,
 * and the next request is answered as if nothing had been.  Sockets and all three threads are real. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/context_internal.h"
#include "serve/http/http_server.h"
#include "serve/serve_options.h"

static const ds__named_label labels[] = {{"stable", 1}, {"gone", 7}};
static const ds__named_model models[] = {
    {.name = "seq", .folder = DS_TEST_DATA "/models/bert_seq", .labels = labels, .label_count = 2},
    {.name = "st", .folder = DS_TEST_DATA "/models/st_mean"}};

static ds_error error;

static ds__service_options service_options(void) {
    return (ds__service_options){
        .models = models, .model_count = 2, .max_queue = 100, .max_batch_tokens = 64, .test_models = true};
}

static void starting(void **state) {
    (void)state;
    ds_context *context;
    ds_context_options options = {.threads = 1};
    assert_int_equal(ds_context_create(&options, &context, &error), DS_OK);
    uint64_t idle = ds_context_memory(context).bytes, n = 1, step = 1;
    for (;; n += step) {
        uint64_t before = ds_context_memory(context).allocations;
        ds__service_options wanted = service_options();
        ds__service *service;
        context->heap.fail_at = before + n;
        ds_status status = ds__service_create(context, &wanted, &service, &error);
        while (status == DS_OK && !ds__service_is_settled(service)) usleep(200);
        context->heap.fail_at = 0;
        if (status == DS_OK) ds__service_destroy(service);
        if (ds_context_memory(context).bytes != idle)
            fail_msg("allocation %d failed and %d bytes were lost", (int)n,
                     (int)(ds_context_memory(context).bytes - idle));
        if (ds_context_memory(context).allocations < before + n) break;
        if (n > 40) step = 7; /* opening a folder has its own test */
    }
    assert_true(n > 100);
    ds_context_destroy(context);
}

/* ---- a server on a thread ---- */

typedef struct running {
    ds_context *context;
    ds__service *service;
    struct event_base *base;
    ds__outbox *outbox;
    ds__http_server *http;
    pthread_t thread;
    uint64_t idle;
    _Atomic bool stopping;
} running;

static void *loop(void *argument) {
    running *r = argument;
    while (!atomic_load(&r->stopping)) event_base_loop(r->base, EVLOOP_ONCE); /* the server's own timer ends the wait */
    ds__http_server_abort(r->http);
    while (ds__service_pending(r->service)) event_base_loop(r->base, EVLOOP_NONBLOCK);
    return NULL;
}

static void start(running *r) {
    ds_context_options options = {.threads = 1};
    ds__http_options http = {.bind = "127.0.0.1",
                             .metrics_port = -1,
                             .max_body = 1 << 20,
                             .max_connections = 100,
                             .idle_s = 10,
                             .header_s = 10};
    ds__service_options wanted = service_options();
    assert_int_equal(ds_context_create(&options, &r->context, &error), DS_OK);
    r->idle = ds_context_memory(r->context).bytes;
    assert_int_equal(ds__service_create(r->context, &wanted, &r->service, &error), DS_OK);
    while (!ds__serve_is_ready(r->service)) usleep(200);
    r->base = event_base_new();
    assert_int_equal(ds__outbox_create(r->service, r->base, &r->outbox, &error), DS_OK);
    assert_int_equal(ds__http_server_create(r->service, r->base, r->outbox, &http, &r->http, &error), DS_OK);
    assert_int_equal(pthread_create(&r->thread, NULL, loop, r), 0);
}

static void stop(running *r) {
    atomic_store(&r->stopping, true);
    pthread_join(r->thread, NULL);
    ds__http_server_destroy(r->http);
    ds__outbox_destroy(r->outbox);
    event_base_free(r->base);
    ds__service_destroy(r->service);
    assert_int_equal(r->context->heap.bytes, r->idle);
    ds_context_destroy(r->context);
}

/* The status of one request on a connection of its own; 0: the server closed it. */
static int ask(const running *r, const char *method, const char *path, const char *body) {
    char text[4096], answer[256];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ds__http_server_port(r->http))};
    struct timeval wait = {30, 0};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), size;
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    size =
        snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                 method, path, strlen(body), body);
    if (send(fd, text, (size_t)size, MSG_NOSIGNAL) != size) size = 0;
    ssize_t got, all = 0;
    while ((got = recv(fd, answer + all, sizeof answer - 1 - (size_t)all, 0)) > 0 && all < 100) all += got;
    assert_true(got >= 0 || all > 0 || errno == ECONNRESET); /* it never hangs */
    close(fd);
    answer[all] = '\0';
    return all > 12 ? atoi(answer + 9) : 0;
}

static const struct request {
    const char *method, *path, *body;
} requests[] = {
    {"POST", "/v2/models/seq/infer",
     "{\"id\":\"\\u0061\",\"inputs\":[{\"name\":\"text\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"a\","
     "\"\\u0062\"]}]}"},
    {"POST", "/v2/models/seq/infer",
     "{\"inputs\":[{\"name\":\"text\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"a\",\"b\"]}],"
     "\"outputs\":[{\"name\":\"embedding\"},{\"name\":\"label\"}]}"},
    {"POST", "/v2/models/identity/infer",
     "{\"inputs\":[{\"name\":\"A\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,2]}]}"},
    {"POST", "/v1/embeddings",
     "{\"model\":\"st\",\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\",\"dimensions\":3}"},
    {"POST", "/v1/embeddings", "{\"model\":\"st\",\"input\":[[5,6],[7]]}"},
    {"POST", "/v1/classify", "{\"model\":\"seq\",\"input\":\"a\"}"},
    {"GET", "/v1/models", ""},
    {"GET", "/v2/models/seq", ""},
    {"GET", "/v2/models/stats", ""},
    {"POST", "/v2/repository/index", "{\"ready\":true}"},
    {"GET", "/metrics", ""},
    {"GET", "/openapi.json", ""},
    {"PUT", "/v2/repository/models/seq/labels/x", "{\"version\":1}"},
};

static void answering(void **state) {
    (void)state;
    running r = {0};
    start(&r);
    for (size_t k = 0; k < sizeof requests / sizeof *requests; k++) {
        const struct request *q = &requests[k];
        int failed = 0, n = 1;
        for (;; n++) {
            uint64_t before = r.context->heap.allocations;
            r.context->heap.fail_at = before + (uint64_t)n;
            int status = ask(&r, q->method, q->path, q->body);
            r.context->heap.fail_at = 0;
            bool was_reached = r.context->heap.allocations >= before + (uint64_t)n;
            if (status != 200 && status != 429 && status != 503 && status != 0)
                fail_msg("%s: allocation %d failed and the status was %d", q->path, n, status);
            failed += status != 200;
            assert_int_equal(ask(&r, q->method, q->path, q->body), 200);
            if (!was_reached) break;
        }
        printf("%s: each of %d allocations failed, %d answers were not 200\n", q->path, n - 1, failed);
    }
    stop(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(starting), cmocka_unit_test(answering)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
