/* Shapes with symbolic sizes: comparing, evaluating, printing. */
#include <stdio.h>

#include "ir/graph.h"

bool ds__shape_equal(const ds__shape *a, const ds__shape *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (!ds__dim_equal(a->dims[i], b->dims[i])) return false;
    return true;
}

int64_t ds__dim_size(ds_dim dim, const int64_t *symbols) {
    /* base, factor and symbols are all at most 2^30, so this cannot overflow. */
    int64_t size = dim.base + (dim.factor ? dim.factor * symbols[dim.symbol] : 0);
    return size > DS__MAX_DIM ? -1 : size;
}

static int print_dim(const ds_graph *graph, ds_dim dim, char *text, size_t size) {
    if (dim.factor == 0) return snprintf(text, size, "%lld", (long long)dim.base);
    char factor[32] = "", base[32] = "";
    if (dim.factor != 1) snprintf(factor, sizeof factor, "%lld*", (long long)dim.factor);
    if (dim.base != 0) snprintf(base, sizeof base, "+%lld", (long long)dim.base);
    return snprintf(text, size, "%s%s%s", factor, graph->symbols[dim.symbol], base);
}

void ds__shape_print(const ds_graph *graph, const ds__shape *shape, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < shape->rank && used < size; i++) {
        if (i) used += (size_t)snprintf(text + used, size - used, ", ");
        if (used < size) used += (size_t)print_dim(graph, shape->dims[i], text + used, size - used);
    }
    if (used < size) snprintf(text + used, size - used, "]");
}
