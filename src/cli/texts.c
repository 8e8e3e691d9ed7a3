/* Texts in batches from a file or standard input. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "formats/table.h"

struct cli_texts {
    ds__table_options wanted;
    ds__table *table; /* NULL: standard input, of which nothing was read yet */
    ds__arena arena;  /* the batch's texts */
    cli_batch batch;
    uint64_t bytes_total, bytes_done; /* of lines from a file; total 0: unknown */
    bool beside_output;               /* results may appear on the terminal: no progress bar between them */
};

static bool ends_with(const char *text, const char *ending) {
    return ds__str_ends(ds__str_of(text), ds__str_of(ending));
}

static ds__table_format format_of(const cli_options *options) {
    const char *path = options->texts ? options->texts : "-";
    if (options->delimiter) return strcmp(options->delimiter, "comma") == 0 ? DS__TABLE_COMMA : DS__TABLE_TAB;
    return ends_with(path, ".csv") ? DS__TABLE_COMMA : ends_with(path, ".tsv") ? DS__TABLE_TAB : DS__TABLE_LINES;
}

bool cli_texts_have_columns(const cli_options *options) { return format_of(options) != DS__TABLE_LINES; }

/* What is left to read of a file, 0 where that cannot be known. Before the table is opened, which reads ahead. */
static uint64_t bytes_left(const char *path) {
    bool standard = strcmp(path, "-") == 0;
    struct stat info;
    if ((standard ? fstat(STDIN_FILENO, &info) : stat(path, &info)) != 0 || !S_ISREG(info.st_mode)) return 0;
    off_t at = standard ? lseek(STDIN_FILENO, 0, SEEK_CUR) : 0;
    return at >= 0 && at < info.st_size ? (uint64_t)(info.st_size - at) : 0;
}

/* A file is opened at once. Standard input is opened, which waits for it, when the first text is wanted: until then a
 * model that cannot do the work has said so. */
static int open_table(cli_texts *texts) {
    ds_error error;
    return ds__table_open(cli_heap(), &texts->wanted, &texts->table, &error) == DS_OK ? CLI_DONE
                                                                                      : cli_fail_error(&error);
}

int cli_texts_open(const cli_options *options, cli_texts **out) {
    const char *path = options->texts ? options->texts : "-";
    cli_texts *texts = ds__alloc_zeroed(cli_heap(), sizeof *texts);
    if (!texts) return cli_fail("out of memory");
    texts->wanted = (ds__table_options){.path = path,
                                        .format = format_of(options),
                                        .has_header = !options->no_header,
                                        .text_column = options->text_column,
                                        .pair_column = options->pair_column};
    ds__arena_init(&texts->arena, cli_heap(), 1 << 16);
    texts->batch.has_pairs = options->pair_column != NULL;
    texts->bytes_total = cli_texts_have_columns(options) ? 0 : bytes_left(path); /* quotes hide a record's real size */
    texts->beside_output = !options->writes_file && isatty(STDOUT_FILENO) == 1;
    int code = strcmp(path, "-") == 0 ? CLI_DONE : open_table(texts);
    if (code != CLI_DONE)
        cli_texts_close(texts);
    else
        *out = texts;
    return code;
}

/* Reads the next texts; none at the end. */
static int read_batch(cli_texts *texts) {
    size_t bytes = 0;
    if (!texts->table && open_table(texts) != CLI_DONE) return CLI_FAILED;
    ds__arena_reset(&texts->arena);
    texts->batch.count = 0;
    while (texts->batch.count < CLI_BATCH_TEXTS && bytes < CLI_BATCH_BYTES) {
        ds__str text, pair;
        bool end;
        ds_error error;
        if (ds__table_next(texts->table, &text, &pair, &end, &error) != DS_OK) return cli_fail_error(&error);
        if (end) break;
        text = ds__arena_copy(&texts->arena, text);
        pair = ds__arena_copy(&texts->arena, pair);
        if (!text.data || !pair.data) return cli_fail("out of memory while reading texts");
        texts->batch.texts[texts->batch.count] = (ds_text){text.data, text.size};
        texts->batch.pairs[texts->batch.count++] = (ds_text){pair.data, pair.size};
        bytes += text.size + pair.size;
        texts->bytes_done += text.size + 1; /* the newline */
    }
    return CLI_DONE;
}

void cli_texts_close(cli_texts *texts) {
    if (!texts) return;
    ds__table_close(texts->table);
    ds__arena_deinit(&texts->arena);
    ds__free(cli_heap(), texts, sizeof *texts);
}

int cli_texts_each(cli_texts *texts, int (*each)(void *own, const cli_batch *batch), void *own) {
    cli_progress progress;
    int code;
    cli_progress_start(&progress, "texts", 0);
    progress.bytes_total = texts->bytes_total;
    progress.terminal = progress.terminal && !texts->beside_output;
    while ((code = read_batch(texts)) == CLI_DONE && texts->batch.count) {
        code = each(own, &texts->batch);
        if (code != CLI_DONE) break;
        progress.bytes_done = texts->bytes_done;
        cli_progress_add(&progress, texts->batch.count);
    }
    cli_progress_end(&progress);
    return code;
}
