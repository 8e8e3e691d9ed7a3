/* Values of gRPC's headers. */
#include <strings.h>

#include "serve/grpc/grpc_internal.h"

/* Up to 8 digits and a unit. The largest, 99,999,999 hours, is more than 64 bits of nanoseconds: it becomes the most.
 */
bool ds__grpc_parse_timeout(ds__str text, uint64_t *nanoseconds) {
    static const struct {
        char name;
        uint64_t nanoseconds;
    } units[] = {{'H', 3600000000000}, {'M', 60000000000}, {'S', 1000000000}, {'m', 1000000}, {'u', 1000}, {'n', 1}};
    uint64_t value = 0;
    if (text.size < 2 || text.size > 9) return false;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].name != text.data[text.size - 1]) continue;
        if (__builtin_mul_overflow(value, units[i].nanoseconds, nanoseconds)) *nanoseconds = UINT64_MAX;
        return true;
    }
    return false;
}

const char *ds__grpc_encoding_name(ds__grpc_encoding encoding) {
    static const char *const names[] = {"identity", "deflate", "gzip"};
    return encoding < DS__GRPC_UNKNOWN_ENCODING ? names[encoding] : "unknown";
}

ds__grpc_encoding ds__grpc_parse_encoding(ds__str text) {
    for (int i = DS__GRPC_IDENTITY; i < DS__GRPC_UNKNOWN_ENCODING; i++)
        if (ds__str_is(text, ds__grpc_encoding_name((ds__grpc_encoding)i))) return (ds__grpc_encoding)i;
    return DS__GRPC_UNKNOWN_ENCODING;
}

bool ds__grpc_accepts(ds__str list, ds__grpc_encoding encoding) {
    for (size_t at = 0; at < list.size;) {
        const char *comma = memchr(list.data + at, ',', list.size - at);
        size_t end = comma ? (size_t)(comma - list.data) : list.size, first = at, last = end;
        while (first < last && list.data[first] == ' ') first++;
        while (last > first && list.data[last - 1] == ' ') last--;
        if (ds__grpc_parse_encoding((ds__str){list.data + first, last - first}) == encoding) return true;
        at = end + 1;
    }
    return false;
}

bool ds__grpc_is_content_type(ds__str text) {
    static const ds__str base = {"application/grpc", 16};
    if (text.size < base.size || strncasecmp(text.data, base.data, base.size) != 0) return false;
    ds__str rest = {text.data + base.size, text.size - base.size};
    return rest.size == 0 || rest.data[0] == ';' || ds__str_is(rest, "+proto") ||
           ds__str_starts(rest, DS_STR("+proto;"));
}

size_t ds__grpc_percent_encode(const char *text, char *out, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 0;
    for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++) {
        bool plain = *byte >= ' ' && *byte <= '~' && *byte != '%';
        if (used + (plain ? 1 : 3) > size) break;
        if (plain) {
            out[used++] = (char)*byte;
        } else {
            out[used++] = '%';
            out[used++] = digits[*byte >> 4];
            out[used++] = digits[*byte & 15];
        }
    }
    return used;
}
