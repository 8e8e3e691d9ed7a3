/* The server's heap for the libraries it stands on (libevent, nghttp2, zlib), which free without saying a size: what
 * they keep for clients counts under the same limit, and what they do not get is a failed call of theirs. */
#ifndef DS_SERVE_FOREIGN_MEMORY_H
#define DS_SERVE_FOREIGN_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <zlib.h>

#include "base/alloc.h"

void *ds__foreign_alloc(ds__heap *heap, size_t bytes);
void *ds__foreign_resize(ds__heap *heap, void *memory, size_t bytes);
void ds__foreign_free(ds__heap *heap, void *memory);

/* What nghttp2 and zlib want to be told. */
nghttp2_mem ds__foreign_nghttp2(ds__heap *heap);
void ds__foreign_zlib(ds__heap *heap, z_stream *stream);

#endif
