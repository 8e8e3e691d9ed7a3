/* Status names and the writing of error sentences. */
#include "deepseek/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static const struct {
    const char *name, *text;
} statuses[] = {
#define DS_STATUS_ROW(name, text) {#name, text},
    DS_STATUS_LIST(DS_STATUS_ROW)
#undef DS_STATUS_ROW
};

enum { STATUS_COUNT = sizeof statuses / sizeof *statuses };

const char *ds_status_name(ds_status status) {
    return (unsigned)status < STATUS_COUNT ? statuses[status].name : "DS_UNKNOWN";
}

const char *ds_status_text(ds_status status) {
    return (unsigned)status < STATUS_COUNT ? statuses[status].text : "an unknown status";
}

/* Names from hostile files end up in messages: keep them on one line and printable. */
static void make_one_line(char *text) {
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
}

ds_status ds__fail(ds_error *error, ds_status status, const char *format, ...) {
    if (!error) return status;
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    make_one_line(error->message);
    return status;
}

ds_status ds__fail_in(ds_error *error, ds_status status, const char *format, ...) {
    if (!error) return status;
    char old[DS_ERROR_MESSAGE_SIZE];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s", old);
    make_one_line(error->message);
    error->status = status;
    return status;
}
