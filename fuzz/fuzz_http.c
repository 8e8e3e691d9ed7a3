/* Arbitrary bytes as an HTTP request: the head, then the body in pieces of a size that the input chooses.  However it
 * is cut, the outcome is the same; what is accepted stays within its limits. */
#include "fuzz.h"
#include "serve/http/http_body.h"

enum { LIMIT = 1 << 16 };

typedef struct outcome {
    int status;
    size_t used;
    bool is_done;
    ds__buffer bytes;
} outcome;

static void check_sentence(int status, const ds_error *error) {
    FUZZ_CHECK(status >= 400 && status < 600 && error->message[0] && !strchr(error->message, '\n'));
}

/* All of the body in pieces of `step` bytes. */
static void run_body(const ds__http_head *head, ds__str text, size_t step, ds__heap *heap, outcome *out) {
    ds_error error = {DS_OK, ""};
    ds__http_body body;
    ds__http_body_init(&body, heap);
    out->status = ds__http_body_start(&body, head, LIMIT, &error);
    out->used = 0;
    while (!out->status && !body.is_done && out->used < text.size) {
        size_t piece = text.size - out->used < step ? text.size - out->used : step, used;
        out->status = ds__http_body_add(&body, text.data + out->used, piece, &used, &error);
        FUZZ_CHECK(used <= piece && (used || out->status));
        out->used += used;
    }
    if (out->status) check_sentence(out->status, &error);
    FUZZ_CHECK(body.bytes.size <= LIMIT);
    out->is_done = !out->status && body.is_done;
    ds__buffer_init(&out->bytes, heap);
    if (out->is_done) ds__buffer_append(&out->bytes, body.bytes.data, body.bytes.size);
    ds__http_body_deinit(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 64 << 20);
    ds__str text = {(const char *)data, size};
    const char *end = size ? memmem(data, size, "\r\n\r\n", 4) : NULL;
    ds__http_head head;
    ds_error error = {DS_OK, ""};
    if (!end) return 0;
    ds__str first = {text.data, (size_t)(end - text.data) + 4};
    int status = ds__http_head_parse(first, &head, &error);
    if (status) {
        check_sentence(status, &error);
        return 0;
    }
    FUZZ_CHECK(head.path.size && head.path.data[0] == '/' && head.header_count <= DS__HTTP_MAX_HEADERS);
    FUZZ_CHECK(!(head.has_length && head.is_chunked));
    char path[DS__HTTP_MAX_TARGET];
    size_t path_size = head.path.size;
    memcpy(path, head.path.data, path_size);
    if (ds__http_unescape(path, &path_size)) FUZZ_CHECK(path_size <= head.path.size && !memchr(path, '\0', path_size));
    ds__str rest = {text.data + first.size, text.size - first.size};
    outcome whole, pieces;
    run_body(&head, rest, rest.size + 1, &heap, &whole);
    run_body(&head, rest, 1 + size % 7, &heap, &pieces);
    FUZZ_CHECK(whole.is_done == pieces.is_done && !whole.status == !pieces.status);
    if (whole.is_done)
        FUZZ_CHECK(whole.used == pieces.used &&
                   ds__str_equal(ds__buffer_str(&whole.bytes), ds__buffer_str(&pieces.bytes)));
    ds__buffer_deinit(&whole.bytes);
    ds__buffer_deinit(&pieces.bytes);
    FUZZ_CHECK(heap.bytes == 0);
    return 0;
}
