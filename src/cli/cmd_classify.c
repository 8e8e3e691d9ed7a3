/* deepseek classify: texts, or pairs of texts, to labels with scores. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { KEY_PAIR_COLUMN = 1, KEY_TOP_K, KEY_THRESHOLD };

static const struct argp_option options[] = {
    {"text-pair-column", KEY_PAIR_COLUMN, "C", 0, "The column of the second text of a pair", 1},
    {"top-k", KEY_TOP_K, "N", 0, "Write only the N best labels (default: all)", 1},
    {"threshold", KEY_THRESHOLD, "F", 0,
     "Answer unknown where the best label's score is under F; of several labels a text leave out those under F", 1},
    {0}};

static const char doc[] =
    "Gives each text the labels of the model's classification head.\v"
    "JSON lines: {\"text\":..., \"labels\":[{\"label\":..., \"score\":...}]}, best first. Scores are probabilities "
    "(softmax for "
    "one label a text, a sigmoid each for several), or the value itself for regression. 'deepseek calibrate' makes "
    "them "
    "mean how often they are right. With --threshold a text whose best score is under F gets the one label \"unknown\" "
    "with that score; where a text may have several labels, those under F are left out, which may be all.\n\n"
    "Examples:\n"
    "  deepseek classify MODEL --texts tickets.csv --text-column body --top-k 3\n"
    "  deepseek classify MODEL --texts questions.txt --top-k 1 --threshold 0.5\n"
    "  deepseek classify MODEL --texts pairs.tsv --text-column sentence1 --text-pair-column sentence2\n";

typedef struct classify {
    cli_options common;
    int top; /* 0: all */
    bool has_threshold;
    float threshold;
} classify;

static error_t parse(int key, char *argument, void *own) {
    classify *c = own;
    switch (key) {
    case KEY_PAIR_COLUMN: c->common.pair_column = argument; break;
    case KEY_TOP_K: c->top = (int)cli_whole("classify", "top-k", argument, 1, INT_MAX); break;
    case KEY_THRESHOLD:
        c->has_threshold = true;
        c->threshold = (float)cli_real("classify", "threshold", argument, 0, 1, "a number from 0 to 1");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void put_label(ds__json_writer *json, const char *label, float score) {
    ds__json_open_object(json);
    ds__json_key(json, "label");
    ds__json_put_string(json, ds__str_of(label));
    ds__json_key(json, "score");
    ds__json_put_f32(json, score);
    ds__json_close_object(json);
}

static int32_t best_label(const float *scores, int32_t labels) {
    int32_t best = -1;
    for (int32_t i = 0; i < labels; i++)
        if (scores[i] == scores[i] && (best < 0 || scores[i] > scores[best])) best = i;
    return best;
}

/* Writes the labels of one text, best first: n is small, so each place is filled by a search. scores: [labels],
 * consumed; least: of those that are written. */
static void put_labels(ds__json_writer *json, const ds_model *model, float *scores, int32_t top, float least) {
    const int32_t labels = ds_model_describe(model)->labels;
    for (int32_t place = 0; place < top; place++) {
        const int32_t best = best_label(scores, labels);
        if (best < 0 || scores[best] < least) return; /* at -1 only values already written, which are NaN, are left */
        put_label(json, ds_model_label(model, best), scores[best]);
        scores[best] = NAN;
    }
}

/* What classifying a batch needs. */
typedef struct classify_job {
    const classify *options;
    cli_engine *engine;
    float *scores;    /* [CLI_BATCH_TEXTS, labels] */
    int32_t *answers; /* [CLI_BATCH_TEXTS] */
    ds__buffer text;
} classify_job;

static int write_batch(classify_job *job, const cli_batch *batch) {
    const classify *c = job->options;
    const ds_model *model = job->engine->model;
    const ds_model_info *info = ds_model_describe(model);
    const int32_t labels = info->labels, top = c->top && c->top < labels ? c->top : labels;
    const bool many = info->problem == DS_PROBLEM_MULTI_LABEL;
    const float least = c->has_threshold && many ? c->threshold : -INFINITY;
    ds__buffer *text = &job->text;
    ds__buffer_clear(text);
    for (size_t i = 0; i < batch->count; i++) {
        ds__json_writer json = {text, false};
        ds__json_open_object(&json);
        ds__json_key(&json, "text");
        ds__json_put_string(&json, (ds__str){batch->texts[i].data, batch->texts[i].size});
        if (batch->has_pairs) {
            ds__json_key(&json, "pair");
            ds__json_put_string(&json, (ds__str){batch->pairs[i].data, batch->pairs[i].size});
        }
        ds__json_key(&json, "labels");
        ds__json_open_array(&json);
        float *scores = job->scores + i * (size_t)labels;
        const int32_t best = best_label(scores, labels);
        if (c->has_threshold && !many && job->answers[i] == DS_LABEL_UNKNOWN && best >= 0)
            put_label(&json, "unknown", scores[best]);
        else
            put_labels(&json, model, scores, top, least);
        ds__json_close_array(&json);
        ds__json_close_object(&json);
        ds__buffer_put(text, '\n');
    }
    return cli_write(text) ? CLI_DONE : CLI_FAILED;
}

static int classify_batch(void *own, const cli_batch *batch) {
    classify_job *job = own;
    ds_classify_options how = {.max_tokens = job->options->common.max_seq_len,
                               .answers = job->options->has_threshold ? job->answers : NULL,
                               .threshold = job->options->threshold};
    ds_error error;
    const ds_text *pairs = batch->has_pairs ? batch->pairs : NULL;
    if (ds_classify(job->engine->session, batch->texts, pairs, batch->count, &how, job->scores, NULL, &error) != DS_OK)
        return cli_fail_error(&error);
    return write_batch(job, batch);
}

static int classify_all(const classify *c, cli_engine *engine, cli_texts *texts) {
    int32_t answers[CLI_BATCH_TEXTS];
    classify_job job = {.options = c, .engine = engine, .answers = answers};
    size_t bytes = CLI_BATCH_TEXTS * ((size_t)ds_model_describe(engine->model)->labels + 1) * sizeof *job.scores;
    job.scores = ds__alloc(cli_heap(), bytes);
    if (!job.scores) return cli_fail("out of memory for the scores of %d texts", CLI_BATCH_TEXTS);
    ds__buffer_init(&job.text, cli_heap());
    cli_batch none = {.count = 0}; /* what cannot be done is refused before a text is waited for */
    int code = classify_batch(&job, &none);
    if (code == CLI_DONE) code = cli_texts_each(texts, classify_batch, &job);
    ds__buffer_deinit(&job.text);
    ds__free(cli_heap(), job.scores, bytes);
    return code;
}

int cli_classify(int argc, char **argv) {
    classify c = {.top = 0};
    cli_parse(&(cli_command){"classify", "MODEL", doc, options, parse, &c, true, true, &c.common}, argc, argv);
    cli_texts *texts;
    cli_engine engine;
    int code = cli_texts_open(&c.common, &texts);
    if (code != CLI_DONE) return code;
    code = cli_open_engine(&c.common, &engine);
    if (code == CLI_DONE) {
        code = classify_all(&c, &engine, texts);
        cli_close_engine(&engine);
    }
    cli_texts_close(texts);
    return code;
}
