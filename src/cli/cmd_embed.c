/* deepseek embed: texts to vectors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "formats/npy.h"

enum { KEY_OUTPUT = 1, KEY_POOLING, KEY_NORMALIZE };

static const struct argp_option options[] = {
    {"output", KEY_OUTPUT, "FILE", 0,
     "Where to write: a name ending in .npy gets one float32 matrix [texts, hidden], "
     "anything else JSON lines (default: -, JSON lines on standard output)",
     1},
    {"pooling", KEY_POOLING, "auto|mean|cls|max", 0,
     "How tokens become one vector (default: as modules.json says, else mean)", 1},
    {"normalize", KEY_NORMALIZE, "auto|yes|no", 0, "Vectors of length 1 (default: as modules.json says, else no)", 1},
    {0}};

static const char doc[] = "Turns each text into a vector.\v"
                          "JSON lines: {\"text\":..., \"embedding\":[...]}, in the order of the texts.\n\n"
                          "Examples:\n"
                          "  echo 'Where is my card?' | deepseek embed MODEL\n"
                          "  deepseek embed MODEL --texts questions.csv --output vectors.npy\n";

typedef struct embed {
    cli_options common;
    const char *output;
    ds_embed_options how;
} embed;

/* The place of `text` in a list of names, or a usage error. */
static int choose(const char *option, const char *text, const char *const *names, int count, int *out) {
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return 0;
        }
    fprintf(stderr, "deepseek embed: %s is \"%s\", expected one of:", option, text);
    for (int i = 0; i < count; i++) fprintf(stderr, " %s", names[i]);
    fprintf(stderr, "\n");
    return CLI_USAGE;
}

static error_t parse(int key, char *argument, void *own) {
    static const char *const poolings[] = {"auto", "mean", "cls", "max"}, *const switches[] = {"auto", "yes", "no"};
    embed *e = own;
    int value = 0, code = 0;
    switch (key) {
    case KEY_OUTPUT:
        if (!*argument) code = cli_usage_error("embed", "--output is empty, expected a file or -");
        e->output = argument;
        break;
    case KEY_POOLING:
        code = choose("--pooling", argument, poolings, 4, &value);
        e->how.pooling = (ds_pooling)value;
        break;
    case KEY_NORMALIZE:
        code = choose("--normalize", argument, switches, 3, &value);
        e->how.normalize = (ds_switch)value;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    if (code) exit(code);
    return 0;
}

/* Where the vectors go. */
typedef struct sink {
    ds__npy *npy; /* NULL: JSON lines */
    FILE *file;   /* of the JSON lines */
    const char *path;
    char temporary[4096]; /* takes the path's place when all is written; empty: written where it is */
    ds__buffer line;
} sink;

static bool wants_npy(const char *path) { return ds__str_ends(ds__str_of(path), DS_STR(".npy")); }

/* A file is replaced when it is complete; a pipe or a device cannot be, and is written to. */
static int open_lines(sink *out) {
    struct stat info;
    bool in_place = stat(out->path, &info) == 0 && !S_ISREG(info.st_mode);
    size_t room = sizeof out->temporary;
    if (!in_place && (size_t)snprintf(out->temporary, room, "%s.tmp-%ld", out->path, (long)getpid()) >= room)
        return cli_fail("%s: the path is longer than %zu bytes", out->path, room);
    out->file = fopen(in_place ? out->path : out->temporary, "we");
    return out->file ? CLI_DONE : cli_fail("%s: cannot create: %s", out->path, strerror(errno));
}

static int sink_open(sink *out, const char *path, size_t hidden) {
    ds_error error;
    *out = (sink){.path = path};
    ds__buffer_init(&out->line, cli_heap());
    if (wants_npy(path))
        return ds__npy_create(cli_heap(), path, hidden, &out->npy, &error) == DS_OK ? CLI_DONE : cli_fail_error(&error);
    if (strcmp(path, "-") != 0) return open_lines(out);
    out->file = stdout;
    return CLI_DONE;
}

static int sink_write(sink *out, const cli_batch *batch, const float *vectors, size_t hidden) {
    ds_error error;
    if (out->npy)
        return ds__npy_append(out->npy, vectors, batch->count, &error) == DS_OK ? CLI_DONE : cli_fail_error(&error);
    for (size_t i = 0; i < batch->count; i++) {
        ds__json_writer json = {&out->line, false};
        ds__buffer_clear(&out->line);
        ds__json_open_object(&json);
        ds__json_key(&json, "text");
        ds__json_put_string(&json, (ds__str){batch->texts[i].data, batch->texts[i].size});
        ds__json_key(&json, "embedding");
        ds__json_open_array(&json);
        for (size_t c = 0; c < hidden; c++) ds__json_put_f32(&json, vectors[i * hidden + c]);
        ds__json_close_array(&json);
        ds__json_close_object(&json);
        ds__buffer_put(&out->line, '\n');
        if (out->file == stdout) {
            if (!cli_write(&out->line)) return CLI_FAILED;
            continue;
        }
        if (out->line.failed) return cli_fail("out of memory while writing");
        if (fwrite(out->line.data, 1, out->line.size, out->file) != out->line.size)
            return cli_fail("%s: cannot write: %s", out->path, strerror(errno));
    }
    return CLI_DONE;
}

/* Completes the output, or takes it back when the command failed. */
static int sink_close(sink *out, int code) {
    ds_error error;
    ds__buffer_deinit(&out->line);
    if (out->npy && code != CLI_DONE) ds__npy_abandon(out->npy);
    if (out->npy) return code == CLI_DONE && ds__npy_finish(out->npy, &error) != DS_OK ? cli_fail_error(&error) : code;
    if (out->file == stdout || !out->file) return code;
    bool replaces = *out->temporary, written = fflush(out->file) == 0 && (!replaces || fsync(fileno(out->file)) == 0);
    int reason = errno;
    fclose(out->file); /* nothing is left to be written */
    if (code == CLI_DONE && !written) code = cli_fail("%s: cannot write: %s", out->path, strerror(reason));
    if (code == CLI_DONE && replaces && rename(out->temporary, out->path) != 0)
        code = cli_fail("%s: cannot replace: %s", out->path, strerror(errno));
    if (code != CLI_DONE && replaces) unlink(out->temporary);
    return code;
}

/* What embedding a batch needs. */
typedef struct embed_job {
    const embed *options;
    cli_engine *engine;
    sink *out;
    float *vectors; /* [CLI_BATCH_TEXTS, hidden] */
    size_t hidden, texts, truncated;
} embed_job;

static int embed_batch(void *own, const cli_batch *batch) {
    embed_job *job = own;
    ds_run_stats stats;
    ds_error error;
    if (ds_embed(job->engine->session, batch->texts, batch->count, &job->options->how, job->vectors, &stats, &error) !=
        DS_OK)
        return cli_fail_error(&error);
    job->texts += batch->count;
    job->truncated += stats.truncated;
    return sink_write(job->out, batch, job->vectors, job->hidden);
}

static int embed_all(const embed *e, cli_engine *engine, cli_texts *texts, sink *out) {
    embed_job job = {.options = e, .engine = engine, .out = out};
    job.hidden = (size_t)ds_model_describe(engine->model)->hidden_size;
    size_t bytes = CLI_BATCH_TEXTS * job.hidden * sizeof *job.vectors;
    job.vectors = ds__alloc(cli_heap(), bytes);
    if (!job.vectors) return cli_fail("out of memory for %d vectors of %zu numbers", CLI_BATCH_TEXTS, job.hidden);
    ds_error error; /* what cannot be done is refused before a text is waited for */
    int code = ds_embed(engine->session, NULL, 0, &e->how, job.vectors, NULL, &error) == DS_OK ? CLI_DONE
                                                                                               : cli_fail_error(&error);
    if (code == CLI_DONE) code = cli_texts_each(texts, embed_batch, &job);
    if (code == CLI_DONE && job.truncated)
        fprintf(stderr, "deepseek: %zu of %zu texts were cut; --max-seq-len says where\n", job.truncated, job.texts);
    ds__free(cli_heap(), job.vectors, bytes);
    return code;
}

int cli_embed(int argc, char **argv) {
    embed e = {.output = "-"};
    cli_parse(&(cli_command){"embed", "MODEL", doc, options, parse, &e, true, true, &e.common}, argc, argv);
    e.how.max_tokens = e.common.max_seq_len;
    e.common.writes_file = strcmp(e.output, "-") != 0;
    cli_texts *texts;
    cli_engine engine;
    sink out;
    int code = cli_texts_open(&e.common, &texts);
    if (code != CLI_DONE) return code;
    code = cli_open_engine(&e.common, &engine);
    if (code == CLI_DONE) {
        code = sink_open(&out, e.output, (size_t)ds_model_describe(engine.model)->hidden_size);
        if (code == CLI_DONE) code = embed_all(&e, &engine, texts, &out);
        code = sink_close(&out, code);
        cli_close_engine(&engine);
    }
    cli_texts_close(texts);
    return code;
}
