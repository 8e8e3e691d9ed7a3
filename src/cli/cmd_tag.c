/* deepseek tag: words of texts to labels with byte offsets. */
#include "cli/cli.h"

static const char doc[] = "Gives each word of each text a label of the model's token-classification head.\v"
                          "JSON lines: {\"text\":..., \"tags\":[{\"label\":..., \"score\":..., \"start\":byte, "
                          "\"end\":byte}]}. The pieces of one word are "
                          "merged; its first piece decides. Every word has its tag, also those that are labelled as "
                          "nothing (\"O\"). start and end "
                          "are bytes of the text as it was given.\n\n"
                          "Example:\n"
                          "  echo 'Anna works in Oslo.' | deepseek tag MODEL\n";

static int write_batch(const cli_engine *engine, const cli_batch *batch, ds__buffer *text) {
    ds__buffer_clear(text);
    for (size_t i = 0; i < batch->count; i++) {
        size_t count;
        const ds_tag_span *spans = ds_session_tags(engine->session, i, &count);
        ds__json_writer json = {text, false};
        ds__json_open_object(&json);
        ds__json_key(&json, "text");
        ds__json_put_string(&json, (ds__str){batch->texts[i].data, batch->texts[i].size});
        ds__json_key(&json, "tags");
        ds__json_open_array(&json);
        for (size_t s = 0; s < count; s++) {
            ds__json_open_object(&json);
            ds__json_key(&json, "label");
            ds__json_put_string(&json, ds__str_of(ds_model_label(engine->model, spans[s].label)));
            ds__json_key(&json, "score");
            ds__json_put_f32(&json, spans[s].score);
            ds__json_key(&json, "start");
            ds__json_put_int(&json, (int64_t)spans[s].start);
            ds__json_key(&json, "end");
            ds__json_put_int(&json, (int64_t)spans[s].end);
            ds__json_close_object(&json);
        }
        ds__json_close_array(&json);
        ds__json_close_object(&json);
        ds__buffer_put(text, '\n');
    }
    return cli_write(text) ? CLI_DONE : CLI_FAILED;
}

/* What tagging a batch needs. */
typedef struct tag_job {
    const cli_options *options;
    cli_engine *engine;
    ds__buffer text;
} tag_job;

static int tag_batch(void *own, const cli_batch *batch) {
    tag_job *job = own;
    ds_tag_options how = {.max_tokens = job->options->max_seq_len};
    ds_error error;
    if (ds_tag(job->engine->session, batch->texts, batch->count, &how, NULL, &error) != DS_OK)
        return cli_fail_error(&error);
    return write_batch(job->engine, batch, &job->text);
}

static int tag_all(const cli_options *options, cli_engine *engine, cli_texts *texts) {
    tag_job job = {.options = options, .engine = engine};
    ds__buffer_init(&job.text, cli_heap());
    cli_batch none = {.count = 0}; /* what cannot be done is refused before a text is waited for */
    int code = tag_batch(&job, &none);
    if (code == CLI_DONE) code = cli_texts_each(texts, tag_batch, &job);
    ds__buffer_deinit(&job.text);
    return code;
}

int cli_tag(int argc, char **argv) {
    cli_options options = {0};
    cli_parse(&(cli_command){"tag", "MODEL", doc, NULL, NULL, NULL, true, true, &options}, argc, argv);
    cli_texts *texts;
    cli_engine engine;
    int code = cli_texts_open(&options, &texts);
    if (code != CLI_DONE) return code;
    code = cli_open_engine(&options, &engine);
    if (code == CLI_DONE) {
        code = tag_all(&options, &engine, texts);
        cli_close_engine(&engine);
    }
    cli_texts_close(texts);
    return code;
}
