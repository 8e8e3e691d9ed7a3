/* Texts in batches from a file or standard input. */
#include <string.h>

#include "cli/cli.h"
#include "formats/table.h"

struct cli_texts {
    ds__table *table;
    ds__arena arena; /* the batch's texts */
    cli_batch batch;
};

static bool ends_with(const char *text, const char *ending) {
    return ds__str_ends(ds__str_of(text), ds__str_of(ending));
}

int cli_texts_open(const cli_options *options, cli_texts **out) {
    ds_error error;
    const char *path = options->texts ? options->texts : "-";
    ds__table_options wanted = {.path = path,
                                .format = DS__TABLE_LINES,
                                .has_header = !options->no_header,
                                .text_column = options->text_column,
                                .pair_column = options->pair_column};
    if (options->delimiter)
        wanted.format = strcmp(options->delimiter, "comma") == 0 ? DS__TABLE_COMMA : DS__TABLE_TAB;
    else if (ends_with(path, ".csv"))
        wanted.format = DS__TABLE_COMMA;
    else if (ends_with(path, ".tsv"))
        wanted.format = DS__TABLE_TAB;
    if (wanted.format == DS__TABLE_LINES && (options->text_column || options->pair_column))
        return cli_fail("%s: is read as lines, which have no columns; name them with --delimiter comma or tab", path);
    cli_texts *texts = ds__alloc_zeroed(cli_heap(), sizeof *texts);
    if (!texts) return cli_fail("out of memory");
    ds__arena_init(&texts->arena, cli_heap(), 1 << 16);
    texts->batch.has_pairs = options->pair_column != NULL;
    if (ds__table_open(cli_heap(), &wanted, &texts->table, &error) != DS_OK) {
        cli_texts_close(texts);
        return cli_fail_error(&error);
    }
    *out = texts;
    return CLI_DONE;
}

/* Reads the next texts; none at the end. */
static int read_batch(cli_texts *texts) {
    size_t bytes = 0;
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
    while ((code = read_batch(texts)) == CLI_DONE && texts->batch.count) {
        code = each(own, &texts->batch);
        if (code != CLI_DONE) break;
        cli_progress_add(&progress, texts->batch.count);
    }
    cli_progress_end(&progress);
    return code;
}
