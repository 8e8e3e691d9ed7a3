/* The way back to a transport's thread: a list under a lock, and an eventfd that wakes libevent when it was empty, so
 * that all answers of a batch are one wake. */
#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "serve/service_internal.h"

struct ds__outbox {
    ds__heap *heap;
    pthread_mutex_t lock;
    atomic_int pushing; /* threads that are in a push */
    ds__serve_call *calls, **last_call;
    ds__serve_action *actions, **last_action;
    int fd;
    struct event *event;
};

/* The lock is let go before the wake: who wakes on the same core would run into it. */
static void end_push(ds__outbox *outbox, bool was_empty) {
    uint64_t one = 1;
    pthread_mutex_unlock(&outbox->lock);
    if (was_empty)
        while (write(outbox->fd, &one, sizeof one) < 0 && errno == EINTR) {} /* full means that it is awake */
    atomic_fetch_sub(&outbox->pushing, 1);
}

static void deliver(evutil_socket_t fd, short what, void *argument) {
    (void)what;
    ds__outbox *outbox = argument;
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
    pthread_mutex_lock(&outbox->lock);
    ds__serve_call *call = outbox->calls;
    ds__serve_action *action = outbox->actions;
    outbox->calls = NULL;
    outbox->last_call = &outbox->calls;
    outbox->actions = NULL;
    outbox->last_action = &outbox->actions;
    pthread_mutex_unlock(&outbox->lock);
    for (ds__serve_call *next; call; call = next) {
        next = call->next;
        call->done(&call->request);
    }
    for (ds__serve_action *next; action; action = next) {
        next = action->next;
        action->done(action);
    }
}

void ds__outbox_push(ds__outbox *outbox, ds__serve_call *call) {
    call->next = NULL;
    atomic_fetch_add(&outbox->pushing, 1);
    pthread_mutex_lock(&outbox->lock);
    bool was_empty = !outbox->calls && !outbox->actions;
    *outbox->last_call = call;
    outbox->last_call = &call->next;
    end_push(outbox, was_empty);
}

void ds__outbox_push_action(ds__outbox *outbox, ds__serve_action *action) {
    action->next = NULL;
    atomic_fetch_add(&outbox->pushing, 1);
    pthread_mutex_lock(&outbox->lock);
    bool was_empty = !outbox->calls && !outbox->actions;
    *outbox->last_action = action;
    outbox->last_action = &action->next;
    end_push(outbox, was_empty);
}

ds_status ds__outbox_create(ds__service *service, struct event_base *base, ds__outbox **out, ds_error *error) {
    ds__outbox *outbox = ds__alloc_zeroed(service->heap, sizeof *outbox);
    if (!outbox) return ds__alloc_failed(service->heap, sizeof *outbox, "an outbox", error);
    outbox->heap = service->heap;
    outbox->last_call = &outbox->calls;
    outbox->last_action = &outbox->actions;
    pthread_mutex_init(&outbox->lock, NULL);
    outbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (outbox->fd >= 0) outbox->event = event_new(base, outbox->fd, EV_READ | EV_PERSIST, deliver, outbox);
    if (!outbox->event || event_add(outbox->event, NULL) != 0) {
        ds__outbox_destroy(outbox);
        return ds__fail(error, DS_IO, "cannot make an event between threads; the limit of open files may be too low");
    }
    *out = outbox;
    return DS_OK;
}

void ds__outbox_destroy(ds__outbox *outbox) {
    if (!outbox) return;
    while (atomic_load(&outbox->pushing)) sched_yield(); /* what is pushed may be delivered before its push has ended */
    if (outbox->event) event_free(outbox->event);
    if (outbox->fd >= 0) close(outbox->fd);
    pthread_mutex_destroy(&outbox->lock);
    ds__free(outbox->heap, outbox, sizeof *outbox);
}
