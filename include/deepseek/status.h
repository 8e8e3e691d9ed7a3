/* Status codes and the error record that every fallible function of the library reports through.
 *
 * A function that can fail returns a ds_status; results go out through its last pointers.  The sentence that a person
 * reads (what, where, what was expected) is written into the optional ds_error.  The library never prints or exits. */
#ifndef DEEPSEEK_STATUS_H
#define DEEPSEEK_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define DS_API __attribute__((visibility("default")))
#define DS_MUST_CHECK __attribute__((warn_unused_result))
#define DS_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define DS_API
#define DS_MUST_CHECK
#define DS_PRINTF(format_index, first_argument)
#endif

/* X(name, text): the one list of outcomes.  The order is part of the ABI; new ones go to the end. */
#define DS_STATUS_LIST(X)                                                                                              \
    X(DS_OK, "done")                                                                                                   \
    X(DS_OUT_OF_MEMORY, "the allocator returned nothing")                                                              \
    X(DS_MEMORY_LIMIT, "the context's memory limit would be exceeded")                                                 \
    X(DS_INVALID_ARGUMENT, "an argument is out of its range")                                                          \
    X(DS_NOT_FOUND, "a file, tensor or name does not exist")                                                           \
    X(DS_IO, "the operating system could not read or write")                                                           \
    X(DS_BAD_FORMAT, "a file's content breaks its format")                                                             \
    X(DS_SHAPE_MISMATCH, "two shapes or sizes disagree")                                                               \
    X(DS_UNSUPPORTED, "valid, but not something this version can do")                                                  \
    X(DS_INTERNAL, "a bug in the library")                                                                             \
    X(DS_DIVERGED, "a loss or a gradient in training is not finite")                                                   \
    X(DS_STOPPED, "the host asked to stop")

typedef enum ds_status {
#define DS_STATUS_ENUM(name, text) name,
    DS_STATUS_LIST(DS_STATUS_ENUM)
#undef DS_STATUS_ENUM
} ds_status;

enum { DS_ERROR_MESSAGE_SIZE = 768 };

/* Filled by the function that failed; it owns no memory, so it also works when memory ran out.  Untouched on success.
 * The message is one sentence without a final newline; it is always terminated. */
typedef struct ds_error {
    ds_status status;
    char message[DS_ERROR_MESSAGE_SIZE];
} ds_error;

/* The status's constant name ("DS_OUT_OF_MEMORY") and its general meaning; never NULL. */
DS_API const char *ds_status_name(ds_status status);
DS_API const char *ds_status_text(ds_status status);

#ifdef __cplusplus
}
#endif
#endif
