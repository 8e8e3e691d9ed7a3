/* The options of `deepseek train`: one row each, from which the help, the parsing and the sentences about mistakes
 * come. */
#include "cli/train_options.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum value_kind {
    VALUE_TEXT,  /* const char *, not empty */
    VALUE_WHOLE, /* int64_t from low to high */
    VALUE_REAL,  /* double from low to high */
    VALUE_WORD,  /* int: the number of one of the words in `argument`, counted from low */
    VALUE_LIST,  /* cli_patterns: one more */
    VALUE_FLAG,  /* bool */
} value_kind;

typedef struct row {
    const char *name, *argument, *about;
    value_kind kind;
    size_t offset; /* in cli_train_options */
    double low, high;
    const char *expected; /* of real numbers: the sentence's end */
} row;

#define FIELD(name) offsetof(cli_train_options, name)
#define ABOVE_0 (double)FLT_MIN /* as a float it is still more than 0, which would mean the default */
#define BELOW_1 0.999999
#define MOST 1e15 /* of whole numbers: exact as a double */

static const row data_rows[] = {
    {"train", "FILE", "Rows to learn from: .csv, .tsv or .jsonl", VALUE_TEXT, FIELD(train), 0, 0, NULL},
    {"eval", "FILE", "Rows to evaluate on after each epoch", VALUE_TEXT, FIELD(eval), 0, 0, NULL},
    {"eval-split", "F", "In place of --eval: hold this share of the rows back, drawn by the seed", VALUE_REAL,
     FIELD(eval_split), 1e-6, BELOW_1, "a number over 0 and under 1"},
    {"eval-on-start", NULL, "Evaluate before the first step, too", VALUE_FLAG, FIELD(eval_on_start), 0, 0, NULL},
    {"calibrate", "F",
     "Never train on this share of the rows, drawn by the seed, and fit the scores' temperature to them at the end",
     VALUE_REAL, FIELD(calibrate), 1e-6, BELOW_1, "a number over 0 and under 1"},
    {"text-column", "C",
     "The texts' column (default: text, else sentence, else sentence1 with sentence2, else the first)", VALUE_TEXT,
     FIELD(text_column), 0, 0, NULL},
    {"text-pair-column", "C", "The column of a pair's second text", VALUE_TEXT, FIELD(pair_column), 0, 0, NULL},
    {"label-column", "C", "The labels' column (default: label, else category, else the last)", VALUE_TEXT,
     FIELD(label_column), 0, 0, NULL},
    {"no-header", NULL, "The files' first lines are rows like the others; columns are numbers from 1", VALUE_FLAG,
     FIELD(no_header), 0, 0, NULL},
    {"output", "DIR", "The folder of the result, of the log, and of the checkpoints until the end", VALUE_TEXT,
     FIELD(output), 0, 0, NULL},
};

static const row recipe_rows[] = {
    {"task", "auto|classification|multilabel|regression|embedding",
     "What is learned (default: auto, as the labels say)", VALUE_WORD, FIELD(task), 0, 0, NULL},
    {"loss", "cross-entropy|bce|mse|cosine|in-batch-negatives|distill",
     "What is made smaller (default: as the task says)", VALUE_WORD, FIELD(loss), 1, 0, NULL},
    {"optimizer", "adamw|sgd", "What makes a step of a gradient (default: adamw)", VALUE_WORD, FIELD(optimizer), 0, 0,
     NULL},
    {"learning-rate", "F", "The learning rate's largest value (default: 1e-4)", VALUE_REAL, FIELD(learning_rate),
     ABOVE_0, 1000, "a number over 0, at most 1000"},
    {"scheduler", "linear|cosine|constant", "How the learning rate falls (default: linear, to 0)", VALUE_WORD,
     FIELD(schedule), 0, 0, NULL},
    {"warmup-ratio", "F", "Share of the steps in which the learning rate rises from 0 (default: 0)", VALUE_REAL,
     FIELD(warmup_ratio), 0, 1, "a number from 0 to 1"},
    {"weight-decay", "F", "Of weights, never of biases and norms (default: 0.01)", VALUE_REAL, FIELD(weight_decay), 0,
     1000, "a number from 0 to 1000"},
    {"max-grad-norm", "F", "Longer gradients are cut to this length; 0: never (default: 1.0)", VALUE_REAL,
     FIELD(max_grad_norm), 0, 1e9, "a number from 0 to 1e9"},
    {"label-smoothing", "F", "Share of a label's weight that all labels get (default: 0)", VALUE_REAL,
     FIELD(label_smoothing), 0, BELOW_1, "a number from 0, under 1"},
    {"layer-decay", "F", "Each layer's rate is this times the next one's above (default: 1)", VALUE_REAL,
     FIELD(layer_decay), ABOVE_0, 1, "a number over 0, at most 1"},
    {"epochs", "N", "Passes over the rows (default: 3)", VALUE_REAL, FIELD(epochs), ABOVE_0, 1e6,
     "a number over 0, at most 1e6"},
    {"max-steps", "N", "Stop after so many steps, wherever that is", VALUE_WHOLE, FIELD(max_steps), 1, MOST, NULL},
    {"batch-size", "N", "Texts that are run together (default: 32)", VALUE_WHOLE, FIELD(batch_size), 1, 1 << 24, NULL},
    {"batch-tokens", "N", "In place of --batch-size: as many texts as have N tokens", VALUE_WHOLE, FIELD(batch_tokens),
     1, 1 << 30, NULL},
    {"gradient-accumulation-steps", "N", "Batches that make one step (default: 1)", VALUE_WHOLE, FIELD(accumulation), 1,
     1 << 24, NULL},
    {"freeze", "PATTERN", "Leave tensors of such names as they are; may be given again", VALUE_LIST, FIELD(freeze), 0,
     0, NULL},
    {"seed", "N", "Of new weights, the rows' order and dropout (default: 0)", VALUE_WHOLE, FIELD(seed), 0, MOST, NULL},
    {"teacher", "MODEL", "A model to learn from: its probabilities (--loss distill) or its vectors (--loss mse)",
     VALUE_TEXT, FIELD(teacher), 0, 0, NULL},
    {"keep-vectors", "F",
     "With --teacher: learn the labels, and let F times the squared distance from the teacher's vectors count beside "
     "them",
     VALUE_REAL, FIELD(keep_vectors), ABOVE_0, 1e6, "a number over 0, at most 1e6"},
    {"keep-weights", "F", "At the end take this share of the weights from before, heads apart (default: 0)", VALUE_REAL,
     FIELD(keep_weights), 0, BELOW_1, "a number from 0, under 1"},
    {"keep-texts", "FILE",
     "With --keep-vectors: more texts, whose labels do not count, that keep the teacher's vectors", VALUE_TEXT,
     FIELD(keep_texts), 0, 0, NULL},
};

static const row memory_rows[] = {
    {"gradient-checkpointing", NULL, "Compute activations again instead of keeping them", VALUE_FLAG,
     FIELD(gradient_checkpointing), 0, 0, NULL},
    {"memory-efficient", NULL,
     "The smallest plan: recompute, short micro-batches; with --max-grad-norm 0 gradients are applied where they arise",
     VALUE_FLAG, FIELD(memory_efficient), 0, 0, NULL},
    {"lora-rank", "N", "Train only adapters of this rank, which are merged into the result", VALUE_WHOLE,
     FIELD(lora_rank), 1, 65536, NULL},
    {"lora-alpha", "F", "The adapters' scale is this over their rank (default: the rank)", VALUE_REAL,
     FIELD(lora_alpha), ABOVE_0, 1e6, "a number over 0, at most 1e6"},
    {"lora-targets", "PATTERN", "Modules that get adapters (default: query and value); may be given again", VALUE_LIST,
     FIELD(lora_targets), 0, 0, NULL},
};

static const row saving_rows[] = {
    {"save-dtype", "float32|float16|bfloat16|int8", "How the result is stored (default: float32)", VALUE_WORD,
     FIELD(save_dtype), 0, 0, NULL},
    {"save-steps", "N", "A checkpoint every N steps (default: after each epoch)", VALUE_WHOLE, FIELD(save_steps), 1,
     MOST, NULL},
    {"keep", "N", "Checkpoints to keep, beside the best one (default: 2)", VALUE_WHOLE, FIELD(keep), 1, 1 << 20, NULL},
    {"load-best", NULL, "At the end take the checkpoint whose evaluation was best", VALUE_FLAG, FIELD(load_best), 0, 0,
     NULL},
    {"resume", NULL, "Go on from the last good checkpoint in --output, if there is one", VALUE_FLAG, FIELD(resume), 0,
     0, NULL},
    {"grace-seconds", "N", "How long after SIGTERM or SIGINT a checkpoint may take (default: 30)", VALUE_WHOLE,
     FIELD(grace_seconds), 0, 86400, NULL},
    {"json", NULL, "The summary as one line of JSON", VALUE_FLAG, FIELD(json), 0, 0, NULL},
};

static const struct group {
    const char *title;
    const row *rows;
    size_t count;
} groups[] = {
    {"From what to what:", data_rows, sizeof data_rows / sizeof *data_rows},
    {"How to learn:", recipe_rows, sizeof recipe_rows / sizeof *recipe_rows},
    {"With less memory:", memory_rows, sizeof memory_rows / sizeof *memory_rows},
    {"What is saved and said:", saving_rows, sizeof saving_rows / sizeof *saving_rows},
};

enum { GROUPS = sizeof groups / sizeof *groups, MOST_ROWS = 64, FIRST_KEY = 0x100 };

static const char doc[] =
    "Fine-tunes MODEL on labelled rows and writes a folder that every command runs as it is.\v"
    "The defaults are a recipe: AdamW, learning rate 1e-4 falling linearly to 0, weight decay 0.01, gradients cut to "
    "length 1, 3 epochs, batches of 32 texts of at most 128 tokens. What memory is planned for, and in what precision, "
    "is "
    "said before the first step. SIGTERM and SIGINT end a run with a checkpoint, from which --resume goes on to the "
    "same "
    "bits; a second one ends it at once.\n\n"
    "Examples:\n"
    "  deepseek train MODEL --train train.csv --eval test.csv --output intents\n"
    "  deepseek train MODEL --train rows.jsonl --lora-rank 8 --output tuned\n"
    "  deepseek train MODEL --train pairs.tsv --task embedding --output similar\n"
    "  deepseek train MODEL --train train.csv --output intents --resume --json\n"
    "  deepseek train MODEL --train train.csv --calibrate 0.05 --output intents\n";

/* "adamw or sgd" out of "adamw|sgd". */
static const char *listed(const char *words, char *out, size_t size) {
    size_t used = 0;
    for (const char *c = words; *c && used + 5 < size; c++) {
        const char *joint = *c != '|' ? NULL : strchr(c + 1, '|') ? ", " : " or ";
        used += (size_t)snprintf(out + used, size - used, joint ? "%s" : "%.1s", joint ? joint : c);
    }
    return out;
}

static int number_of_word(const char *words, const char *word) {
    size_t size = strlen(word);
    for (int number = 0;; number++) {
        size_t length = strcspn(words, "|");
        if (length == size && memcmp(words, word, size) == 0) return number;
        if (!words[length]) return -1;
        words += length + 1;
    }
}

static int word_of(const row *r, const char *text) {
    char words[200];
    int number = number_of_word(r->argument, text);
    if (number < 0)
        exit(cli_usage_error("train", "--%s is \"%s\", expected %s", r->name, text,
                             listed(r->argument, words, sizeof words)));
    return number + (int)r->low;
}

static void add_pattern(const row *r, const char *text, cli_patterns *patterns) {
    if (patterns->count == CLI_TRAIN_PATTERNS)
        exit(cli_usage_error("train", "--%s is given more than %d times", r->name, CLI_TRAIN_PATTERNS));
    patterns->items[patterns->count++] = text;
}

static void take(const row *r, const char *text, cli_train_options *options) {
    void *field = (char *)options + r->offset;
    if ((r->kind == VALUE_TEXT || r->kind == VALUE_LIST) && !*text)
        exit(cli_usage_error("train", "--%s is \"\", expected %s", r->name,
                             strcmp(r->argument, "FILE") == 0      ? "a file"
                             : strcmp(r->argument, "C") == 0       ? "a column's name"
                             : strcmp(r->argument, "PATTERN") == 0 ? "a pattern of names"
                                                                   : "a folder"));
    switch (r->kind) {
    case VALUE_TEXT: *(const char **)field = text; break;
    case VALUE_WHOLE: *(int64_t *)field = cli_whole("train", r->name, text, (int64_t)r->low, (int64_t)r->high); break;
    case VALUE_REAL: *(double *)field = cli_real("train", r->name, text, r->low, r->high, r->expected); break;
    case VALUE_WORD: *(int *)field = word_of(r, text); break;
    case VALUE_LIST: add_pattern(r, text, field); break;
    case VALUE_FLAG: *(bool *)field = true; break;
    }
}

/* Keys number the rows in their order. */
static error_t parse(int key, char *argument, void *own) {
    for (size_t g = 0, index = (size_t)key - FIRST_KEY; key >= FIRST_KEY && g < GROUPS; g++) {
        if (index < groups[g].count) {
            take(&groups[g].rows[index], argument, own);
            return 0;
        }
        index -= groups[g].count;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp_option *make_list(void) {
    static struct argp_option list[MOST_ROWS];
    size_t count = 0;
    int key = FIRST_KEY;
    for (size_t g = 0; g < GROUPS; g++) {
        list[count++] = (struct argp_option){.doc = groups[g].title, .group = (int)g + 1};
        for (size_t i = 0; i < groups[g].count && count < MOST_ROWS - GROUPS; i++) {
            const row *r = &groups[g].rows[i];
            list[count++] = (struct argp_option){r->name, key++, r->argument, 0, r->about, (int)g + 1};
        }
    }
    return list;
}

/* What does not go together. */
static void check(const cli_train_options *o) {
    const char *wrong = NULL;
    if (!o->train)
        wrong = "--train is missing, expected a file of labelled rows";
    else if (!o->output)
        wrong = "--output is missing, expected the folder of the result";
    else if (o->eval && o->eval_split > 0)
        wrong = "--eval and --eval-split are both given, expected one of them";
    else if (o->batch_size && o->batch_tokens)
        wrong = "--batch-size and --batch-tokens are both given, expected one of them";
    else if (!o->lora_rank && (o->lora_alpha > 0 || o->lora_targets.count))
        wrong = "--lora-alpha and --lora-targets need --lora-rank, expected its number";
    else if (o->loss == DS_LOSS_SOFT_LABELS && !o->teacher)
        wrong = "--loss is \"distill\", expected a model to learn from in --teacher";
    else if (o->keep_vectors > 0 && !o->teacher)
        wrong = "--keep-vectors is given, expected a model whose vectors to keep in --teacher";
    else if (o->keep_texts && !(o->keep_vectors > 0))
        wrong = "--keep-texts is given, expected how much their vectors count in --keep-vectors";
    if (wrong) exit(cli_usage_error("train", "%s", wrong));
}

void cli_train_parse(int argc, char **argv, cli_train_options *out) {
    *out = (cli_train_options){.common = {.precision = DS_PRECISION_AUTO, .max_seq_len = 128},
                               .epochs = 3,
                               .learning_rate = 1e-4,
                               .weight_decay = 0.01,
                               .max_grad_norm = 1,
                               .layer_decay = 1,
                               .grace_seconds = 30};
    cli_parse(&(cli_command){"train", "MODEL", doc, make_list(), parse, out, false, true, &out->common}, argc, argv);
    check(out);
}

ds_trainer_options cli_train_how(const cli_train_options *o) {
    static const ds_train_task tasks[] = {DS_TRAIN_AUTO, DS_TRAIN_CLASSIFICATION, DS_TRAIN_MULTI_LABEL,
                                          DS_TRAIN_REGRESSION, DS_TRAIN_EMBEDDING};
    return (ds_trainer_options){
        .task = tasks[o->task],
        .loss = (ds_loss)o->loss,
        .adapter = o->common.adapter,
        .optimizer = (ds_optimizer)o->optimizer,
        .learning_rate = (float)o->learning_rate,
        .weight_decay = (float)o->weight_decay > 0 ? (float)o->weight_decay : -1, /* 0 would mean the default */
        .max_grad_norm = (float)o->max_grad_norm > 0 ? (float)o->max_grad_norm : -1,
        .schedule = (ds_schedule)o->schedule,
        .label_smoothing = (float)o->label_smoothing,
        .seed = (uint64_t)o->seed,
        .precision = o->common.precision,
        .quantization_aware = o->common.quantization == DS_QUANTIZATION_INT8,
        .gradient_checkpointing = o->gradient_checkpointing,
        .memory_efficient = o->memory_efficient,
        .lora_rank = (int32_t)o->lora_rank,
        .lora_alpha = (float)o->lora_alpha,
        .lora_targets = o->lora_targets.count ? o->lora_targets.items : NULL,
        .lora_target_count = o->lora_targets.count,
        .freeze = o->freeze.count ? o->freeze.items : NULL,
        .freeze_count = o->freeze.count,
        .layer_decay = (float)o->layer_decay,
        .keep_vectors = (float)o->keep_vectors,
        .max_tokens = o->common.max_seq_len,
    };
}

ds_fit_options cli_train_what(const cli_train_options *o) {
    return (ds_fit_options){
        .train = o->train,
        .eval = o->eval,
        .eval_split = o->eval_split,
        .eval_on_start = o->eval_on_start,
        .calibrate = o->calibrate,
        .text_column = o->text_column,
        .pair_column = o->pair_column,
        .label_column = o->label_column,
        .no_header = o->no_header,
        .epochs = o->epochs,
        .max_steps = o->max_steps,
        .batch_size = (size_t)o->batch_size,
        .batch_tokens = (size_t)o->batch_tokens,
        .accumulation = (size_t)o->accumulation,
        .warmup_ratio = o->warmup_ratio,
        .teacher = o->teacher,
        .keep_texts = o->keep_texts,
        .keep_weights = (float)o->keep_weights,
        .load_best = o->load_best,
        .output = o->output,
        .save_steps = o->save_steps,
        .keep = (size_t)o->keep,
        .resume = o->resume,
        .save = {.dtype = (ds_save_dtype)o->save_dtype},
    };
}
