/* Errors, output and the library's objects as the commands use them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

ds__heap *cli_heap(void) {
    static ds__heap heap;
    if (!heap.host.allocate) ds__heap_init(&heap, NULL, 0);
    return &heap;
}

int cli_fail(const char *format, ...) {
    va_list arguments;
    fputs("deepseek: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return CLI_FAILED;
}

int cli_fail_error(const ds_error *error) { return cli_fail("%s", error->message); }

static void log_line(void *user, ds_log_level level, const char *message) {
    (void)user;
    if (level == DS_LOG_WARNING)
        fprintf(stderr, "deepseek: warning: %s\n", message);
    else if (level == DS_LOG_INFO) /* only what DS_DUMP asked for */
        fprintf(stderr, "%s\n", message);
}

int cli_open_context(cli_options *options, ds_context **context) {
    ds_error error;
    ds_context_options wanted = {.threads = options->threads, .memory_limit = options->memory_limit, .log = log_line};
    *context = NULL;
    const int code = cli_find_model(&options->model);
    if (code != CLI_DONE) return code;
    return ds_context_create(&wanted, context, &error) == DS_OK ? CLI_DONE : cli_fail_error(&error);
}

void cli_say_precision(const cli_options *options, const ds_model *model) {
    const ds_model_info *info = ds_model_describe(model);
    if (options->precision == DS_PRECISION_AUTO)
        fprintf(stderr, "deepseek: --dtype auto is %s: %s\n", ds_precision_name(info->precision), info->precision_why);
}

int cli_open_engine(cli_options *options, cli_engine *engine) {
    ds_error error;
    ds_model_options wanted = {
        .precision = options->precision, .quantization = options->quantization, .adapter = options->adapter};
    *engine = (cli_engine){NULL, NULL, NULL};
    int code = cli_open_context(options, &engine->context);
    if (code == CLI_DONE && (ds_model_open(engine->context, options->model, &wanted, &engine->model, &error) != DS_OK ||
                             ds_session_create(engine->model, &engine->session, &error) != DS_OK))
        code = cli_fail_error(&error);
    if (code == CLI_DONE) cli_say_precision(options, engine->model);
    if (code != CLI_DONE) cli_close_engine(engine);
    return code;
}

void cli_close_engine(cli_engine *engine) {
    ds_session_destroy(engine->session);
    ds_model_close(engine->model);
    ds_context_destroy(engine->context);
}

long cli_peak_rss_mb(void) {
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long kb = -1;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0) kb = strtol(line + 6, NULL, 10);
    if (file) fclose(file);
    return kb < 0 ? -1 : (kb + 512) / 1024;
}

/* Standard output failed: said once, and not at all when its reader has left. */
static bool output_is_lost;
static void output_failed(void) {
    int code = errno; /* before anything else may change it */
    if (!output_is_lost && code != EPIPE) cli_fail("standard output: cannot write: %s", strerror(code));
    output_is_lost = true;
}

bool cli_write(const ds__buffer *text) {
    if (text->failed) {
        cli_fail("out of memory while writing");
        return false;
    }
    if (!text->size || fwrite(text->data, 1, text->size, stdout) == text->size) return true;
    output_failed();
    return false;
}

void cli_close_output(void) {
    if (output_is_lost || fflush(stdout) == 0) return;
    output_failed();
    _exit(CLI_FAILED); /* in atexit the exit code cannot be changed otherwise */
}
