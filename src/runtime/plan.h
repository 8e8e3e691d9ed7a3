/* The memory plan: where in one buffer each temporary lives, so that values whose lifetimes do not meet share bytes. */
#ifndef DS_RUNTIME_PLAN_H
#define DS_RUNTIME_PLAN_H

#include "ir/op.h"

enum { DS__NO_OFFSET = -1 };

/* Which value's memory a value uses: itself, the one it is a view of, or the one it overwrites. Independent of sizes.
 */
typedef struct ds__storage {
    int32_t *root;         /* [values] */
    bool *is_view;         /* [values] */
    bool *is_bound;        /* [values]: a graph output that lies in the caller's memory */
    int32_t *first, *last; /* [values] roots only: the nodes that make and last read the memory; -1: not a temporary */
    /* What ds__segments_find adds. */
    struct ds__segment *segments;
    int32_t segment_count;
    int64_t blocks_from;   /* rows: fewer are run node by node */
    bool *is_local;        /* [values] roots only: lives within one segment, in the memory of a block of rows */
    int64_t *local_offset; /* [values] there, in bytes */
    size_t local_bytes;    /* of one worker, a multiple of 64 */
} ds__storage;

/* Fills `storage` (arrays from the arena). */
ds_status ds__storage_analyse(const ds_graph *graph, ds__arena *arena, ds__storage *storage,
                              ds_error *error) DS_MUST_CHECK;

/* For sizes up to `symbols`: offset[value] in bytes for every root that is not bound, DS__NO_OFFSET for others.
 * *total: bytes of the buffer; *side_by_side: what the values would take without sharing.  order: [values] workspace.
 */
ds_status ds__plan_offsets(const ds_graph *graph, const ds__storage *storage, const int64_t *symbols, int64_t *offset,
                           int32_t *order, size_t *total, size_t *side_by_side, ds_error *error) DS_MUST_CHECK;

/* Elements of a value at given sizes; false when over the limits. */
bool ds__value_elements(const ds__value *value, const int64_t *symbols, size_t *elements);

#endif
