/* What `deepseek train` was asked for, checked, and as the library takes it. */
#ifndef DS_CLI_TRAIN_OPTIONS_H
#define DS_CLI_TRAIN_OPTIONS_H

#include "cli/cli.h"

enum { CLI_TRAIN_PATTERNS = 64 };

typedef struct cli_patterns {
    const char *items[CLI_TRAIN_PATTERNS];
    size_t count;
} cli_patterns;

/* The recipe: filled with its defaults before the command line is read. Numbers that have none are 0 when not given. */
typedef struct cli_train_options {
    cli_options common;
    const char *train, *eval, *text_column, *pair_column, *label_column, *teacher, *keep_texts, *output;
    double eval_split, calibrate, epochs, learning_rate, weight_decay, warmup_ratio, max_grad_norm, label_smoothing,
        layer_decay, lora_alpha, keep_vectors, keep_weights;
    int64_t max_steps, batch_size, batch_tokens, accumulation, seed, lora_rank, keep, save_steps, grace_seconds;
    int task, loss, optimizer, schedule, save_dtype; /* numbers of the option's words, counted from 0; loss: from 1 */
    cli_patterns freeze, lora_targets;
    bool eval_on_start, no_header, gradient_checkpointing, memory_efficient, load_best, resume, json;
} cli_train_options;

/* Reads the command line; exits with CLI_USAGE on mistakes. */
void cli_train_parse(int argc, char **argv, cli_train_options *out);
/* The same as the library's structures; on_event and user are left to the caller. Borrows from `options`. */
ds_trainer_options cli_train_how(const cli_train_options *options);
ds_fit_options cli_train_what(const cli_train_options *options);

#endif
