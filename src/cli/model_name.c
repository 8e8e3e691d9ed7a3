/* From the name of a model to its folder on this machine. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/file.h"
#include "cli/cli.h"

enum { MOST_NAMES = 258 }; /* of one command line: MODEL and --teacher, or what is served */

typedef struct search {
    const char *name;
    ds__buffer path, looked; /* looked: all places so far */
    bool found;              /* path is it */
} search;

/* Looks for "root/between/name". */
static void look(search *s, ds__str root, const char *between) {
    if (s->found || root.size == 0) return;
    ds__buffer_clear(&s->path);
    ds__buffer_append(&s->path, root.data, root.size);
    ds__buffer_printf(&s->path, "%s/%s", between, s->name);
    const char *path = ds__buffer_cstr(&s->path);
    if (!path) return;
    s->found = ds__folder_exists(path);
    ds__buffer_printf(&s->looked, ", %s", path);
}

static void look_in_roots(search *s) {
    const char *list = ds__env_models();
    while (list && *list) {
        const size_t size = strcspn(list, ":");
        look(s, (ds__str){list, size}, "");
        list += size + (list[size] == ':');
    }
}

/* The folder that is `up` folders above the program's own; size 0: there is none. */
static ds__str above(ds__str program, int up) {
    for (int i = 0; i <= up; i++) {
        while (program.size && program.data[program.size - 1] != '/') program.size--;
        if (program.size) program.size--;
    }
    return program;
}

/* Built in a source tree: build/PRESET/deepseek, beside tools/get-minilm. Installed: PREFIX/bin/deepseek. */
static void look_beside_program(search *s) {
    char program[PATH_MAX], sign[PATH_MAX + 32];
    const ssize_t size = readlink("/proc/self/exe", program, sizeof program);
    if (size <= 0 || (size_t)size >= sizeof program) return;
    const ds__str tree = above((ds__str){program, (size_t)size}, 2),
                  prefix = above((ds__str){program, (size_t)size}, 1);
    snprintf(sign, sizeof sign, "%.*s/tools/get-minilm", (int)tree.size, tree.data);
    const bool in_tree = tree.size && ds__file_exists(sign);
    look(s, in_tree ? tree : prefix, in_tree ? "/models" : "/share/deepseek/models");
}

static void look_in_data_home(search *s) {
    const char *data = ds__env_data_home(), *home = ds__env_home();
    if (data && *data)
        look(s, ds__str_of(data), "/deepseek/models");
    else if (home)
        look(s, ds__str_of(home), "/.local/share/deepseek/models");
}

int cli_find_model(const char **name) {
    static char folders[MOST_NAMES][PATH_MAX];
    static int used;
    if (!*name || **name == '/' || ds__file_exists(*name)) return CLI_DONE;
    int code = CLI_DONE;
    search s = {.name = *name};
    ds__buffer_init(&s.path, cli_heap());
    ds__buffer_init(&s.looked, cli_heap());
    look_in_roots(&s);
    look_beside_program(&s);
    look_in_data_home(&s);
    if (s.found && s.path.size < PATH_MAX && used < MOST_NAMES) {
        memcpy(folders[used], s.path.data, s.path.size + 1); /* and its NUL */
        *name = folders[used++];
    } else {
        const char *looked = ds__buffer_cstr(&s.looked);
        code = cli_fail(
            "there is no model \"%s\": looked for the folders %s%s; give the path of a model's folder, or name "
            "in DEEPSEEK_MODELS a folder with \"%s\" in it",
            s.name, s.name, looked ? looked : "", s.name);
    }
    ds__buffer_deinit(&s.path);
    ds__buffer_deinit(&s.looked);
    return code;
}
