/* deepseek report: a training run's log as one HTML page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/report_page.h"

enum { KEY_OUTPUT = 1 };

static const struct argp_option options[] = {
    {"output", KEY_OUTPUT, "FILE.html", 0, "Where the page goes, - for standard output (default: RUN_DIR/report.html)",
     1},
    {0}};

static const char doc[] =
    "Makes one page of a training run's log: curves, evaluations, confusions, where time and memory went, settings.\v"
    "RUN_DIR is what 'deepseek train' was given as --output; its train_log.jsonl is read. The page needs nothing else: "
    "no "
    "network, no other file. A run that still goes on, or was killed, has a report too.\n\n"
    "Examples:\n"
    "  deepseek report intents\n"
    "  deepseek report intents --output intents.html\n";

typedef struct report {
    cli_options common;
    const char *output;
} report;

static error_t parse(int key, char *argument, void *own) {
    report *r = own;
    if (key != KEY_OUTPUT) return ARGP_ERR_UNKNOWN;
    if (!*argument) exit(cli_usage_error("report", "--output is \"\", expected a file or -"));
    r->output = argument;
    return 0;
}

/* The folder's last name, "intents" of "runs/intents/"; of "." and ".." that is no name, so the page has the whole. */
static ds__str name_of(const char *folder) {
    size_t end = strlen(folder), start;
    while (end > 1 && folder[end - 1] == '/') end--;
    for (start = end; start > 0 && folder[start - 1] != '/'; start--) {}
    ds__str name = {folder + start, end - start};
    return name.size && !ds__str_is(name, ".") && !ds__str_is(name, "..") ? name : ds__str_of(folder);
}

static int write_page(const char *path, const ds__buffer *page) {
    ds_error error;
    if (page->failed) return cli_fail("out of memory for the page");
    if (strcmp(path, "-") == 0) return cli_write(page) ? CLI_DONE : CLI_FAILED;
    if (ds__file_replace(path, page->data, page->size, &error) != DS_OK) return cli_fail_error(&error);
    fprintf(stderr, "deepseek: %s\n", path);
    return CLI_DONE;
}

int cli_report(int argc, char **argv) {
    static cli_log log; /* labels, warnings */
    report r = {.output = NULL};
    ds__buffer path, target, page;
    cli_parse(&(cli_command){"report", "RUN_DIR", doc, options, parse, &r, false, false, &r.common}, argc, argv);
    ds__buffer_init(&path, cli_heap());
    ds__buffer_init(&target, cli_heap());
    ds__buffer_init(&page, cli_heap());
    const char *from = ds__path_join(&path, r.common.model, "train_log.jsonl");
    const char *to = r.output ? r.output : ds__path_join(&target, r.common.model, "report.html");
    int code = from && to ? CLI_DONE : cli_fail("out of memory for a path");
    if (code == CLI_DONE && ds__folder_exists(r.common.model) && !ds__file_exists(from))
        code = cli_fail("%s: has no train_log.jsonl; name the --output of a 'deepseek train'", r.common.model);
    if (code == CLI_DONE) {
        code = cli_log_read(from, &log);
        if (code == CLI_DONE) {
            cli_report_put_page(&page, &log, name_of(r.common.model));
            code = write_page(to, &page);
        }
        cli_log_free(&log);
    }
    ds__buffer_deinit(&path);
    ds__buffer_deinit(&target);
    ds__buffer_deinit(&page);
    return code;
}
