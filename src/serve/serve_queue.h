/* The queue of one loaded model: fair between tenants, first come first served within a tenant.
 *
 * Each tenant has a lane for each of three priorities.  The highest priority with anything in it goes first; among its
 * lanes the one that has had the fewest tokens (start-time fair queueing: a lane that was empty begins where the others
 * are, so idling saves up nothing).  A request that has had a batch's worth and has rows left goes to its lane's end,
 * so that short requests overtake long ones. The caller's lock guards it. */
#ifndef DS_SERVE_SERVE_QUEUE_H
#define DS_SERVE_SERVE_QUEUE_H

#include "base/alloc.h"

typedef struct ds__queue_lane ds__queue_lane;

/* In what is queued. */
typedef struct ds__queue_link {
    struct ds__queue_link *next, *previous;
    ds__queue_lane *lane; /* NULL: not queued */
} ds__queue_link;

struct ds__queue_lane {
    const void *owner; /* the tenant */
    int level;         /* 0 goes first */
    uint64_t served;   /* virtual time: tokens */
    ds__queue_link *first, *last;
    ds__queue_lane *next;
};

typedef struct ds__queue {
    ds__queue_lane *lanes; /* made when first needed, then kept */
    uint64_t clock;        /* the virtual time of the last one taken */
    size_t count;
} ds__queue;

/* priority: 1 first, 2 (and 0) next, then the rest. false: out of memory. */
bool ds__queue_put(ds__queue *queue, ds__heap *heap, const void *owner, int32_t priority,
                   ds__queue_link *link) DS_MUST_CHECK;
/* Takes out the next one; NULL: empty. *lane: for what follows. */
ds__queue_link *ds__queue_take(ds__queue *queue, ds__queue_lane **lane);
/* What was taken from the lane has cost so many tokens. */
void ds__queue_charge(ds__queue_lane *lane, uint64_t tokens);
/* Back to the end of its lane. */
void ds__queue_put_back(ds__queue *queue, ds__queue_lane *lane, ds__queue_link *link);
void ds__queue_remove(ds__queue *queue, ds__queue_link *link);
/* Calls `each` with everything queued; it may remove what it is given. */
void ds__queue_each(ds__queue *queue, void (*each)(void *own, ds__queue_link *link), void *own);
void ds__queue_deinit(ds__queue *queue, ds__heap *heap);

#endif
