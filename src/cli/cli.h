/* What the commands share: options, texts in, lines out, errors.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage.  Results go to standard output, everything else to standard error. */
#ifndef DS_CLI_CLI_H
#define DS_CLI_CLI_H

#include <argp.h>

#include "base/buffer.h"
#include "deepseek/deepseek.h"
#include "formats/json.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

#define DS_COMMAND(name, about) int cli_##name(int argc, char **argv);
#include "cli/cmds.def"
#undef DS_COMMAND

/* Options that several commands have; a command names the groups it takes. */
typedef struct cli_options {
    const char *model;         /* the positional argument; a run's folder for commands that read one */
    const char *output_folder; /* the second one, where a command has it */
    int threads;               /* 0: automatic */
    ds_precision precision;
    ds_quantization quantization;
    int max_seq_len;       /* 0: as the folder says */
    uint64_t memory_limit; /* 0: none */
    const char *adapter;   /* NULL: none */
    const char *texts, *text_column, *pair_column;
    const char *delimiter; /* "comma", "tab" or NULL: by the file's ending */
    bool no_header;
    bool needs_no_model; /* an option has taken the model's place */
    bool writes_file;    /* results do not go to standard output: a progress bar cannot come between them */
} cli_options;

/* Child parsers for argp: how to run, and where texts come from. Their input is a cli_options. */
extern const struct argp cli_run_argp, cli_texts_argp;
/* Parses a whole command line; exits with CLI_USAGE on mistakes, as argp does. parser: of the command's own options, or
 * NULL; own: its argp_option list or NULL; input: what `parser` gets. MODEL is read here when the command takes one. */
typedef struct cli_command {
    const char *name, *arguments, *doc; /* arguments: "MODEL", "MODEL OUT", "RUN_DIR" or "" */
    const struct argp_option *options;
    error_t (*parse)(int key, char *argument, void *own); /* ARGP_ERR_UNKNOWN for keys that are not its own */
    void *own;
    bool takes_texts, takes_run;
    cli_options *common;
} cli_command;
void cli_parse(const cli_command *command, int argc, char **argv);
/* Wrong usage found after parsing: one sentence, exit code 2. */
int cli_usage_error(const char *command, const char *format, ...) DS_PRINTF(2, 3);

/* The folder that a MODEL on the command line stands for.  A path that exists is meant itself; else a name such as
 * deepseek/base-model is looked for as bindings/python/deepseek/names.py does: in the roots of DEEPSEEK_MODELS, in the
 * source tree or installation that the program is of, in $XDG_DATA_HOME/deepseek/models.  Fails with the places where
 * it was looked for when there is none.  *name: NULL is left alone; what it becomes lives as long as the program. */
int cli_find_model(const char **name);
/* An option's value, low to high; a usage error ends the program. expected: of a real number, for that sentence. */
int64_t cli_whole(const char *command, const char *option, const char *text, int64_t low, int64_t high);
double cli_real(const char *command, const char *option, const char *text, double low, double high,
                const char *expected);

/* Memory of the program itself: outside of the library's limit, and bounded (see cli_batch). */
ds__heap *cli_heap(void);

/* "deepseek: sentence" on standard error; returns CLI_FAILED. */
int cli_fail(const char *format, ...) DS_PRINTF(1, 2);
int cli_fail_error(const ds_error *error);

/* A context with the options' threads and limit, and the options' model looked for by its name. The library's warnings
 * go to standard error. */
int cli_open_context(cli_options *options, ds_context **context);
/* A context, a model and a session; cli_close gives all back. */
typedef struct cli_engine {
    ds_context *context;
    ds_model *model;
    ds_session *session;
} cli_engine;
int cli_open_engine(cli_options *options, cli_engine *engine);
void cli_close_engine(cli_engine *engine);
/* The most memory that this process has had resident so far; -1: not known. */
long cli_peak_rss_mb(void);
/* What --dtype auto has become, and why, on standard error; nothing when something else was asked for. */
void cli_say_precision(const cli_options *options, const ds_model *model);

/* Texts read ahead: at most CLI_BATCH_TEXTS, and no further text once CLI_BATCH_BYTES are held; so at most that plus
 * one record (16 MiB) is in memory, however large the file. */
enum { CLI_BATCH_TEXTS = 512, CLI_BATCH_BYTES = 4 << 20 };
typedef struct cli_batch {
    ds_text texts[CLI_BATCH_TEXTS], pairs[CLI_BATCH_TEXTS];
    size_t count;
    bool has_pairs;
} cli_batch;
typedef struct cli_texts cli_texts;
/* Whether the texts stand in columns: as --delimiter says, else by the file's ending. */
bool cli_texts_have_columns(const cli_options *options);
int cli_texts_open(const cli_options *options, cli_texts **out);
void cli_texts_close(cli_texts *texts);
/* Calls `each` with all texts, batch by batch (borrowed until it returns), and shows progress. Stops at the first exit
 * code other than CLI_DONE and returns it. */
int cli_texts_each(cli_texts *texts, int (*each)(void *own, const cli_batch *batch), void *own);

/* Writes to standard output; false when nobody reads any more (no word about it) or the disk is full (reported). */
bool cli_write(const ds__buffer *text);
/* For atexit: what is still buffered must reach its reader, else the program has failed, whatever it returned. */
void cli_close_output(void);

/* A progress bar on standard error: only on a terminal, only after two seconds. Without any total it is a count. */
typedef struct cli_progress {
    const char *unit;
    size_t total, done;               /* units; total 0: unknown */
    uint64_t bytes_total, bytes_done; /* of the input, set by the caller where they tell more; total 0: unknown */
    uint64_t started_ns, shown_ns;
    bool terminal;
} cli_progress;
void cli_progress_start(cli_progress *progress, const char *unit, size_t total);
void cli_progress_add(cli_progress *progress, size_t done);
void cli_progress_end(cli_progress *progress);
/* The bar itself, in place of the line before, cut to the terminal's width. share: 0 to 1; 0: the text alone. */
void cli_progress_draw(double share, const char *text);
/* Takes the line away. */
void cli_progress_clear(void);

#endif
