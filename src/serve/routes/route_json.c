/* What the routes share. */
#include "serve/routes/route_json.h"

#include <stdio.h>

void ds__put_version(ds__json_writer *json, const char *key, int64_t version) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)version);
    ds__put_text(json, key, ds__str_of(text));
}

ds__str ds__keep_text(ds__http_call *call, ds__arena *arena, ds__str text) {
    bool in_body = text.data >= call->body.data && text.data + text.size <= call->body.data + call->body.size;
    return in_body ? text : ds__arena_copy(arena, text);
}

int64_t ds__read_integer(ds__json *json, ds__str field, int64_t low, int64_t high) {
    double value = ds__json_number(json, field, (double)low, (double)high);
    if (value == (double)(int64_t)value) return (int64_t)value;
    ds__json_fail(json, DS_BAD_FORMAT, "%.*s is %g, expected a whole number", DS_STR_ARG(field), value);
    return low;
}

bool ds__finish_body(ds__http_call *call, ds__json *json) {
    ds_error error;
    ds_status status = ds__json_finish(json, &error);
    if (status == DS_OK) return true;
    bool memory = status == DS_OUT_OF_MEMORY || status == DS_MEMORY_LIMIT;
    ds__http_fail(call, memory ? 503 : 400, error.message);
    return false;
}
