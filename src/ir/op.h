/* What an operator is: a const structure with its rules.  One file an operator in src/ops/, one row in ops.def. */
#ifndef DS_IR_OP_H
#define DS_IR_OP_H

#include "deepseek/tensor.h"
#include "ir/graph.h"

/* The types that a node's outputs get from its inputs. */
typedef struct ds__op_result {
    ds_dtype dtype;
    ds__shape shape;
} ds__op_result;

/* A node with the tensors of one run. Weights are in the form that the node's backend asked for. */
typedef struct ds__call {
    const ds__node *node;
    const ds_tensor *inputs[DS__MAX_INPUTS]; /* NULL: absent */
    ds_tensor *outputs[DS__MAX_OUTPUTS];
} ds__call;

enum { DS__IN_PLACE_NONE = -1 };

struct ds__op {
    const char *name;
    int min_inputs, max_inputs; /* those behind min are optional */
    /* The shape rule. Inputs are present and valid values; refuses with a sentence that has both shapes. */
    ds_status (*infer)(const ds_graph *graph, const ds__node *node, ds__op_result *result, ds_error *error);
    /* The arithmetic of one call (a multiply-add is two operations). NULL: none. */
    double (*flops)(const ds__call *call);
    /* The definition in plain C on strided f32 tensors; what every other implementation is compared with. */
    ds_status (*reference)(const ds__call *call, ds_error *error);
    /* The output is a window into the first input and costs nothing: sets outputs[0]'s data and strides. NULL: no view.
     */
    void (*view)(ds__call *call);
    /* The first input in this list that dies here may be overwritten by the output: element i of the output depends on
     * element i's row of that input only. Ends with DS__IN_PLACE_NONE. */
    int in_place[3];
    /* Row i of the output depends on row i of the inputs that are not weights, rows being the first dimension of values
     * of rank 2 and more and the elements of ids. */
    bool by_rows;
    /* The optional input that is added to everything else the operator does, of the output's shape, last of its inputs;
     * 0: none. An added tensor becomes it (pass fuse_residual), so a sum needs no memory of its own. */
    int residual;
    /* It writes to the states among its inputs, all of them, and must run although nobody reads its output.  No node
     * behind it may read those (the verifier), and it runs as soon as nobody does any more (pass early_updates). */
    bool updates;
    /* Appends the nodes that take the output's gradient `dy` to those of the inputs: gives[i] where wanted[i], the
     * others stay DS_NO_VALUE; what does not depend on an input is left out too.  `node` is a copy: the graph's list
     * moves. NULL: it has no gradient. */
    void (*gradient)(ds_graph *graph, const ds__node *node, ds_value dy, const bool *wanted, ds_value *gives);
    /* Appends " name=value" for each attribute that matters. NULL: none. */
    void (*print)(const ds__node *node, ds__buffer *out);
};

#endif
