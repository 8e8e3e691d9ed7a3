/* One request to a running server, over HTTP/1.1, plain or TLS. */
#ifndef DS_CLI_SERVER_CLIENT_H
#define DS_CLI_SERVER_CLIENT_H

#include "cli/cli.h"

enum { SERVER_MAX_KEY = 1024 };

typedef struct server_target {
    char url[512]; /* what host and port point into */
    const char *host, *port;
    bool is_tls;
    const char *tls_ca; /* PEM: who may have signed the server's certificate; NULL: whom the system trusts */
    char key[SERVER_MAX_KEY + 1];
} server_target;

typedef struct server_answer {
    ds__buffer text; /* the caller's */
    const char *body;
    int status;
} server_answer;

/* http://HOST:PORT or https://HOST:PORT; false: it is neither. */
bool server_parse_url(server_target *target, const char *url);
/* Sends and waits for the whole answer. Over TLS the certificate must be good, and be one for the URL's host. */
int server_ask(const server_target *target, const char *method, const char *path, const char *body,
               server_answer *answer);

#endif
