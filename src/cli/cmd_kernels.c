/* deepseek kernels: the variants, and why each is used or not. */
#include <stdio.h>

#include "cli/cli.h"

enum { KEY_WHY = 1, KEY_JSON };

static const struct argp_option options[] = {
    {"why", KEY_WHY, 0, 0, "Every variant, with the reason why it is used here or not", 1},
    {"json", KEY_JSON, 0, 0, "One JSON array with everything", 1},
    {0}};

static const char doc[] = "Lists the kernel that each operation uses on this machine.\v"
                          "DS_ISA=ref|avx2|avx512 in the environment hides the variants above it.\n\n"
                          "Examples:\n"
                          "  deepseek kernels --why\n"
                          "  DS_ISA=avx2 deepseek kernels\n";

typedef struct kernels {
    cli_options common;
    bool why, json;
} kernels;

static error_t parse(int key, char *argument, void *own) {
    (void)argument;
    kernels *k = own;
    switch (key) {
    case KEY_WHY: k->why = true; break;
    case KEY_JSON: k->json = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void put_text(ds__json_writer *json, const char *key, const char *value) {
    ds__json_key(json, key);
    ds__json_put_string(json, ds__str_of(value));
}

static void put_json(ds__buffer *text) {
    ds__json_writer json = {text, false};
    ds__json_open_array(&json);
    for (size_t i = 0; i < ds_kernel_count(); i++) {
        ds_kernel_info info = ds_kernel_at(i);
        ds__json_open_object(&json);
        put_text(&json, "family", info.family);
        put_text(&json, "op", info.op);
        put_text(&json, "name", info.name);
        put_text(&json, "about", info.about);
        ds__json_key(&json, "used");
        ds__json_put_bool(&json, info.used);
        put_text(&json, "why", info.why);
        ds__json_close_object(&json);
    }
    ds__json_close_array(&json);
    ds__buffer_put(text, '\n');
}

static void put_table(const kernels *k, ds__buffer *text) {
    ds__buffer_printf(text, "%s\n\n", ds_cpu_name());
    for (size_t i = 0; i < ds_kernel_count(); i++) {
        ds_kernel_info info = ds_kernel_at(i);
        if (k->why)
            ds__buffer_printf(text, "%s %-24s %s\n%28s%s\n", info.used ? "*" : " ", info.name, info.about, "",
                              info.why);
        else if (info.used)
            ds__buffer_printf(text, "%-18s %-24s %s\n", info.op, info.name, info.about);
    }
    for (size_t i = 0; k->why && i < ds_split_count(); i++) {
        ds_split_info split = ds_split_at(i);
        ds__buffer_printf(text, "%ssplit from %d rows a thread: %s\n%28s%s\n", i ? "  " : "\n  ", split.rows_from,
                          split.how, "", split.why);
    }
    if (!k->why) ds__buffer_text(text, "\n'deepseek kernels --why' lists the others and the reasons.\n");
}

int cli_kernels(int argc, char **argv) {
    kernels k = {.why = false};
    cli_parse(&(cli_command){"kernels", "", doc, options, parse, &k, false, false, &k.common}, argc, argv);
    ds__buffer text;
    ds__buffer_init(&text, cli_heap());
    if (k.json)
        put_json(&text);
    else
        put_table(&k, &text);
    int code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
    ds__buffer_deinit(&text);
    return code;
}
