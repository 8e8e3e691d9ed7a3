/* The whole job of training on a tiny model: what it learns, that a run which was stopped or killed ends in the same
 * bits, dropout included, and that neither threads nor recomputing change a bit. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/context_internal.h"
#include "base/random.h"
#include "deepseek/deepseek.h"
#include "formats/safetensors_index.h"
#include "support/scratch_folder.h"

#define MODEL DS_TEST_DATA "/models/bert_seq"

enum { ROWS = 48, STEPS = 18 };

/* Two classes that differ in one word. */
static void write_data(const scratch_folder *scratch, const char *name) {
    static const char *const words[] = {"the", "of", "and", "to", "in", "is"};
    char text[8192] = "text,label\n";
    ds__random random = {5};
    for (int i = 0; i < ROWS; i++) {
        size_t at = strlen(text);
        at += (size_t)snprintf(text + at, sizeof text - at, "\"");
        for (uint32_t w = 0, count = 2 + ds__random_below(&random, 6); w < count; w++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s ", words[ds__random_below(&random, 6)]);
        snprintf(text + at, sizeof text - at, "%s\",%s\n", i % 2 ? "?" : ".", i % 2 ? "question" : "answer");
    }
    scratch_write_text(scratch, name, text);
}

/* What a run does differently. */
typedef struct change {
    int64_t stop_at; /* the step after which the host stops it; 0: never */
    int threads;
    bool resume, recomputes, load_best;
    bool unclipped, applies; /* applies: gradients where they arise, instead of keeping them */
    float dropout;
    const char *teacher, *keep_texts;
    float keep_vectors, keep_weights;
    int64_t save_steps, steps; /* steps: 0: STEPS */
} change;

static bool stop_at(void *user, const ds_fit_event *event) {
    const change *how = user;
    if (event->kind == DS_FIT_STEP) {
        const ds_train_step *s = &event->step;
        assert_true(s->forward_s > 0 && s->backward_s > 0 && s->optimizer_s > 0);
        assert_true(s->forward_s + s->backward_s + s->optimizer_s < event->seconds);
    }
    if (how->applies) assert_int_equal(event->info->gradients, 0);
    return !(how->stop_at && event->kind == DS_FIT_STEP && event->step.step >= how->stop_at);
}

static ds_status run(const scratch_folder *scratch, const char *output, change how, ds_fit_result *result,
                     ds_error *error) {
    ds_context_options context_options = {.threads = how.threads ? how.threads : 2};
    ds_context *context;
    char train[256], out[256];
    snprintf(train, sizeof train, "%s", scratch_path(scratch, "train.csv"));
    snprintf(out, sizeof out, "%s", scratch_path(scratch, output));
    if (ds_context_create(&context_options, &context, error) != DS_OK) return error->status;
    ds_trainer_options trainer = {.learning_rate = 3e-3f,
                                  .dropout = how.dropout,
                                  .seed = 11,
                                  .gradient_checkpointing = how.recomputes,
                                  .keep_vectors = how.keep_vectors,
                                  .max_grad_norm = how.unclipped ? -1 : 0,
                                  .memory_efficient = how.applies};
    if (how.unclipped) /* a step of both is one micro-batch, and so small a plan is larger where gradients are kept */
        trainer.micro_batch_tokens = how.applies ? 64 : 4096;
    ds_fit_options options = {.train = train,
                              .eval_split = 0.25,
                              .max_steps = how.steps ? how.steps : STEPS,
                              .batch_size = 8,
                              .output = out,
                              .save_steps = how.save_steps ? how.save_steps : 4,
                              .resume = how.resume,
                              .teacher = how.teacher,
                              .keep_texts = how.keep_texts,
                              .keep_weights = how.keep_weights,
                              .load_best = how.load_best,
                              .on_event = stop_at,
                              .user = &how};
    ds_status status = ds_fit(context, MODEL, &trainer, &options, result, error);
    ds_context_destroy(context);
    return status;
}

static void must_run(const scratch_folder *scratch, const char *output, change how) {
    ds_fit_result result;
    ds_error error;
    if (run(scratch, output, how, &result, &error) != DS_OK) fail_msg("%s: %s", output, error.message);
}

static void assert_same_weights(const scratch_folder *scratch, const char *a, const char *b) {
    char left[64], right[64];
    size_t left_size, right_size;
    snprintf(left, sizeof left, "%s/model.safetensors", a);
    snprintf(right, sizeof right, "%s/model.safetensors", b);
    char *x = scratch_read(scratch, left, &left_size), *y = scratch_read(scratch, right, &right_size);
    assert_int_equal(left_size, right_size);
    if (memcmp(x, y, left_size) != 0) fail_msg("%s and %s hold other weights", a, b);
    free(x);
    free(y);
}

static void learns_and_is_a_model(void **state) {
    (void)state;
    scratch_folder scratch;
    ds_fit_result result;
    ds_error error;
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    change plain = {.dropout = -1, .steps = 60};
    if (run(&scratch, "out", plain, &result, &error) != DS_OK) fail_msg("%s", error.message);
    assert_int_equal(result.steps, 60);
    assert_true(result.last_loss < 0.5 * result.first_loss);
    assert_true(result.has_eval && result.eval.accuracy > 0.9);
    ds_context *context;
    ds_model *model;
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    assert_int_equal(ds_model_open(context, scratch_path(&scratch, "out"), NULL, &model, &error), DS_OK);
    assert_int_equal(ds_model_describe(model)->labels, 2);
    assert_string_equal(ds_model_label(model, 1), "question");
    ds_session *session;
    ds_metrics metrics;
    ds_evaluate_options all = {.data = scratch_path(&scratch, "train.csv")};
    assert_int_equal(ds_session_create(model, &session, &error), DS_OK);
    assert_int_equal(ds_evaluate(session, &all, &metrics, &error), DS_OK);
    assert_int_equal(metrics.count, ROWS);
    assert_true(metrics.accuracy > 0.9);
    ds_session_destroy(session);
    ds_model_close(model);
    ds_context_destroy(context);
    /* And it can teach: the student, which sees no label, comes near its answers. */
    change taught = {.dropout = -1, .steps = 60, .teacher = scratch_path(&scratch, "out")};
    if (run(&scratch, "student", taught, &result, &error) != DS_OK) fail_msg("%s", error.message);
    assert_true(result.last_loss < 0.6 * result.first_loss && result.eval.accuracy > 0.7);
    scratch_destroy(&scratch);
}

/* How far the vectors of a few texts are from those of MODEL, as the mean of 1 - cosine. */
static double drift(const char *folder) {
    static const ds_text texts[] = {{"the of and", 10}, {"to in is ?", 10}, {"and to .", 8}};
    enum { TEXTS = 3, MOST = 512 };
    static float vectors[2][TEXTS * MOST];
    const char *folders[] = {MODEL, folder};
    size_t columns = 0;
    for (int i = 0; i < 2; i++) {
        ds_context *context;
        ds_model *model;
        ds_session *session;
        ds_error error;
        assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
        assert_int_equal(ds_model_open(context, folders[i], NULL, &model, &error), DS_OK);
        assert_int_equal(ds_session_create(model, &session, &error), DS_OK);
        columns = (size_t)ds_model_describe(model)->hidden_size;
        assert_true(columns <= MOST);
        assert_int_equal(ds_embed(session, texts, TEXTS, NULL, vectors[i], NULL, &error), DS_OK);
        ds_session_destroy(session);
        ds_model_close(model);
        ds_context_destroy(context);
    }
    double sum = 0;
    for (size_t t = 0; t < TEXTS; t++) {
        const float *a = vectors[0] + t * columns, *b = vectors[1] + t * columns;
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < columns; i++) {
            ab += (double)a[i] * b[i];
            aa += (double)a[i] * a[i];
            bb += (double)b[i] * b[i];
        }
        sum += 1 - ab / sqrt(aa * bb);
    }
    return sum / TEXTS;
}

static void vectors_can_be_kept(void **state) {
    (void)state;
    scratch_folder scratch;
    ds_fit_result result;
    ds_error error;
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    must_run(&scratch, "free", (change){.dropout = -1, .steps = 60});
    change kept = {.dropout = -1, .steps = 240, .teacher = MODEL, .keep_vectors = 0.1f};
    if (run(&scratch, "kept", kept, &result, &error) != DS_OK) fail_msg("%s", error.message);
    assert_true(result.last_loss < 0.7 * result.first_loss);
    assert_true(!isnan(result.eval.loss)); /* the labels', since the teacher's vectors are no labels */
    assert_true(drift(scratch_path(&scratch, "kept")) < 0.2 * drift(scratch_path(&scratch, "free")));
    /* More texts than a step has and fewer than it comes to take: they count, and a run that was stopped takes the
     * same. */
    char more[256];
    scratch_write_text(&scratch, "more.csv",
                       "text\nthe of\nand to in\nis the ?\nof . of\nto\nin the is of\nand and .\n"
                       "the . ?\nis\nof to to\nin in ?\n");
    snprintf(more, sizeof more, "%s", scratch_path(&scratch, "more.csv"));
    change mixed = {.teacher = MODEL, .keep_vectors = 0.1f, .keep_texts = more};
    must_run(&scratch, "mixed", mixed);
    mixed.stop_at = 7;
    assert_int_equal(run(&scratch, "again", mixed, &result, &error), DS_STOPPED);
    mixed.stop_at = 0;
    mixed.resume = true;
    must_run(&scratch, "again", mixed);
    assert_same_weights(&scratch, "mixed", "again");
    mixed = (change){.keep_texts = more};
    assert_int_equal(run(&scratch, "nothing", mixed, &result, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "keep_vectors"));
    kept.teacher = NULL;
    assert_int_equal(run(&scratch, "alone", kept, &result, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "teacher"));
    scratch_destroy(&scratch);
}

/* The result lies on the line between what was and what was learned; the head is the learned one. */
static void weights_can_be_kept(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    must_run(&scratch, "learned", (change){.dropout = -1, .steps = 30});
    must_run(&scratch, "half", (change){.dropout = -1, .steps = 30, .keep_weights = 0.5f});
    ds_context *context;
    ds_error error;
    ds_trainer *trainers[3];
    const char *names[] = {"learned", "half"};
    const ds_trainer_options options = {.schedule = DS_SCHEDULE_CONSTANT};
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    for (int i = 0; i < 3; i++)
        if (ds_trainer_create(context, i == 2 ? MODEL : scratch_path(&scratch, names[i]), &options, &trainers[i],
                              &error) != DS_OK)
            fail_msg("%s", error.message);
    size_t moved = 0;
    for (size_t t = 0; t < ds_trainer_tensor_count(trainers[0]); t++) {
        ds_train_tensor learned, half, before;
        assert_int_equal(ds_trainer_tensor(trainers[0], t, &learned, &error), DS_OK);
        assert_int_equal(ds_trainer_tensor(trainers[1], t, &half, &error), DS_OK);
        assert_int_equal(ds_trainer_tensor(trainers[2], t, &before, &error), DS_OK);
        assert_string_equal(learned.name, half.name);
        assert_string_equal(learned.name, before.name);
        const bool head = strstr(learned.name, "classifier") || strstr(learned.name, "pooler");
        size_t elements = 1;
        for (int d = 0; d < learned.rank; d++) elements *= (size_t)learned.shape[d];
        for (size_t i = 0; i < elements; i++) {
            const float expected = head ? learned.data[i] : 0.5f * (learned.data[i] + before.data[i]);
            if (!(fabsf(half.data[i] - expected) <= 1e-6f)) fail_msg("%s[%zu] is off the line", learned.name, i);
            moved += !head && learned.data[i] != before.data[i];
        }
    }
    assert_true(moved > 1000);
    for (int i = 0; i < 3; i++) ds_trainer_destroy(trainers[i]);
    ds_context_destroy(context);
    scratch_destroy(&scratch);
}

/* Long before the last step as many rows are right as ever will be, and the first evaluation that says so stays the
 * best. */
static void the_best_is_taken(void **state) {
    (void)state;
    scratch_folder scratch;
    ds_fit_result result;
    ds_error error;
    size_t size;
    char checkpoint[64];
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    change best = {.dropout = -1, .steps = 60, .load_best = true};
    if (run(&scratch, "best", best, &result, &error) != DS_OK) fail_msg("%s", error.message);
    char *marked = scratch_read(&scratch, "best/best", &size);
    const int length = (int)strcspn(marked, "\n");
    snprintf(checkpoint, sizeof checkpoint, "best/%.*s", length, marked);
    assert_string_not_equal(checkpoint, "best/checkpoint-60");
    assert_same_weights(&scratch, checkpoint, "best");
    assert_true(result.eval.accuracy > 0.9 && result.steps == 60);
    free(marked);
    scratch_destroy(&scratch);
}

static void nothing_but_the_seed_counts(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    must_run(&scratch, "two", (change){.threads = 2});
    must_run(&scratch, "one", (change){.threads = 1});
    must_run(&scratch, "three", (change){.threads = 3});
    must_run(&scratch, "recomputed", (change){.recomputes = true});
    assert_same_weights(&scratch, "two", "one");
    assert_same_weights(&scratch, "two", "three");
    assert_same_weights(&scratch, "two", "recomputed");
    must_run(&scratch, "kept", (change){.unclipped = true});
    for (int threads = 1; threads <= 3; threads++) {
        char name[16];
        snprintf(name, sizeof name, "applied-%d", threads);
        must_run(&scratch, name, (change){.unclipped = true, .applies = true, .threads = threads});
        assert_same_weights(&scratch, "kept", name);
    }
    scratch_destroy(&scratch);
}

static void stopped_runs_go_on(void **state) {
    (void)state;
    scratch_folder scratch;
    ds_fit_result result;
    ds_error error;
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    must_run(&scratch, "whole", (change){0});
    for (int64_t stop = 1; stop < STEPS; stop += 5) {
        char name[32];
        snprintf(name, sizeof name, "stopped-%lld", (long long)stop);
        assert_int_equal(run(&scratch, name, (change){.stop_at = stop}, &result, &error), DS_STOPPED);
        assert_int_equal(run(&scratch, name, (change){0}, &result, &error), DS_INVALID_ARGUMENT); /* without resume */
        must_run(&scratch, name, (change){.resume = true});
        assert_same_weights(&scratch, "whole", name);
    }
    scratch_destroy(&scratch);
}

/* A run in a process of its own that is killed at some moment, and again, until one comes to its end. */
static void killed_runs_go_on(void **state) {
    (void)state;
    enum { KILLS = 50 };
    scratch_folder scratch;
    ds__random random = {17};
    int kills = 0, runs = 0;
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    must_run(&scratch, "whole", (change){.save_steps = 1});
    while (kills < KILLS && runs < 40 * KILLS) {
        char name[32];
        bool done = false;
        snprintf(name, sizeof name, "killed-%d", runs);
        while (!done) {
            const pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                ds_fit_result result;
                ds_error error;
                _exit(run(&scratch, name, (change){.resume = true, .save_steps = 1}, &result, &error) == DS_OK ? 0 : 1);
            }
            usleep(1000 + ds__random_below(&random, 60000));
            int status;
            if (kills < KILLS && waitpid(child, &status, WNOHANG) == 0) {
                kill(child, SIGKILL);
                waitpid(child, &status, 0);
                kills += WIFSIGNALED(status);
            } else {
                if (kills >= KILLS) waitpid(child, &status, 0);
                if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                    fail_msg("%s: a run after %d kills failed", name, kills);
            }
            done = WIFEXITED(status);
        }
        assert_same_weights(&scratch, "whole", name);
        scratch_delete(&scratch, name);
        runs++;
    }
    assert_int_equal(kills, KILLS);
    scratch_destroy(&scratch);
}

/* The newest checkpoint is torn: it is passed over for the one before. */
static void torn_checkpoint_is_passed_over(void **state) {
    (void)state;
    scratch_folder scratch;
    ds_fit_result result;
    ds_error error;
    scratch_create(&scratch);
    write_data(&scratch, "train.csv");
    must_run(&scratch, "whole", (change){0});
    assert_int_equal(run(&scratch, "torn", (change){.stop_at = 10}, &result, &error), DS_STOPPED);
    scratch_resize(&scratch, "torn/checkpoint-10/model.safetensors", 1000);
    must_run(&scratch, "torn", (change){.resume = true});
    assert_same_weights(&scratch, "whole", "torn");
    scratch_destroy(&scratch);
}

/* A job on `text` with little said about it; its result is opened and evaluated as a user would. */
static void run_task(const char *model, const char *text, ds_fit_options options, double *quality) {
    scratch_folder scratch;
    ds_context *context;
    ds_error error;
    ds_fit_result result;
    char train[256], out[256];
    scratch_create(&scratch);
    scratch_write_text(&scratch, "data.csv", text);
    snprintf(train, sizeof train, "%s", scratch_path(&scratch, "data.csv"));
    snprintf(out, sizeof out, "%s", scratch_path(&scratch, "out"));
    options.train = options.eval = train;
    options.output = out;
    options.batch_size = 8;
    const ds_trainer_options how = {.learning_rate = 3e-3f, .dropout = -1};
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    if (ds_fit(context, model, &how, &options, &result, &error) != DS_OK) fail_msg("%s", error.message);
    assert_true(result.has_eval);
    const double inside = isnan(result.eval.accuracy) ? result.eval.pearson : result.eval.accuracy;
    ds_model *opened = NULL;
    ds_session *session = NULL;
    ds_metrics metrics;
    const ds_evaluate_options all = {.data = train};
    if (ds_model_open(context, out, NULL, &opened, &error) != DS_OK ||
        ds_session_create(opened, &session, &error) != DS_OK || ds_evaluate(session, &all, &metrics, &error) != DS_OK)
        fail_msg("%s", error.message);
    *quality = isnan(metrics.accuracy) ? metrics.pearson : metrics.accuracy;
    assert_true(fabs(*quality - inside) < 1e-3); /* the folder is what was evaluated in training */
    ds_session_destroy(session);
    ds_model_close(opened);
    ds_context_destroy(context);
    scratch_destroy(&scratch);
}

static void every_task_learns(void **state) {
    (void)state;
    char multi[4096] = "text,label\n", values[4096] = "text,label\n", pairs[4096] = "sentence1,sentence2,label\n";
    for (int i = 0; i < 24; i++) {
        const bool a = i % 2, b = i / 2 % 2;
        sprintf(multi + strlen(multi), "the %s%s of,%s\n", a ? "?" : "and", b ? " in" : "",
                a && b ? "q|i"
                : a    ? "q|q"
                : b    ? "i|i"
                       : "n|n");
        sprintf(values + strlen(values), "the %s of,%.1f\n", a ? "?" : "and", a ? 1.5 : -0.5);
        sprintf(pairs + strlen(pairs), "the %s,%s of,%.1f\n", a ? "?" : "and", a == b ? "the" : "in",
                a == b ? 0.9 : 0.1);
    }
    double quality;
    run_task(MODEL, multi, (ds_fit_options){.max_steps = 40}, &quality);
    assert_true(quality > 0.9);
    run_task(MODEL, values, (ds_fit_options){.max_steps = 40}, &quality);
    assert_true(quality > 0.9);
    run_task(DS_TEST_DATA "/models/st_mean", pairs, (ds_fit_options){.max_steps = 40}, &quality);
    assert_true(quality > 0.5);
}

/* Vectors need no pooler and no head, but what the folder has of them is in the result, as it was. */
static void vectors_keep_all_tensors(void **state) {
    (void)state;
    static const char *const models[] = {"st_mean", "bert_legacy", "bert_prefix", "bert_f16", "bert_seq"};
    static const int32_t ids[] = {2, 7, 8, 3, 2, 9, 3}, starts[] = {0, 4, 7};
    const ds_trainer_options how = {.task = DS_TRAIN_EMBEDDING, .schedule = DS_SCHEDULE_CONSTANT};
    const ds_train_batch batch = {.tokens = {.ids = ids, .seq_start = starts, .texts = 2}, .targets = (float[]){1}};
    const ds_save_dtype dtypes[] = {DS_SAVE_FLOAT32, DS_SAVE_BFLOAT16, DS_SAVE_INT8};
    ds_context *context;
    ds_error error;
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    for (size_t k = 0; k < 3 * sizeof models / sizeof *models; k++) {
        char model[512];
        scratch_folder scratch;
        ds_trainer *trainer;
        ds__weights *before, *after;
        size_t carried = 0;
        scratch_create(&scratch);
        const ds_save_options save = {.dtype = dtypes[k % 3]};
        const char *out = scratch_path(&scratch, "out");
        snprintf(model, sizeof model, DS_TEST_DATA "/models/%s", models[k / 3]);
        if (ds_trainer_create(context, model, &how, &trainer, &error) != DS_OK ||
            ds_trainer_step(trainer, &batch, NULL, &error) != DS_OK ||
            ds_trainer_save(trainer, out, &save, &error) != DS_OK ||
            ds__weights_open(&context->heap, model, &before, &error) != DS_OK ||
            ds__weights_open(&context->heap, out, &after, &error) != DS_OK)
            fail_msg("%s: %s", model, error.message);
        for (size_t i = 0; i < ds__weights_count(before); i++) {
            const ds__safetensor *a = ds__weights_at(before, i), *b = ds__weights_find(after, a->name, NULL);
            if (!b) fail_msg("%s: the result has no %s", model, a->name.data);
            const bool used = strstr(a->name.data, "embeddings.") || strstr(a->name.data, "encoder.");
            if (used && !strstr(a->name.data, "position_ids")) continue;
            carried++;
            assert_string_equal(a->dtype_name.data, b->dtype_name.data);
            assert_int_equal(a->bytes, b->bytes);
            assert_memory_equal(a->data, b->data, a->bytes);
        }
        assert_true(carried >= 2);
        ds__weights_close(after);
        ds__weights_close(before);
        ds_trainer_destroy(trainer);
        scratch_destroy(&scratch);
    }
    ds_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_and_is_a_model),       cmocka_unit_test(vectors_can_be_kept),
        cmocka_unit_test(weights_can_be_kept),         cmocka_unit_test(the_best_is_taken),
        cmocka_unit_test(nothing_but_the_seed_counts), cmocka_unit_test(stopped_runs_go_on),
        cmocka_unit_test(killed_runs_go_on),           cmocka_unit_test(torn_checkpoint_is_passed_over),
        cmocka_unit_test(every_task_learns),           cmocka_unit_test(vectors_keep_all_tensors),
    };
    return cmocka_run_group_tests_name("fit", tests, NULL, NULL);
}
