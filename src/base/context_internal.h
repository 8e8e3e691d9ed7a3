/* What the rest of the library sees of a context. */
#ifndef DS_BASE_CONTEXT_INTERNAL_H
#define DS_BASE_CONTEXT_INTERNAL_H

#include "base/alloc.h"
#include "base/pool.h"
#include "deepseek/context.h"

struct ds_context {
    ds__heap heap; /* everything that belongs to the context and its models comes from here */
    ds__pool *pool;
    ds_log_fn log;
    void *log_user;
};

void ds__log(const ds_context *context, ds_log_level level, const char *format, ...) DS_PRINTF(3, 4);

#endif
