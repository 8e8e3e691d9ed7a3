/* deepseek calibrate: finds the temperature that makes a classifier's scores mean what they say, and writes it into the
 * folder's config.json. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { KEY_DATA = 1, KEY_TEXT_COLUMN, KEY_PAIR_COLUMN, KEY_LABEL_COLUMN, KEY_SPLIT, KEY_SEED, KEY_JSON };

static const struct argp_option options[] = {
    {"data", KEY_DATA, "FILE", 0, "Rows that MODEL was not trained on: .csv, .tsv or .jsonl", 1},
    {"text-column", KEY_TEXT_COLUMN, "C", 0,
     "The texts' column (default: text, else sentence, else sentence1 with sentence2, else the first)", 1},
    {"text-pair-column", KEY_PAIR_COLUMN, "C", 0, "The column of a pair's second text", 1},
    {"label-column", KEY_LABEL_COLUMN, "C", 0, "The labels' column (default: label, else category, else the last)", 1},
    {"split", KEY_SPLIT, "F", 0,
     "Only the rows that 'deepseek train --calibrate F' held back from this file (default: all rows)", 1},
    {"seed", KEY_SEED, "N", 0, "The --seed of that run (default: 0)", 1},
    {"json", KEY_JSON, 0, 0, "One line of JSON", 1},
    {0}};

static const char doc[] =
    "Divides MODEL's logits by a temperature, fitted to labelled rows and kept in its config.json, so that a score of "
    "0.8 is right eight times of ten.\v"
    "The best label of a text stays the same. The rows must be none that MODEL was trained on: of those it is always "
    "too sure. MODEL is run as it is stored, so quantise first and calibrate the int8 folder. 'deepseek eval' shows "
    "what "
    "is left as ECE; train a folder's head again, and its temperature is gone.\n\n"
    "Examples:\n"
    "  deepseek calibrate intents-int8 --data held-out.csv\n"
    "  deepseek calibrate intents-int8 --data train.csv --split 0.05 --seed 7\n";

typedef struct calibration {
    cli_options common;
    ds_calibrate_options how;
    bool json;
} calibration;

static error_t parse(int key, char *argument, void *own) {
    calibration *c = own;
    switch (key) {
    case KEY_DATA:
        if (!*argument) exit(cli_usage_error("calibrate", "--data is \"\", expected a file"));
        c->how.data = argument;
        break;
    case KEY_TEXT_COLUMN: c->how.text_column = argument; break;
    case KEY_PAIR_COLUMN: c->how.pair_column = argument; break;
    case KEY_LABEL_COLUMN: c->how.label_column = argument; break;
    case KEY_SPLIT:
        c->how.split = cli_real("calibrate", "split", argument, 1e-6, 1 - 1e-6, "a number over 0 and under 1");
        break;
    case KEY_SEED: c->how.seed = (uint64_t)cli_whole("calibrate", "seed", argument, 0, 1000000000000000); break;
    case KEY_JSON: c->json = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void put_value(ds__json_writer *json, const char *key, double value) {
    ds__json_key(json, key);
    ds__json_put_fixed(json, value, 6);
}

static void put_json(const ds_calibration *found, ds__buffer *out) {
    ds__json_writer json = {out, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "rows");
    ds__json_put_int(&json, (int64_t)found->rows);
    ds__json_key(&json, "temperature");
    ds__json_put_f32(&json, found->temperature);
    put_value(&json, "loss_before", found->loss_before);
    put_value(&json, "loss_after", found->loss_after);
    put_value(&json, "ece_before", found->ece_before);
    put_value(&json, "ece_after", found->ece_after);
    ds__json_close_object(&json);
    ds__buffer_put(out, '\n');
}

static void put_table(const ds_calibration *found, ds__buffer *out) {
    ds__buffer_printf(out, "%-12s %zu\n%-12s %.4f\n", "rows", found->rows, "temperature", (double)found->temperature);
    ds__buffer_printf(out, "%-12s %.4f before, %.4f after\n", "loss", found->loss_before, found->loss_after);
    if (!isnan(found->ece_after))
        ds__buffer_printf(out, "%-12s %.4f before, %.4f after\n", "ECE", found->ece_before, found->ece_after);
}

int cli_calibrate(int argc, char **argv) {
    calibration c = {.json = false};
    cli_engine engine;
    ds_calibration found;
    ds_error error;
    ds__buffer text;
    cli_parse(&(cli_command){"calibrate", "MODEL", doc, options, parse, &c, false, true, &c.common}, argc, argv);
    if (!c.how.data) return cli_usage_error("calibrate", "--data is missing, expected a file of labelled rows");
    c.how.max_tokens = c.common.max_seq_len;
    int code = cli_open_engine(&c.common, &engine);
    if (code != CLI_DONE) return code;
    if (ds_calibrate(engine.session, &c.how, &found, &error) != DS_OK) code = cli_fail_error(&error);
    ds__buffer_init(&text, cli_heap());
    if (code == CLI_DONE) {
        if (c.json)
            put_json(&found, &text);
        else
            put_table(&found, &text);
        code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
    }
    ds__buffer_deinit(&text);
    cli_close_engine(&engine);
    return code;
}
