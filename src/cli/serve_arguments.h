/* What 'deepseek serve' is told, by its arguments and by a file of the same names. */
#ifndef DS_CLI_SERVE_ARGUMENTS_H
#define DS_CLI_SERVE_ARGUMENTS_H

#include "cli/cli.h"
#include "serve/http/http_server.h"
#include "serve/serve_options.h"

enum { SERVE_MAX_MODELS = 256, SERVE_MAX_LABELS = 32 };

/* What is said of one model; what is not said is as for all. */
typedef struct serve_section {
    bool has_dtype, has_quantization, has_max_seq_len;
} serve_section;

typedef struct serve_arguments {
    cli_options common;
    const char *repository, *bind, *api_keys, *tls_cert, *tls_key;
    ds__named_model models[SERVE_MAX_MODELS];
    serve_section sections[SERVE_MAX_MODELS]; /* of the model at the same place */
    size_t model_count;
    int http_port, grpc_port, metrics_port; /* -1: no gRPC; no port of the metrics' own */
    size_t max_queue, max_batch_tokens;
    uint32_t max_delay_us;
    int grace_s;
    bool check, test_models;
    ds__arena arena; /* what the file's texts lie in */
} serve_arguments;

/* Parses both; exits with CLI_USAGE on mistakes. What the command line says goes before what the file says. */
void serve_parse(serve_arguments *arguments, int argc, char **argv);

#endif
