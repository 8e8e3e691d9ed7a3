/* The gRPC transport over real sockets: framing, compression, flow control, cancelling, deadlines, draining. */
#include "echo_server.h"

#include <zlib.h>

#define UNARY "/test.Echo/Unary"
#define STREAM "/test.Echo/Stream"

static echo_server echo;
static h2_client client;

static void begin(const ds__grpc_options *options, uint64_t limit) {
    echo_start(&echo, options, limit);
    h2_open(&client, echo.base, echo_port(&echo));
    h2_hello(&client);
    H2_UNTIL(&client, client.settings == 1);
}

static void end(void) {
    h2_close(&client);
    echo_stop(&echo);
}

static void wait_for(uint32_t stream) {
    h2_answer *answer = h2_answer_of(&client, stream);
    H2_UNTIL(&client, answer->ended || answer->reset || client.closed);
}

static void is_status(uint32_t stream, int status, const char *part) {
    const h2_answer *answer = h2_answer_of(&client, stream);
    wait_for(stream);
    if (answer->grpc_status != status || !strstr(answer->message, part))
        fail_msg("stream %u: status %d (%s), expected %d (...%s...)", stream, answer->grpc_status, answer->message,
                 status, part);
}

static void is_echo(uint32_t stream, const void *data, size_t size) {
    const h2_answer *answer = h2_answer_of(&client, stream);
    is_status(stream, 0, "");
    assert_int_equal(answer->http_status, 200);
    assert_int_equal(answer->size, size + 5);
    assert_int_equal(answer->body[0], 0);
    assert_int_equal(h2_u32(answer->body + 1), size);
    if (size) assert_memory_equal(answer->body + 5, data, size);
}

static void one_call_after_another(void **state) {
    begin(NULL, 0);
    for (uint32_t stream = 1; stream < 200; stream += 2) {
        char text[32];
        int size = snprintf(text, sizeof text, "call %u", stream);
        h2_call(&client, stream, UNARY, text, (size_t)size);
        is_echo(stream, text, (size_t)size);
        assert_string_equal(h2_answer_of(&client, stream)->content_type, "application/grpc");
        assert_int_equal(h2_answer_of(&client, stream)->header_blocks, 2);
    }
    h2_call(&client, 201, UNARY, "", 0);
    is_echo(201, "", 0);
    end();
}

static void calls_that_overlap(void **state) {
    begin(NULL, 0);
    for (uint32_t stream = 1; stream < 200; stream += 2) {
        char text[32];
        int size = snprintf(text, sizeof text, "%s %u", stream % 4 == 1 ? "later" : "now", stream);
        h2_request(&client, stream, 0, UNARY, NULL);
        h2_message(&client, stream, H2_END_STREAM, text, (size_t)size);
    }
    for (uint32_t stream = 1; stream < 200; stream += 2) {
        char text[32];
        int size = snprintf(text, sizeof text, "%s %u", stream % 4 == 1 ? "later" : "now", stream);
        wait_for(stream);
        is_echo(stream, text, (size_t)size);
    }
    end();
}

/* Every byte in a frame of its own, and every byte of those frames in a packet of its own. */
static void messages_in_pieces(void **state) {
    begin(NULL, 0);
    static const char message[] = "\0\0\0\0\x0bin pieces!";
    h2_request(&client, 1, 0, UNARY, NULL);
    for (size_t i = 0; i < 16; i++) {
        unsigned char frame[10];
        h2_frame_head(frame, 1, H2_DATA, i == 15 ? H2_END_STREAM : 0, 1);
        frame[9] = (unsigned char)message[i];
        for (size_t k = 0; k < 10; k++) {
            h2_write(&client, frame + k, 1);
            h2_turn(&client);
        }
    }
    is_echo(1, "in pieces!", 11);
    /* The end of the stream in a frame without bytes, padding, and headers of the end. */
    h2_request(&client, 3, 0, UNARY, NULL);
    h2_message(&client, 3, 0, "abc", 3);
    h2_frame(&client, H2_DATA, H2_END_STREAM, 3, NULL, 0);
    is_echo(3, "abc", 3);
    h2_request(&client, 5, 0, UNARY, NULL);
    h2_frame(&client, H2_DATA, H2_PADDED | H2_END_STREAM, 5, "\x02\0\0\0\0\x01zPP", 9);
    is_echo(5, "z", 1);
    h2_request(&client, 7, 0, UNARY, NULL);
    h2_message(&client, 7, 0, "abc", 3);
    unsigned char block[64];
    size_t size = h2_pack(block, (const char *[]){"x-end", "1", NULL});
    h2_frame(&client, H2_HEADERS, H2_END_STREAM | H2_END_HEADERS, 7, block, size);
    is_echo(7, "abc", 3);
    end();
}

/* Ten megabytes there and back: windows open and close many times. */
static void a_large_message(void **state) {
    enum { SIZE = 10 << 20, PART = 16000 };
    begin(NULL, 0);
    unsigned char *data = malloc(SIZE + 5);
    assert_non_null(data);
    for (size_t i = 0; i < SIZE; i++) data[5 + i] = (unsigned char)(i * 2654435761u >> 13);
    memcpy(data, (const unsigned char[]){0, SIZE >> 24, SIZE >> 16 & 255, SIZE >> 8 & 255, SIZE & 255}, 5);
    h2_window(&client, 0, 100 << 20);
    h2_request(&client, 1, 0, UNARY, NULL);
    h2_window(&client, 1, 100 << 20);
    H2_UNTIL(&client, client.settings == 1);
    size_t window = 1 << 20;
    for (size_t at = 0; at < SIZE + 5;) {
        size_t part = SIZE + 5 - at < PART ? SIZE + 5 - at : PART;
        H2_UNTIL(&client, window + client.granted >= at + part);
        h2_frame(&client, H2_DATA, at + part == SIZE + 5 ? H2_END_STREAM : 0, 1, data + at, part);
        at += part;
    }
    is_echo(1, data + 5, SIZE);
    free(data);
    assert_true(echo.heap.peak_bytes < 5 * (uint64_t)SIZE);
    end();
}

static void sentences_are_encoded(void **state) {
    begin(NULL, 0);
    h2_call(&client, 1, UNARY, "refuse", 6);
    const h2_answer *answer = h2_answer_of(&client, 1);
    assert_int_equal(answer->grpc_status, DS__GRPC_NOT_FOUND);
    assert_string_equal(answer->message, "50 %25 of \"%C3%A4\"%0Ais not there");
    assert_int_equal(answer->header_blocks, 1); /* trailers only */
    assert_int_equal(answer->size, 0);
    end();
}

/* ---- streams ---- */

static void answers_keep_their_order(void **state) {
    begin(NULL, 0);
    h2_request(&client, 1, 0, STREAM, NULL);
    /* Three messages in one frame, the first of which is answered last. */
    static const char three[] = "\0\0\0\0\x05later\0\0\0\0\x01"
                                "b\0\0\0\0\x00";
    h2_frame(&client, H2_DATA, 0, 1, three, 10 + 6 + 5);
    h2_answer *answer = h2_answer_of(&client, 1);
    H2_UNTIL(&client, answer->size == 21);
    assert_memory_equal(answer->body, three, 21);
    assert_false(answer->ended);
    h2_message(&client, 1, H2_END_STREAM, "more", 4);
    is_status(1, 0, "");
    assert_int_equal(answer->size, 30);
    /* A refusal ends the call, behind the answers before it. */
    h2_request(&client, 3, 0, STREAM, NULL);
    h2_message(&client, 3, 0, "later", 5);
    h2_message(&client, 3, 0, "refuse", 6);
    h2_message(&client, 3, 0, "never answered", 14);
    is_status(3, DS__GRPC_NOT_FOUND, "50 %25");
    assert_int_equal(h2_answer_of(&client, 3)->size, 10);
    h2_request(&client, 5, H2_END_STREAM, STREAM, NULL);
    is_status(5, 0, ""); /* no messages at all */
    end();
}

/* A client that sends and never reads: it may send a window ahead, and no more memory is taken for it. */
static void a_stream_waits_for_its_reader(void **state) {
    begin(NULL, 0);
    unsigned char none[6] = {0, 4, 0, 0, 0, 0}; /* SETTINGS_INITIAL_WINDOW_SIZE 0 */
    h2_frame(&client, H2_SETTINGS, 0, 0, none, 6);
    h2_request(&client, 1, 0, STREAM, NULL);
    static char message[1000];
    for (size_t sent = 0; sent + 1005 < 1 << 20; sent += 1005) h2_message(&client, 1, 0, message, 1000);
    h2_turns_for_ms(&client, 50);
    assert_in_range(echo.handled, 30, 40);
    assert_in_range(client.granted, 0, 40 * 1005);
    assert_true(echo.heap.bytes < 4 << 20);
    /* Now it reads: everything is answered. */
    h2_window(&client, 0, 64 << 20);
    h2_window(&client, 1, 64 << 20);
    h2_frame(&client, H2_DATA, H2_END_STREAM, 1, NULL, 0);
    is_status(1, 0, "");
    assert_int_equal(h2_answer_of(&client, 1)->size, (1 << 20) / 1005 * 1005);
    assert_int_equal(echo.handled, (1 << 20) / 1005);
    end();
}

/* The answer goes out in as small pieces as the client's window asks for. */
static void an_answer_waits_for_its_reader(void **state) {
    begin(NULL, 0);
    unsigned char ten[6] = {0, 4, 0, 0, 0, 10};
    h2_frame(&client, H2_SETTINGS, 0, 0, ten, 6);
    h2_request(&client, 1, 0, UNARY, NULL);
    h2_message(&client, 1, H2_END_STREAM, "0123456789012345678901234567890123456789", 40);
    h2_answer *answer = h2_answer_of(&client, 1);
    for (size_t size = 10; size < 45; size += 10) {
        H2_UNTIL(&client, answer->size == size);
        h2_turns_for_ms(&client, 2);
        assert_int_equal(answer->size, size);
        h2_window(&client, 1, 10);
    }
    is_echo(1, "0123456789012345678901234567890123456789", 40);
    end();
}

static void a_watch_has_many_answers(void **state) {
    begin(NULL, 0);
    h2_request(&client, 1, 0, "/test.Echo/Watch", NULL);
    h2_message(&client, 1, H2_END_STREAM, "", 0);
    h2_answer *answer = h2_answer_of(&client, 1);
    H2_UNTIL(&client, answer->size == 18);
    assert_memory_equal(answer->body,
                        "\0\0\0\0\x01"
                        "0\0\0\0\0\x01"
                        "1\0\0\0\0\x01"
                        "2",
                        18);
    assert_false(answer->ended);
    h2_frame(&client, H2_RST, 0, 1, "\0\0\0\x08", 4);
    H2_UNTIL(&client, echo.cancelled == 1);
    end();
}

/* ---- compression ---- */

static size_t compress_into(unsigned char *out, size_t room, const void *data, size_t size, int bits) {
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)size;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return room - stream.avail_out;
}

static void send_compressed(uint32_t stream, const char *encoding, const unsigned char *data, size_t size) {
    static unsigned char frame[16384];
    frame[0] = 1;
    for (int i = 0; i < 4; i++) frame[1 + i] = (unsigned char)(size >> (24 - 8 * i));
    memcpy(frame + 5, data, size);
    const char *more[] = {"grpc-encoding", encoding, "grpc-accept-encoding", "identity, gzip,deflate", NULL};
    h2_request(&client, stream, 0, UNARY, more);
    h2_frame(&client, H2_DATA, H2_END_STREAM, stream, frame, size + 5);
    wait_for(stream);
}

static void both_compressions(void **state) {
    static char text[200000];
    static unsigned char packed[16000], back[sizeof text];
    begin(NULL, 0);
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 7);
    static const struct {
        const char *name;
        int bits;
    } cases[] = {{"gzip", 31}, {"deflate", 15}};
    uint32_t stream = 1;
    for (size_t i = 0; i < 2; i++, stream += 4) {
        size_t size = compress_into(packed, sizeof packed, text, sizeof text, cases[i].bits);
        send_compressed(stream, cases[i].name, packed, size);
        is_status(stream, 0, "");
        h2_answer *answer = h2_answer_of(&client, stream);
        assert_string_equal(answer->encoding, cases[i].name); /* as the client compresses, so does the server */
        assert_int_equal(answer->body[0], 1);
        z_stream z = {.next_in = answer->body + 5,
                      .avail_in = (uInt)answer->size - 5,
                      .next_out = back,
                      .avail_out = sizeof back};
        assert_int_equal(inflateInit2(&z, cases[i].bits), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        inflateEnd(&z);
        assert_memory_equal(back, text, sizeof text);
        /* A short answer is not worth it. */
        size = compress_into(packed, sizeof packed, "short", 5, cases[i].bits);
        send_compressed(stream + 2, cases[i].name, packed, size);
        is_echo(stream + 2, "short", 5);
    }
    end();
}

static void compressed_nonsense(void **state) {
    static char text[300000];
    static unsigned char packed[16000];
    ds__grpc_options options = {.max_message_bytes = 200000};
    begin(&options, 0);
    size_t size = compress_into(packed, sizeof packed, text, 200000, 31);
    send_compressed(1, "gzip", packed, size);
    is_status(1, 0, ""); /* just the most */
    size = compress_into(packed, sizeof packed, text, 200001, 31);
    send_compressed(3, "gzip", packed, size);
    is_status(3, DS__GRPC_RESOURCE_EXHAUSTED, "inflates to more than the 200000 bytes");
    size = compress_into(packed, sizeof packed, text, 1000, 31);
    send_compressed(5, "gzip", packed, size - 1);
    is_status(5, DS__GRPC_INTERNAL, "before its data do");
    packed[size] = 'x';
    send_compressed(7, "gzip", packed, size + 1);
    is_status(7, DS__GRPC_INTERNAL, "1 bytes follow the end");
    packed[size - 6] ^= 1;
    send_compressed(9, "gzip", packed, size);
    is_status(9, DS__GRPC_INTERNAL, "cannot be inflated");
    send_compressed(11, "deflate", packed, size);
    is_status(11, DS__GRPC_INTERNAL, "deflate cannot be inflated");
    send_compressed(13, "gzip", packed, 0);
    is_status(13, DS__GRPC_INTERNAL, "before its data do");
    send_compressed(15, "identity", packed, size);
    is_status(15, DS__GRPC_INTERNAL, "names no encoding");
    send_compressed(17, "snappy", packed, size);
    is_status(17, DS__GRPC_UNIMPLEMENTED, "snappy is not known");
    h2_call(&client, 19, UNARY, "still there", 11);
    is_echo(19, "still there", 11);
    end();
}

/* ---- leaving, and time ---- */

static void a_client_that_leaves(void **state) {
    begin(NULL, 0);
    static const char *const messages[] = {"later", "wait", "hold"};
    echo.later_ms = 500;
    uint32_t stream = 1;
    for (int way = 0; way < 3; way++)
        for (size_t i = 0; i < 3; i++, stream += 2) {
            h2_request(&client, stream, 0, way ? STREAM : UNARY, NULL);
            h2_message(&client, stream, way == 2 ? 0 : H2_END_STREAM, messages[i], strlen(messages[i]));
        }
    H2_UNTIL(&client, echo.handled == 9);
    for (uint32_t left = 1; left < stream; left += 2) h2_frame(&client, H2_RST, 0, left, "\0\0\0\x08", 4);
    H2_UNTIL(&client, echo.cancelled == 9 && echo.ended_later == 3);
    echo_end_held(&echo); /* long after the streams are gone */
    h2_call(&client, stream, UNARY, "x", 1);
    is_echo(stream, "x", 1);
    /* The same with the whole connection. */
    for (size_t i = 0; i < 3; i++) {
        h2_request(&client, stream + 2 + 2 * (uint32_t)i, 0, UNARY, NULL);
        h2_message(&client, stream + 2 + 2 * (uint32_t)i, H2_END_STREAM, messages[i], strlen(messages[i]));
    }
    H2_UNTIL(&client, echo.handled == 13);
    close(client.fd);
    client.fd = -1;
    H2_UNTIL(&client, echo.cancelled == 12 && echo.ended_later == 4);
    end();
}

static void deadlines(void **state) {
    begin(NULL, 0);
    uint64_t before = ds__clock_ns();
    h2_request(&client, 1, 0, UNARY, (const char *[]){"grpc-timeout", "30m", NULL});
    h2_message(&client, 1, H2_END_STREAM, "hold", 4);
    is_status(1, DS__GRPC_DEADLINE_EXCEEDED, "grpc-timeout");
    assert_in_range(ds__clock_ns() - before, 29000000, 20000000000);
    assert_int_equal(echo.cancelled, 1);
    h2_request(&client, 3, 0, UNARY, (const char *[]){"grpc-timeout", "99999999H", NULL});
    h2_message(&client, 3, H2_END_STREAM, "later", 5);
    is_echo(3, "later", 5);
    h2_request(&client, 5, 0, UNARY, (const char *[]){"grpc-timeout", "0n", NULL}); /* and no message at all */
    is_status(5, DS__GRPC_DEADLINE_EXCEEDED, "grpc-timeout");
    /* An answer that began cannot be taken back, its status can. */
    h2_request(&client, 7, 0, STREAM, (const char *[]){"grpc-timeout", "2000000u", NULL});
    h2_message(&client, 7, 0, "a", 1);
    h2_message(&client, 7, 0, "hold", 4);
    is_status(7, DS__GRPC_DEADLINE_EXCEEDED, "grpc-timeout");
    assert_int_equal(h2_answer_of(&client, 7)->size, 6);
    end();
}

static void messages_that_come_too_slowly(void **state) {
    ds__grpc_options options = {.stall_ms = 500};
    begin(&options, 0);
    h2_request(&client, 1, 0, UNARY, NULL);
    h2_frame(&client, H2_DATA, 0, 1, "\0\0\0\0\x64some", 9);
    h2_request(&client, 3, 0, STREAM, NULL); /* a stream may stay silent between messages */
    is_status(1, DS__GRPC_DEADLINE_EXCEEDED, "too slowly: 4 of 100 bytes");
    h2_message(&client, 3, H2_END_STREAM, "x", 1);
    is_echo(3, "x", 1);
    /* A reader that does not read its stream loses the stream, and nothing else. */
    unsigned char none[6] = {0, 4, 0, 0, 0, 0};
    h2_frame(&client, H2_SETTINGS, 0, 0, none, 6);
    h2_request(&client, 5, 0, UNARY, NULL);
    h2_message(&client, 5, H2_END_STREAM, "x", 1);
    wait_for(5);
    assert_true(h2_answer_of(&client, 5)->reset);
    h2_call(&client, 7, UNARY, "refuse", 6);
    is_status(7, DS__GRPC_NOT_FOUND, "");
    end();
}

static void silent_connections(void **state) {
    ds__grpc_options options = {.stall_ms = 100, .idle_ms = 300};
    begin(&options, 0);
    h2_client mute;
    h2_open(&mute, echo.base, echo_port(&echo)); /* says nothing at all */
    H2_UNTIL(&mute, mute.closed);
    h2_close(&mute);
    H2_UNTIL(&client, client.pings == 2); /* asked, and asked again after an answer */
    assert_false(client.closed);
    client.quiet = true;
    H2_UNTIL(&client, client.closed);
    end();
}

static void draining(void **state) {
    begin(NULL, 0);
    h2_request(&client, 1, 0, UNARY, NULL);
    h2_message(&client, 1, H2_END_STREAM, "hold", 4);
    h2_request(&client, 3, 0, STREAM, NULL);
    h2_request(&client, 5, 0, "/test.Echo/Watch", NULL);
    h2_message(&client, 5, H2_END_STREAM, "", 0);
    H2_UNTIL(&client, echo.handled == 1 && h2_answer_of(&client, 5)->size);
    h2_client idle;
    h2_open(&idle, echo.base, echo_port(&echo));
    h2_hello(&idle);
    H2_UNTIL(&idle, idle.settings == 1);
    ds__grpc_server_drain(echo.server);
    H2_UNTIL(&client, client.goaway);
    assert_int_equal(client.goaway_last, 0x7fffffff);
    h2_call(&client, 7, UNARY, "on its way", 10); /* was sent before the notice came */
    is_echo(7, "on its way", 10);
    H2_UNTIL(&client, client.goaway_last == 7);
    assert_int_equal(client.goaway_code, 0);
    is_status(3, DS__GRPC_UNAVAILABLE, "about to stop");
    is_status(5, DS__GRPC_UNAVAILABLE, "about to stop");
    H2_UNTIL(&idle, idle.closed);
    h2_close(&idle);
    assert_false(client.closed);
    echo_end_held(&echo);
    is_echo(1, "hold", 4);
    H2_UNTIL(&client, client.closed);
    assert_false(ds__grpc_server_busy(echo.server));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)echo_port(&echo))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), -1);
    close(fd);
    end();
}

/* ---- memory ---- */

static void the_limit_of_memory(void **state) {
    enum { SIZE = 4 << 20, PART = 16000 };
    static char data[PART];
    begin(NULL, 3 << 20);
    h2_request(&client, 1, 0, UNARY, NULL);
    h2_frame(&client, H2_DATA, 0, 1, "\0\0\x40\0\0", 5);
    for (size_t at = 0; at < SIZE && !h2_answer_of(&client, 1)->ended; at += PART) {
        h2_frame(&client, H2_DATA, 0, 1, data, PART);
        h2_turn(&client);
    }
    is_status(1, DS__GRPC_RESOURCE_EXHAUSTED, "memory limit of 3145728");
    h2_call(&client, 3, UNARY, "small", 5);
    is_echo(3, "small", 5);
    end();
}

/* Whichever allocation fails: the client is answered or let go, and nothing is lost. */
static void the_nth_allocation_fails(void **state) {
    bool reached = true;
    for (uint64_t nth = 1; reached; nth++) {
        echo_start(&echo, NULL, 0);
        h2_open(&client, echo.base, echo_port(&echo));
        echo.heap.fail_at = echo.heap.allocations + nth;
        h2_hello(&client);
        h2_request(&client, 1, 0, STREAM, NULL);
        h2_message(&client, 1, 0, "later", 5);
        h2_message(&client, 1, H2_END_STREAM, "x", 1);
        h2_request(&client, 3, 0, UNARY, NULL);
        h2_message(&client, 3, H2_END_STREAM, "y", 1);
        h2_answer *first = h2_answer_of(&client, 1), *second = h2_answer_of(&client, 3);
        H2_UNTIL(&client, client.closed || ((first->ended || first->reset) && (second->ended || second->reset)));
        reached = echo.heap.allocations >= echo.heap.fail_at;
        if (!reached) is_echo(3, "y", 1);
        end();
    }
}

/* Connections that say nothing, and as many that said hello and have nghttp2's state by then. */
static void idle_connections_cost_little(void **state) {
    enum { COUNT = 200 };
    static h2_client silent[COUNT], idle[COUNT];
    begin(NULL, 0);
    uint64_t before = echo.heap.bytes;
    for (int i = 0; i < COUNT; i++) {
        h2_open(&silent[i], echo.base, echo_port(&echo));
        h2_turn(&client);
    }
    assert_in_range((echo.heap.bytes - before) / COUNT, 100, 1024);
    before = echo.heap.bytes;
    for (int i = 0; i < COUNT; i++) {
        h2_open(&idle[i], echo.base, echo_port(&echo));
        h2_hello(&idle[i]);
        h2_turn(&client);
    }
    for (int i = 0; i < COUNT; i++) H2_UNTIL(&idle[i], idle[i].settings == 1);
    assert_in_range((echo.heap.bytes - before) / COUNT, 1024, 32 * 1024);
    h2_call(&client, 1, UNARY, "x", 1);
    is_echo(1, "x", 1);
    for (int i = 0; i < COUNT; i++) h2_close(&silent[i]);
    for (int i = 0; i < COUNT; i++) h2_close(&idle[i]);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_call_after_another),
        cmocka_unit_test(calls_that_overlap),
        cmocka_unit_test(messages_in_pieces),
        cmocka_unit_test(a_large_message),
        cmocka_unit_test(sentences_are_encoded),
        cmocka_unit_test(answers_keep_their_order),
        cmocka_unit_test(a_stream_waits_for_its_reader),
        cmocka_unit_test(an_answer_waits_for_its_reader),
        cmocka_unit_test(a_watch_has_many_answers),
        cmocka_unit_test(both_compressions),
        cmocka_unit_test(compressed_nonsense),
        cmocka_unit_test(a_client_that_leaves),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(messages_that_come_too_slowly),
        cmocka_unit_test(silent_connections),
        cmocka_unit_test(draining),
        cmocka_unit_test(the_limit_of_memory),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(idle_connections_cost_little),
    };
    return cmocka_run_group_tests_name("grpc_transport", tests, NULL, NULL);
}
