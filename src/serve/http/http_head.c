/* Parsing a request's head. */
#include "serve/http/http_head.h"

#include <strings.h>

#include "base/error.h"

static int refuse(ds_error *error, int status, const char *sentence) {
    ds_status ignored = ds__fail(error, DS_BAD_FORMAT, "%s", sentence);
    (void)ignored;
    return status;
}

/* RFC 9110's token characters. */
static bool is_token(ds__str text) {
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alphanumeric && (c >= 0x7F || c == 0 || !memchr("!#$%&'*+-.^_`|~", c, 15))) return false;
    }
    return text.size > 0;
}

bool ds__http_name_is(ds__str text, const char *name) {
    return text.size == strlen(name) && strncasecmp(text.data, name, text.size) == 0;
}

ds__str ds__http_header_value(const ds__http_head *head, const char *name) {
    for (size_t i = 0; i < head->header_count; i++)
        if (ds__http_name_is(head->headers[i].name, name)) return head->headers[i].value;
    return (ds__str){NULL, 0};
}

bool ds__http_number(ds__str text, uint64_t *out) {
    uint64_t value = 0;
    if (!text.size || text.size > 18) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = 10 * value + (uint64_t)(text.data[i] - '0');
    }
    *out = value;
    return true;
}

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool ds__http_unescape(char *text, size_t *size) {
    size_t to = 0;
    for (size_t i = 0; i < *size; i++) {
        if (text[i] != '%') {
            text[to++] = text[i];
            continue;
        }
        int high = i + 2 < *size ? hex(text[i + 1]) : -1, low = high >= 0 ? hex(text[i + 2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) return false;
        text[to++] = (char)(high << 4 | low);
        i += 2;
    }
    *size = to;
    return true;
}

/* Takes what stands before "\r\n" off the front; false: there is no such end. A lone CR or LF is refused later. */
static bool take_line(ds__str *text, ds__str *line) {
    const char *end = memchr(text->data, '\n', text->size);
    if (!end || end == text->data || end[-1] != '\r') return false;
    *line = (ds__str){text->data, (size_t)(end - 1 - text->data)};
    size_t used = line->size + 2;
    *text = (ds__str){text->data + used, text->size - used};
    return true;
}

static int parse_target(ds__str target, ds__http_head *head, ds_error *error) {
    if (target.size > DS__HTTP_MAX_TARGET) return refuse(error, 414, "the request's target is longer than 4096 bytes");
    if (ds__str_starts(target, DS_STR("http://")) || ds__str_starts(target, DS_STR("https://"))) { /* as to a proxy */
        const char *host = (const char *)memchr(target.data, '/', target.size) + 2;
        const char *path = memchr(host, '/', (size_t)(target.data + target.size - host));
        target = path ? (ds__str){path, (size_t)(target.data + target.size - path)} : DS_STR("/");
    }
    if (!target.size || target.data[0] != '/')
        return refuse(error, 400, "the request's target does not begin with a slash");
    for (size_t i = 0; i < target.size; i++)
        if ((unsigned char)target.data[i] <= ' ' || (unsigned char)target.data[i] >= 0x7F || target.data[i] == '#')
            return refuse(error, 400, "the request's target has a character that must be percent-encoded");
    const char *mark = memchr(target.data, '?', target.size);
    size_t path = mark ? (size_t)(mark - target.data) : target.size;
    head->path = (ds__str){target.data, path};
    if (mark) head->query = (ds__str){mark + 1, target.size - path - 1};
    return 0;
}

static int parse_request_line(ds__str line, ds__http_head *head, ds_error *error) {
    const char *first = memchr(line.data, ' ', line.size);
    if (!first) return refuse(error, 400, "the request line has no target");
    head->method = (ds__str){line.data, (size_t)(first - line.data)};
    ds__str rest = {first + 1, line.size - head->method.size - 1};
    const char *second = memchr(rest.data, ' ', rest.size);
    if (!second) {
        if (rest.size > DS__HTTP_MAX_TARGET)
            return refuse(error, 414, "the request's target is longer than 4096 bytes");
        return refuse(error, 400, "the request line has no version");
    }
    ds__str target = {rest.data, (size_t)(second - rest.data)};
    ds__str version = {second + 1, rest.size - target.size - 1};
    if (!is_token(head->method) || head->method.size > 16)
        return refuse(error, 400, "the request's method is not made of 1 to 16 letters");
    if (ds__str_is(version, "HTTP/1.1") || ds__str_is(version, "HTTP/1.0"))
        head->minor = version.data[7] - '0';
    else if (ds__str_starts(version, DS_STR("HTTP/")) && version.size == 8)
        return refuse(error, 505, "the request's version is neither HTTP/1.1 nor HTTP/1.0");
    else
        return refuse(error, 400, "the request line does not end in HTTP/1.1");
    return parse_target(target, head, error);
}

static int parse_header(ds__str line, ds__http_head *head, ds_error *error) {
    const char *colon = memchr(line.data, ':', line.size);
    if (head->header_count == DS__HTTP_MAX_HEADERS) return refuse(error, 431, "the request has more than 64 headers");
    if (!colon) return refuse(error, 400, "a header has no colon");
    ds__str name = {line.data, (size_t)(colon - line.data)};
    if (!is_token(name)) /* also a continued line, and white space before the colon */
        return refuse(error, 400, "a header's name has a character that names cannot have");
    ds__str value = {colon + 1, line.size - name.size - 1};
    while (value.size && (value.data[0] == ' ' || value.data[0] == '\t'))
        value = (ds__str){value.data + 1, value.size - 1};
    while (value.size && (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t')) value.size--;
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7F) return refuse(error, 400, "a header's value has a control character");
    }
    head->headers[head->header_count++] = (ds__http_header){name, value};
    return 0;
}

/* One name in a comma-separated list, whatever its case. */
static bool list_has(ds__str list, const char *name) {
    while (list.size) {
        const char *comma = memchr(list.data, ',', list.size);
        ds__str item = {list.data, comma ? (size_t)(comma - list.data) : list.size};
        size_t used = item.size + (comma != NULL);
        list = (ds__str){list.data + used, list.size - used};
        while (item.size && (item.data[0] == ' ' || item.data[0] == '\t'))
            item = (ds__str){item.data + 1, item.size - 1};
        while (item.size && (item.data[item.size - 1] == ' ' || item.data[item.size - 1] == '\t')) item.size--;
        if (ds__http_name_is(item, name)) return true;
    }
    return false;
}

/* What the headers say about the connection and the body. */
static int understand(ds__http_head *head, ds_error *error) {
    size_t hosts = 0;
    head->keep_alive = head->minor == 1;
    for (size_t i = 0; i < head->header_count; i++) {
        ds__str name = head->headers[i].name, value = head->headers[i].value;
        if (ds__http_name_is(name, "Host")) {
            hosts++;
        } else if (ds__http_name_is(name, "Content-Length")) {
            uint64_t length;
            if (!ds__http_number(value, &length)) return refuse(error, 400, "Content-Length is not a number of bytes");
            if (head->has_length && length != head->content_length)
                return refuse(error, 400, "there are two Content-Length headers that disagree");
            head->has_length = true;
            head->content_length = length;
        } else if (ds__http_name_is(name, "Transfer-Encoding")) {
            if (head->is_chunked || head->minor == 0)
                return refuse(error, 400, "Transfer-Encoding is there twice, or in HTTP/1.0");
            if (!ds__http_name_is(value, "chunked"))
                return refuse(error, 501, "Transfer-Encoding is something other than chunked");
            head->is_chunked = true;
        } else if (ds__http_name_is(name, "Connection")) {
            if (list_has(value, "close")) head->keep_alive = false;
            if (head->minor == 0 && list_has(value, "keep-alive")) head->keep_alive = true;
        } else if (ds__http_name_is(name, "Expect")) {
            if (!ds__http_name_is(value, "100-continue"))
                return refuse(error, 417, "Expect is something other than 100-continue");
            head->expects_continue = head->minor == 1;
        }
    }
    if (hosts > 1 || (head->minor == 1 && hosts == 0)) return refuse(error, 400, "there must be one Host header");
    if (head->has_length && head->is_chunked)
        return refuse(error, 400, "there are both Content-Length and Transfer-Encoding");
    return 0;
}

int ds__http_head_parse(ds__str text, ds__http_head *head, ds_error *error) {
    ds__str line;
    head->header_count = 0;
    head->query = (ds__str){"", 0};
    head->content_length = 0;
    head->has_length = head->is_chunked = head->keep_alive = head->expects_continue = false;
    if (!take_line(&text, &line)) return refuse(error, 400, "the request line does not end in CR LF");
    int status = parse_request_line(line, head, error);
    while (!status) {
        if (!take_line(&text, &line)) return refuse(error, 400, "a header does not end in CR LF");
        if (!line.size) break;
        status = parse_header(line, head, error);
    }
    if (!status && text.size) return refuse(error, 400, "there is something behind the empty line");
    return status ? status : understand(head, error);
}
