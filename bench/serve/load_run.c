/* The sockets and the clock of the load generator: one epoll, every connection with at most one request.
 *
 * Closed loop: whoever has its answer sends the next request.  Open loop (--rate): requests are due at times that a
 * seed fixes and nothing else changes; one that finds no connection free waits here, and its latency counts from when
 * it was due. */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/serve/load.h"

enum { EVENTS = 256, READ = 1 << 16, SHOWN = 5 };
static const uint64_t SECOND = 1000000000, RETRY = 20000000, OPEN_S = 5, DRAIN_S = 120;

static volatile sig_atomic_t interrupted;
static void on_signal(int number) { interrupted = number; }

typedef struct run {
    load *l;
    bool learns;
    size_t connection_count;
    load_connection *connections, **idle;
    size_t idle_count, busy, down;
    int epoll;
    ds__random random;
    size_t turn; /* whose request is next */
    uint64_t start_ns, end_ns, due_ns, most, last_ns, ids;
    size_t shown_wrong, shown_broken;
    bool shown_status[LOAD_STATUSES];
} run;

/* ---- answers ---- */

static uint64_t hash(ds__str bytes) {
    uint64_t h = bytes.size * UINT64_C(0x9e3779b97f4a7c15), word;
    for (size_t at = 0; at < bytes.size; at += sizeof word) {
        const size_t left = bytes.size - at;
        word = 0;
        memcpy(&word, bytes.data + at, left < sizeof word ? left : sizeof word);
        h = (h ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
        h ^= h >> 29;
    }
    return h;
}

/* The next vector of `count` out of `rest`, which goes on behind it; size 0: there is none. */
static ds__str next_vector(const load_protocol *protocol, ds__str *rest, size_t count) {
    static const char key[] = "\"embedding\":";
    ds__str vector = {rest->data, count ? rest->size / count : 0};
    if (protocol->is_listed) {
        const char *end = rest->data + rest->size,
                   *at = rest->size ? memmem(rest->data, rest->size, key, sizeof key - 1) : NULL;
        if (!at || (at += sizeof key - 1) == end) return (ds__str){NULL, 0};
        const char *stop = memchr(at + 1, *at == '[' ? ']' : '"', (size_t)(end - at - 1));
        if (!stop) return (ds__str){NULL, 0};
        vector = (ds__str){at, (size_t)(stop - at)};
    }
    rest->size -= (size_t)(vector.data - rest->data) + vector.size;
    rest->data = vector.data + vector.size;
    return vector;
}

static void wrong(run *r, const load_request *request, size_t text, const char *what) {
    const ds__str words = r->l->texts[text].text;
    r->l->counts.wrong++;
    if (r->shown_wrong++ < SHOWN)
        fprintf(stderr, "load: wrong: text %zu (\"%.*s\"), in a request of %zu: %s\n", text + 1, DS_STR_ARG(words),
                request->count, what);
}

/* At most one fault is counted for an answer. */
static void check(run *r, const load_connection *c, const load_answer *answer) {
    const load_request *request = c->request;
    const load_protocol *protocol = r->l->options.protocol;
    ds__str rest = answer->vectors;
    if (request->id_at && !ds__str_equal(answer->id, (ds__str){c->id, sizeof c->id})) {
        char what[128];
        snprintf(what, sizeof what, "the answer's id is \"%.*s\", the request's is \"%.*s\"", DS_STR_ARG(answer->id),
                 LOAD_ID_BYTES, c->id);
        wrong(r, request, request->first, what);
        return;
    }
    for (size_t i = 0; i < request->count; i++) {
        const ds__str vector = next_vector(protocol, &rest, request->count - i);
        load_text *text = &r->l->texts[request->first + i];
        if (!vector.size) {
            wrong(r, request, request->first + i, "the answer has no vector for it");
            return;
        }
        if (r->learns) {
            text->expected = hash(vector);
        } else if (hash(vector) != text->expected) {
            wrong(r, request, request->first + i, "its vector is not the one it has alone");
            return;
        }
    }
}

static void count_second(run *r, uint64_t now) {
    load_counts *counts = &r->l->counts;
    const size_t second = (size_t)((now - r->start_ns) / SECOND), before = counts->second_capacity;
    if (!ds__grow(&load_heap, (void **)&counts->ok_by_second, &counts->second_capacity, second + 1,
                  sizeof *counts->ok_by_second))
        load_die("out of memory");
    if (counts->second_capacity > before)
        memset(counts->ok_by_second + before, 0, (counts->second_capacity - before) * sizeof *counts->ok_by_second);
    if (counts->seconds_used <= second) counts->seconds_used = second + 1;
    counts->ok_by_second[second]++;
}

static bool is_refusal(int status) { return status == 429 || status == 503 || status == 8 || status == 14; }

static void answered(run *r, load_connection *c, const load_answer *answer) {
    load_counts *counts = &r->l->counts;
    const load_protocol *protocol = r->l->options.protocol;
    const uint64_t now = ds__clock_ns();
    counts->by_status[answer->status]++;
    r->last_ns = now;
    if (answer->status == protocol->good) {
        counts->ok++;
        load_histogram_add(&counts->latency, now - c->since_ns);
        count_second(r, now);
        if (r->l->options.verify) check(r, c, answer);
    } else {
        if (is_refusal(answer->status)) load_histogram_add(&counts->refused, now - c->since_ns);
        if (!r->shown_status[answer->status])
            fprintf(stderr, "load: the first answer with status %d: text %zu: %.*s\n", answer->status,
                    c->request->first + 1, DS_STR_ARG(answer->sentence));
        r->shown_status[answer->status] = true;
    }
}

/* ---- connections ---- */

static void unlist(run *r, const load_connection *c) {
    size_t at = 0;
    while (r->idle[at] != c) at++;
    r->idle[at] = r->idle[--r->idle_count];
}

/* Closed by either side; it is opened again at once, or a little later where that just failed. */
static void shut(run *r, load_connection *c, bool failed) {
    const load_protocol *protocol = r->l->options.protocol;
    if (c->state == LOAD_IDLE) unlist(r, c);
    if (c->state == LOAD_BUSY) {
        r->busy--;
        r->l->counts.lost++;
        failed = true;
    }
    if (c->state != LOAD_CONNECTING && protocol->close) protocol->close(c);
    if (failed) r->l->counts.connection_errors++;
    close(c->fd);
    c->fd = -1;
    c->retry_ns = failed ? ds__clock_ns() + RETRY : 0;
    c->state = LOAD_DOWN;
    r->down++;
}

static void begin_connect(run *r, load_connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->l->options.port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    const int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) load_die("cannot open a socket: %s; raise the limit of open files (ulimit -n)", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) load_die("epoll: %s", strerror(errno));
    r->down--;
    c->state = LOAD_CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) shut(r, c, true);
}

static void flush(run *r, load_connection *c) {
    while (c->sent < c->out.size) {
        const ssize_t sent = send(c->fd, c->out.data + c->sent, c->out.size - c->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) {
            if (c->state == LOAD_IDLE) shut(r, c, true); /* of one at work, the answer may be there already */
            return;
        }
        c->sent += (size_t)sent;
    }
    ds__buffer_clear(&c->out);
    c->sent = 0;
}

static void connected(run *r, load_connection *c) {
    const load_protocol *protocol = r->l->options.protocol;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        shut(r, c, true);
        return;
    }
    ds__buffer_clear(&c->in);
    ds__buffer_clear(&c->out);
    c->sent = 0;
    c->ends = false;
    if (c->number++) r->l->counts.reconnects++;
    if (protocol->open) protocol->open(c);
    c->state = LOAD_IDLE;
    r->idle[r->idle_count++] = c;
    flush(r, c);
}

/* Answers out of what was read; false: the connection is no more. */
static bool take(run *r, load_connection *c) {
    const load_protocol *protocol = r->l->options.protocol;
    for (;;) {
        load_answer answer = {0};
        size_t used = 0;
        const int result = protocol->take(c, &answer, &used);
        if (result < 0 || (result == 1 && c->state != LOAD_BUSY)) {
            if (r->shown_broken++ < SHOWN)
                fprintf(stderr, "load: a connection is given up: %.*s\n",
                        DS_STR_ARG(result < 0 ? answer.sentence : DS_STR("an answer that nobody asked for")));
            shut(r, c, true);
            return false;
        }
        if (result == 1) {
            answered(r, c, &answer);
            r->busy--;
            c->state = LOAD_IDLE;
            r->idle[r->idle_count++] = c;
        }
        if (used) memmove(c->in.data, c->in.data + used, c->in.size - used);
        c->in.size -= used;
        if (result == 0) break;
        if (!c->in.size) break;
    }
    if (c->ends && c->state == LOAD_IDLE) {
        shut(r, c, false);
        return false;
    }
    if (c->out.size) flush(r, c);
    return c->state != LOAD_DOWN;
}

static void receive(run *r, load_connection *c, bool closes) {
    for (;;) {
        if (!ds__buffer_reserve(&c->in, READ)) load_die("out of memory");
        const size_t room = c->in.capacity - c->in.size;
        const ssize_t size = recv(c->fd, c->in.data + c->in.size, room, 0);
        if (size < 0 && errno == EAGAIN) return;
        if (size <= 0) {
            shut(r, c, size < 0);
            return;
        }
        c->in.size += (size_t)size;
        if (!take(r, c)) return;
        if ((size_t)size < room && !closes) return; /* all is read */
    }
}

static void on_event(run *r, load_connection *c, uint32_t events) {
    if (c->state == LOAD_CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) connected(r, c);
        if (c->state == LOAD_CONNECTING || c->state == LOAD_DOWN) return;
    }
    if (events & EPOLLOUT && c->sent < c->out.size) flush(r, c);
    if (c->state != LOAD_DOWN && events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        receive(r, c, events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP));
}

/* ---- requests ---- */

static void next_arrival(run *r) {
    const double uniform = (double)(ds__random_u64(&r->random) >> 11) * 0x1p-53;
    r->due_ns += (uint64_t)(-log1p(-uniform) / r->l->options.rate * (double)SECOND);
}

static bool is_open_loop(const run *r) { return r->l->options.rate > 0 && !r->learns; }

static bool is_done(const run *r, uint64_t now) {
    if (interrupted || (r->most && r->l->counts.sent >= r->most)) return true;
    return is_open_loop(r) ? r->due_ns >= r->end_ns || now >= r->end_ns : now >= r->end_ns;
}

static void send_next(run *r, load_connection *c, uint64_t since) {
    static const char digits[] = "0123456789abcdef";
    load *l = r->l;
    uint64_t id = r->ids++;
    c->request = &l->requests[r->turn];
    r->turn = r->turn + 1 == l->request_count ? 0 : r->turn + 1;
    for (int i = LOAD_ID_BYTES; i--; id >>= 4) c->id[i] = digits[id & 15];
    c->since_ns = since;
    c->state = LOAD_BUSY;
    r->busy++;
    l->counts.sent++;
    l->options.protocol->send(&l->options, c);
    flush(r, c);
}

static void dispatch(run *r, uint64_t now) {
    while (r->idle_count && !is_done(r, now) && (!is_open_loop(r) || r->due_ns <= now)) {
        load_connection *c = r->idle[--r->idle_count];
        send_next(r, c, is_open_loop(r) ? r->due_ns : ds__clock_ns());
        if (is_open_loop(r)) next_arrival(r);
    }
}

static void reopen(run *r, uint64_t now) {
    for (size_t i = 0; r->down && i < r->connection_count; i++)
        if (r->connections[i].state == LOAD_DOWN && r->connections[i].retry_ns <= now)
            begin_connect(r, &r->connections[i]);
}

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void wait_for_events(run *r, uint64_t now) {
    struct epoll_event events[EVENTS];
    const bool done = is_done(r, now);
    uint64_t until = done ? now + SECOND / 10 : min_u64(r->end_ns, now + SECOND);
    if (r->down) until = min_u64(until, now + RETRY / 4);
    if (!done && is_open_loop(r) && r->idle_count) until = min_u64(until, r->due_ns);
    const uint64_t ns = until > now ? until - now : 0;
    const struct timespec wait = {(time_t)(ns / SECOND), (long)(ns % SECOND)};
    const int count = epoll_pwait2(r->epoll, events, EVENTS, &wait, NULL);
    if (count < 0 && errno != EINTR) load_die("epoll: %s", strerror(errno));
    for (int i = 0; i < count; i++) on_event(r, events[i].data.ptr, events[i].events);
}

static void loop(run *r) {
    uint64_t done_ns = 0;
    for (;;) {
        const uint64_t now = ds__clock_ns();
        if (is_done(r, now)) {
            if (!done_ns) done_ns = now;
            if (!r->busy || now - done_ns > DRAIN_S * SECOND) break;
        }
        reopen(r, now);
        dispatch(r, now);
        wait_for_events(r, now);
    }
    r->l->counts.lost += r->busy; /* without an answer in all that time */
    r->l->counts.seconds = (double)((r->last_ns ? r->last_ns : ds__clock_ns()) - r->start_ns) * 1e-9;
    if (!is_open_loop(r)) return;
    const uint64_t most = r->most ? r->most - r->l->counts.sent : UINT64_MAX, end = min_u64(r->end_ns, done_ns);
    for (; r->due_ns < end && r->l->counts.unsent < most; next_arrival(r)) r->l->counts.unsent++;
}

/* A server that is not there is told at once. */
static void knock(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        load_die("cannot connect to 127.0.0.1:%d: %s; start the server first", port, strerror(errno));
    close(fd);
}

/* The clock begins when all connections are open, or have had their time for it. */
static void begin(run *r) {
    const uint64_t until = ds__clock_ns() + OPEN_S * SECOND;
    r->end_ns = r->due_ns = UINT64_MAX;
    for (uint64_t now; !interrupted && r->idle_count < r->connection_count && (now = ds__clock_ns()) < until;) {
        reopen(r, now);
        wait_for_events(r, now);
    }
    r->start_ns = r->due_ns = ds__clock_ns();
    if (!r->learns) r->end_ns = r->start_ns + (uint64_t)(r->l->options.seconds * (double)SECOND);
    if (is_open_loop(r)) next_arrival(r);
}

static void run_all(run *r) {
    load_connection **idle = ds__alloc(&load_heap, r->connection_count * sizeof *idle);
    r->connections = ds__alloc_zeroed(&load_heap, r->connection_count * sizeof *r->connections);
    r->idle = idle;
    if (!r->connections || !idle) load_die("out of memory");
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll < 0) load_die("epoll: %s", strerror(errno));
    for (size_t i = 0; i < r->connection_count; i++) {
        load_connection *c = &r->connections[i];
        c->fd = -1;
        ds__buffer_init(&c->in, &load_heap);
        ds__buffer_init(&c->out, &load_heap);
    }
    r->down = r->connection_count;
    r->ids = (uint64_t)getpid() << 40 | (uint64_t)r->learns << 39;
    begin(r);
    loop(r);
    for (size_t i = 0; i < r->connection_count; i++) {
        load_connection *c = &r->connections[i];
        if (c->fd >= 0 && c->state != LOAD_CONNECTING && r->l->options.protocol->close)
            r->l->options.protocol->close(c);
        if (c->fd >= 0) close(c->fd);
        ds__buffer_deinit(&c->in);
        ds__buffer_deinit(&c->out);
        if (c->message.heap) ds__buffer_deinit(&c->message);
        if (c->sentence.heap) ds__buffer_deinit(&c->sentence);
    }
    close(r->epoll);
    ds__free(&load_heap, r->connections, r->connection_count * sizeof *r->connections);
    ds__free(&load_heap, idle, r->connection_count * sizeof *idle);
}

static void watch_signals(void) {
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int compare(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static size_t count_different(const load *l) {
    size_t different = 0;
    uint64_t *sorted = ds__alloc(&load_heap, l->text_count * sizeof *sorted);
    if (!sorted) load_die("out of memory");
    for (size_t i = 0; i < l->text_count; i++) sorted[i] = l->texts[i].expected;
    qsort(sorted, l->text_count, sizeof *sorted, compare);
    for (size_t i = 0; i < l->text_count; i++) different += !i || sorted[i] != sorted[i - 1];
    ds__free(&load_heap, sorted, l->text_count * sizeof *sorted);
    return different;
}

void load_learn(load *l) {
    run r = {.l = l, .learns = true, .connection_count = 1, .most = l->request_count};
    watch_signals();
    knock(l->options.port);
    run_all(&r);
    if (interrupted) load_die("interrupted while every text was asked for alone");
    if (l->counts.ok != l->request_count || l->counts.wrong)
        load_die(
            "of %zu texts asked for alone, %llu have a good answer and %llu a wrong one; every text needs a good one",
            l->request_count, (unsigned long long)l->counts.ok, (unsigned long long)l->counts.wrong);
    l->different = count_different(l);
    ds__free(&load_heap, l->counts.ok_by_second, l->counts.second_capacity * sizeof *l->counts.ok_by_second);
    l->counts = (load_counts){0};
}

void load_run(load *l) {
    run r = {
        .l = l, .connection_count = l->options.connections, .most = l->options.requests, .random = {l->options.seed}};
    watch_signals();
    knock(l->options.port);
    r.turn = ds__random_below(&r.random, (uint32_t)l->request_count);
    run_all(&r);
}
