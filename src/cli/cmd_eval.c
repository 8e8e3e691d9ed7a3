/* deepseek eval: how often a model is right, on labelled rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { KEY_DATA = 1, KEY_TEXT_COLUMN, KEY_PAIR_COLUMN, KEY_LABEL_COLUMN, KEY_NO_HEADER, KEY_METRICS, KEY_JSON };

static const struct argp_option options[] = {
    {"data", KEY_DATA, "FILE", 0, "The rows: .csv, .tsv or .jsonl", 1},
    {"text-column", KEY_TEXT_COLUMN, "C", 0,
     "The texts' column (default: text, else sentence, else sentence1 with sentence2, else the first)", 1},
    {"text-pair-column", KEY_PAIR_COLUMN, "C", 0, "The column of a pair's second text", 1},
    {"label-column", KEY_LABEL_COLUMN, "C", 0, "The labels' column (default: label, else category, else the last)", 1},
    {"no-header", KEY_NO_HEADER, 0, 0, "The file's first line is a row like the others; columns are numbers from 1", 1},
    {"metrics", KEY_METRICS, "LIST", 0,
     "Only these, with commas between: accuracy, f1, mcc, pearson, spearman, ece (default: all that apply)", 1},
    {"json", KEY_JSON, 0, 0, "One line of JSON", 1},
    {0}};

static const char doc[] =
    "Runs MODEL on labelled rows and compares what it says with the labels.\v"
    "Labels are the model's own, by name. A model without a head is measured on pairs with scores, by the cosine of "
    "their "
    "vectors. Of two labels F1 is that of the second one, of more the mean over all; ECE is the expected calibration "
    "error, how far scores are from how often they are right (over 15 bins of equal width); a metric that does not "
    "apply "
    "is \"-\", null in JSON.\n\n"
    "Examples:\n"
    "  deepseek eval intents --data test.csv\n"
    "  deepseek eval MODEL --data pairs.tsv --metrics pearson,spearman --json\n";

/* One figure of the answer: its word in --metrics, its key in JSON, and how it is called. */
static const struct figure {
    const char *word, *key, *name;
    size_t offset; /* in ds_metrics */
} figures[] = {
    {"accuracy", "accuracy", "accuracy", offsetof(ds_metrics, accuracy)},
    {"f1", "f1", "F1", offsetof(ds_metrics, f1)},
    {"f1", "f1_macro", "macro F1", offsetof(ds_metrics, f1_macro)},
    {"mcc", "mcc", "MCC", offsetof(ds_metrics, mcc)},
    {"pearson", "pearson", "Pearson", offsetof(ds_metrics, pearson)},
    {"spearman", "spearman", "Spearman", offsetof(ds_metrics, spearman)},
    {"ece", "ece", "ECE", offsetof(ds_metrics, ece)},
};

enum { FIGURES = sizeof figures / sizeof *figures };

typedef struct evaluation {
    cli_options common;
    const char *data, *text_column, *pair_column, *label_column;
    bool wanted[FIGURES], all, json, no_header;
    cli_progress progress;
} evaluation;

static void take_metrics(evaluation *e, const char *list) {
    e->all = false;
    memset(e->wanted, 0, sizeof e->wanted);
    for (const char *word = list;; word++) {
        size_t size = strcspn(word, ",");
        bool known = false;
        for (int i = 0; i < FIGURES; i++)
            if (strlen(figures[i].word) == size && memcmp(figures[i].word, word, size) == 0)
                known = e->wanted[i] = true;
        if (!known)
            exit(cli_usage_error(
                "eval",
                "--metrics is \"%s\", where \"%.*s\" is none; expected some of accuracy, f1, mcc, pearson, "
                "spearman and ece with commas between",
                list, (int)(size < 100 ? size : 100), word));
        word += size;
        if (!*word) break;
    }
}

static error_t parse(int key, char *argument, void *own) {
    evaluation *e = own;
    switch (key) {
    case KEY_DATA:
        if (!*argument) exit(cli_usage_error("eval", "--data is \"\", expected a file"));
        e->data = argument;
        break;
    case KEY_TEXT_COLUMN: e->text_column = argument; break;
    case KEY_PAIR_COLUMN: e->pair_column = argument; break;
    case KEY_LABEL_COLUMN: e->label_column = argument; break;
    case KEY_NO_HEADER: e->no_header = true; break;
    case KEY_METRICS: take_metrics(e, argument); break;
    case KEY_JSON: e->json = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void each(void *user, size_t text, int32_t expected, int32_t predicted, float score) {
    evaluation *e = user;
    (void)text, (void)expected, (void)predicted, (void)score;
    cli_progress_add(&e->progress, 1);
}

static double value_of(const ds_metrics *metrics, int figure) {
    return *(const double *)((const char *)metrics + figures[figure].offset);
}

/* Without --metrics what does not apply is left out; what was asked for is answered. */
static bool is_shown(const evaluation *e, const ds_metrics *metrics, int figure) {
    return e->all ? !isnan(value_of(metrics, figure)) : e->wanted[figure];
}

static void put_json(const evaluation *e, const ds_metrics *metrics, ds__buffer *out) {
    ds__json_writer json = {out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "count");
    ds__json_put_int(&json, (int64_t)metrics->count);
    if (!isnan(metrics->loss)) {
        ds__json_key(&json, "loss");
        ds__json_put_fixed(&json, metrics->loss, 6);
    }
    for (int i = 0; i < FIGURES; i++) {
        if (!is_shown(e, metrics, i)) continue;
        ds__json_key(&json, figures[i].key);
        ds__json_put_fixed(&json, value_of(metrics, i), 6);
    }
    ds__json_close_object(&json);
    ds__buffer_put(out, '\n');
}

static void put_table(const evaluation *e, const ds_metrics *metrics, ds__buffer *out) {
    ds__buffer_printf(out, "%-10s %7zu\n", "texts", metrics->count);
    if (!isnan(metrics->loss)) ds__buffer_printf(out, "%-10s %7.4f\n", "loss", metrics->loss);
    for (int i = 0; i < FIGURES; i++) {
        if (!is_shown(e, metrics, i)) continue;
        if (isnan(value_of(metrics, i)))
            ds__buffer_printf(out, "%-10s %7s\n", figures[i].name, "-");
        else
            ds__buffer_printf(out, "%-10s %7.4f\n", figures[i].name, value_of(metrics, i));
    }
}

int cli_eval(int argc, char **argv) {
    evaluation e = {.all = true};
    cli_engine engine;
    ds_metrics metrics;
    ds_error error;
    ds__buffer text;
    cli_parse(&(cli_command){"eval", "MODEL", doc, options, parse, &e, false, true, &e.common}, argc, argv);
    if (!e.data) return cli_usage_error("eval", "--data is missing, expected a file of labelled rows");
    int code = cli_open_engine(&e.common, &engine);
    if (code != CLI_DONE) return code;
    ds_evaluate_options how = {.data = e.data,
                               .text_column = e.text_column,
                               .pair_column = e.pair_column,
                               .label_column = e.label_column,
                               .no_header = e.no_header,
                               .max_tokens = e.common.max_seq_len,
                               .each = each,
                               .user = &e};
    cli_progress_start(&e.progress, "texts", 0);
    if (ds_evaluate(engine.session, &how, &metrics, &error) != DS_OK) code = cli_fail_error(&error);
    cli_progress_end(&e.progress);
    ds__buffer_init(&text, cli_heap());
    if (code == CLI_DONE) {
        if (e.json)
            put_json(&e, &metrics, &text);
        else
            put_table(&e, &metrics, &text);
        code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
    }
    ds__buffer_deinit(&text);
    cli_close_engine(&engine);
    return code;
}
