/* The socket under a connection, plain or through OpenSSL.  Not libevent's bufferevents: those read 4 KB at a time
 * after asking the kernel how much there is, and keep buffers for connections that are idle. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "serve/grpc/grpc_internal.h"

static const unsigned char h2_name[] = "\x02h2";

/* The client's list must hold h2: gRPC knows nothing else. */
static int choose_protocol(SSL *tls, const unsigned char **out, unsigned char *size, const unsigned char *offered,
                           unsigned offered_size, void *argument) {
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, size, h2_name, sizeof h2_name - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static ds_status tls_failed(const char *path, const char *what, ds_error *error) {
    const char *reason = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    return ds__fail(error, DS_BAD_FORMAT, "%s: is no %s that can be used: %s", path, what,
                    reason ? reason : "cannot be read");
}

ds_status ds__grpc_tls_create(const char *certificate_path, const char *key_path, struct ssl_ctx_st **out,
                              ds_error *error) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context) return ds__fail(error, DS_OUT_OF_MEMORY, "out of memory for TLS");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    ds_status status = DS_OK;
    if (SSL_CTX_use_certificate_chain_file(context, certificate_path) != 1)
        status = tls_failed(certificate_path, "certificate chain (PEM)", error);
    else if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1)
        status = tls_failed(key_path, "private key (PEM)", error);
    if (status != DS_OK) {
        SSL_CTX_free(context);
        return status;
    }
    *out = context;
    return DS_OK;
}

bool ds__grpc_tls_open(ds__grpc_connection *connection) {
    if (!connection->server->options.tls) return true;
    connection->tls = SSL_new(connection->server->options.tls);
    if (!connection->tls || SSL_set_fd(connection->tls, connection->fd) != 1) return false;
    SSL_set_accept_state(connection->tls);
    return true;
}

void ds__grpc_tls_close(ds__grpc_connection *connection) {
    if (!connection->tls) return;
    if (SSL_is_init_finished(connection->tls)) SSL_shutdown(connection->tls); /* says goodbye, waits for nothing */
    SSL_free(connection->tls);
    connection->tls = NULL;
    ERR_clear_error();
}

/* What SSL_read and SSL_write said. While one of them wants the other direction, both directions are tried when the
 * socket stirs, so nothing has to be remembered. */
static long tls_result(ds__grpc_connection *connection, int result) {
    if (result > 0) return result;
    int reason = SSL_get_error(connection->tls, result);
    ERR_clear_error();
    if (reason == SSL_ERROR_WANT_WRITE) event_add(&connection->writable, NULL);
    return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static long plain_result(ssize_t result) {
    if (result >= 0) return (long)result;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

static int int_size(size_t size) { return size < (1u << 30) ? (int)size : 1 << 30; }

bool ds__grpc_socket_ready(const ds__grpc_connection *connection) {
    return !connection->tls || SSL_is_init_finished(connection->tls);
}

long ds__grpc_socket_read(ds__grpc_connection *connection, void *out, size_t size) {
    if (!connection->tls) {
        ssize_t result = recv(connection->fd, out, size, 0);
        return result == 0 ? -1 : plain_result(result);
    }
    bool was_finished = SSL_is_init_finished(connection->tls);
    long result = tls_result(connection, SSL_read(connection->tls, out, int_size(size)));
    if (!was_finished && SSL_is_init_finished(connection->tls)) {
        const unsigned char *protocol;
        unsigned length;
        SSL_get0_alpn_selected(connection->tls, &protocol, &length);
        if (length == 0) return -1; /* the client offered no protocol at all */
    }
    return result;
}

long ds__grpc_socket_write(ds__grpc_connection *connection, const void *data, size_t size) {
    if (!connection->tls) return plain_result(send(connection->fd, data, size, MSG_NOSIGNAL));
    return tls_result(connection, SSL_write(connection->tls, data, int_size(size)));
}
