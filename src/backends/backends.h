/* The list of backends. */
#ifndef DS_BACKENDS_BACKENDS_H
#define DS_BACKENDS_BACKENDS_H

#include "runtime/backend.h"

#define DS_BACKEND(name) extern const ds__backend ds__backend_##name;
#include "backends/backends.def"
#undef DS_BACKEND

static const ds__backend *const ds__backends[] = {
#define DS_BACKEND(name) &ds__backend_##name,
#include "backends/backends.def"
#undef DS_BACKEND
};

enum { DS__BACKEND_COUNT = sizeof ds__backends / sizeof *ds__backends };

#endif
