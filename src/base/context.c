/* Context: the thread pool, the allocator door, the log sink. */
#include "deepseek/context.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/context_internal.h"
#include "base/cpu.h"
#include "base/error.h"

const char *ds_version(void) { return DS_VERSION; }

ds_status ds_context_create(const ds_context_options *options, ds_context **out, ds_error *error) {
    static const ds_context_options defaults;
    if (!options) options = &defaults;
    *out = NULL;
    if (options->threads < 0 || options->threads > DS_MAX_THREADS)
        return ds__fail(error, DS_INVALID_ARGUMENT, "threads is %d, expected 0 (automatic) to %d", options->threads,
                        DS_MAX_THREADS);
    if (!options->allocator.allocate != !options->allocator.release)
        return ds__fail(error, DS_INVALID_ARGUMENT, "allocator has %s but no %s, expected both or neither",
                        options->allocator.allocate ? "allocate" : "release",
                        options->allocator.allocate ? "release" : "allocate");
    /* The context's own block comes through a door too, which is then moved into it, so that it is counted. */
    ds__heap heap;
    ds__heap_init(&heap, &options->allocator, options->memory_limit);
    ds_context *context = ds__alloc_zeroed(&heap, sizeof *context);
    if (!context) return ds__alloc_failed(&heap, sizeof *context, "the context", error);
    context->heap = heap;
    context->log = options->log;
    context->log_user = options->log_user;
    int threads = options->threads ? options->threads : ds__cpu_count_allowed();
    ds_status status = ds__pool_create(&context->heap, threads, &context->pool, error);
    if (status != DS_OK) {
        ds_context_destroy(context);
        return status;
    }
    *out = context;
    return DS_OK;
}

void ds_context_destroy(ds_context *context) {
    if (!context) return;
    ds__pool_destroy(context->pool);
    ds__heap heap = context->heap;
    ds__free(&heap, context, sizeof *context);
}

int ds_context_threads(const ds_context *context) { return ds__pool_threads(context->pool); }

ds_memory_stats ds_context_memory(const ds_context *context) {
    const ds__heap *heap = &context->heap;
    return (ds_memory_stats){
        .bytes = heap->bytes, .peak_bytes = heap->peak_bytes, .limit = heap->limit, .allocations = heap->allocations};
}

void ds__log(const ds_context *context, ds_log_level level, const char *format, ...) {
    if (!context->log) return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->log(context->log_user, level, line);
}
