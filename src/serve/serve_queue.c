/* Lanes and their virtual time. */
#include "serve/serve_queue.h"

static int level_of(int32_t priority) { return priority == 1 ? 0 : priority == 0 || priority == 2 ? 1 : 2; }

static void append(ds__queue *queue, ds__queue_lane *lane, ds__queue_link *link) {
    *link = (ds__queue_link){.previous = lane->last, .lane = lane};
    if (lane->last)
        lane->last->next = link;
    else
        lane->first = link;
    lane->last = link;
    queue->count++;
}

bool ds__queue_put(ds__queue *queue, ds__heap *heap, const void *owner, int32_t priority, ds__queue_link *link) {
    int level = level_of(priority);
    ds__queue_lane *lane = queue->lanes;
    while (lane && (lane->owner != owner || lane->level != level)) lane = lane->next;
    if (!lane) {
        lane = ds__alloc_zeroed(heap, sizeof *lane);
        if (!lane) return false;
        *lane = (ds__queue_lane){.owner = owner, .level = level, .next = queue->lanes};
        queue->lanes = lane;
    }
    if (!lane->first && lane->served < queue->clock) lane->served = queue->clock;
    append(queue, lane, link);
    return true;
}

ds__queue_link *ds__queue_take(ds__queue *queue, ds__queue_lane **out) {
    ds__queue_lane *best = NULL;
    for (ds__queue_lane *lane = queue->lanes; lane; lane = lane->next)
        if (lane->first &&
            (!best || lane->level < best->level || (lane->level == best->level && lane->served < best->served)))
            best = lane;
    if (!best) return NULL;
    ds__queue_link *link = best->first;
    queue->clock = best->served;
    ds__queue_remove(queue, link);
    *out = best;
    return link;
}

void ds__queue_charge(ds__queue_lane *lane, uint64_t tokens) { lane->served += tokens; }

void ds__queue_put_back(ds__queue *queue, ds__queue_lane *lane, ds__queue_link *link) { append(queue, lane, link); }

void ds__queue_remove(ds__queue *queue, ds__queue_link *link) {
    ds__queue_lane *lane = link->lane;
    if (link->previous)
        link->previous->next = link->next;
    else
        lane->first = link->next;
    if (link->next)
        link->next->previous = link->previous;
    else
        lane->last = link->previous;
    *link = (ds__queue_link){0};
    queue->count--;
}

void ds__queue_each(ds__queue *queue, void (*each)(void *own, ds__queue_link *link), void *own) {
    for (ds__queue_lane *lane = queue->lanes; lane; lane = lane->next)
        for (ds__queue_link *link = lane->first, *next; link; link = next) {
            next = link->next;
            each(own, link);
        }
}

void ds__queue_deinit(ds__queue *queue, ds__heap *heap) {
    for (ds__queue_lane *lane = queue->lanes, *next; lane; lane = next) {
        next = lane->next;
        ds__free(heap, lane, sizeof *lane);
    }
    *queue = (ds__queue){0};
}
