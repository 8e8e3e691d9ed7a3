/* Writing the sentence that a person reads.  See deepseek/status.h for what the caller sees. */
#ifndef DS_BASE_ERROR_H
#define DS_BASE_ERROR_H

#include "deepseek/status.h"

/* Fills *error (may be NULL) and returns `status`, so that a failure is one line: return ds__fail(...). */
ds_status ds__fail(ds_error *error, ds_status status, const char *format, ...) DS_PRINTF(3, 4);

/* Puts "prefix: " in front of the message already there; returns the error's status. For adding a file or node name. */
ds_status ds__fail_in(ds_error *error, ds_status status, const char *format, ...) DS_PRINTF(3, 4);

/* The only macro that changes control flow. */
#define DS_TRY(call)                                                                                                   \
    do {                                                                                                               \
        ds_status ds__try_status = (call);                                                                             \
        if (ds__try_status != DS_OK) return ds__try_status;                                                            \
    } while (0)

#endif
