/* Reverse-mode differentiation as a rewrite of a graph: the backward part is ordinary nodes behind the forward ones,
 * which then go through the same passes, plan and backends (Griewank and Walther 2008; nodes are visited from the last
 * to the first, and what several readers of a value give back is added up in that order). */
#ifndef DS_AUTOGRAD_AUTOGRAD_H
#define DS_AUTOGRAD_AUTOGRAD_H

#include "ops/ops.h"

typedef struct ds__differentiation {
    int32_t loss, seed;        /* a value, and its gradient to start with (of the same shape) */
    const int32_t *parameters; /* [count]: what gradients are wanted for: states or inputs */
    size_t count;
    int32_t *gradients; /* [count], out: -1 where the loss does not depend on the parameter */
    size_t forward;     /* out: how many nodes the forward part has; the backward part stands behind them */
} ds__differentiation;

/* Runs before the passes, on the graph as a model builds it. Refuses by name an operator that has no gradient. */
ds_status ds__autograd(ds_graph *graph, ds__differentiation *job, ds_error *error) DS_MUST_CHECK;

/* Gradient checkpointing (Chen et al. 2016): forward values that the backward part reads are computed again in front of
 * their first reader instead of being kept, but for those at the seams between parts of the forward pass where only one
 * value goes across (an encoder's layers).  The same operators on the same inputs: the results keep their bits. */
ds_status ds__recompute(ds_graph *graph, size_t forward, ds_error *error) DS_MUST_CHECK;

/* For graphs whose products round to bfloat16: forward values that the backward part reads as right factors of such
 * products alone (inputs of linear layers, which their weights' gradients are made of) are kept in bfloat16. The
 * products would round them to the same numbers, so results keep their bits. So are the values that activations are
 * applied to, whose gradients then see them rounded. */
ds_status ds__keep_narrow(ds_graph *graph, size_t forward, ds_error *error) DS_MUST_CHECK;

#endif
