/* What no client ought to send, over HTTP/2, gRPC's headers and its framing: each is answered by the right error, and
 * the server answers the next good call. Floods stand at the end. */
#include "echo_server.h"
#include "serve/grpc/grpc_internal.h"

#define UNARY "/test.Echo/Unary"

/* Error codes of HTTP/2 (RFC 9113, section 7). */
enum { NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, SETTINGS_TIMEOUT, CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION };
enum { ENHANCE_YOUR_CALM = 11 };

typedef enum expected { STATUS, HTTP, RESET, GOAWAY, CUT, FINE } expected;

static echo_server echo;
static h2_client client;

static int begin(void **state) {
    ds__grpc_options options = {.max_message_bytes = 1000, .stall_ms = 5000};
    echo_start(&echo, &options, 0);
    return 0;
}

static int end(void **state) {
    echo_stop(&echo);
    return 0;
}

static void open_client(void) {
    h2_open(&client, echo.base, echo_port(&echo));
    h2_hello(&client);
    H2_UNTIL(&client, client.settings == 1);
}

/* Waits for what the table promises of stream 1 or of the connection, and that a new connection works. */
static void expect(const char *what, expected kind, uint32_t code, const char *part) {
    const h2_answer *answer = h2_answer_of(&client, 1);
    uint64_t since = ds__clock_ns();
    bool met = false;
    while (!met && ds__clock_ns() - since < H2_WAIT_MS * UINT64_C(1000000)) {
        h2_turn(&client);
        met = (kind == STATUS && answer->ended && answer->grpc_status == (int)code && strstr(answer->message, part)) ||
              (kind == HTTP && answer->ended && answer->http_status == (int)code && answer->grpc_status == -1) ||
              (kind == RESET && answer->reset && answer->reset_code == code && !client.goaway) ||
              (kind == GOAWAY && client.closed && client.goaway && client.goaway_code == code) ||
              (kind == CUT && client.closed);
        if (kind == FINE && answer->ended && answer->grpc_status == 0) met = true;
    }
    if (!met)
        fail_msg("%s: expected kind %d with %u (%s); stream: ended %d, HTTP %d, status %d (%s), reset %d by %u; "
                 "connection: closed %d, GOAWAY %d by %u",
                 what, (int)kind, code, part, answer->ended, answer->http_status, answer->grpc_status, answer->message,
                 answer->reset, answer->reset_code, client.closed, client.goaway, client.goaway_code);
    h2_close(&client);
    open_client();
    const h2_answer *good = h2_call(&client, 1, UNARY, "good", 4);
    if (good->grpc_status != 0 || good->size != 9) fail_msg("%s: the next good call got %d", what, good->grpc_status);
    h2_close(&client);
}

/* ---- headers ---- */

typedef struct header_case {
    const char *what;
    const char *pairs[26];
    expected kind;
    uint32_t code;
    const char *part;
} header_case;

#define POST ":method", "POST", ":scheme", "http", ":authority", "a"
#define GRPC "content-type", "application/grpc"
#define PATH ":path", UNARY

static const header_case header_cases[] = {
    {"GET", {":method", "GET", ":scheme", "http", ":authority", "a", PATH, GRPC}, HTTP, 405, ""},
    {"PUT", {":method", "PUT", ":scheme", "http", ":authority", "a", PATH, GRPC}, HTTP, 405, ""},
    {"OPTIONS", {":method", "OPTIONS", ":scheme", "http", ":authority", "a", ":path", "*", GRPC}, HTTP, 405, ""},
    {"a method in small letters", {":method", "post", ":scheme", "http", ":authority", "a", PATH, GRPC}, HTTP, 405, ""},
    {"no content-type", {POST, PATH}, HTTP, 415, ""},
    {"JSON", {POST, PATH, "content-type", "application/json"}, HTTP, 415, ""},
    {"empty content-type", {POST, PATH, "content-type", ""}, HTTP, 415, ""},
    {"grpc-web", {POST, PATH, "content-type", "application/grpc-web"}, HTTP, 415, ""},
    {"grpc+json", {POST, PATH, "content-type", "application/grpc+json"}, HTTP, 415, ""},
    {"grpc+protocol", {POST, PATH, "content-type", "application/grpc+protocol"}, HTTP, 415, ""},
    {"grpcx", {POST, PATH, "content-type", "application/grpcx"}, HTTP, 415, ""},
    {"grp", {POST, PATH, "content-type", "application/grp"}, HTTP, 415, ""},
    {"grpc+proto", {POST, PATH, "content-type", "application/grpc+proto"}, FINE, 0, ""},
    {"grpc;charset", {POST, PATH, "content-type", "application/grpc; charset=utf-8"}, FINE, 0, ""},
    {"GRPC", {POST, PATH, "content-type", "Application/GRPC"}, FINE, 0, ""},
    {"path /", {POST, ":path", "/", GRPC}, STATUS, 12, "no method /"},
    {"path /x", {POST, ":path", "/x", GRPC}, STATUS, 12, "no method /x"},
    {"path of a service", {POST, ":path", "/test.Echo", GRPC}, STATUS, 12, "no method /test.Echo"},
    {"an unknown method", {POST, ":path", "/test.Echo/Nope", GRPC}, STATUS, 12, "no method /test.Echo/Nope"},
    {"an unknown service", {POST, ":path", "/test.Nope/Unary", GRPC}, STATUS, 12, "no method"},
    {"other letters", {POST, ":path", "/test.echo/unary", GRPC}, STATUS, 12, "no method"},
    {"a slash more", {POST, ":path", UNARY "/", GRPC}, STATUS, 12, "no method"},
    {"a query", {POST, ":path", UNARY "?a=1", GRPC}, STATUS, 12, "no method"},
    {"a percent", {POST, ":path", "/test.Echo/%55nary", GRPC}, STATUS, 12, "no method /test.Echo/%2555nary"},
    {"path *", {POST, ":path", "*", GRPC}, RESET, PROTOCOL, ""},
    {"path without a slash", {POST, ":path", "test.Echo/Unary", GRPC}, RESET, PROTOCOL, ""},
    {"no path", {POST, GRPC}, RESET, PROTOCOL, ""},
    {"two paths", {POST, PATH, PATH, GRPC}, RESET, PROTOCOL, ""},
    {"two methods", {":method", "POST", POST, PATH, GRPC}, RESET, PROTOCOL, ""},
    {"no method", {":scheme", "http", ":authority", "a", PATH, GRPC}, RESET, PROTOCOL, ""},
    {"no scheme", {":method", "POST", ":authority", "a", PATH, GRPC}, RESET, PROTOCOL, ""},
    {"no authority", {":method", "POST", ":scheme", "http", PATH, GRPC}, RESET, PROTOCOL, ""},
    {"an unknown pseudo header", {POST, PATH, ":nope", "1", GRPC}, RESET, PROTOCOL, ""},
    {"a pseudo header of answers", {POST, PATH, ":status", "200", GRPC}, RESET, PROTOCOL, ""},
    {"a pseudo header behind others", {POST, GRPC, PATH}, RESET, PROTOCOL, ""},
    {"capital letters", {POST, PATH, "Content-Type", "application/grpc"}, RESET, PROTOCOL, ""},
    {"connection", {POST, PATH, GRPC, "connection", "close"}, RESET, PROTOCOL, ""},
    {"transfer-encoding", {POST, PATH, GRPC, "transfer-encoding", "chunked"}, RESET, PROTOCOL, ""},
    {"te: gzip", {POST, PATH, GRPC, "te", "gzip"}, RESET, PROTOCOL, ""},
    {"content-length is no number", {POST, PATH, GRPC, "content-length", "x"}, RESET, PROTOCOL, ""},
    {"content-length twice", {POST, PATH, GRPC, "content-length", "6", "content-length", "6"}, RESET, PROTOCOL, ""},
    {"content-length too long", {POST, PATH, GRPC, "content-length", "99999999999999999999"}, RESET, PROTOCOL, ""},
    {"content-length disagrees", {POST, PATH, GRPC, "content-length", "7"}, RESET, PROTOCOL, ""},
    {"a line feed in a value", {POST, PATH, GRPC, "x", "a\nb"}, RESET, PROTOCOL, ""},
    {"timeout empty", {POST, PATH, GRPC, "grpc-timeout", ""}, STATUS, 3, "grpc-timeout is not"},
    {"timeout without a unit", {POST, PATH, GRPC, "grpc-timeout", "10"}, STATUS, 3, "grpc-timeout is not"},
    {"timeout without digits", {POST, PATH, GRPC, "grpc-timeout", "S"}, STATUS, 3, "grpc-timeout is not"},
    {"timeout of nine digits", {POST, PATH, GRPC, "grpc-timeout", "123456789S"}, STATUS, 3, "grpc-timeout is not"},
    {"timeout in s", {POST, PATH, GRPC, "grpc-timeout", "1s"}, STATUS, 3, "grpc-timeout is not"},
    {"timeout below zero", {POST, PATH, GRPC, "grpc-timeout", "-1S"}, STATUS, 3, "grpc-timeout is not"},
    {"timeout with a point", {POST, PATH, GRPC, "grpc-timeout", "1.5S"}, STATUS, 3, "grpc-timeout is not"},
    {"timeout of two units", {POST, PATH, GRPC, "grpc-timeout", "1SS"}, STATUS, 3, "grpc-timeout is not"},
    {"timeout in hex", {POST, PATH, GRPC, "grpc-timeout", "0x1S"}, STATUS, 3, "grpc-timeout is not"},
    {"encoding snappy", {POST, PATH, GRPC, "grpc-encoding", "snappy"}, STATUS, 12, "snappy is not known"},
    {"encoding br", {POST, PATH, GRPC, "grpc-encoding", "br"}, STATUS, 12, "br is not known"},
    {"encoding GZIP", {POST, PATH, GRPC, "grpc-encoding", "GZIP"}, STATUS, 12, "GZIP is not known"},
    {"encoding empty", {POST, PATH, GRPC, "grpc-encoding", ""}, STATUS, 12, "is not known"},
    {"two encodings", {POST, PATH, GRPC, "grpc-encoding", "gzip,deflate"}, STATUS, 12, "is not known"},
    {"an odd list of what is accepted", {POST, PATH, GRPC, "grpc-accept-encoding", ",, ,gzip;q=1,"}, FINE, 0, ""},
};

static void headers(void **state) {
    static unsigned char block[4096];
    for (size_t i = 0; i < sizeof header_cases / sizeof *header_cases; i++) {
        const header_case *c = &header_cases[i];
        open_client();
        size_t size = h2_pack(block, c->pairs);
        h2_frame(&client, H2_HEADERS, H2_END_HEADERS, 1, block, size);
        h2_message(&client, 1, H2_END_STREAM, "x", 1);
        expect(c->what, c->kind, c->code, c->part);
    }
}

static void too_many_metadata(void **state) {
    static char value[9000], key[600];
    memset(value, 'v', sizeof value - 1);
    memset(key, 'k', sizeof key - 1);
    open_client();
    h2_request(&client, 1, 0, UNARY, (const char *[]){"x-a", value, NULL}); /* under the limit */
    h2_message(&client, 1, H2_END_STREAM, "x", 1);
    expect("9 KB of metadata", FINE, 0, "");
    open_client();
    static unsigned char block[65536];
    size_t size = h2_pack(block, (const char *[]){POST, PATH, GRPC, "x-a", value, NULL});
    h2_frame(&client, H2_HEADERS, 0, 1, block, size);
    size = h2_pack(block, (const char *[]){"x-b", value, NULL});
    h2_frame(&client, H2_CONTINUATION, H2_END_HEADERS, 1, block, size);
    h2_message(&client, 1, H2_END_STREAM, "x", 1);
    expect("18 KB of metadata", STATUS, 8, "the metadata have");
    open_client();
    h2_request(&client, 1, 0, UNARY, (const char *[]){"authorization", key, NULL});
    h2_message(&client, 1, H2_END_STREAM, "x", 1);
    expect("a key of 600 bytes", STATUS, 3, "authorization is longer than");
}

/* ---- the body ---- */

typedef struct body_case {
    const char *what, *bytes;
    size_t size;
    expected kind;
    uint32_t code;
    const char *part;
} body_case;

#define BYTES(text) text, sizeof text - 1

static const body_case body_cases[] = {
    {"no message", BYTES(""), STATUS, 12, "takes one message, none came"},
    {"one byte of a head", BYTES("\0"), STATUS, 3, "ends inside a message"},
    {"four bytes of a head", BYTES("\0\0\0\0"), STATUS, 3, "ends inside a message"},
    {"a head alone", BYTES("\0\0\0\0\x01"), STATUS, 3, "after 0 of 1 bytes"},
    {"a message cut short",
     BYTES("\0\0\0\0\x05"
           "abcd"),
     STATUS, 3, "after 4 of 5 bytes"},
    {"flag 2", BYTES("\x02\0\0\0\x01x"), STATUS, 13, "the flag 2"},
    {"flag 255", BYTES("\xff\0\0\0\x01x"), STATUS, 13, "the flag 255"},
    {"compressed by nothing", BYTES("\x01\0\0\0\x01x"), STATUS, 13, "names no encoding"},
    {"a byte over the limit", BYTES("\0\0\0\x03\xe9x"), STATUS, 8, "has 1001 bytes, at most 1000"},
    {"four gigabytes", BYTES("\0\xff\xff\xff\xffx"), STATUS, 8, "has 4294967295 bytes"},
    {"two messages", BYTES("\0\0\0\0\x01x\0\0\0\0\x01y"), STATUS, 12, "takes one message, more came"},
    {"a message and a byte", BYTES("\0\0\0\0\x01x\0"), STATUS, 12, "takes one message, more came"},
    {"HTTP/1 inside", BYTES("GET / HTTP/1.1\r\n\r\n"), STATUS, 13, "the flag 71"},
};

static void bodies(void **state) {
    for (size_t i = 0; i < sizeof body_cases / sizeof *body_cases; i++) {
        const body_case *c = &body_cases[i];
        open_client();
        h2_request(&client, 1, 0, UNARY, NULL);
        h2_frame(&client, H2_DATA, H2_END_STREAM, 1, c->bytes, c->size);
        expect(c->what, c->kind, c->code, c->part);
    }
    /* An error is told before the client is at its end, and the client to send no more. */
    open_client();
    h2_request(&client, 1, 0, UNARY, NULL);
    h2_frame(&client, H2_DATA, 0, 1, "\0\x10\0\0\0x", 6);
    H2_UNTIL(&client, h2_answer_of(&client, 1)->ended && h2_answer_of(&client, 1)->reset);
    assert_int_equal(h2_answer_of(&client, 1)->reset_code, NO_ERROR);
    expect("a message over the limit, unfinished", STATUS, 8, "has 268435456 bytes");
    open_client();
    h2_request(&client, 1, H2_END_STREAM, UNARY, NULL);
    expect("headers that end the stream", STATUS, 12, "none came");
}

/* ---- frames: the bytes behind the client's first SETTINGS ---- */

typedef struct frame_case {
    const char *what;
    int type, flags;
    uint32_t stream;
    const char *bytes;
    size_t size;
    expected kind;
    uint32_t code;
} frame_case;

static const frame_case frame_cases[] = {
    {"DATA on stream 0", H2_DATA, 0, 0, BYTES("x"), GOAWAY, PROTOCOL},
    {"DATA on a stream that never was", H2_DATA, 0, 5, BYTES("x"), GOAWAY, PROTOCOL},
    {"padding longer than the frame", H2_DATA, H2_PADDED, 1, BYTES("\x09x"), GOAWAY, PROTOCOL},
    {"HEADERS on stream 0", H2_HEADERS, H2_END_HEADERS, 0, BYTES("\x82"), GOAWAY, PROTOCOL},
    {"HEADERS on a stream of the server's", H2_HEADERS, H2_END_HEADERS, 2, BYTES("\x82"), GOAWAY, PROTOCOL},
    {"HEADERS with the index 0", H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x80"), GOAWAY, COMPRESSION},
    {"HEADERS with an index too far", H2_HEADERS, H2_END_HEADERS, 1, BYTES("\xff\xff\x7f"), GOAWAY, COMPRESSION},
    {"HEADERS with an endless number", H2_HEADERS, H2_END_HEADERS, 1, BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
     GOAWAY, COMPRESSION},
    {"HEADERS that end in a name", H2_HEADERS, H2_END_HEADERS, 1,
     BYTES("\x10\x7f"
           "abc"),
     GOAWAY, COMPRESSION},
    {"HEADERS with bad Huffman code", H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x10\x81\xff\x01x"), GOAWAY, COMPRESSION},
    {"HEADERS that ask for a table too large", H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x3f\xff\xff\x7f"), GOAWAY,
     COMPRESSION},
    {"HEADERS with nothing in them", H2_HEADERS, H2_END_HEADERS, 1, BYTES(""), RESET, PROTOCOL},
    {"HEADERS of padding alone", H2_HEADERS, H2_END_HEADERS | H2_PADDED, 1, BYTES("\x7f"), GOAWAY, PROTOCOL},
    {"CONTINUATION without HEADERS", H2_CONTINUATION, H2_END_HEADERS, 1, BYTES("\x82"), GOAWAY, PROTOCOL},
    {"PRIORITY of four bytes", H2_PRIORITY, 0, 1, BYTES("\0\0\0\0"), GOAWAY, FRAME_SIZE},
    {"PRIORITY on stream 0", H2_PRIORITY, 0, 0, BYTES("\0\0\0\0\0"), GOAWAY, PROTOCOL},
    {"RST_STREAM of three bytes", H2_RST, 0, 1, BYTES("\0\0\0"), GOAWAY, FRAME_SIZE},
    {"RST_STREAM on stream 0", H2_RST, 0, 0, BYTES("\0\0\0\0"), GOAWAY, PROTOCOL},
    {"RST_STREAM of a stream that never was", H2_RST, 0, 7, BYTES("\0\0\0\0"), GOAWAY, PROTOCOL},
    {"SETTINGS of five bytes", H2_SETTINGS, 0, 0, BYTES("\0\0\0\0\0"), GOAWAY, FRAME_SIZE},
    {"SETTINGS on a stream", H2_SETTINGS, 0, 1, BYTES(""), GOAWAY, PROTOCOL},
    {"SETTINGS ACK with bytes", H2_SETTINGS, H2_ACK, 0, BYTES("\0\0\0\0\0\0"), GOAWAY, FRAME_SIZE},
    {"SETTINGS: push is 2", H2_SETTINGS, 0, 0, BYTES("\0\x02\0\0\0\x02"), GOAWAY, PROTOCOL},
    {"SETTINGS: a window of 2^31", H2_SETTINGS, 0, 0, BYTES("\0\x04\x80\0\0\0"), GOAWAY, FLOW_CONTROL},
    {"SETTINGS: frames of 0 bytes", H2_SETTINGS, 0, 0, BYTES("\0\x05\0\0\0\0"), GOAWAY, PROTOCOL},
    {"SETTINGS: frames of 2^24 bytes", H2_SETTINGS, 0, 0, BYTES("\0\x05\x01\0\0\0"), GOAWAY, PROTOCOL},
    {"PUSH_PROMISE", H2_PUSH, H2_END_HEADERS, 1, BYTES("\0\0\0\x02\x82"), GOAWAY, PROTOCOL},
    {"PING of seven bytes", H2_PING, 0, 0, BYTES("1234567"), GOAWAY, FRAME_SIZE},
    {"PING on a stream", H2_PING, 0, 1, BYTES("12345678"), GOAWAY, PROTOCOL},
    {"GOAWAY of seven bytes", H2_GOAWAY, 0, 0, BYTES("1234567"), GOAWAY, FRAME_SIZE},
    {"GOAWAY on a stream", H2_GOAWAY, 0, 1, BYTES("12345678"), GOAWAY, PROTOCOL},
    {"WINDOW_UPDATE of 0", H2_WINDOW, 0, 0, BYTES("\0\0\0\0"), GOAWAY, PROTOCOL},
    {"WINDOW_UPDATE of three bytes", H2_WINDOW, 0, 0, BYTES("\0\0\x01"), GOAWAY, FRAME_SIZE},
    {"WINDOW_UPDATE over 2^31", H2_WINDOW, 0, 0, BYTES("\x7f\xff\xff\xff"), GOAWAY, FLOW_CONTROL},
    {"WINDOW_UPDATE of a stream that never was", H2_WINDOW, 0, 9, BYTES("\0\0\0\x01"), GOAWAY, PROTOCOL},
};

static void frames(void **state) {
    static char large[16385];
    for (size_t i = 0; i < sizeof frame_cases / sizeof *frame_cases; i++) {
        const frame_case *c = &frame_cases[i];
        open_client();
        if (c->type == H2_DATA && c->stream == 1) h2_request(&client, 1, 0, UNARY, NULL);
        h2_frame(&client, c->type, c->flags, c->stream, c->bytes, c->size);
        expect(c->what, c->kind, c->code, "");
    }
    open_client();
    h2_frame(&client, H2_DATA, 0, 1, large, sizeof large);
    expect("a frame larger than was said", GOAWAY, FRAME_SIZE, "");
    open_client();
    h2_request(&client, 1, H2_END_STREAM, UNARY, NULL);
    h2_frame(&client, H2_DATA, 0, 1, "x", 1);
    expect("DATA behind the end", GOAWAY, CLOSED, "");
    open_client();
    unsigned char block[64];
    size_t size = h2_pack(block, (const char *[]){POST, NULL});
    h2_frame(&client, H2_HEADERS, 0, 1, block, size);
    h2_frame(&client, H2_DATA, 0, 1, "x", 1);
    expect("DATA inside of headers", GOAWAY, PROTOCOL, "");
    open_client();
    h2_frame(&client, 0x77, 0xff, 1, "unknown", 7);
    h2_call(&client, 1, UNARY, "x", 1);
    expect("a frame of an unknown kind", FINE, 0, "");
    /* More than the window. */
    open_client();
    h2_request(&client, 1, 0, "/test.Echo/Stream", NULL);
    unsigned char none[6] = {0, 4, 0, 0, 0, 0};
    h2_frame(&client, H2_SETTINGS, 0, 0, none, 6);
    for (int i = 0; i < 1600 && !client.closed && !h2_answer_of(&client, 1)->reset; i++)
        h2_message(&client, 1, 0, large, 1000);
    expect("more than the window", RESET, FLOW_CONTROL, "");
}

static void first_bytes(void **state) {
    static const struct {
        const char *what, *bytes;
        size_t size;
    } cases[] = {
        {"HTTP/1", BYTES("GET / HTTP/1.1\r\nhost: a\r\n\r\n")},
        {"a wrong greeting", BYTES("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")},
        {"TLS", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
        {"nothing but zeros", BYTES("\0\0\0\0\0\0\0\0\0\0\0\0")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        h2_open(&client, echo.base, echo_port(&echo));
        h2_write(&client, cases[i].bytes, cases[i].size);
        H2_UNTIL(&client, client.closed);
        if (i == 0) assert_memory_equal(client.in, "HTTP/1.1 505", 12); /* people try this: it is said so */
        expect(cases[i].what, CUT, 0, "");
    }
    h2_open(&client, echo.base, echo_port(&echo));
    h2_write(&client, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    h2_frame(&client, H2_PING, 0, 0, "12345678", 8);
    expect("PING before SETTINGS", GOAWAY, PROTOCOL, "");
}

/* ---- floods ---- */

static void send_until_closed(int type, int flags, const void *bytes, size_t size, int most) {
    for (int i = 0; i < most && !client.closed; i++) {
        h2_frame(&client, type, flags, type == H2_DATA || type == H2_PRIORITY ? 1 : 0, bytes, size);
        if (i % 64 == 0) h2_turn(&client);
    }
}

/* How the connection ends is not always to be seen: what it said last may be lost, since it does not read what is still
 * sent to it. */
static void floods(void **state) {
    open_client();
    send_until_closed(H2_PING, 0, "12345678", 8, 100000);
    expect("PING", CUT, 0, "");
    open_client();
    send_until_closed(H2_SETTINGS, 0, "\0\x03\0\0\0\x64", 6, 100000);
    expect("SETTINGS", CUT, 0, "");
    open_client();
    send_until_closed(H2_PRIORITY, 0, "\0\0\0\0\x10", 5, 100000);
    expect("PRIORITY", CUT, 0, "");
    open_client();
    h2_request(&client, 1, 0, UNARY, NULL);
    send_until_closed(H2_DATA, 0, "", 0, 100000);
    expect("DATA without bytes", CUT, 0, "");
    open_client();
    for (uint32_t stream = 1; stream < 2 * H2_STREAMS - 2 && !client.closed; stream += 2) {
        h2_request(&client, stream, 0, UNARY, NULL);
        h2_frame(&client, H2_RST, 0, stream, "\0\0\0\x08", 4);
    }
    h2_turns_for_ms(&client, 10);
    assert_false(client.closed); /* six hundred are borne */
    h2_close(&client);
}

/* Many more streams than the client below keeps books of: it only writes, and looks for the end. */
static void a_flood_of_resets(void **state) {
    open_client();
    for (uint32_t stream = 1; stream < 100000 && !client.goaway; stream += 2) {
        h2_request(&client, stream, 0, UNARY, NULL);
        h2_frame(&client, H2_RST, 0, stream, "\0\0\0\x08", 4);
        if (stream % 64 == 1) h2_turn(&client);
    }
    H2_UNTIL(&client, client.closed);
    assert_true(client.goaway);
    assert_in_range(echo.heap.bytes, 0, 1 << 20);
    h2_close(&client);
}

static void a_flood_of_continuations(void **state) {
    static unsigned char block[16000];
    open_client();
    size_t size = h2_pack(block, (const char *[]){POST, PATH, GRPC, NULL});
    h2_frame(&client, H2_HEADERS, 0, 1, block, size);
    for (int i = 0; i < 10000 && !client.closed; i++) {
        h2_frame(&client, H2_CONTINUATION, 0, 1, "\x10\x01x\x01y", 5);
        h2_turn(&client);
    }
    expect("CONTINUATION of little", CUT, 0, "");
    open_client();
    h2_frame(&client, H2_HEADERS, 0, 1, block, size);
    static char value[15000];
    memset(value, 'v', sizeof value - 1);
    size = h2_pack(block, (const char *[]){"x", value, NULL});
    H2_UNTIL(&client, echo.server->connections->in_headers);
    const ds__grpc_connection *const *served = (const ds__grpc_connection *const *)&echo.server->connections;
    for (int i = 0; i < 7 && *served; i++) {
        uint64_t before = (*served)->bytes_in; /* each arrives alone */
        h2_frame(&client, H2_CONTINUATION, 0, 1, block, size);
        H2_UNTIL(&client, !*served || (*served)->bytes_in >= before + size);
    }
    expect("CONTINUATION of much", GOAWAY, ENHANCE_YOUR_CALM, "");
}

static void too_many_streams(void **state) {
    enum { MOST = 256 };
    open_client();
    for (uint32_t stream = 1; stream < 2 * MOST; stream += 2) {
        h2_request(&client, stream, 0, UNARY, NULL);
        h2_message(&client, stream, H2_END_STREAM, "hold", 4);
    }
    H2_UNTIL(&client, echo.held_count == MOST);
    echo_end_held(&echo);
    for (uint32_t stream = 1; stream < 2 * MOST; stream += 2)
        H2_UNTIL(&client, h2_answer_of(&client, stream)->grpc_status == 0);
    h2_close(&client);
    open_client(); /* which knows the limit, since it has answered SETTINGS */
    for (uint32_t stream = 1; stream < 2 * (MOST + 1); stream += 2) h2_request(&client, stream, 0, UNARY, NULL);
    expect("a stream too many", GOAWAY, PROTOCOL, "");
    h2_open(&client, echo.base, echo_port(&echo)); /* which cannot know it yet */
    h2_hello(&client);
    for (uint32_t stream = 1; stream < 2 * (MOST + 1); stream += 2) h2_request(&client, stream, 0, UNARY, NULL);
    H2_UNTIL(&client, h2_answer_of(&client, 2 * MOST + 1)->reset);
    assert_int_equal(h2_answer_of(&client, 2 * MOST + 1)->reset_code, REFUSED);
    h2_close(&client);
}

/* More connections than are allowed are closed at once; those that are there go on. */
static void too_many_connections(void **state) {
    ds__grpc_options options = {.max_connections = 3};
    h2_client others[3];
    echo_stop(&echo);
    echo_start(&echo, &options, 0);
    open_client();
    for (int i = 0; i < 3; i++) {
        h2_open(&others[i], echo.base, echo_port(&echo));
        h2_hello(&others[i]);
        H2_UNTIL(&others[i], others[i].settings || others[i].closed);
        assert_true(others[i].closed == (i == 2));
    }
    for (int i = 0; i < 3; i++) h2_close(&others[i]);
    assert_int_equal(h2_call(&client, 1, UNARY, "x", 1)->grpc_status, 0);
    h2_close(&client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(headers, begin, end),
        cmocka_unit_test_setup_teardown(too_many_metadata, begin, end),
        cmocka_unit_test_setup_teardown(bodies, begin, end),
        cmocka_unit_test_setup_teardown(frames, begin, end),
        cmocka_unit_test_setup_teardown(first_bytes, begin, end),
        cmocka_unit_test_setup_teardown(floods, begin, end),
        cmocka_unit_test_setup_teardown(a_flood_of_resets, begin, end),
        cmocka_unit_test_setup_teardown(a_flood_of_continuations, begin, end),
        cmocka_unit_test_setup_teardown(too_many_streams, begin, end),
        cmocka_unit_test_setup_teardown(too_many_connections, begin, end),
    };
    return cmocka_run_group_tests_name("grpc_malformed", tests, NULL, NULL);
}
