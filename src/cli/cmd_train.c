/* deepseek train: a model folder and labelled rows to a better folder.  The work is ds_fit's; here are the signals that
 * end a run, and what is said on the way. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/train_view.h"

typedef struct training {
    cli_train_options options;
    cli_train_view view;
    ds_train_task task;
} training;

/* The signal that asked to stop; 0: none. What handlers share with the run. */
static volatile sig_atomic_t stop_signal, grace_seconds;

/* Checkpoints appear whole or not at all, so that nothing is spoilt by going at once. */
static void leave(const char *sentence) {
    ssize_t put = write(STDERR_FILENO, sentence, strlen(sentence));
    (void)put;
    _exit(CLI_FAILED);
}

static void time_is_up(int signal_number) {
    (void)signal_number;
    leave("\ndeepseek: the seconds of --grace-seconds are over; --resume goes on from the last checkpoint\n");
}

static void ask_to_stop(int signal_number) {
    if (stop_signal || grace_seconds == 0)
        leave("\ndeepseek: ended at once; --resume goes on from the last checkpoint\n");
    stop_signal = signal_number;
    alarm((unsigned)grace_seconds);
}

static void catch_signals(int64_t grace) {
    static const int numbers[] = {SIGTERM, SIGINT};
    struct sigaction action = {.sa_handler = time_is_up, .sa_flags = SA_RESTART}, before;
    grace_seconds = (sig_atomic_t)grace;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = ask_to_stop;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* as nohup and shells ask for */
            sigaction(numbers[i], &action, NULL);
}

static bool on_event(void *user, const ds_fit_event *event) {
    training *t = user;
    switch (event->kind) {
    case DS_FIT_PLANNED:
        t->task = event->info->task;
        cli_train_show_plan(event->info);
        break;
    case DS_FIT_STEP: cli_train_show_step(&t->view, event); break;
    case DS_FIT_EVALUATED: cli_train_show_evaluation(&t->view, event); break;
    case DS_FIT_SAVED: cli_train_show_saved(&t->view, event); break;
    case DS_FIT_WARNING: cli_train_show_warning(&t->view, event->text); break;
    }
    return stop_signal == 0;
}

/* error: ds_fit's, which says where the run stands. */
static int say_stopped(const ds_error *error) {
    return cli_fail("%s: %s; the same command with --resume goes on", stop_signal == SIGINT ? "SIGINT" : "SIGTERM",
                    error->message);
}

static int write_summary(const training *t, const ds_fit_result *result) {
    ds__buffer text;
    ds__buffer_init(&text, cli_heap());
    if (t->options.json)
        cli_train_put_json(result, &text);
    else
        cli_train_put_summary(&t->options, t->task, result, &text);
    int code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
    ds__buffer_deinit(&text);
    return code;
}

int cli_train(int argc, char **argv) {
    static training t; /* the patterns' lists are long */
    ds_context *context;
    ds_fit_result result;
    ds_error error;
    cli_train_parse(argc, argv, &t.options);
    cli_train_view_init(&t.view);
    int code = cli_find_model(&t.options.teacher);
    if (code == CLI_DONE) code = cli_open_context(&t.options.common, &context);
    if (code != CLI_DONE) return code;
    ds_trainer_options how = cli_train_how(&t.options);
    ds_fit_options what = cli_train_what(&t.options);
    what.on_event = on_event;
    what.user = &t;
    catch_signals(t.options.grace_seconds);
    ds_status status = ds_fit(context, t.options.common.model, &how, &what, &result, &error);
    alarm(0); /* what was asked for too late has nothing left to stop */
    cli_train_view_clear(&t.view);
    if (status == DS_STOPPED)
        code = say_stopped(&error);
    else if (status != DS_OK)
        code = cli_fail_error(&error);
    else
        code = write_summary(&t, &result);
    ds_context_destroy(context);
    return code;
}
