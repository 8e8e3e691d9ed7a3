/* deepseek tokenize: texts to token ids, with the tokenizer's files alone. */
#include "cli/cli.h"

enum { KEY_OFFSETS = 1 };

static const struct argp_option options[] = {
    {"offsets", KEY_OFFSETS, 0, 0, "Write {\"ids\":[...], \"offsets\":[[start,end],...]} with the bytes of each token",
     1},
    {0}};

static const char doc[] = "Writes one JSON array of token ids for each text, special tokens added, never padded.\v"
                          "MODEL needs only tokenizer.json, or vocab.txt.\n\n"
                          "Examples:\n"
                          "  echo 'Where is my card?' | deepseek tokenize MODEL\n"
                          "  deepseek tokenize MODEL --texts questions.txt --offsets\n";

typedef struct tokenize {
    cli_options common;
    bool offsets;
} tokenize;

static error_t parse(int key, char *argument, void *own) {
    (void)argument;
    if (key != KEY_OFFSETS) return ARGP_ERR_UNKNOWN;
    ((tokenize *)own)->offsets = true;
    return 0;
}

/* A number and a comma: the writer's own printf would be most of this command's time. */
static void put_number(ds__buffer *text, int32_t value, bool first) {
    char digits[16], *at = digits + sizeof digits;
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    do *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *--at = '-';
    if (!first) *--at = ',';
    ds__buffer_append(text, at, (size_t)(digits + sizeof digits - at));
}

static void put_encoding(ds__buffer *text, const ds_encoding *encoding, bool with_offsets) {
    size_t size = ds_encoding_size(encoding);
    const int32_t *ids = ds_encoding_ids(encoding), *offsets = ds_encoding_offsets(encoding);
    ds__buffer_text(text, with_offsets ? "{\"ids\":[" : "[");
    for (size_t i = 0; i < size; i++) put_number(text, ids[i], i == 0);
    ds__buffer_put(text, ']');
    for (size_t i = 0; with_offsets && i < size; i++) {
        ds__buffer_text(text, i ? ",[" : ",\"offsets\":[[");
        put_number(text, offsets[2 * i], true);
        put_number(text, offsets[2 * i + 1], false);
        ds__buffer_put(text, ']');
    }
    if (with_offsets) ds__buffer_text(text, size ? "]}" : ",\"offsets\":[]}");
    ds__buffer_put(text, '\n');
}

/* What tokenizing a batch needs. */
typedef struct tokenize_job {
    const tokenize *options;
    const ds_tokenizer *tokenizer;
    ds_encoding *encoding;
    ds__buffer text;
} tokenize_job;

static int tokenize_batch(void *own, const cli_batch *batch) {
    tokenize_job *job = own;
    ds_error error;
    ds__buffer_clear(&job->text);
    for (size_t i = 0; i < batch->count; i++) {
        if (ds_tokenizer_encode(job->tokenizer, batch->texts[i], NULL, job->options->common.max_seq_len, job->encoding,
                                &error) != DS_OK)
            return cli_fail_error(&error);
        put_encoding(&job->text, job->encoding, job->options->offsets);
    }
    return cli_write(&job->text) ? CLI_DONE : CLI_FAILED;
}

static int tokenize_all(const tokenize *t, const ds_tokenizer *tokenizer, ds_encoding *encoding, cli_texts *texts) {
    tokenize_job job = {.options = t, .tokenizer = tokenizer, .encoding = encoding};
    ds__buffer_init(&job.text, cli_heap());
    int code = cli_texts_each(texts, tokenize_batch, &job);
    ds__buffer_deinit(&job.text);
    return code;
}

int cli_tokenize(int argc, char **argv) {
    tokenize t = {.offsets = false};
    ds_context *context;
    ds_tokenizer *tokenizer = NULL;
    ds_encoding *encoding = NULL;
    cli_texts *texts;
    ds_error error;
    cli_parse(&(cli_command){"tokenize", "MODEL", doc, options, parse, &t, true, true, &t.common}, argc, argv);
    t.common.threads = 1; /* no other is used */
    int code = cli_texts_open(&t.common, &texts);
    if (code != CLI_DONE) return code;
    code = cli_open_context(&t.common, &context);
    if (code == CLI_DONE) {
        if (ds_tokenizer_open(context, t.common.model, &tokenizer, &error) != DS_OK ||
            ds_encoding_create(context, &encoding, &error) != DS_OK)
            code = cli_fail_error(&error);
        else
            code = tokenize_all(&t, tokenizer, encoding, texts);
        if (encoding) ds_encoding_destroy(encoding);
        if (tokenizer) ds_tokenizer_close(tokenizer);
        ds_context_destroy(context);
    }
    cli_texts_close(texts);
    return code;
}
