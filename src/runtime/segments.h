/* Segments: runs of nodes that work row by row, so that each thread can take a block of rows through all of them.
 *
 * Between two attentions an encoder's operators (products, norms, activations, look-ups) know only rows.  Run node by
 * node, every result is written out to far memory and read again, and all threads meet after each node.  Run block by
 * block, what a segment makes for itself lives in a few hundred kilobytes of the thread's own memory, which stay in its
 * nearest cache, and the threads meet once a segment. */
#ifndef DS_RUNTIME_SEGMENTS_H
#define DS_RUNTIME_SEGMENTS_H

#include "runtime/backend.h"
#include "runtime/plan.h"

enum { DS__BLOCK_ROWS = 64 }; /* of a block at most: the widest values of an encoder then fit the second cache */

/* How a segment is shared out, by the number of rows that each thread would get. The thresholds were measured with
 * MiniLM and BERT-base on two threads (docs/performance.md). */
typedef struct ds__split {
    int32_t rows_from; /* for each thread */
    int32_t blocks;    /* for each thread at least; 0: node by node */
    const char *how, *why;
} ds__split;

size_t ds__split_count(void);
/* In the order of rows_from. */
const ds__split *ds__split_at(size_t index);
const ds__split *ds__split_for(int64_t rows, int threads);
/* From so many rows on, segments run in blocks. */
int64_t ds__blocks_from(int threads);

/* Nodes [first, last), all of whose values have `rows` as their first dimension. */
typedef struct ds__segment {
    int32_t first, last;
    ds_dim rows;
} ds__segment;

/* Finds the segments (arrays from the arena) and tells the storage: which values live in a block's memory, where, and
 * that others must not share memory within a segment.  backends: of each node. */
ds_status ds__segments_find(const ds_graph *graph, const ds__backend *const *backends, ds__arena *arena,
                            ds__storage *storage, ds_error *error) DS_MUST_CHECK;

#endif
