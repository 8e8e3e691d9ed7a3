/* Damaging model folders, and what must hold when they are refused. */
#include "support/hostile_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534, DEPTH = 10000 };

void damage_edit(const scratch_folder *folder, const hostile_case *row) {
    scratch_replace(folder, row->file, row->old_text, row->new_text);
}

void damage_header(const scratch_folder *folder, const hostile_case *row) {
    scratch_replace_header(folder, row->file, row->old_text, row->new_text);
}

void damage_overwrite(const scratch_folder *folder, const hostile_case *row) {
    scratch_write_text(folder, row->file, row->new_text);
}

void damage_safetensors(const scratch_folder *folder, const hostile_case *row) {
    scratch_write_safetensors(folder, row->file, strtoull(row->old_text, NULL, 0), row->new_text, 64);
}

/* The text, DEPTH times; to be given to free(). */
static char *repeated(const char *text) {
    size_t size = strlen(text);
    char *out = malloc(DEPTH * size + 1);
    assert_non_null(out);
    for (size_t i = 0; i < DEPTH; i++) memcpy(out + i * size, text, size);
    out[DEPTH * size] = '\0';
    return out;
}

void damage_nest(const scratch_folder *folder, const hostile_case *row) {
    char *text = repeated(row->old_text);
    scratch_write_text(folder, row->file, text);
    free(text);
}

void damage_nest_header(const scratch_folder *folder, const hostile_case *row) {
    char *text = repeated(row->old_text);
    scratch_write_safetensors(folder, row->file, strlen(text), text, 64);
    free(text);
}

void damage_delete(const scratch_folder *folder, const hostile_case *row) { scratch_delete(folder, row->file); }

void damage_folder_instead(const scratch_folder *folder, const hostile_case *row) {
    scratch_delete(folder, row->file);
    scratch_make_folder(folder, row->file);
}

void damage_fifo_instead(const scratch_folder *folder, const hostile_case *row) {
    scratch_delete(folder, row->file);
    assert_int_equal(mkfifo(scratch_path(folder, row->file), 0600), 0);
}

void damage_unreadable(const scratch_folder *folder, const hostile_case *row) {
    assert_int_equal(chmod(scratch_path(folder, row->file), 0), 0);
    assert_int_equal(chmod(folder->path, 0755), 0);
}

static size_t size_of(const scratch_folder *folder, const hostile_case *row) {
    size_t size;
    free(scratch_read(folder, row->file, &size));
    return size;
}

void damage_cut_in_half(const scratch_folder *folder, const hostile_case *row) {
    scratch_resize(folder, row->file, size_of(folder, row) / 2);
}

void damage_cut_last_byte(const scratch_folder *folder, const hostile_case *row) {
    scratch_resize(folder, row->file, size_of(folder, row) - 1);
}

void damage_add_zero_byte(const scratch_folder *folder, const hostile_case *row) {
    scratch_resize(folder, row->file, size_of(folder, row) + 1);
}

/* ---- running ---- */

/* Root may read everything, so unreadable files are read as somebody else. false: that cannot be done here. */
static bool step_down(const hostile_case *row) {
    return row->damage != damage_unreadable || geteuid() != 0 || seteuid(NOBODY) == 0;
}

static void step_up(const hostile_case *row) {
    if (row->damage == damage_unreadable && getuid() == 0) assert_int_equal(seteuid(0), 0);
}

static ds_status open_everything(ds_context *context, const char *path, ds_error *error) {
    ds_model *model = NULL;
    ds_status status = ds_model_open(context, path, NULL, &model, error);
    ds_model_close(model);
    return status;
}

static int open_files(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) return 0;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

/* Whether a file below `path` is mapped. */
static bool is_mapped(const char *path) {
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) return false;
    while (fgets(line, sizeof line, maps)) found = found || strstr(line, path);
    fclose(maps);
    return found;
}

static void check_sentence(const hostile_case *row, ds_status status, const ds_error *error) {
    if (status != row->status || error->status != status)
        fail_msg("%s: the status is %s, expected %s: %s", row->title, ds_status_name(status),
                 ds_status_name(row->status), error->message);
    if (!*error->message || strchr(error->message, '\n'))
        fail_msg("%s: not one sentence: %s", row->title, error->message);
    for (int i = 0; i < HOSTILE_NEEDLES && row->needles[i]; i++)
        if (!strstr(error->message, row->needles[i]))
            fail_msg("%s: \"%s\" is not in the sentence: %s", row->title, row->needles[i], error->message);
}

static void copy_model(scratch_folder *folder, const char *models_folder, const char *model) {
    char from[512];
    snprintf(from, sizeof from, "%s/%s", models_folder, model);
    scratch_copy(folder, from);
}

static void run_case(ds_context *context, const char *models_folder, const hostile_case *row) {
    scratch_folder folder;
    ds_error error = {DS_OK, ""};
    copy_model(&folder, models_folder, row->model);
    row->damage(&folder, row);
    if (!step_down(row)) {
        printf("skipped: %s, because root may read everything\n", row->title);
        scratch_destroy(&folder);
        return;
    }
    uint64_t bytes = ds_context_memory(context).bytes;
    int files = open_files();
    ds_status status = open_everything(context, folder.path, &error);
    step_up(row);
    if (getenv("DS_TEST_VERBOSE")) printf("%s: %s\n", row->title, error.message);
    check_sentence(row, status, &error);
    if (ds_context_memory(context).bytes != bytes)
        fail_msg("%s: %d bytes were not given back", row->title, (int)(ds_context_memory(context).bytes - bytes));
    if (open_files() != files) fail_msg("%s: a file was left open", row->title);
    if (is_mapped(folder.path)) fail_msg("%s: a file was left mapped", row->title);
    scratch_destroy(&folder);
}

static ds_context *make_context(void) {
    ds_context *context;
    ds_context_options options = {.threads = 1};
    assert_int_equal(ds_context_create(&options, &context, NULL), DS_OK);
    return context;
}

void hostile_run(const char *models_folder, const hostile_case *rows, size_t count) {
    ds_context *context = make_context();
    for (size_t i = 0; i < count; i++) run_case(context, models_folder, &rows[i]);
    printf("%zu cases\n", count);
    ds_context_destroy(context);
}

void hostile_run_undamaged(const char *models_folder, const hostile_case *rows, size_t count) {
    ds_context *context = make_context();
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(rows[i].model, rows[i - 1].model) == 0) continue; /* seen in the row before */
        scratch_folder folder;
        ds_error error;
        copy_model(&folder, models_folder, rows[i].model);
        if (open_everything(context, folder.path, &error) != DS_OK) fail_msg("%s: %s", rows[i].model, error.message);
        scratch_destroy(&folder);
    }
    ds_context_destroy(context);
}
