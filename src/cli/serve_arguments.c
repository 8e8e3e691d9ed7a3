/* Arguments and configuration file of 'deepseek serve'. */
#include "cli/serve_arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum {
    KEY_REPOSITORY = 1,
    KEY_MODEL,
    KEY_HTTP_PORT,
    KEY_GRPC_PORT,
    KEY_METRICS_PORT,
    KEY_BIND,
    KEY_CONFIG,
    KEY_API_KEYS,
    KEY_TLS_CERT,
    KEY_TLS_KEY,
    KEY_MAX_QUEUE,
    KEY_MAX_BATCH_TOKENS,
    KEY_MAX_DELAY,
    KEY_GRACE,
    KEY_CHECK,
    KEY_TEST_MODELS,
};

enum { MAX_CONFIG_BYTES = 1 << 20 };

static const int64_t MAX_VERSION = 999999999999999999; /* 18 digits, as everywhere in the server */

static const struct argp_option options[] = {
    {"model-repository", KEY_REPOSITORY, "DIR", 0,
     "A folder with a folder for each model, which holds a folder for each "
     "version: NAME/1/config.json; the newest version is loaded",
     1},
    {"model", KEY_MODEL, "NAME=DIR", 0, "A model's own folder, as version 1; may be given several times", 1},
    {"bind", KEY_BIND, "ADDRESS", 0, "Where to listen (default: 127.0.0.1, this machine only)", 2},
    {"http-port", KEY_HTTP_PORT, "PORT", 0, "For REST (default: 8000; 0: any free one)", 2},
    {"grpc-port", KEY_GRPC_PORT, "PORT", 0, "For gRPC (default: 8001; 0: any free one; none: no gRPC)", 2},
    {"metrics-port", KEY_METRICS_PORT, "PORT", 0,
     "For Prometheus alone (default: 8002; 0: any free one; none: only "
     "/metrics of REST)",
     2},
    {"tls-cert", KEY_TLS_CERT, "FILE", 0,
     "Certificates as PEM, the server's own first; REST and gRPC then speak TLS 1.2 and later", 2},
    {"tls-key", KEY_TLS_KEY, "FILE", 0, "The certificate's key as PEM", 2},
    {"api-keys", KEY_API_KEYS, "FILE", 0,
     "Who may use the server: JSON lines, read again on SIGHUP (default: everybody)", 2},
    {"config", KEY_CONFIG, "FILE", 0, "A JSON object with these options' names; the command line goes first", 2},
    {"max-queue", KEY_MAX_QUEUE, "N", 0, "Texts that may wait; more are refused with 429 (default: 4096)", 3},
    {"max-batch-tokens", KEY_MAX_BATCH_TOKENS, "N", 0,
     "Tokens that run together (default: measured when a model is loaded)", 3},
    {"max-delay-us", KEY_MAX_DELAY, "N", 0,
     "How long a text may wait for others to join it (default: 0: a batch starts "
     "when the engine is free)",
     3},
    {"grace-seconds", KEY_GRACE, "N", 0, "After SIGTERM, how long requests may take to finish (default: 30)", 3},
    {"check", KEY_CHECK, 0, 0, "Check the configuration and load the models, then exit", 4},
    {"enable-test-models", KEY_TEST_MODELS, 0, 0, "Add the model \"identity\", which gives back what it gets", 4},
    {0}};

static const char doc[] =
    "Serves models over REST and gRPC: the Open Inference Protocol (KServe, Triton), and OpenAI's embeddings.\v"
    "The access log goes to standard output as JSON lines. SIGTERM ends the server once its requests "
    "are answered; SIGHUP reads the API keys again.\n\n"
    "Examples:\n"
    "  deepseek serve --model minilm=build/models/minilm\n"
    "  deepseek serve --model-repository models --api-keys keys.jsonl\n"
    "  curl localhost:8000/v1/embeddings -d '{\"model\": \"minilm\", \"input\": \"hello\"}'\n";

/* -1: "none". */
static int parse_port(const char *option, const char *text) {
    return strcmp(text, "none") == 0 ? -1 : (int)cli_whole("serve", option, text, 0, 65535);
}

/* The place of the model of that name, a new one if there is none yet. */
static size_t find_model(serve_arguments *a, const char *name) {
    for (size_t i = 0; i < a->model_count; i++)
        if (strcmp(a->models[i].name, name) == 0) return i;
    if (a->model_count == SERVE_MAX_MODELS)
        exit(
            cli_usage_error("serve", "there are more than %d models; --model-repository takes more", SERVE_MAX_MODELS));
    a->models[a->model_count] = (ds__named_model){.name = name};
    return a->model_count++;
}

static void parse_model(serve_arguments *a, char *argument) {
    char *equals = strchr(argument, '=');
    if (!equals || equals == argument || !equals[1])
        exit(cli_usage_error("serve", "--model is \"%s\", expected NAME=DIR", argument));
    *equals = '\0';
    a->models[find_model(a, argument)].folder = equals + 1;
}

/* One option, whoever says it. */
static error_t parse(int key, char *argument, void *own) {
    serve_arguments *a = own;
    switch (key) {
    case KEY_REPOSITORY: a->repository = argument; break;
    case KEY_MODEL: parse_model(a, argument); break;
    case KEY_BIND: a->bind = argument; break;
    case KEY_HTTP_PORT: a->http_port = (int)cli_whole("serve", "http-port", argument, 0, 65535); break;
    case KEY_GRPC_PORT: a->grpc_port = parse_port("grpc-port", argument); break;
    case KEY_METRICS_PORT: a->metrics_port = parse_port("metrics-port", argument); break;
    case KEY_CONFIG: break; /* read before everything else */
    case KEY_API_KEYS: a->api_keys = argument; break;
    case KEY_TLS_CERT: a->tls_cert = argument; break;
    case KEY_TLS_KEY: a->tls_key = argument; break;
    case KEY_MAX_QUEUE: a->max_queue = (size_t)cli_whole("serve", "max-queue", argument, 1, 1 << 24); break;
    case KEY_MAX_BATCH_TOKENS:
        a->max_batch_tokens = (size_t)cli_whole("serve", "max-batch-tokens", argument, 1, 1 << 20);
        break;
    case KEY_MAX_DELAY: a->max_delay_us = (uint32_t)cli_whole("serve", "max-delay-us", argument, 0, 10000000); break;
    case KEY_GRACE: a->grace_s = (int)cli_whole("serve", "grace-seconds", argument, 0, 86400); break;
    case KEY_CHECK: a->check = true; break;
    case KEY_TEST_MODELS: a->test_models = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- the file ---- */

static char *copy(serve_arguments *a, ds__json *json, ds__str text) {
    ds__str kept = ds__arena_copy(&a->arena, text);
    if (!kept.data)
        ds__json_fail(json, DS_OUT_OF_MEMORY, "no memory is left");
    else if (memchr(kept.data, '\0', kept.size))
        ds__json_fail(json, DS_BAD_FORMAT, "a text has a NUL");
    return (char *)(kept.data ? kept.data : "");
}

/* {"stable": 2, "canary": 3} */
static void read_labels(serve_arguments *a, ds__json *json, ds__str key, ds__named_model *model) {
    ds__named_label *labels = ds__arena_alloc(&a->arena, SERVE_MAX_LABELS * sizeof *labels);
    if (!labels) ds__json_fail(json, DS_OUT_OF_MEMORY, "no memory is left");
    if (!ds__json_expect(json, DS__JSON_OBJECT, key)) return;
    model->labels = labels;
    model->label_count = 0;
    for (ds__str name; ds__json_next_key(json, &name);) {
        if (model->label_count == SERVE_MAX_LABELS) {
            ds__json_fail(json, DS_BAD_FORMAT, "the model \"%s\" has more than %d labels", model->name,
                          SERVE_MAX_LABELS);
            return;
        }
        char *kept = copy(a, json, name);
        labels[model->label_count++] = (ds__named_label){kept, ds__json_int(json, name, 1, MAX_VERSION)};
    }
}

static ds_precision read_dtype(ds__json *json, ds__str key, const char *model) {
    ds__str text = ds__json_string(json, key);
    for (int i = DS_PRECISION_FLOAT32; i <= DS_PRECISION_AUTO; i++)
        if (ds__str_is(text, ds_precision_name((ds_precision)i))) return (ds_precision)i;
    ds__json_fail(json, DS_BAD_FORMAT, "the model \"%s\" has the dtype \"%.*s\", expected auto, float32 or bfloat16",
                  model, DS_STR_ARG(text));
    return DS_PRECISION_FLOAT32;
}

static ds_quantization read_quantization(ds__json *json, ds__str key, const char *model) {
    ds__str text = ds__json_string(json, key);
    if (ds__str_is(text, "int8")) return DS_QUANTIZATION_INT8;
    if (!ds__str_is(text, "none"))
        ds__json_fail(json, DS_BAD_FORMAT, "the model \"%s\" has the quantization \"%.*s\", expected int8 or none",
                      model, DS_STR_ARG(text));
    return DS_QUANTIZATION_AUTO;
}

/* {"NAME": {"folder": "DIR", "dtype": ...}} */
static void read_models(serve_arguments *a, ds__json *json) {
    for (ds__str name; ds__json_next_key(json, &name);) {
        size_t place = find_model(a, copy(a, json, name));
        ds__named_model *model = &a->models[place];
        serve_section *section = &a->sections[place];
        for (ds__str key; ds__json_next_key(json, &key);) {
            if (ds__str_is(key, "folder")) {
                model->folder = copy(a, json, ds__json_string(json, key));
            } else if (ds__str_is(key, "dtype")) {
                model->model.precision = read_dtype(json, key, model->name);
                section->has_dtype = true;
            } else if (ds__str_is(key, "quantization")) {
                model->model.quantization = read_quantization(json, key, model->name);
                section->has_quantization = true;
            } else if (ds__str_is(key, "max-seq-len")) {
                model->max_seq_len = (int32_t)ds__json_int(json, key, 1, 1 << 24);
                section->has_max_seq_len = true;
            } else if (ds__str_is(key, "labels")) {
                read_labels(a, json, key, model);
            } else {
                ds__json_fail(
                    json, DS_BAD_FORMAT,
                    "the model \"%s\" has a member \"%.*s\", expected folder, dtype, quantization, max-seq-len "
                    "or labels",
                    model->name, DS_STR_ARG(key));
            }
        }
    }
}

static const struct argp_option *find_option(const struct argp_option *list, ds__str name) {
    for (; list->name; list++)
        if (ds__str_is(name, list->name)) return list;
    return NULL;
}

/* The value as the command line would give it: numbers and switches by their text. */
static char *read_value(serve_arguments *a, ds__json *json, ds__str key) {
    return copy(a, json, ds__json_peek(json) == DS__JSON_STRING ? ds__json_string(json, key) : ds__json_raw(json));
}

static void read_member(serve_arguments *a, ds__json *json, ds__str key) {
    const struct argp_option *own = find_option(options, key), *run = find_option(cli_run_argp.options, key);
    if (ds__str_is(key, "models")) {
        read_models(a, json);
    } else if (own && !own->arg) {
        if (ds__json_bool(json, key)) parse(own->key, NULL, a);
    } else if (own && own->key != KEY_MODEL && own->key != KEY_CONFIG) {
        char *value = read_value(a, json, key);
        if (ds__json_ok(json)) parse(own->key, value, a);
    } else if (run) {
        char *value = read_value(a, json, key);
        struct argp_state state = {
            .input = &a->common, .name = (char *)"deepseek serve", .err_stream = stderr, .root_argp = &cli_run_argp};
        if (ds__json_ok(json)) cli_run_argp.parser(run->key, value, &state);
    } else {
        ds__json_fail(json, DS_BAD_FORMAT, "there is a member \"%.*s\", which is no option of 'deepseek serve'",
                      DS_STR_ARG(key));
    }
}

static void read_config(serve_arguments *a, const char *path) {
    ds_error error;
    ds__buffer text;
    ds__json json;
    ds__buffer_init(&text, cli_heap());
    ds_status status = ds__file_read(path, MAX_CONFIG_BYTES, &text, &error);
    if (status == DS_OK) {
        ds__json_init(&json, cli_heap(), path, ds__buffer_str(&text));
        for (ds__str key; ds__json_next_key(&json, &key);) read_member(a, &json, key);
        status = ds__json_finish(&json, &error);
    }
    ds__buffer_deinit(&text);
    if (status != DS_OK) exit(cli_usage_error("serve", "%s", error.message));
}

/* What a section does not say is as for all; and what only both together can tell. */
static void complete_models(serve_arguments *a) {
    for (size_t i = 0; i < a->model_count; i++) {
        ds__named_model *model = &a->models[i];
        const serve_section *section = &a->sections[i];
        if (!section->has_dtype) model->model.precision = a->common.precision;
        if (!section->has_quantization) model->model.quantization = a->common.quantization;
        if (!section->has_max_seq_len) model->max_seq_len = a->common.max_seq_len;
        if (!model->folder && !a->repository)
            exit(cli_usage_error("serve",
                                 "the model \"%s\" has no folder, and there is no --model-repository to find it in",
                                 model->name));
    }
}

void serve_parse(serve_arguments *a, int argc, char **argv) {
    *a = (serve_arguments){.bind = "127.0.0.1",
                           .http_port = 8000,
                           .grpc_port = 8001,
                           .metrics_port = 8002,
                           .max_queue = 4096,
                           .grace_s = 30};
    ds__arena_init(&a->arena, cli_heap(), 0);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) read_config(a, argv[i] + 9);
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) read_config(a, argv[i + 1]);
    }
    cli_command command = {.name = "serve",
                           .arguments = "",
                           .doc = doc,
                           .options = options,
                           .parse = parse,
                           .own = a,
                           .takes_run = true,
                           .common = &a->common};
    cli_parse(&command, argc, argv);
    if (a->common.adapter)
        exit(cli_usage_error("serve",
                             "--adapter is given, expected none: models here have several folders; serve a merged "
                             "one (train writes it)"));
    if (!a->repository && !a->model_count && !a->test_models)
        exit(cli_usage_error("serve", "there is no model; give --model NAME=DIR or --model-repository DIR"));
    complete_models(a);
    if (!a->tls_cert != !a->tls_key)
        exit(cli_usage_error("serve", "--%s is missing; TLS needs a certificate and its key",
                             a->tls_cert ? "tls-key" : "tls-cert"));
}
