/* deepseek COMMAND ...: finds the command and runs it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const struct command {
    const char *name, *about;
    int (*run)(int argc, char **argv);
} commands[] = {
#define DS_COMMAND(name, about) {#name, about, cli_##name},
#include "cli/cmds.def"
#undef DS_COMMAND
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fprintf(out,
            "Usage: deepseek COMMAND [OPTION...] [MODEL]\n\n"
            "Runs and fine-tunes Hugging Face text encoders on the CPU: no Python, no export step.\n\n"
            "MODEL is a folder as Hugging Face stores it, or a name such as deepseek/base-model. Names are looked\n"
            "for, never downloaded, in the roots of $DEEPSEEK_MODELS (colons between them), in the models that\n"
            "come with this program, and in $XDG_DATA_HOME/deepseek/models (by default ~/.local/share).\n\n");
    for (size_t i = 0; i < COMMANDS; i++) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].about);
    fprintf(out, "\nExamples:\n"
                 "  echo 'Where is my card?' | deepseek embed deepseek/base-model\n"
                 "  deepseek classify MODEL --texts tickets.csv --text-column body --top-k 3\n"
                 "  deepseek train MODEL --train train.csv --eval test.csv --output intents\n"
                 "  deepseek bench MODEL --texts texts.tsv --json\n\n"
                 "'deepseek COMMAND --help' says what a command takes. Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

static const struct command *find(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) return &commands[i];
    return NULL;
}

int main(int argc, char **argv) {
    argp_err_exit_status = CLI_USAGE;
    argp_program_version = "deepseek " DS_VERSION; /* of 'deepseek COMMAND --version' */
    signal(SIGPIPE, SIG_IGN);                      /* a reader that leaves early is a failed write, not a death */
    if (atexit(cli_close_output) != 0) return CLI_FAILED;
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--version") == 0) {
        printf("deepseek %s\n", ds_version());
        return CLI_DONE;
    }
    if (strcmp(word, "--help") == 0 || (strcmp(word, "help") == 0 && argc < 3)) {
        print_help(stdout);
        return CLI_DONE;
    }
    if (strcmp(word, "help") == 0) { /* help COMMAND is COMMAND --help */
        const struct command *asked = find(argv[2]);
        if (asked) return asked->run(2, (char *[]){argv[2], (char *)"--help", NULL});
        word = argv[2];
    }
    const struct command *command = find(word);
    if (!command) {
        if (*word)
            fprintf(stderr, "deepseek: there is no command \"%s\"; 'deepseek --help' lists them\n", word);
        else
            print_help(stderr);
        return CLI_USAGE;
    }
    return command->run(argc - 1, argv + 1);
}
