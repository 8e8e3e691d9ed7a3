/* A context owns what a process shares between models: the thread pool, the allocator with its limit, the log sink.
 * A program makes one.  Models belong to a context and must be closed before it is destroyed. */
#ifndef DEEPSEEK_CONTEXT_H
#define DEEPSEEK_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "deepseek/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ds_context ds_context;

/* The host's allocator.  Both functions may be called from several threads at once.
 * allocate: returns `bytes` bytes (never 0) aligned to `alignment` (a power of two, at most 64), or NULL.
 * release: gets back exactly what allocate returned, with the same size; never NULL. */
typedef struct ds_allocator {
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory, size_t bytes);
    void *user;
} ds_allocator;

typedef enum ds_log_level { DS_LOG_DEBUG, DS_LOG_INFO, DS_LOG_WARNING } ds_log_level;

/* Receives one line without a newline.  May be called from any thread that calls into the library. */
typedef void (*ds_log_fn)(void *user, ds_log_level level, const char *message);

/* A zeroed structure means the defaults. */
typedef struct ds_context_options {
    int threads;           /* 0: what the cgroup's quota and the affinity mask allow; at most DS_MAX_THREADS */
    uint64_t memory_limit; /* bytes the library may hold at once, thread stacks and mapped files not counted; 0: none */
    ds_allocator allocator; /* all NULL: the C library's */
    ds_log_fn log;          /* NULL: nothing is logged */
    void *log_user;
} ds_context_options;

enum { DS_MAX_THREADS = 256 };

/* What the allocator door counted since the context was made.  `bytes` excludes the mapped weight files. */
typedef struct ds_memory_stats {
    uint64_t bytes;       /* held now */
    uint64_t peak_bytes;  /* held at most */
    uint64_t limit;       /* 0: none */
    uint64_t allocations; /* calls that asked for memory; stands still in a steady state */
} ds_memory_stats;

/* options: NULL for the defaults.  On success *out is owned by the caller. */
DS_API DS_MUST_CHECK ds_status ds_context_create(const ds_context_options *options, ds_context **out, ds_error *error);

/* NULL is allowed. */
DS_API void ds_context_destroy(ds_context *context);

DS_API int ds_context_threads(const ds_context *context);
DS_API ds_memory_stats ds_context_memory(const ds_context *context);

/* "MAJOR.MINOR.PATCH", and the same at compile time. */
#define DS_VERSION "0.1.0"
DS_API const char *ds_version(void);

#ifdef __cplusplus
}
#endif
#endif
