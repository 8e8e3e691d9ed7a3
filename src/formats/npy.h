/* Writing one float32 matrix as .npy version 1.0 (numpy.lib.format), row by row.
 *
 * A file is written under a temporary name; finishing fills in the number of rows, syncs and renames.  Standard output,
 * a pipe or a device cannot be rewritten, so there the rows are kept until finishing. */
#ifndef DS_FORMATS_NPY_H
#define DS_FORMATS_NPY_H

#include "base/alloc.h"

typedef struct ds__npy ds__npy;

/* path: "-" for standard output. columns: of every row. */
ds_status ds__npy_create(ds__heap *heap, const char *path, size_t columns, ds__npy **out,
                         ds_error *error) DS_MUST_CHECK;
/* rows: [count, columns], dense. */
ds_status ds__npy_append(ds__npy *npy, const float *rows, size_t count, ds_error *error) DS_MUST_CHECK;
/* Completes the file; the writer is destroyed whatever happens. */
ds_status ds__npy_finish(ds__npy *npy, ds_error *error) DS_MUST_CHECK;
/* Destroys the writer and what it wrote. NULL is allowed. */
void ds__npy_abandon(ds__npy *npy);

#endif
