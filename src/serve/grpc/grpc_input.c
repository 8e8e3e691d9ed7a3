/* The bytes of a call's body to messages, and messages to frames: five bytes of head each, compressed or not.
 *
 * A message's memory grows with what has arrived, not with what its head claims; compressed ones are inflated as they
 * come, so that no single step takes long and the limit holds for the inflated size. */
#include "serve/grpc/grpc_internal.h"

#include "base/clock.h"
#include "serve/foreign_memory.h"

enum { FIRST_STEP = 64 * 1024, SMALLEST_COMPRESSED = 1024 };

static z_stream *stream_create(ds__heap *heap) {
    z_stream *stream = ds__alloc_zeroed(heap, sizeof *stream);
    if (stream) ds__foreign_zlib(heap, stream);
    return stream;
}

void ds__grpc_input_reset(ds__grpc_call *call) {
    ds__grpc_input *input = &call->input;
    ds__heap *heap = call->server->heap;
    if (input->inflater) {
        inflateEnd(input->inflater);
        ds__free(heap, input->inflater, sizeof *input->inflater);
    }
    if (input->body) explicit_bzero(input->body, input->size);
    ds__free(heap, input->body, input->capacity);
    *input = (ds__grpc_input){0};
}

void ds__grpc_input_take(ds__grpc_call *call, ds__grpc_exchange *exchange) {
    ds__grpc_input *input = &call->input;
    exchange->body = input->body;
    exchange->body_bytes = input->capacity;
    exchange->message = (ds__str){input->body ? input->body : "", input->size};
    input->body = NULL;
    input->capacity = 0;
    ds__grpc_input_reset(call);
}

static ds__grpc_fed failed(int code, int *out) {
    *out = code;
    return DS__GRPC_FED_FAILED;
}

/* Room for `more` bytes, of at most `most` in all. */
static bool make_room(ds__grpc_call *call, size_t more, size_t most) {
    ds__grpc_input *input = &call->input;
    size_t wanted = input->size + more;
    if (wanted <= input->capacity) return true;
    size_t step = input->capacity < FIRST_STEP / 4 ? FIRST_STEP : input->capacity * 4;
    if (step < wanted) step = wanted;
    if (step > most) step = most;
    char *moved = ds__alloc(call->server->heap, step);
    if (!moved) return false;
    if (input->size) memcpy(moved, input->body, input->size);
    ds__free(call->server->heap, input->body, input->capacity);
    input->body = moved;
    input->capacity = step;
    return true;
}

static ds__grpc_fed no_memory(ds__grpc_call *call, int *code, ds_error *error) {
    (void)ds__alloc_failed(call->server->heap, call->input.wire_size, "a request message", error);
    return failed(DS__GRPC_RESOURCE_EXHAUSTED, code);
}

/* The head is complete: what it says is checked before anything is made for it. */
static ds__grpc_fed begin_message(ds__grpc_call *call, int *code, ds_error *error) {
    ds__grpc_input *input = &call->input;
    const unsigned char *head = input->prefix;
    size_t limit = call->server->options.max_message_bytes;
    input->wire_size = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
    if (head[0] > 1) {
        (void)ds__fail(error, DS_BAD_FORMAT,
                       "a message begins with the flag %d; 0 (plain) and 1 (compressed) are known", head[0]);
        return failed(DS__GRPC_INTERNAL, code);
    }
    if (input->wire_size > limit) {
        (void)ds__fail(error, DS_INVALID_ARGUMENT,
                       "the message has %zu bytes, at most %zu are taken; send fewer rows at a time", input->wire_size,
                       limit);
        return failed(DS__GRPC_RESOURCE_EXHAUSTED, code);
    }
    if (!head[0]) return DS__GRPC_FED_MORE;
    if (call->encoding == DS__GRPC_IDENTITY) {
        (void)ds__fail(error, DS_BAD_FORMAT, "a message is flagged as compressed, but grpc-encoding names no encoding");
        return failed(DS__GRPC_INTERNAL, code);
    }
    input->inflater = stream_create(call->server->heap);
    if (!input->inflater) return no_memory(call, code, error);
    if (inflateInit2(input->inflater, call->encoding == DS__GRPC_GZIP ? 15 + 16 : 15) != Z_OK) {
        ds__free(call->server->heap, input->inflater, sizeof *input->inflater);
        input->inflater = NULL;
        return no_memory(call, code, error);
    }
    return DS__GRPC_FED_MORE;
}

static ds__grpc_fed inflate_part(ds__grpc_call *call, ds__str part, int *code, ds_error *error) {
    ds__grpc_input *input = &call->input;
    z_stream *stream = input->inflater;
    size_t limit = call->server->options.max_message_bytes;
    stream->next_in = (Bytef *)(uintptr_t)part.data;
    stream->avail_in = (uInt)part.size;
    while (stream->avail_in || stream->avail_out == 0) {
        if (input->inflated) {
            (void)ds__fail(error, DS_BAD_FORMAT, "%u bytes follow the end of a compressed message", stream->avail_in);
            return failed(DS__GRPC_INTERNAL, code);
        }
        if (input->size == input->capacity && input->capacity < limit && !make_room(call, 1, limit))
            return no_memory(call, code, error);
        size_t room = input->capacity - input->size;
        /* With no room under the limit one more byte is tried, to tell a message of just that size from a longer one.
         */
        Bytef beyond;
        stream->next_out = room ? (Bytef *)input->body + input->size : &beyond;
        stream->avail_out = room ? (uInt)(room < (1u << 30) ? room : 1u << 30) : 1;
        uInt before = stream->avail_out;
        int result = inflate(stream, Z_NO_FLUSH);
        size_t made = before - stream->avail_out;
        if (!room && made) {
            (void)ds__fail(error, DS_INVALID_ARGUMENT,
                           "the message inflates to more than the %zu bytes that are taken; send fewer rows at a time",
                           limit);
            return failed(DS__GRPC_RESOURCE_EXHAUSTED, code);
        }
        input->size += made;
        if (result == Z_STREAM_END) {
            input->inflated = true;
            if (!stream->avail_in) break;
        } else if (result == Z_BUF_ERROR) {
            break; /* no input is left */
        } else if (result != Z_OK) {
            (void)ds__fail(error, DS_BAD_FORMAT, "a message of %s cannot be inflated: %s",
                           ds__grpc_encoding_name(call->encoding), stream->msg ? stream->msg : "the data are damaged");
            return failed(DS__GRPC_INTERNAL, code);
        }
    }
    return DS__GRPC_FED_MORE;
}

static ds__grpc_fed take_part(ds__grpc_call *call, ds__str part, int *code, ds_error *error) {
    ds__grpc_input *input = &call->input;
    input->wire_seen += part.size;
    if (input->inflater) return inflate_part(call, part, code, error);
    if (!make_room(call, part.size, input->wire_size)) return no_memory(call, code, error);
    memcpy(input->body + input->size, part.data, part.size);
    input->size += part.size;
    return DS__GRPC_FED_MORE;
}

ds__grpc_fed ds__grpc_input_feed(ds__grpc_call *call, ds__str bytes, size_t *used, int *code, ds_error *error) {
    ds__grpc_input *input = &call->input;
    *used = 0;
    while (*used < bytes.size) {
        size_t left = bytes.size - *used;
        if (!input->started_ns) input->started_ns = ds__clock_ns();
        if (input->prefix_size < DS__GRPC_PREFIX) {
            input->prefix[input->prefix_size++] = (unsigned char)bytes.data[(*used)++];
            if (input->prefix_size < DS__GRPC_PREFIX) continue;
            if (begin_message(call, code, error) == DS__GRPC_FED_FAILED) return DS__GRPC_FED_FAILED;
        } else {
            size_t wanted = input->wire_size - input->wire_seen, size = left < wanted ? left : wanted;
            *used += size;
            if (take_part(call, (ds__str){bytes.data + *used - size, size}, code, error) == DS__GRPC_FED_FAILED)
                return DS__GRPC_FED_FAILED;
        }
        if (input->wire_seen < input->wire_size) continue;
        if (input->inflater && !input->inflated) {
            (void)ds__fail(error, DS_BAD_FORMAT, "a message of %s ends after %zu bytes, before its data do",
                           ds__grpc_encoding_name(call->encoding), input->wire_size);
            return failed(DS__GRPC_INTERNAL, code);
        }
        return DS__GRPC_FED_MESSAGE;
    }
    return DS__GRPC_FED_MORE;
}

/* One deflater for each encoding and server: its 256 KB are too many for a call. */
static z_stream *deflater_of(ds__grpc_server *server, ds__grpc_encoding encoding) {
    z_stream **deflater = &server->deflaters[encoding == DS__GRPC_GZIP];
    if (*deflater) return deflateReset(*deflater) == Z_OK ? *deflater : NULL;
    z_stream *made = stream_create(server->heap);
    if (!made) return NULL;
    if (deflateInit2(made, 1, Z_DEFLATED, encoding == DS__GRPC_GZIP ? 15 + 16 : 15, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        ds__free(server->heap, made, sizeof *made);
        return NULL;
    }
    *deflater = made;
    return made;
}

/* The message behind the head, compressed into `out` behind room for a head. false: it did not get smaller. */
static bool compress_message(ds__grpc_call *call, ds__buffer *answer, ds__buffer *out) {
    size_t size = answer->size - DS__GRPC_PREFIX;
    z_stream *deflater = size <= UINT32_MAX / 2 ? deflater_of(call->server, call->answer_encoding) : NULL;
    if (!deflater || !ds__buffer_reserve(out, answer->size)) return false;
    deflater->next_in = (Bytef *)answer->data + DS__GRPC_PREFIX;
    deflater->avail_in = (uInt)size;
    deflater->next_out = (Bytef *)out->data + DS__GRPC_PREFIX;
    deflater->avail_out = (uInt)size;
    if (deflate(deflater, Z_FINISH) != Z_STREAM_END) return false;
    out->size = answer->size - deflater->avail_out;
    return true;
}

bool ds__grpc_frame(ds__grpc_call *call, ds__buffer *answer) {
    if (answer->failed || answer->size < DS__GRPC_PREFIX || answer->size - DS__GRPC_PREFIX > UINT32_MAX) return false;
    bool compressed = false;
    if (call->answer_encoding != DS__GRPC_IDENTITY && answer->size > SMALLEST_COMPRESSED) {
        ds__buffer out;
        ds__buffer_init(&out, answer->heap);
        compressed = compress_message(call, answer, &out);
        if (compressed) {
            ds__buffer swapped = *answer;
            *answer = out;
            out = swapped;
        }
        ds__buffer_deinit(&out);
    }
    size_t size = answer->size - DS__GRPC_PREFIX;
    unsigned char head[DS__GRPC_PREFIX] = {compressed, (unsigned char)(size >> 24), (unsigned char)(size >> 16),
                                           (unsigned char)(size >> 8), (unsigned char)size};
    memcpy(answer->data, head, sizeof head);
    return true;
}
