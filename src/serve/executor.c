/* The only thread that runs batches: it takes requests out of the queues until a batch has its tokens, runs it with the
 * context's pool on all cores, and hands the answers to the transports.
 *
 * Texts are tokenised here, right before their batch: a request that expires or whose client leaves then costs nothing,
 * a transport's thread never has to work through megabytes, and while this thread tokenises, the core that the pool
 * leaves idle answers the sockets. */
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "serve/service_internal.h"

/* One text of the batch. */
typedef struct item {
    ds__serve_call *call;
    size_t row;
} item;

/* The part of a batch that one pass is made for. */
typedef struct pack {
    int32_t *ids, *seq_start;
    item *items;
    size_t id_capacity, start_capacity, item_capacity;
    size_t tokens, texts;
} pack;

/* A batch has its tokens whatever is wanted of them, so that who waits for scores and who waits for vectors wait in one
 * queue, by one rule of fairness; its texts lie apart by pass, and each pass is run once.  A text of which both are
 * wanted is computed twice, each time cut where its command would cut it: nothing is shared but the weights, and every
 * row has the bits that it has alone. */
typedef struct executor {
    ds__service *service;
    ds_encoding *encoding;
    pack packs[DS__PASSES];
    float *out; /* of one pack */
    size_t out_capacity;
    size_t tokens, texts, bytes; /* of the batch being made */
    uint64_t swept_ns;
} executor;

enum { SWEEP_NS = 10 * 1000 * 1000 };

void ds__serve_call_unqueue(ds__serve_call *call) {
    ds__service *service = call->service;
    ds__queue_remove(&call->instance->queue, &call->link);
    service->queued_rows -= call->work - call->taken;
    call->instance->queued_rows -= call->work - call->taken;
    service->queued_deadlines -= call->request.deadline_ns != 0;
}

static void add_duration(ds__serve_duration *duration, uint64_t ns) {
    duration->count++;
    duration->ns += ns;
}

void ds__serve_call_complete(ds__serve_call *call, ds__serve_code code) {
    ds__service *service = call->service;
    ds__serve_request *r = &call->request;
    ds__instance_metrics *metrics = &call->instance->metrics;
    r->code = code;
    r->finished_ns = ds__clock_ns();
    uint64_t total = r->finished_ns - r->received_ns,
             queued = (r->started_ns ? r->started_ns : r->finished_ns) - r->received_ns;
    call->accepted = false;
    r->tenant->running--;
    r->tenant->tokens += r->tokens;
    service->metrics.ended[code][r->transport]++;
    add_duration(code == DS__SERVE_OK ? &metrics->success : &metrics->fail, total);
    if (code == DS__SERVE_OK) {
        add_duration(&metrics->queue, queued);
        add_duration(&metrics->compute_input, call->encode_ns);
        add_duration(&metrics->compute_infer, call->compute_ns);
        add_duration(&metrics->compute_output, call->output_ns);
        ds__histogram_add(&metrics->queue_s, DS__SCALE_SECONDS, (double)queued * 1e-9);
        ds__histogram_add(&metrics->total_s, DS__SCALE_SECONDS, (double)total * 1e-9);
    }
    ds__outbox_push(call->outbox, call);
}

/* A call that is in no lane and whose batches are done ends as it must; under the lock. */
static void complete_if_over(ds__serve_call *call) {
    if (call->link.lane || call->computed < call->taken) return;
    if (call->failed) {
        ds__serve_call_complete(call, call->request.code);
    } else if (call->cancelled) {
        ds__refuse(&call->request.error, DS__SERVE_CANCELLED, "the client has left");
        ds__serve_call_complete(call, DS__SERVE_CANCELLED);
    } else if (call->computed == call->work) {
        ds__serve_call_finish(call);
        ds__serve_call_complete(call, DS__SERVE_OK);
    }
}

static void fail_call(ds__serve_call *call, ds__serve_code code) {
    call->failed = true;
    call->request.code = code;
}

typedef struct sweep {
    uint64_t now;
} sweep;

static void expire(void *own, ds__queue_link *link) {
    const sweep *s = own;
    ds__serve_call *call = (ds__serve_call *)((char *)link - offsetof(ds__serve_call, link));
    if (!call->request.deadline_ns || call->request.deadline_ns > s->now) return;
    ds__serve_call_unqueue(call);
    fail_call(call, ds__refuse(&call->request.error, DS__SERVE_EXPIRED,
                               "the deadline passed after %.1f ms in the queue; the request was not run",
                               (double)(s->now - call->request.received_ns) * 1e-6));
    complete_if_over(call);
}

/* Ends what has expired, in every queue; under the lock. */
static void sweep_deadlines(executor *e, uint64_t now) {
    if (!e->service->queued_deadlines || now - e->swept_ns < SWEEP_NS) return;
    sweep s = {now};
    e->swept_ns = now;
    for (ds__instance *instance = e->service->live; instance; instance = instance->next_live)
        ds__queue_each(&instance->queue, expire, &s);
}

/* Whose turn it is; NULL: nobody's before *wake_ns (0: nothing is queued). */
static ds__instance *choose(ds__service *service, uint64_t now, uint64_t *wake_ns) {
    ds__instance *first = service->turn && service->turn->next_live ? service->turn->next_live : service->live;
    ds__instance *at = first;
    uint64_t delay = (uint64_t)service->options.max_delay_us * 1000;
    *wake_ns = 0;
    while (at) {
        if (at->queue.count) {
            bool full = at->queued_rows * 32 >= at->batch_tokens; /* a guess: they are not tokenised yet */
            uint64_t due = full ? 0 : at->waiting_since_ns + delay;
            if (due <= now) {
                service->turn = at;
                return at;
            }
            if (!*wake_ns || due < *wake_ns) *wake_ns = due;
        }
        at = at->next_live ? at->next_live : service->live;
        if (at == first) break;
    }
    return NULL;
}

/* The ids of one row, given as ids: their number, 1 to max_tokens. */
static size_t given_ids(const ds__serve_call *call, size_t row, int32_t max_tokens, int32_t *out) {
    size_t count = 0;
    for (size_t i = 0; i < call->width && count < (size_t)max_tokens; i++) {
        int64_t id, mask = 1;
        memcpy(&id, call->ids + row * call->width + i, sizeof id);
        if (call->mask) memcpy(&mask, call->mask + row * call->width + i, sizeof mask);
        if (!mask) break;
        out[count++] = (int32_t)id;
    }
    return count;
}

/* At most so many bytes, whole characters. */
static ds_text cut_bytes(ds_text text, size_t most) {
    if (text.size <= most) return text;
    while (most && ((unsigned char)text.data[most] & 0xC0) == 0x80) most--;
    return (ds_text){text.data, most};
}

/* Tokenises one text; false: the call has failed. */
static bool encode(executor *e, ds__serve_call *call, size_t row, int32_t max_tokens) {
    ds_error *error = &call->request.error;
    ds_text text = cut_bytes(call->texts[row], (size_t)max_tokens * DS__SERVE_BYTES_A_TOKEN);
    ds_status status =
        ds_tokenizer_encode(ds_model_tokenizer(call->instance->engine), text, NULL, max_tokens, e->encoding, error);
    size_t size = status == DS_OK ? ds_encoding_size(e->encoding) : 0, dropped = 0;
    e->bytes += text.size;
    if (status == DS_OK) dropped = ds_encoding_dropped(e->encoding);
    if (status != DS_OK)
        fail_call(call,
                  status == DS_MEMORY_LIMIT || status == DS_OUT_OF_MEMORY ? DS__SERVE_QUEUE_FULL : DS__SERVE_INTERNAL);
    else if (!size)
        fail_call(call, ds__refuse(error, DS__SERVE_INVALID,
                                   "text %zu has no token, and the tokenizer adds none; leave it out", row + 1));
    else if (dropped && !call->request.truncate)
        fail_call(call, ds__refuse(error, DS__SERVE_INVALID,
                                   "text %zu has %zu tokens, but the model takes %d; shorten it, or ask for it to be "
                                   "cut with the parameter \"truncate\": true",
                                   row + 1, size + dropped, max_tokens));
    return !call->failed;
}

/* Room in a pack for the largest batch of this model. */
static bool reserve_pack(ds__heap *heap, pack *p, size_t batch_tokens, size_t max_tokens) {
    size_t tokens = batch_tokens > max_tokens ? batch_tokens : max_tokens;
    /* One more text at work may be laid down behind a full batch. */
    return ds__grow(heap, (void **)&p->ids, &p->id_capacity, tokens + max_tokens, sizeof *p->ids) &&
           ds__grow(heap, (void **)&p->seq_start, &p->start_capacity, DS__SERVE_BATCH_TEXTS + 1,
                    sizeof *p->seq_start) &&
           ds__grow(heap, (void **)&p->items, &p->item_capacity, DS__SERVE_BATCH_TEXTS, sizeof *p->items);
}

static bool reserve(executor *e, const ds__instance *instance) {
    bool made = true;
    for (int pass = 0; pass < DS__PASSES; pass++)
        if (instance->row_floats[pass])
            made = made && reserve_pack(e->service->heap, &e->packs[pass], instance->batch_tokens,
                                        (size_t)instance->max_tokens[pass]);
    return made;
}

/* The pass of a call's n-th piece of work: all rows of the first one that is wanted, then all of the other. */
static ds__pass pass_of(const ds__serve_call *call, size_t piece) {
    if (!call->wants[DS__PASS_LOGITS]) return DS__PASS_EMBEDDING;
    return piece < call->rows ? DS__PASS_LOGITS : DS__PASS_EMBEDDING;
}

/* Adds a call's work from what was taken before on until the batch is full; returns how much. The lock is not held. */
static size_t add_rows(executor *e, ds__instance *instance, ds__serve_call *call, bool *full) {
    size_t first = call->taken, piece = first;
    for (; piece < call->work && !*full; piece++) {
        ds__pass pass = pass_of(call, piece);
        pack *p = &e->packs[pass];
        size_t size, row = piece % call->rows;
        int32_t max_tokens = instance->max_tokens[pass];
        if (call->texts) {
            if (!encode(e, call, row, max_tokens)) break;
            size = ds_encoding_size(e->encoding);
            memcpy(p->ids + p->tokens, ds_encoding_ids(e->encoding), size * sizeof *p->ids);
        } else {
            size = given_ids(call, row, max_tokens, p->ids + p->tokens);
        }
        if (e->texts && e->tokens + size > instance->batch_tokens) { /* it is tokenised again for the next one */
            *full = true;
            break;
        }
        p->items[p->texts++] = (item){call, row};
        p->tokens += size;
        p->seq_start[p->texts] = (int32_t)p->tokens;
        e->texts++;
        e->tokens += size;
        *full = e->tokens >= instance->batch_tokens || e->texts == DS__SERVE_BATCH_TEXTS ||
                e->bytes >= DS__SERVE_BATCH_BYTES;
    }
    return piece - first;
}

static void start_batch(executor *e) {
    e->tokens = e->texts = e->bytes = 0;
    for (int pass = 0; pass < DS__PASSES; pass++) {
        pack *p = &e->packs[pass];
        p->tokens = p->texts = 0;
        if (p->seq_start) p->seq_start[0] = 0;
    }
}

/* Takes calls out of the queue until the batch is full; under the lock, which is let go while texts are tokenised. */
static void gather(executor *e, ds__instance *instance) {
    ds__service *service = e->service;
    ds__queue_link *link;
    ds__queue_lane *lane;
    bool full = false;
    start_batch(e);
    while (!full && (link = ds__queue_take(&instance->queue, &lane))) {
        ds__serve_call *call = (ds__serve_call *)((char *)link - offsetof(ds__serve_call, link));
        uint64_t now = ds__clock_ns();
        size_t before = e->tokens, rows_before = call->taken;
        service->queued_rows -= call->work - rows_before;
        instance->queued_rows -= call->work - rows_before;
        service->queued_deadlines -= call->request.deadline_ns != 0;
        if (call->request.deadline_ns && call->request.deadline_ns <= now)
            fail_call(call, ds__refuse(&call->request.error, DS__SERVE_EXPIRED,
                                       "the deadline passed after %.1f ms in the queue; the request was not run",
                                       (double)(now - call->request.received_ns) * 1e-6));
        if (!call->request.started_ns) call->request.started_ns = now;
        size_t rows = 0;
        if (!call->failed) {
            pthread_mutex_unlock(&service->lock);
            rows = instance->kind == DS__INSTANCE_IDENTITY ? call->work : add_rows(e, instance, call, &full);
            call->encode_ns += ds__clock_ns() - now;
            pthread_mutex_lock(&service->lock);
        }
        call->taken += rows;
        if (instance->kind == DS__INSTANCE_IDENTITY) call->computed = call->taken;
        call->request.tokens += e->tokens - before;
        ds__queue_charge(lane, e->tokens - before + 1);
        if (!call->failed && !call->cancelled && call->taken < call->work) {
            ds__queue_put_back(&instance->queue, lane, &call->link);
            service->queued_rows += call->work - call->taken;
            instance->queued_rows += call->work - call->taken;
            service->queued_deadlines += call->request.deadline_ns != 0;
        }
        complete_if_over(call);
    }
    instance->waiting_since_ns = ds__clock_ns();
}

/* Without the lock. */
static ds_status run(executor *e, ds__instance *instance, ds__pass pass, ds_error *error) {
    const pack *p = &e->packs[pass];
    ds_packed_batch batch = {p->ids, NULL, p->seq_start, p->texts};
    size_t floats = instance->row_floats[pass];
    if (!ds__grow(e->service->heap, (void **)&e->out, &e->out_capacity, p->texts * floats, sizeof *e->out))
        return ds__alloc_failed(e->service->heap, p->texts * floats * sizeof *e->out, "a batch's results", error);
    DS_TRY(ds__instance_run(instance, pass, &batch, e->out, error));
    for (size_t i = 0; i < p->texts; i++)
        memcpy(p->items[i].call->out[pass] + p->items[i].row * floats, e->out + i * floats, floats * sizeof *e->out);
    return DS_OK;
}

static void count_batch(ds__instance *instance, const pack *p, uint64_t ns) {
    ds__instance_metrics *metrics = &instance->metrics;
    struct timespec wall;
    int size = 0;
    while (size < DS__SERVE_BATCH_SIZES - 1 && (size_t)1 << size < p->texts) size++;
    clock_gettime(CLOCK_REALTIME, &wall);
    metrics->last_inference_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
    metrics->rows += p->texts;
    metrics->tokens += p->tokens;
    metrics->executions++;
    add_duration(&metrics->batches[size], ns);
    ds__histogram_add(&metrics->compute_s, DS__SCALE_SECONDS, (double)ns * 1e-9);
    ds__histogram_add(&metrics->batch_texts, DS__SCALE_COUNT, (double)p->texts);
    ds__histogram_add(&metrics->batch_tokens, DS__SCALE_COUNT, (double)p->tokens);
}

/* Under the lock, which is let go while the engine is at work. */
static void run_pack(executor *e, ds__instance *instance, ds__pass pass) {
    const pack *p = &e->packs[pass];
    ds_error error = {DS_OK, ""};
    uint64_t start = ds__clock_ns();
    pthread_mutex_unlock(&e->service->lock);
    ds_status status = run(e, instance, pass, &error);
    pthread_mutex_lock(&e->service->lock);
    uint64_t ns = ds__clock_ns() - start;
    count_batch(instance, p, ns);
    ds__serve_call *last = NULL;
    for (size_t i = 0; i < p->texts; i++) {
        ds__serve_call *call = p->items[i].call;
        if (call != last) call->compute_ns += ns; /* a call's rows lie side by side */
        last = call;
        if (status != DS_OK && !call->failed) {
            bool memory = status == DS_MEMORY_LIMIT || status == DS_OUT_OF_MEMORY;
            call->request.error = error;
            fail_call(call, memory ? DS__SERVE_QUEUE_FULL : DS__SERVE_INTERNAL);
            if (call->link.lane) ds__serve_call_unqueue(call);
        }
        call->computed++;
        complete_if_over(call); /* the last of its rows: nobody touches it afterwards */
    }
}

static void wait_for_work(ds__service *service, uint64_t until_ns) {
    if (!until_ns) {
        pthread_cond_wait(&service->work, &service->lock);
        return;
    }
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
    pthread_cond_timedwait(&service->work, &service->lock, &until);
}

/* Memory ran out before a batch could be made: what waits is refused. */
static void refuse_all(executor *e, ds__instance *instance) {
    ds__queue_lane *lane;
    for (ds__queue_link *link; (link = ds__queue_take(&instance->queue, &lane));) {
        ds__serve_call *call = (ds__serve_call *)((char *)link - offsetof(ds__serve_call, link));
        e->service->queued_rows -= call->work - call->taken;
        instance->queued_rows -= call->work - call->taken;
        e->service->queued_deadlines -= call->request.deadline_ns != 0;
        fail_call(call, ds__refuse(&call->request.error, DS__SERVE_QUEUE_FULL,
                                   "out of memory for a batch; send fewer "
                                   "texts at once"));
        complete_if_over(call);
    }
}

void *ds__executor_main(void *argument) {
    ds__service *service = argument;
    executor e = {.service = service};
    pthread_mutex_lock(&service->lock);
    while (!service->stopping) {
        uint64_t now = ds__clock_ns(), wake_ns;
        sweep_deadlines(&e, now);
        ds__instance *instance = choose(service, now, &wake_ns);
        if (!instance) {
            wait_for_work(service, wake_ns);
            continue;
        }
        bool ready = e.encoding || ds_encoding_create(service->context, &e.encoding, NULL) == DS_OK;
        if (!ready || !reserve(&e, instance)) {
            refuse_all(&e, instance);
            continue;
        }
        instance->refs++; /* its last call may be released before the batch is counted */
        gather(&e, instance);
        for (int pass = 0; pass < DS__PASSES; pass++)
            if (e.packs[pass].texts) run_pack(&e, instance, (ds__pass)pass);
        ds__instance_unref(service, instance);
    }
    pthread_mutex_unlock(&service->lock);
    if (e.encoding) ds_encoding_destroy(e.encoding);
    for (int pass = 0; pass < DS__PASSES; pass++) {
        pack *p = &e.packs[pass];
        ds__free(service->heap, p->ids, p->id_capacity * sizeof *p->ids);
        ds__free(service->heap, p->seq_start, p->start_capacity * sizeof *p->seq_start);
        ds__free(service->heap, p->items, p->item_capacity * sizeof *p->items);
    }
    ds__free(service->heap, e.out, e.out_capacity * sizeof *e.out);
    return NULL;
}
