/* A client that blocks: connect, perhaps a handshake, one request, one answer. */
#include "cli/server_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"

enum { MAX_ANSWER = 16 << 20, ANSWER_S = 600 };

/* An open connection. */
typedef struct line {
    const server_target *target;
    int fd;
    SSL_CTX *context; /* NULL: plain */
    SSL *tls;
} line;

bool server_parse_url(server_target *target, const char *url) {
    static const char plain[] = "http://", secure[] = "https://";
    target->is_tls = strncmp(url, secure, sizeof secure - 1) == 0;
    if (!target->is_tls && strncmp(url, plain, sizeof plain - 1) != 0) return false;
    url += target->is_tls ? sizeof secure - 1 : sizeof plain - 1;
    size_t size = strcspn(url, "/");
    if (!size || size >= sizeof target->url) return false;
    memcpy(target->url, url, size);
    target->url[size] = '\0';
    char *colon = strrchr(target->url, ':');
    bool has_port = colon && !strchr(colon, ']');
    target->port = has_port ? colon + 1 : target->is_tls ? "443" : "80";
    if (has_port) *colon = '\0';
    target->host = target->url;
    if (*target->host == '[') { /* an address with colons of its own */
        target->host++;
        char *bracket = strchr(target->url, ']');
        if (bracket) *bracket = '\0';
    }
    return *target->host && *target->port;
}

/* ---- the connection ---- */

static int connect_to(const server_target *target, int *out) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
    int code = getaddrinfo(target->host, target->port, &hints, &list);
    if (code != 0) return cli_fail("%s port %s: %s", target->host, target->port, gai_strerror(code));
    int fd = -1;
    for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            code = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        return cli_fail("%s port %s: cannot connect: %s; is the server there?", target->host, target->port,
                        strerror(code));
    struct timeval wait = {ANSWER_S, 0}; /* a large model takes its time */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    *out = fd;
    return CLI_DONE;
}

/* What OpenSSL has to say. */
static const char *tls_reason(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? reason : "the connection ended";
}

/* Whom to believe, and which name the certificate must have: an address must stand there as one. */
static int prepare_tls(line *l) {
    const server_target *target = l->target;
    unsigned char address[sizeof(struct in6_addr)];
    bool is_address = inet_pton(AF_INET, target->host, address) == 1 || inet_pton(AF_INET6, target->host, address) == 1;
    l->context = SSL_CTX_new(TLS_client_method());
    if (!l->context) return cli_fail("out of memory for TLS");
    SSL_CTX_set_min_proto_version(l->context, TLS1_2_VERSION);
    SSL_CTX_set_verify(l->context, SSL_VERIFY_PEER, NULL);
    int trusts = target->tls_ca ? SSL_CTX_load_verify_locations(l->context, target->tls_ca, NULL)
                                : SSL_CTX_set_default_verify_paths(l->context);
    if (trusts != 1)
        return cli_fail("%s: holds no certificates (PEM) that can be used: %s",
                        target->tls_ca ? target->tls_ca : "the system's list", tls_reason());
    l->tls = SSL_new(l->context);
    bool is_set = l->tls && SSL_set_fd(l->tls, l->fd) == 1;
    if (is_set && is_address)
        is_set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->tls), target->host) == 1;
    else if (is_set)
        is_set = SSL_set1_host(l->tls, target->host) == 1 && SSL_set_tlsext_host_name(l->tls, target->host) == 1;
    return is_set ? CLI_DONE : cli_fail("%s: TLS cannot be set up: %s", target->host, tls_reason());
}

static int start_tls(line *l) {
    const server_target *target = l->target;
    int code = prepare_tls(l);
    if (code != CLI_DONE || SSL_connect(l->tls) == 1) return code;
    long verified = SSL_get_verify_result(l->tls);
    if (verified != X509_V_OK)
        return cli_fail("%s port %s: the certificate is not accepted: %s%s", target->host, target->port,
                        X509_verify_cert_error_string(verified),
                        target->tls_ca ? "" : "; --tls-ca FILE names a private authority");
    return cli_fail("%s port %s: no TLS: %s; does the server have --tls-cert?", target->host, target->port,
                    tls_reason());
}

static int open_line(line *l) {
    int code = connect_to(l->target, &l->fd);
    return code == CLI_DONE && l->target->is_tls ? start_tls(l) : code;
}

static void close_line(line *l) {
    if (l->tls && SSL_is_init_finished(l->tls)) SSL_shutdown(l->tls);
    SSL_free(l->tls);
    SSL_CTX_free(l->context);
    if (l->fd >= 0) close(l->fd);
}

static int send_all(const line *l, const ds__buffer *request) {
    if (request->failed) return cli_fail("out of memory for the request");
    if (!l->tls)
        return ds__file_write_all(l->fd, request->data, request->size)
                   ? CLI_DONE
                   : cli_fail("cannot send the request: %s", strerror(errno));
    return SSL_write(l->tls, request->data, (int)request->size) > 0
               ? CLI_DONE
               : cli_fail("cannot send the request: %s", tls_reason());
}

/* Bytes; 0: an orderly end; -1: said. Over TLS an end that the server has not announced is none. */
static long receive(const line *l, char *out, size_t room) {
    if (l->tls) {
        int got = SSL_read(l->tls, out, (int)room);
        if (got > 0) return got;
        if (SSL_get_error(l->tls, got) == SSL_ERROR_ZERO_RETURN) return 0;
        cli_fail("the server's answer: %s", tls_reason());
        return -1;
    }
    ssize_t got;
    do got = recv(l->fd, out, room, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) cli_fail("the server's answer: %s", strerror(errno));
    return (long)got;
}

/* ---- the answer ---- */

/* The head, once it is whole: its size, the status, and the size of the body; 0: not yet. SIZE_MAX: it says none. */
static size_t read_head(const char *text, int *status, size_t *body_size) {
    const char *end = strstr(text, "\r\n\r\n");
    *body_size = SIZE_MAX;
    if (!end || sscanf(text, "HTTP/1.%*1d %d", status) != 1) return 0;
    for (const char *at = strstr(text, "\r\n"); at < end; at = strstr(at + 2, "\r\n"))
        if (strncasecmp(at + 2, "Content-Length:", 15) == 0) *body_size = strtoull(at + 17, NULL, 10);
    return (size_t)(end - text) + 4;
}

/* Reads until the answer is whole: as long as it says, else to the end of the connection. */
static int read_answer(const line *l, server_answer *answer) {
    char piece[16384];
    size_t head = 0, body_size = SIZE_MAX;
    for (;;) {
        long got = receive(l, piece, sizeof piece);
        if (got < 0) return CLI_FAILED;
        if (got == 0) break;
        ds__buffer_append(&answer->text, piece, (size_t)got);
        const char *text = ds__buffer_cstr(&answer->text);
        if (!text) return cli_fail("out of memory for the server's answer");
        if (answer->text.size > MAX_ANSWER) return cli_fail("the server's answer has more than %d bytes", MAX_ANSWER);
        if (!head) head = read_head(text, &answer->status, &body_size);
        if (head && answer->text.size - head >= body_size) break;
    }
    if (!head) return cli_fail("%s port %s does not answer as HTTP does", l->target->host, l->target->port);
    if (body_size != SIZE_MAX && answer->text.size - head < body_size)
        return cli_fail("the server's answer ends after %zu of %zu bytes", answer->text.size - head, body_size);
    answer->body = answer->text.data + head;
    return CLI_DONE;
}

int server_ask(const server_target *target, const char *method, const char *path, const char *body,
               server_answer *answer) {
    line l = {.target = target, .fd = -1};
    ds__buffer request;
    bool is_v6 = strchr(target->host, ':') != NULL;
    ds__buffer_init(&request, cli_heap());
    ds__buffer_printf(&request, "%s %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nConnection: close\r\nContent-Length: %zu\r\n",
                      method, path, is_v6 ? "[" : "", target->host, is_v6 ? "]" : "", target->port, strlen(body));
    if (*target->key) ds__buffer_printf(&request, "Authorization: Bearer %s\r\n", target->key);
    ds__buffer_printf(&request, "\r\n%s", body);
    int code = open_line(&l);
    if (code == CLI_DONE) code = send_all(&l, &request);
    if (code == CLI_DONE) code = read_answer(&l, answer);
    close_line(&l);
    ds__buffer_deinit(&request);
    return code;
}
