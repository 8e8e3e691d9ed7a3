/* deepseek models: administration of a running server, over its REST routes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/server_client.h"

enum { KEY_URL = 1, KEY_KEY_FILE, KEY_TLS_CA };

static const struct argp_option options[] = {
    {"url", KEY_URL, "URL", 0, "Where the server is, http or https (default: http://127.0.0.1:8000)", 1},
    {"tls-ca", KEY_TLS_CA, "FILE", 0,
     "Certificates (PEM) of who may have signed the server's, which may be that one itself (default: the system's)", 1},
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
    "  deepseek models label minilm stable 2\n"
    "  deepseek models list --url https://models.example:8000 --tls-ca ca.pem --api-key-file admin.key\n";

typedef struct models {
    server_target server;
    const char *words[4]; /* the action and what it acts on */
    size_t word_count;
} models;

static void parse_url(models *m, const char *url) {
    if (!server_parse_url(&m->server, url))
        exit(cli_usage_error("models", "--url is \"%s\", expected http://HOST:PORT or https://HOST:PORT", url));
}

static void read_key(models *m, const char *path) {
    ds_error error;
    ds__buffer text;
    ds__buffer_init(&text, cli_heap());
    if (ds__file_read(path, 1 << 16, &text, &error) != DS_OK) exit(cli_fail_error(&error));
    size_t size = strcspn(ds__buffer_cstr(&text), "\r\n");
    if (!size || size > SERVER_MAX_KEY)
        exit(cli_fail("%s: the first line has %zu bytes, expected a key of 1 to %d", path, size, SERVER_MAX_KEY));
    memcpy(m->server.key, text.data, size);
    m->server.key[size] = '\0';
    ds__buffer_deinit(&text);
}

static error_t parse(int key, char *argument, void *own) {
    models *m = own;
    switch (key) {
    case KEY_URL: parse_url(m, argument); return 0;
    case KEY_KEY_FILE: read_key(m, argument); return 0;
    case KEY_TLS_CA: m->server.tls_ca = argument; return 0;
    case ARGP_KEY_ARG:
        if (m->word_count == sizeof m->words / sizeof *m->words)
            exit(cli_usage_error("models", "\"%s\" is one argument too many", argument));
        m->words[m->word_count++] = argument;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
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
    if (m.server.tls_ca && !m.server.is_tls)
        return cli_usage_error("models", "--tls-ca is given, but --url is not https");
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
    server_answer answer = {.body = ""};
    ds__buffer_init(&answer.text, cli_heap());
    int code = server_ask(&m.server, action->method, path, body, &answer);
    if (code == CLI_DONE)
        code = answer.status != 200     ? say_refusal(answer.body, answer.status)
               : names                  ? print_done(&m, answer.body)
               : *action->method == 'G' ? CLI_DONE /* the exit code says it */
                                        : print_index(answer.body);
    ds__buffer_deinit(&answer.text);
    return code;
}
