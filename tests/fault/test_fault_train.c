/* The n-th allocation fails, for every n, through a trainer's life (steps in micro-batches, evaluation, a checkpoint
 * and back, the result) and through ds_fit.  Each time: the right status, a sentence, every byte given back, and
 * nothing on the disk but what is whole. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/context_internal.h"
#include "base/file.h"
#include "deepseek/train.h"
#include "support/scratch_folder.h"

static scratch_folder scratch;
static ds_error error;

/* A job that takes place in the scratch folder, and a look at what it left there. */
typedef ds_status (*job)(ds_context *context, const void *about);
typedef void (*inspection)(ds_status status, int n);

static void fails_everywhere(const char *name, job live, const void *about, inspection inspect) {
    ds_context *context;
    ds_context_options options = {.threads = 1};
    assert_int_equal(ds_context_create(&options, &context, &error), DS_OK);
    const uint64_t idle = ds_context_memory(context).bytes;
    for (uint64_t n = 1;; n++) {
        const uint64_t before = ds_context_memory(context).allocations;
        scratch_make_folder(&scratch, "run");
        context->heap.fail_at = before + n;
        error = (ds_error){DS_OK, ""};
        const ds_status status = live(context, about);
        context->heap.fail_at = 0;
        if (ds_context_memory(context).bytes != idle)
            fail_msg("%s: allocation %d failed and %d bytes were lost", name, (int)n,
                     (int)(ds_context_memory(context).bytes - idle));
        const bool reached = ds_context_memory(context).allocations >= before + n;
        if (status != (reached ? DS_OUT_OF_MEMORY : DS_OK) || (reached && !*error.message))
            fail_msg("%s: allocation %d %s and the status was %s: %s", name, (int)n,
                     reached ? "failed" : "was not made", ds_status_name(status), error.message);
        inspect(status, (int)n);
        scratch_delete(&scratch, "run");
        if (reached) continue;
        printf("%s: each of %d allocations failed once\n", name, (int)n - 1);
        assert_true(n > 100);
        break;
    }
    ds_context_destroy(context);
}

/* ---- ds_trainer ---- */

typedef struct trainer_case {
    const char *model;
    ds_trainer_options how;
    ds_save_options save;
} trainer_case;

static ds_status use(ds_trainer *trainer) {
    static const int32_t ids[] = {2, 7, 8, 3, 2, 9, 3}, starts[] = {0, 4, 7}, labels[] = {0, 1};
    static const float targets[64 * 2];
    const bool embeds = ds_trainer_describe(trainer)->task == DS_TRAIN_EMBEDDING;
    const ds_train_batch batch = {.tokens = {.ids = ids, .seq_start = starts, .texts = 2},
                                  .labels = embeds ? NULL : labels,
                                  .targets = embeds ? targets : NULL};
    double loss;
    const char *checkpoint = scratch_path(&scratch, "run/checkpoint");
    ds_status status = ds_trainer_step(trainer, &batch, NULL, &error);
    if (status == DS_OK) status = ds_trainer_evaluate(trainer, &batch, NULL, &loss, &error);
    if (status == DS_OK) status = ds_trainer_save_checkpoint(trainer, checkpoint, "here", &error);
    if (status == DS_OK) status = ds_trainer_load_checkpoint(trainer, checkpoint, NULL, &error);
    return status;
}

static ds_status train_by_hand(ds_context *context, const void *about) {
    const trainer_case *c = about;
    ds_trainer *trainer = NULL;
    ds_status status = ds_trainer_create(context, c->model, &c->how, &trainer, &error);
    if (status == DS_OK) status = use(trainer);
    if (status == DS_OK) status = ds_trainer_save(trainer, scratch_path(&scratch, "run/out"), &c->save, &error);
    ds_trainer_destroy(trainer);
    return status;
}

/* The result is the last thing that is made. No temporary folder stays. */
static void result_is_whole_or_absent(ds_status status, int n) {
    DIR *directory = opendir(scratch_path(&scratch, "run"));
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strstr(entry->d_name, ".tmp")) fail_msg("allocation %d failed and left %s", n, entry->d_name);
    closedir(directory);
    assert_int_equal(ds__folder_exists(scratch_path(&scratch, "run/out")), status == DS_OK);
}

static void trainers(void **state) {
    (void)state;
    const ds_trainer_options plain = {.schedule = DS_SCHEDULE_CONSTANT, .labels = 2, .micro_batch_tokens = 4};
    trainer_case c = {DS_TEST_DATA "/models/bert_seq", plain, {.card = "A card."}};
    c.how.labels = 3; /* a new head */
    fails_everywhere("a classifier", train_by_hand, &c, result_is_whole_or_absent);
    c.save = (ds_save_options){.dtype = DS_SAVE_INT8};
    c.how = plain;
    c.how.gradient_checkpointing = true;
    fails_everywhere("a classifier, recomputed, to int8", train_by_hand, &c, result_is_whole_or_absent);
    c.save = (ds_save_options){.adapters = true};
    c.how.lora_rank = 2;
    fails_everywhere("adapters", train_by_hand, &c, result_is_whole_or_absent);
    c.model = DS_TEST_DATA "/models/st_mean";
    c.save = (ds_save_options){.dtype = DS_SAVE_FLOAT16};
    c.how.task = DS_TRAIN_EMBEDDING;
    fails_everywhere("vectors from adapters, merged", train_by_hand, &c, result_is_whole_or_absent);
}

/* ---- ds_fit ---- */

typedef struct fit_case {
    ds_fit_options options;
    int32_t lora_rank;
} fit_case;

static ds_status fit(ds_context *context, const void *about) {
    const fit_case *c = about;
    ds_fit_options options = c->options;
    const ds_trainer_options how = {.dropout = -1, .lora_rank = c->lora_rank};
    ds_fit_result result;
    options.output = scratch_path(&scratch, "run/out");
    return ds_fit(context, DS_TEST_DATA "/models/bert_seq", &how, &options, &result, &error);
}

static bool is_there(const char *name) { return ds__file_exists(scratch_path(&scratch, name)); }

/* Whoever sees config.json sees a whole model; a checkpoint that is there can be gone on from. */
static void outputs_are_whole(ds_status status, int n) {
    ds_context *context;
    ds_model *model;
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    if (is_there("run/out/config.json")) {
        if (ds_model_open(context, scratch_path(&scratch, "run/out"), NULL, &model, &error) != DS_OK)
            fail_msg("allocation %d failed and left half a model: %s", n, error.message);
        ds_model_close(model);
    }
    assert_true(status != DS_OK || is_there("run/out/config.json"));
    if (ds__folder_exists(scratch_path(&scratch, "run/out/checkpoint-1")) &&
        !is_there("run/out/checkpoint-1/trainer_state.json"))
        fail_msg("allocation %d failed and left half a checkpoint", n);
    ds_context_destroy(context);
}

static void fits(void **state) {
    (void)state;
    scratch_write_text(&scratch, "rows.csv", "text,label\nthe of,same\nand ?,different\nto in,same\nis ?,different\n");
    scratch_write_text(&scratch, "rows.jsonl",
                       "{\"text\":\"the of\",\"label\":\"same\"}\n{\"text\":\"and ?\",\"label\":\"different\"}\n");
    char rows[256], lines[256];
    snprintf(rows, sizeof rows, "%s", scratch_path(&scratch, "rows.csv"));
    snprintf(lines, sizeof lines, "%s", scratch_path(&scratch, "rows.jsonl"));
    const fit_case split = {{.train = rows, .eval_split = 0.5, .max_steps = 2, .batch_size = 1, .save_steps = 1}, 0};
    fails_everywhere("ds_fit with a split", fit, &split, outputs_are_whole);
    const fit_case taught = {
        {.train = lines, .eval = rows, .max_steps = 1, .teacher = DS_TEST_DATA "/models/bert_pair"}, 0};
    fails_everywhere("ds_fit with a teacher", fit, &taught, outputs_are_whole);
    const fit_case adapted = {{.train = rows, .max_steps = 1}, 2};
    fails_everywhere("ds_fit with adapters", fit, &adapted, outputs_are_whole);
}

static int open_scratch(void **state) {
    (void)state;
    scratch_create(&scratch);
    return 0;
}

static int close_scratch(void **state) {
    (void)state;
    scratch_destroy(&scratch);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trainers, open_scratch, close_scratch),
        cmocka_unit_test_setup_teardown(fits, open_scratch, close_scratch),
    };
    return cmocka_run_group_tests_name("faults of training", tests, NULL, NULL);
}
