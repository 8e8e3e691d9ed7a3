/* The weight store: one logical tensor, and the forms derived from it that programs need, shared by all of them.
 *
 * Weights are identified by the address of their data.  Where that lies in a registered file mapping, the mapping's
 * pages are given back to the kernel once another form has been made from them, so no second copy stays resident. */
#ifndef DS_RUNTIME_WEIGHTS_H
#define DS_RUNTIME_WEIGHTS_H

#include "base/file.h"
#include "runtime/backend.h"

typedef struct ds__weight_store ds__weight_store;

ds_status ds__weight_store_create(ds_context *context, ds__weight_store **out, ds_error *error) DS_MUST_CHECK;
void ds__weight_store_destroy(ds__weight_store *store);
/* map: borrowed until the store is destroyed. */
ds_status ds__weight_store_add_map(ds__weight_store *store, const ds__file_map *map, ds_error *error) DS_MUST_CHECK;

/* The weight `value` of `graph` in a form, as a tensor view that lives as long as the store. Thread-safe. */
ds_status ds__weight_store_get(ds__weight_store *store, const ds_graph *graph, int32_t value,
                               const ds__weight_form *form, ds_tensor *out, ds_error *error) DS_MUST_CHECK;
/* Bytes held in derived forms. */
uint64_t ds__weight_store_bytes(ds__weight_store *store);

#endif
