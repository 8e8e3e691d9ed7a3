/* Option parsing with argp: the shared groups, and the frame in which a command adds its own. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum {
    KEY_THREADS = 0x1000,
    KEY_DTYPE,
    KEY_QUANTIZATION,
    KEY_MAX_SEQ_LEN,
    KEY_MEMORY_LIMIT,
    KEY_ADAPTER,
    KEY_TEXTS,
    KEY_TEXT_COLUMN,
    KEY_NO_HEADER,
    KEY_DELIMITER,
};

static const struct argp_option run_options[] = {
    {"threads", KEY_THREADS, "N", 0, "Threads to use (default: what the cgroup and the affinity mask allow)", 10},
    {"dtype", KEY_DTYPE, "auto|float32|bfloat16", 0,
     "What to compute in (default: float32; train: auto); auto takes the faster one here, and says which", 10},
    {"quantization", KEY_QUANTIZATION, "int8", 0,
     "Bring the layers and tables to int8 when the model is opened (what is stored in int8 always is); train: the "
     "forward pass rounds as int8 will",
     10},
    {"max-seq-len", KEY_MAX_SEQ_LEN, "N", 0,
     "Cut texts to N tokens, special ones included (default: as the model says; train: 128; tokenize never cuts)", 10},
    {"memory-limit", KEY_MEMORY_LIMIT, "SIZE", 0,
     "Hard limit on what the library allocates, such as 512M or 2G: work is split to fit, or refused", 10},
    {"adapter", KEY_ADAPTER, "DIR", 0,
     "Merge the LoRA adapter in DIR, as peft stores them, into MODEL when it is opened", 10},
    {0}};

static const struct argp_option texts_options[] = {
    {"texts", KEY_TEXTS, "FILE", 0,
     "Lines of text; .csv (RFC 4180) and .tsv have a header (default: -, standard input)", 5},
    {"text-column", KEY_TEXT_COLUMN, "C", 0,
     "The column's name, or its number from 1 with --no-header "
     "(default: text, else sentence, else the first)",
     5},
    {"no-header", KEY_NO_HEADER, 0, 0, "The file's first line is a record like the others", 5},
    {"delimiter", KEY_DELIMITER, "comma|tab", 0, "The file has columns of this kind, whatever its name", 5},
    {0}};

/* A whole number from low to high, or a usage error. */
static long parse_number(struct argp_state *state, const char *option, const char *text, long low, long high) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        argp_error(state, "%s is \"%s\", expected a whole number from %ld to %ld", option, text, low, high);
    return value;
}

/* 1000000, 512M, 2G, 1GiB: powers of 1024. */
static uint64_t parse_size(struct argp_state *state, const char *text) {
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    const char *rest = unit ? end + 1 : end;
    bool known = *rest == '\0' || strcmp(rest, "B") == 0 || (unit && strcmp(rest, "iB") == 0);
    bool is_number = *text >= '0' && *text <= '9'; /* strtoull takes " -1" for a huge one */
    if (errno || !is_number || !known || value == 0 || value > (UINT64_MAX >> shift))
        argp_error(state, "--memory-limit is \"%s\", expected a size such as 512M or 2G", text);
    return (uint64_t)value << shift;
}

static ds_precision parse_precision(struct argp_state *state, const char *text) {
    for (int i = DS_PRECISION_FLOAT32; i <= DS_PRECISION_AUTO; i++)
        if (strcmp(text, ds_precision_name((ds_precision)i)) == 0) return (ds_precision)i;
    argp_error(state, "--dtype is \"%s\", expected auto, float32 or bfloat16", text);
    return DS_PRECISION_FLOAT32;
}

static ds_quantization parse_quantization(struct argp_state *state, const char *text) {
    if (strcmp(text, "int8") != 0) argp_error(state, "--quantization is \"%s\", expected int8", text);
    return DS_QUANTIZATION_INT8;
}

static error_t parse_run(int key, char *argument, struct argp_state *state) {
    cli_options *options = state->input;
    switch (key) {
    case KEY_THREADS: options->threads = (int)parse_number(state, "--threads", argument, 1, DS_MAX_THREADS); break;
    case KEY_DTYPE: options->precision = parse_precision(state, argument); break;
    case KEY_QUANTIZATION: options->quantization = parse_quantization(state, argument); break;
    case KEY_MAX_SEQ_LEN: options->max_seq_len = (int)parse_number(state, "--max-seq-len", argument, 1, 1 << 24); break;
    case KEY_MEMORY_LIMIT: options->memory_limit = parse_size(state, argument); break;
    case KEY_ADAPTER:
        if (!*argument) argp_error(state, "--adapter is empty, expected a folder");
        options->adapter = argument;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_texts(int key, char *argument, struct argp_state *state) {
    cli_options *options = state->input;
    switch (key) {
    case KEY_TEXTS:
        if (!*argument) argp_error(state, "--texts is empty, expected a file or -");
        options->texts = argument;
        break;
    case KEY_TEXT_COLUMN: options->text_column = argument; break;
    case KEY_NO_HEADER: options->no_header = true; break;
    case KEY_DELIMITER:
        if (strcmp(argument, "comma") != 0 && strcmp(argument, "tab") != 0)
            argp_error(state, "--delimiter is \"%s\", expected comma or tab", argument);
        options->delimiter = argument;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp cli_run_argp = {run_options, parse_run, NULL, NULL, NULL, NULL, NULL};
const struct argp cli_texts_argp = {texts_options, parse_texts, NULL, NULL, NULL, NULL, NULL};

/* The frame: own options first, then MODEL, then the shared groups. */
static error_t parse_frame(int key, char *argument, struct argp_state *state) {
    const cli_command *command = state->input;
    if (key == ARGP_KEY_INIT) {
        for (int i = 0; i < command->takes_run + command->takes_texts; i++) state->child_inputs[i] = command->common;
        return 0;
    }
    if (command->parse && command->parse(key, argument, command->own) == 0) return 0;
    const char *first = command->arguments; /* "MODEL", "MODEL OUT" or "RUN_DIR" */
    int name = (int)strcspn(first, " ");
    bool takes_first = *first != '\0', takes_output = first[name] != '\0';
    const char *folder =
        strcmp(first, "RUN_DIR") == 0 ? "the output of a training run" : "the folder of a model, or a model's name";
    if (key == ARGP_KEY_ARG && takes_output && command->common->model && !command->common->output_folder) {
        if (!*argument) argp_error(state, "OUT is empty, expected the name of a new folder");
        command->common->output_folder = argument;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        if (!takes_first || command->common->model) argp_error(state, "\"%s\" is one argument too many", argument);
        if (!*argument) argp_error(state, "%.*s is empty, expected %s", name, first, folder);
        command->common->model = argument;
        return 0;
    }
    if (key == ARGP_KEY_END && takes_first && !command->common->model && !command->common->needs_no_model)
        argp_error(state, "%.*s is missing: %s", name, first, folder);
    if (key == ARGP_KEY_END && takes_output && !command->common->output_folder)
        argp_error(state, "OUT is missing: the folder to be made");
    return ARGP_ERR_UNKNOWN;
}

void cli_parse(const cli_command *command, int argc, char **argv) {
    struct argp_child children[3] = {{0}};
    int count = 0;
    if (command->takes_texts) children[count++] = (struct argp_child){&cli_texts_argp, 0, "Where texts come from:", 5};
    if (command->takes_run) children[count++] = (struct argp_child){&cli_run_argp, 0, "How to run:", 10};
    struct argp argp = {command->options, parse_frame, command->arguments, command->doc, children, NULL, NULL};
    static char name[64]; /* argv keeps it */
    snprintf(name, sizeof name, "deepseek %s", command->name);
    argv[0] = name;
    argp_parse(&argp, argc, argv, 0, NULL, (void *)command);
    const cli_options *common = command->common;
    const char *column = common->text_column ? "--text-column" : common->pair_column ? "--text-pair-column" : NULL;
    if (command->takes_texts && column && !cli_texts_have_columns(common))
        exit(cli_usage_error(command->name,
                             "%s needs columns, but \"%s\" is read as lines; --delimiter says which kind", column,
                             common->texts ? common->texts : "-"));
}

int cli_usage_error(const char *command, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "deepseek %s: ", command);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nTry 'deepseek %s --help'.\n", command);
    return CLI_USAGE;
}
