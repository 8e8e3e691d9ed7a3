/* deepseek prune: a folder whose vocabulary has only the tokens that texts of a kind need. */
#include <stdlib.h>

#include "cli/cli.h"

enum { KEY_TEXTS = 1, KEY_TEXT_COLUMN, KEY_TOKENS, KEY_MIN_COUNT, KEY_JSON };
enum { MOST_FILES = 64, LEAST_TOKENS = 1, MOST_TOKENS = 1 << 24 };

static const struct argp_option options[] = {
    {"texts", KEY_TEXTS, "FILE", 0,
     "Texts as the model will see them: lines, or .csv and .tsv with a header; may be given again", 1},
    {"text-column", KEY_TEXT_COLUMN, "C", 0,
     "The texts' column in all files (default: text, else sentence, else the first)", 1},
    {"tokens", KEY_TOKENS, "N", 0, "How many tokens the new vocabulary has", 1},
    {"min-count", KEY_MIN_COUNT, "N", 0, "What the texts have fewer times counts as if they had it not (default: 1)",
     1},
    {"json", KEY_JSON, 0, 0, "The summary as one line of JSON", 1},
    {0}};

static const char doc[] =
    "Writes OUT, a model folder like MODEL with a WordPiece vocabulary of N tokens.\v"
    "Special tokens and single characters stay, then the tokens that the texts have most often, then others by their "
    "number (in BERT's vocabulary the commoner ones come first, so with few texts --min-count leaves them more room). "
    "A kept token has the same vector as before, so a text of kept tokens only gives the same result to the "
    "bit; "
    "other words fall apart into kept pieces, and no word becomes unknown. Ids are numbered anew. Folders in int8 are "
    "taken too.\n\n"
    "Example:\n"
    "  deepseek prune MODEL OUT --texts train.csv --texts more.txt --tokens 12000\n";

typedef struct pruning {
    cli_options common;
    const char *files[MOST_FILES];
    size_t file_count, tokens, min_count;
    bool json;
    ds_context *context;
    ds_tokenizer *tokenizer;
    ds_encoding *encoding;
    uint64_t *counts; /* [size]: how often each token occurs */
    size_t size, texts;
} pruning;

static error_t parse(int key, char *argument, void *own) {
    pruning *p = own;
    switch (key) {
    case KEY_TEXTS:
        if (!*argument) exit(cli_usage_error("prune", "--texts is \"\", expected a file"));
        if (p->file_count == MOST_FILES)
            exit(cli_usage_error("prune", "--texts is given more than %d times", MOST_FILES));
        p->files[p->file_count++] = argument;
        break;
    case KEY_TEXT_COLUMN: p->common.text_column = argument; break;
    case KEY_TOKENS: p->tokens = (size_t)cli_whole("prune", "tokens", argument, LEAST_TOKENS, MOST_TOKENS); break;
    case KEY_MIN_COUNT:
        p->min_count = (size_t)cli_whole("prune", "min-count", argument, LEAST_TOKENS, MOST_TOKENS);
        break;
    case KEY_JSON: p->json = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int count_batch(void *own, const cli_batch *batch) {
    pruning *p = own;
    ds_error error;
    for (size_t i = 0; i < batch->count; i++) {
        if (ds_tokenizer_encode(p->tokenizer, batch->texts[i], NULL, 0, p->encoding, &error) != DS_OK)
            return cli_fail_error(&error);
        const int32_t *ids = ds_encoding_ids(p->encoding);
        for (size_t k = 0; k < ds_encoding_size(p->encoding); k++) p->counts[ids[k]]++;
    }
    p->texts += batch->count;
    return CLI_DONE;
}

static int count_files(pruning *p) {
    int code = CLI_DONE;
    for (size_t i = 0; i < p->file_count && code == CLI_DONE; i++) {
        cli_options from = p->common;
        cli_texts *texts;
        from.texts = p->files[i];
        if (!cli_texts_have_columns(&from)) from.text_column = NULL;
        code = cli_texts_open(&from, &texts);
        if (code != CLI_DONE) break;
        code = cli_texts_each(texts, count_batch, p);
        cli_texts_close(texts);
    }
    for (size_t i = 0; i < p->size; i++)
        if (p->counts[i] < p->min_count) p->counts[i] = 0;
    return code != CLI_DONE || p->texts ? code : cli_fail("%s: holds no text", p->files[0]);
}

static int open_tokenizer(pruning *p) {
    ds_error error;
    if (ds_tokenizer_open(p->context, p->common.model, &p->tokenizer, &error) != DS_OK ||
        ds_encoding_create(p->context, &p->encoding, &error) != DS_OK)
        return cli_fail_error(&error);
    p->size = (size_t)ds_tokenizer_size(p->tokenizer);
    p->counts = ds__alloc_zeroed(cli_heap(), (p->size + 1) * sizeof *p->counts);
    return p->counts ? CLI_DONE : cli_fail("out of memory for the counts of %zu tokens", p->size);
}

static int write_summary(const pruning *p, const ds_prune_stats *stats) {
    ds__buffer text;
    ds__buffer_init(&text, cli_heap());
    if (p->json) {
        const struct {
            const char *key;
            uint64_t value;
        } figures[] = {{"texts", p->texts},
                       {"tokens_before", stats->tokens_before},
                       {"tokens_after", stats->tokens_after},
                       {"bytes_before", stats->bytes_before},
                       {"bytes_after", stats->bytes_after}};
        ds__json_writer json = {&text, false};
        ds__json_open_object(&json);
        ds__json_key(&json, "folder");
        ds__json_put_string(&json, ds__str_of(p->common.output_folder));
        for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
            ds__json_key(&json, figures[i].key);
            ds__json_put_int(&json, (int64_t)figures[i].value);
        }
        ds__json_close_object(&json);
        ds__buffer_put(&text, '\n');
    } else {
        ds__buffer_printf(
            &text, "%s: %zu of %zu tokens, chosen by %zu texts; the weights take %.1f MB of the %.1f MB before\n",
            p->common.output_folder, stats->tokens_after, stats->tokens_before, p->texts,
            (double)stats->bytes_after / 1e6, (double)stats->bytes_before / 1e6);
    }
    int code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
    ds__buffer_deinit(&text);
    return code;
}

static int prune(pruning *p) {
    ds_error error;
    ds_prune_stats stats;
    int code = cli_open_context(&p->common, &p->context);
    if (code == CLI_DONE) code = open_tokenizer(p);
    if (code == CLI_DONE) code = count_files(p);
    if (code != CLI_DONE) return code;
    const ds_prune_options how = {p->tokens, p->counts, p->size};
    if (ds_model_prune(p->context, p->common.model, p->common.output_folder, &how, &stats, &error) != DS_OK)
        return cli_fail_error(&error);
    return write_summary(p, &stats);
}

int cli_prune(int argc, char **argv) {
    pruning p = {.common.writes_file = true};
    cli_parse(&(cli_command){"prune", "MODEL OUT", doc, options, parse, &p, false, false, &p.common}, argc, argv);
    if (!p.file_count) return cli_usage_error("prune", "--texts is missing, expected a file of texts");
    if (!p.tokens) return cli_usage_error("prune", "--tokens is missing, expected how many to keep");
    int code = prune(&p);
    ds__free(cli_heap(), p.counts, p.counts ? (p.size + 1) * sizeof *p.counts : 0);
    if (p.encoding) ds_encoding_destroy(p.encoding);
    if (p.tokenizer) ds_tokenizer_close(p.tokenizer);
    if (p.context) ds_context_destroy(p.context);
    return code;
}
