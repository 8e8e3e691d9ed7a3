/* deepseek models: administration of a running server, over its REST routes. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"

enum { KEY_URL = 1, KEY_KEY_FILE };
enum { MAX_ANSWER = 16 << 20, MAX_KEY = 1024, ANSWER_S = 600 };

static const struct argp_option options[] = {
    {"url", KEY_URL, "URL", 0, "Where the server is (default: http://127.0.0.1:8000)", 1},
    {"api-key-file", KEY_KEY_FILE, "FILE", 0, "A file with an admin's API key in its first line", 1},
    {0}};

static const char doc[] =
    "Administers the models of a running server.\v"
    "  ready                     whether every model is loaded and requests are taken (exit code 0)\n"
    "  list                      every model and version with its state\n"
    "  load MODEL [VERSION]      load a version (the newest), and make it current\n"
    "  unload MODEL [VERSION]    unload a version (all); what runs is finished\n"
    "  rollback MODEL            back to the version that was current before\n"
    "  label MODEL LABEL VERSION move a label to a loaded version\n"
    "  unlabel MODEL LABEL       take a label away\n\n"
    "Example:\n"
    "  deepseek models label minilm stable 2\n";

typedef struct models {
    const char *host, *port;
    char url[512];
    char key[MAX_KEY + 1];
    const char *words[4]; /* the action and what it acts on */
    size_t word_count;
} models;

static void parse_url(models *m, const char *url) {
    static const char scheme[] = "http://";
    size_t size = strlen(url);
    if (strncmp(url, scheme, sizeof scheme - 1) != 0 || size >= sizeof m->url)
        exit(cli_usage_error("models", "--url is \"%s\", expected http://HOST:PORT (TLS ends at a proxy, or use curl)",
                             url));
    memcpy(m->url, url + sizeof scheme - 1, size - sizeof scheme + 2);
    char *end = strchr(m->url, '/');
    if (end) *end = '\0';
    char *colon = strrchr(m->url, ':');
    bool has_port = colon && !strchr(colon, ']');
    m->port = has_port ? colon + 1 : "80";
    if (has_port) *colon = '\0';
    m->host = m->url;
    if (*m->host == '[') { /* an address with colons of its own */
        m->host++;
        char *bracket = strchr(m->url, ']');
        if (bracket) *bracket = '\0';
    }
}

static void read_key(models *m, const char *path) {
    ds_error error;
    ds__buffer text;
    ds__buffer_init(&text, cli_heap());
    if (ds__file_read(path, 1 << 16, &text, &error) != DS_OK) exit(cli_fail_error(&error));
    size_t size = strcspn(ds__buffer_cstr(&text), "\r\n");
    if (!size || size > MAX_KEY)
        exit(cli_fail("%s: the first line has %zu bytes, expected a key of 1 to %d", path, size, MAX_KEY));
    memcpy(m->key, text.data, size);
    m->key[size] = '\0';
    ds__buffer_deinit(&text);
}

static error_t parse(int key, char *argument, void *own) {
    models *m = own;
    switch (key) {
    case KEY_URL: parse_url(m, argument); return 0;
    case KEY_KEY_FILE: read_key(m, argument); return 0;
    case ARGP_KEY_ARG:
        if (m->word_count == sizeof m->words / sizeof *m->words)
            exit(cli_usage_error("models", "\"%s\" is one argument too many", argument));
        m->words[m->word_count++] = argument;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- one request ---- */

static int connect_to(const models *m, int *out) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
    int code = getaddrinfo(m->host, m->port, &hints, &list);
    if (code != 0) return cli_fail("%s port %s: %s", m->host, m->port, gai_strerror(code));
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
        return cli_fail("%s port %s: cannot connect: %s; is the server there?", m->host, m->port, strerror(code));
    struct timeval wait = {ANSWER_S, 0}; /* a large model takes its time */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    *out = fd;
    return CLI_DONE;
}

/* The whole answer: the server closes behind it. */
static int read_answer(int fd, ds__buffer *answer) {
    char piece[16384];
    for (;;) {
        ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return cli_fail("the server's answer: %s", strerror(errno));
        if (got == 0) break;
        ds__buffer_append(answer, piece, (size_t)got);
        if (answer->size > MAX_ANSWER) return cli_fail("the server's answer has more than %d bytes", MAX_ANSWER);
    }
    return ds__buffer_cstr(answer) ? CLI_DONE : cli_fail("out of memory for the server's answer");
}

/* body: where the answer's begins. */
static int ask(const models *m, const char *method, const char *path, const char *body, ds__buffer *answer,
               const char **answer_body, int *status) {
    ds__buffer request;
    int fd = -1, code = connect_to(m, &fd);
    if (code != CLI_DONE) return code;
    ds__buffer_init(&request, cli_heap());
    ds__buffer_printf(&request, "%s %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\nContent-Length: %zu\r\n", method,
                      path, m->host, m->port, strlen(body));
    if (*m->key) ds__buffer_printf(&request, "Authorization: Bearer %s\r\n", m->key);
    ds__buffer_printf(&request, "\r\n%s", body);
    if (request.failed || !ds__file_write_all(fd, request.data, request.size))
        code = cli_fail("cannot send the request: %s", strerror(errno));
    if (code == CLI_DONE) code = read_answer(fd, answer);
    close(fd);
    ds__buffer_deinit(&request);
    if (code != CLI_DONE) return code;
    const char *text = ds__buffer_cstr(answer), *end = strstr(text, "\r\n\r\n");
    if (!end || sscanf(text, "HTTP/1.%*1d %d", status) != 1)
        return cli_fail("%s port %s does not answer as HTTP does", m->host, m->port);
    *answer_body = end + 4;
    return CLI_DONE;
}

/* ---- answers ---- */

/* "error" of a refusal. */
static int say_refusal(const char *body, int status) {
    ds__json json;
    char sentence[1024] = "";
    ds__json_init(&json, cli_heap(), "the answer", ds__str_of(body));
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (!ds__str_is(key, "error") || ds__json_peek(&json) != DS__JSON_STRING) {
            ds__json_skip(&json);
            continue;
        }
        ds__str text = ds__json_string(&json, key);
        snprintf(sentence, sizeof sentence, "%.*s", (int)(text.size > 1000 ? 1000 : text.size),
                 text.data ? text.data : "");
    }
    if (ds__json_finish(&json, NULL) != DS_OK || !*sentence)
        return cli_fail("the server answers with status %d", status);
    return cli_fail("%s", sentence);
}

/* A table of the index, or {"model", "version"} in words. */
static int print_index(const char *body) {
    ds_error error;
    ds__json json;
    ds__buffer line;
    ds__buffer_init(&line, cli_heap());
    ds__json_init(&json, cli_heap(), "the answer", ds__str_of(body));
    while (ds__json_next_item(&json)) {
        ds__str name = {"", 0}, version = {"-", 1}, state = {"", 0}, reason = {"", 0};
        for (ds__str key; ds__json_next_key(&json, &key);) {
            ds__str *into = ds__str_is(key, "name")      ? &name
                            : ds__str_is(key, "version") ? &version
                            : ds__str_is(key, "state")   ? &state
                            : ds__str_is(key, "reason")  ? &reason
                                                         : NULL;
            if (into)
                *into = ds__json_string(&json, key);
            else
                ds__json_skip(&json);
        }
        if (ds__json_ok(&json))
            ds__buffer_printf(&line, "%-24.*s %8.*s  %-12.*s%.*s\n", DS_STR_ARG(name), DS_STR_ARG(version),
                              DS_STR_ARG(state), DS_STR_ARG(reason));
    }
    bool read = ds__json_finish(&json, &error) == DS_OK;
    int code = !read ? cli_fail_error(&error) : cli_write(&line) ? CLI_DONE : CLI_FAILED;
    ds__buffer_deinit(&line);
    return code;
}

static int print_done(const models *m, const char *body) {
    ds_error error;
    ds__json json;
    int64_t version = 0;
    ds__json_init(&json, cli_heap(), "the answer", ds__str_of(body));
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__str_is(key, "version"))
            version = ds__json_int(&json, key, 0, INT64_MAX);
        else
            ds__json_skip(&json);
    }
    if (ds__json_finish(&json, &error) != DS_OK) return cli_fail_error(&error);
    ds__buffer line;
    ds__buffer_init(&line, cli_heap());
    ds__buffer_printf(&line, "%s %s", m->words[0], m->words[1]);
    if (version) ds__buffer_printf(&line, ": version %lld", (long long)version);
    ds__buffer_put(&line, '\n');
    int code = cli_write(&line) ? CLI_DONE : CLI_FAILED;
    ds__buffer_deinit(&line);
    return code;
}

/* ---- actions ---- */

static const struct action {
    const char *name, *method;
    size_t names;       /* words that go into the path: a model, a label */
    size_t least, most; /* words, the action's name included; one more than the names is a version */
} actions[] = {
    {"ready", "GET", 0, 1, 1},      {"list", "POST", 0, 1, 1},     {"load", "POST", 1, 2, 3},
    {"unload", "POST", 1, 2, 3},    {"rollback", "POST", 1, 2, 2}, {"label", "PUT", 2, 4, 4},
    {"unlabel", "DELETE", 2, 3, 3},
};

static const struct action *find_action(const models *m) {
    const char *name = m->word_count ? m->words[0] : "";
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        const struct action *a = &actions[i];
        if (strcmp(name, a->name) != 0) continue;
        if (m->word_count >= a->least && m->word_count <= a->most) return a;
        exit(cli_usage_error("models", "%s has %zu words behind it, expected %zu to %zu", name, m->word_count - 1,
                             a->least - 1, a->most - 1));
    }
    exit(cli_usage_error("models",
                         "\"%s\" is no action; expected ready, list, load, unload, rollback, label or unlabel", name));
}

/* Names go into a path: what is not a letter, digit, '.', '_' or '-' is none, and the server would say so. */
static void check_word(const char *word) {
    if (!*word || word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        exit(cli_usage_error("models", "\"%s\" is not made of letters, digits, '.', '_' and '-'", word));
}

int cli_models(int argc, char **argv) {
    static models m;
    cli_options common = {.threads = 0};
    parse_url(&m, "http://127.0.0.1:8000");
    cli_command command = {.name = "models",
                           .arguments = "ACTION [MODEL [LABEL] [VERSION]]",
                           .doc = doc,
                           .options = options,
                           .parse = parse,
                           .own = &m,
                           .common = &common};
    common.needs_no_model = true;
    common.output_folder = ""; /* the words are all our own */
    cli_parse(&command, argc, argv);
    const struct action *action = find_action(&m);
    char path[1024], body[64] = "";
    for (size_t i = 1; i < m.word_count; i++) check_word(m.words[i]);
    size_t names = action->names;
    if (m.word_count > names + 1) {
        const char *version = m.words[m.word_count - 1];
        if (version[strspn(version, "0123456789")] || strlen(version) > 18)
            return cli_usage_error("models", "VERSION is \"%s\", expected a whole number", version);
        snprintf(body, sizeof body, "{\"version\":%s}", version);
    }
    if (names == 2)
        snprintf(path, sizeof path, "/v2/repository/models/%.400s/labels/%.400s", m.words[1], m.words[2]);
    else if (names == 1)
        snprintf(path, sizeof path, "/v2/repository/models/%.400s/%s", m.words[1], action->name);
    else
        snprintf(path, sizeof path, strcmp(action->name, "ready") == 0 ? "/v2/health/ready" : "/v2/repository/index");
    ds__buffer answer;
    const char *answer_body = "";
    int status = 0;
    ds__buffer_init(&answer, cli_heap());
    int code = ask(&m, action->method, path, body, &answer, &answer_body, &status);
    if (code == CLI_DONE)
        code = status != 200            ? say_refusal(answer_body, status)
               : names                  ? print_done(&m, answer_body)
               : *action->method == 'G' ? CLI_DONE /* the exit code says it */
                                        : print_index(answer_body);
    ds__buffer_deinit(&answer);
    return code;
}
