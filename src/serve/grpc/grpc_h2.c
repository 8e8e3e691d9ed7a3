/* HTTP/2 by nghttp2: its callbacks, and the limits on what a client may make it do.
 *
 * nghttp2 bounds SETTINGS, the answers that PING and SETTINGS ask for, and CONTINUATION frames.  Counted here: frames
 * that are cheap to send and bring nothing (credit grows with time and with real requests), resets of streams, and the
 * bytes that one block of headers takes on the wire. */
#include "base/clock.h"
#include "serve/foreign_memory.h"
#include "serve/grpc/grpc_internal.h"

enum {
    MAX_HEADER_BLOCK = 64 * 1024, /* on the wire */
    FRAME_CREDIT = 10000,         /* frames that bring nothing: at once, */
    FRAMES_A_SECOND = 1000,       /* and in time */
    FRAMES_A_REQUEST = 8,
    RESET_CREDIT = 1000,
    RESETS_A_SECOND = 100,
};

static ds__grpc_call *call_of(nghttp2_session *session, int32_t stream) {
    return nghttp2_session_get_stream_user_data(session, stream);
}

static void calm_down(ds__grpc_connection *connection) {
    (void)nghttp2_session_terminate_session(connection->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void refill(ds__grpc_connection *connection) {
    uint64_t now = connection->heard_ns;
    double seconds = now > connection->credit_ns ? (double)(now - connection->credit_ns) * 1e-9 : 0;
    connection->credit_ns = now;
    connection->frame_credit += seconds * FRAMES_A_SECOND;
    connection->reset_credit += seconds * RESETS_A_SECOND;
    if (connection->frame_credit > FRAME_CREDIT) connection->frame_credit = FRAME_CREDIT;
    if (connection->reset_credit > RESET_CREDIT) connection->reset_credit = RESET_CREDIT;
}

/* Every frame but CONTINUATION, when its nine bytes of head are there. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user) {
    ds__grpc_connection *connection = user;
    if (head->type == NGHTTP2_HEADERS)
        connection->frame_credit += FRAMES_A_REQUEST;
    else if (head->type == NGHTTP2_RST_STREAM)
        connection->reset_credit -= 1;
    else if (head->type != NGHTTP2_DATA || head->length == 0)
        connection->frame_credit -= 1;
    if (connection->frame_credit < 0 || connection->reset_credit < 0) calm_down(connection);
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    ds__grpc_connection *connection = user;
    connection->in_headers = true;
    connection->headers_at = connection->bytes_in;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    ds__grpc_call *call = ds__grpc_call_open(connection, frame->hd.stream_id);
    if (!call) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
    return 0;
}

static ds__str text_of(nghttp2_rcbuf *buffer) {
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(buffer);
    return (ds__str){(const char *)vec.base, vec.len};
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                     uint8_t flags, void *user) {
    ds__grpc_call *call = call_of(session, frame->hd.stream_id);
    if (!call || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0; /* a request's trailers say nothing */
    ds__grpc_call_header(call, text_of(name), text_of(value));
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    ds__grpc_connection *connection = user;
    if (frame->hd.type == NGHTTP2_SETTINGS) connection->established = true;
    if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK) connection->asked_ns = 0;
    if (frame->hd.type == NGHTTP2_HEADERS) connection->in_headers = false;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    ds__grpc_call *call = call_of(session, frame->hd.stream_id);
    if (!call) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) ds__grpc_call_begin(call);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ds__grpc_call_end_input(call);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user) {
    ds__grpc_connection *connection = user;
    if (frame->hd.type == NGHTTP2_HEADERS) connection->in_headers = false;
    connection->reset_credit -= 1; /* it is answered by a reset of ours, which costs what one of theirs does */
    if (connection->reset_credit < 0) calm_down(connection);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t size,
                   void *user) {
    ds__grpc_call *call = call_of(session, stream);
    /* The connection's window is always open: a stream that is held back must not hold back the others. */
    (void)nghttp2_session_consume_connection(session, size);
    if (call)
        ds__grpc_call_data(call, data, size);
    else
        (void)nghttp2_session_consume_stream(session, stream, size);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    ds__grpc_connection *connection = user;
    if (frame->hd.type == NGHTTP2_DATA) connection->frame_credit += 2; /* for the window's updates that it brings */
    /* An answer that is complete before its request is: the client is told to send no more. */
    if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
    ds__grpc_call *call = call_of(session, stream);
    if (call) ds__grpc_call_closed(call);
    return 0;
}

ds_status ds__grpc_h2_init(ds__grpc_server *server, ds_error *error) {
    if (nghttp2_session_callbacks_new(&server->callbacks) != 0 || nghttp2_option_new(&server->h2_options) != 0)
        return ds__fail(error, DS_OUT_OF_MEMORY, "out of memory for the gRPC server");
    nghttp2_session_callbacks *callbacks = server->callbacks;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_set_no_auto_window_update(server->h2_options, 1);
    nghttp2_option_set_no_closed_streams(server->h2_options, 1);
    return DS_OK;
}

/* Made when the first bytes come, so that a connection that says nothing costs little. */
static bool open_session(ds__grpc_connection *connection) {
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, DS__GRPC_MAX_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, DS__GRPC_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, DS__GRPC_MAX_HEADER},
    };
    ds__grpc_server *server = connection->server;
    nghttp2_mem memory = ds__foreign_nghttp2(server->heap); /* copied */
    connection->frame_credit = FRAME_CREDIT;
    connection->reset_credit = RESET_CREDIT;
    return nghttp2_session_server_new3(&connection->session, server->callbacks, connection, server->h2_options,
                                       &memory) == 0 &&
           nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof *settings) == 0 &&
           nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                 DS__GRPC_CONNECTION_WINDOW) == 0;
}

/* HTTP/1 at a port of gRPC is a mistake that people make: it is said in a way that they can read. */
static void say_http2(ds__grpc_connection *connection) {
    static const char text[] = "HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\n\r\n"
                               "This port speaks gRPC, over HTTP/2 only.\n";
    (void)ds__grpc_socket_write(connection, text, sizeof text - 1);
}

bool ds__grpc_h2_take(ds__grpc_connection *connection, const void *data, size_t size) {
    if (!connection->session && !open_session(connection)) return false;
    refill(connection);
    connection->bytes_in += size;
    ssize_t taken = nghttp2_session_mem_recv(connection->session, data, size);
    if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) say_http2(connection);
    if (taken < 0) return false;
    if (connection->in_headers && connection->bytes_in - connection->headers_at > MAX_HEADER_BLOCK)
        calm_down(connection);
    return true;
}
