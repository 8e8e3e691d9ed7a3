/* A borrowed run of bytes: how names and texts travel inside the library.  May contain NUL; never owns. */
#ifndef DS_BASE_STR_H
#define DS_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct ds__str {
    const char *data;
    size_t size;
} ds__str;

#define DS_STR(literal) ((ds__str){(literal), sizeof(literal) - 1})

static inline ds__str ds__str_of(const char *text) { return (ds__str){text, text ? strlen(text) : 0}; }

static inline bool ds__str_equal(ds__str a, ds__str b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool ds__str_is(ds__str a, const char *text) { return ds__str_equal(a, ds__str_of(text)); }

static inline bool ds__str_starts(ds__str a, ds__str prefix) {
    return a.size >= prefix.size && memcmp(a.data, prefix.data, prefix.size) == 0;
}

static inline bool ds__str_ends(ds__str a, ds__str suffix) {
    return a.size >= suffix.size && memcmp(a.data + a.size - suffix.size, suffix.data, suffix.size) == 0;
}

/* For printf's "%.*s". */
#define DS_STR_ARG(s) (int)((s).size > 200 ? 200 : (s).size), ((s).data ? (s).data : "")

#endif
