/* Checkpoints: what is written is read back bit by bit; what is torn, damaged or of another run is refused before a
 * byte of the caller's memory is written; whatever kills or stops the writing, what has a final name is whole. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/checksum.h"
#include "base/file.h"
#include "base/random.h"
#include "base/save.h"
#include "support/scratch_folder.h"
#include "train/checkpoint.h"
#include "train/checkpoint_state.h"

enum { WEIGHTS = 4, MOMENTS = 3, TENSORS = WEIGHTS + MOMENTS, FLOATS = 2600 };

static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "trainer_state.json"};
enum { FILES = 3 };

static const char FINGERPRINT[] = "bert 2x32 labels=77 adamw rate=5e-05 \"quoted\" \xC3\xA9";
static const char STATE[] = "{\"epoch\":1,\n\"row\":313}\t\"\xE2\x82\xAC\"";

static ds__heap heap;
static scratch_folder scratch;
static ds_error error;

/* A run's memory: tensors of several ranks, one of them empty. */
typedef struct run {
    ds__checkpoint checkpoint;
    ds__kept_tensor tensors[TENSORS];
    float memory[FLOATS];
    ds__buffer texts;
} run;

static void run_init(run *r, uint64_t seed) {
    static const ds__kept_tensor shapes[TENSORS] = {{"embeddings.word \"x\"", 2, {40, 32}, NULL, NULL},
                                                    {"scale", 0, {0}, NULL, NULL},
                                                    {"empty", 2, {0, 7}, NULL, NULL},
                                                    {"cube", 3, {3, 5, 7}, NULL, NULL},
                                                    {"m.word", 2, {40, 15}, NULL, NULL},
                                                    {"m.scale", 1, {1}, NULL, NULL},
                                                    {"v.cube", 4, {1, 9, 1, 11}, NULL, NULL}};
    ds__random random = {seed};
    size_t at = 0;
    memcpy(r->tensors, shapes, sizeof shapes);
    for (int i = 0; i < FLOATS; i++) { /* any bits, NaNs too */
        uint32_t bits = (uint32_t)ds__random_u64(&random);
        memcpy(&r->memory[i], &bits, sizeof bits);
    }
    for (int t = 0; t < TENSORS; t++) {
        size_t count = 1;
        for (int d = 0; d < shapes[t].rank; d++) count *= (size_t)shapes[t].shape[d];
        r->tensors[t].data = r->memory + at;
        at += count;
    }
    assert_true(at <= FLOATS);
    ds__buffer_init(&r->texts, &heap);
    r->checkpoint = (ds__checkpoint){.fingerprint = FINGERPRINT,
                                     .kernels = "avx512bf16",
                                     .step = (int64_t)seed,
                                     .state = STATE,
                                     .weights = r->tensors,
                                     .moments = r->tensors + WEIGHTS,
                                     .weight_count = WEIGHTS,
                                     .moment_count = MOMENTS};
}

static const char *path_of(const char *name) { return scratch_path(&scratch, name); }

static ds_status write_as(const char *name, const run *r) {
    return ds__checkpoint_write(&heap, path_of(name), &r->checkpoint, &error);
}

static void must_write(const char *name, uint64_t seed) {
    run r;
    run_init(&r, seed);
    if (write_as(name, &r) != DS_OK) fail_msg("%s", error.message);
}

/* Reads with another run's memory and compares with what run_init(seed) has. */
static void must_read(const char *name, uint64_t seed) {
    run got, want;
    run_init(&want, seed);
    run_init(&got, seed + 1000);
    if (ds__checkpoint_read(&heap, path_of(name), &got.checkpoint, &got.texts, &error) != DS_OK)
        fail_msg("%s", error.message);
    for (int t = 0; t < TENSORS; t++) assert_string_equal(got.tensors[t].name, want.tensors[t].name);
    const ds__kept_tensor *last = &want.tensors[TENSORS - 1];
    assert_memory_equal(got.memory, want.memory, (size_t)(last->data + 99 - want.memory) * sizeof *want.memory);
    assert_int_equal(got.checkpoint.step, seed);
    assert_string_equal(got.checkpoint.kernels, "avx512bf16");
    assert_string_equal(got.checkpoint.state, STATE);
    ds__buffer_deinit(&got.texts);
}

/* Refused with the status and one sentence with the needles, and nothing of the caller's was touched. */
static void refused(const char *name, run *r, ds_status want, const char *a, const char *b) {
    run *before = malloc(sizeof *before);
    assert_non_null(before);
    memcpy(before, r, sizeof *before);
    error = (ds_error){DS_OK, ""};
    ds_status status = ds__checkpoint_read(&heap, path_of(name), &r->checkpoint, &r->texts, &error);
    if (status != want) fail_msg("%s: %s: %s", name, ds_status_name(status), error.message);
    assert_memory_equal(before, r, sizeof *before);
    const char *const needles[] = {a, b, name};
    for (int i = 0; i < 3; i++)
        if (needles[i] && !strstr(error.message, needles[i]))
            fail_msg("\"%s\" lacks \"%s\"", error.message, needles[i]);
    assert_null(strchr(error.message, '\n'));
    assert_int_equal(heap.bytes, 0);
    assert_int_equal(ds__checkpoint_read(&heap, path_of(name), &r->checkpoint, &r->texts, NULL), want);
    free(before);
}

/* Names in the scratch folder beside "." and "..". */
static size_t entries(void) {
    size_t count = 0;
    DIR *folder = opendir(scratch.path);
    assert_non_null(folder);
    while (readdir(folder)) count++;
    closedir(folder);
    return count - 2;
}

static int set_up(void **state) {
    (void)state;
    ds__heap_init(&heap, NULL, 0);
    scratch_create(&scratch);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_destroy(&scratch);
    return heap.bytes == 0 ? 0 : -1;
}

/* ---- Writing and reading ---- */

static void what_is_written_is_read(void **state) {
    (void)state;
    must_write("checkpoint-7", 7);
    must_read("checkpoint-7", 7);
    assert_int_equal(entries(), 1);
    for (int i = 0; i < FILES; i++) {
        char name[64];
        snprintf(name, sizeof name, "checkpoint-7/%s", files[i]);
        assert_true(ds__file_exists(path_of(name)));
    }
    run r;
    run_init(&r, 8);
    assert_int_equal(write_as("checkpoint-7", &r), DS_INVALID_ARGUMENT); /* is there */
    must_read("checkpoint-7", 7);
}

static void nothing_to_keep_is_kept(void **state) {
    (void)state;
    run r;
    run_init(&r, 9);
    r.checkpoint.moment_count = 0; /* plain SGD */
    r.checkpoint.state = NULL;
    assert_int_equal(write_as("checkpoint-9", &r), DS_OK);
    assert_int_equal(ds__checkpoint_read(&heap, path_of("checkpoint-9"), &r.checkpoint, &r.texts, &error), DS_OK);
    assert_string_equal(r.checkpoint.state, "");
    ds__buffer_deinit(&r.texts);
    run_init(&r, 9);
    refused("checkpoint-9", &r, DS_SHAPE_MISMATCH, "\"m.word\"", "which this run has");
}

static void texts_of_an_earlier_reading_live_on(void **state) {
    (void)state;
    must_write("checkpoint-1", 1);
    run r;
    run_init(&r, 2);
    assert_int_equal(ds__checkpoint_read(&heap, path_of("checkpoint-1"), &r.checkpoint, &r.texts, &error), DS_OK);
    r.checkpoint.fingerprint = "another";
    assert_int_equal(ds__checkpoint_read(&heap, path_of("checkpoint-1"), &r.checkpoint, &r.texts, &error),
                     DS_INVALID_ARGUMENT);
    assert_string_equal(r.checkpoint.state, STATE);
    ds__buffer_deinit(&r.texts);
}

static void what_cannot_come_back_is_not_written(void **state) {
    (void)state;
    run r;
    run_init(&r, 1);
    r.checkpoint.state = "\xff";
    assert_int_equal(write_as("checkpoint-1", &r), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "UTF-8"));
    char *large = calloc(1, (16u << 20) + 1);
    assert_non_null(large);
    memset(large, 'x', 16u << 20);
    r.checkpoint.state = large;
    assert_int_equal(write_as("checkpoint-1", &r), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "16777216"));
    free(large);
    assert_int_equal(entries(), 0);
}

/* ---- Refusals ---- */

static void another_run_is_refused(void **state) {
    (void)state;
    must_write("checkpoint-1", 1);
    run r;
    run_init(&r, 2);
    r.checkpoint.fingerprint = "roberta 2x32 labels=5";
    refused("checkpoint-1", &r, DS_INVALID_ARGUMENT, "bert 2x32 labels=77", "roberta 2x32 labels=5");
    char here[900], there[900];
    memset(there, 'a', sizeof there);
    memcpy(there + 800, " rate=1 seed=2", 15);
    memcpy(here, there, sizeof here);
    memcpy(here + 800, " rate=1 seed=3", 15);
    r.checkpoint.fingerprint = there;
    assert_int_equal(write_as("checkpoint-2", &r), DS_OK);
    r.checkpoint.fingerprint = here;
    refused("checkpoint-2", &r, DS_INVALID_ARGUMENT, "\"seed=2\"", "\"seed=3\"");
}

static void other_tensors_are_refused(void **state) {
    (void)state;
    must_write("checkpoint-1", 1);
    run r;
    run_init(&r, 2);
    r.tensors[3].shape[1] = 4;
    refused("checkpoint-1", &r, DS_SHAPE_MISMATCH, "\"cube\" is F32[3, 5, 7]", "F32[3, 4, 7]");
    run_init(&r, 2);
    r.tensors[1].rank = 1;
    r.tensors[1].shape[0] = 1;
    refused("checkpoint-1", &r, DS_SHAPE_MISMATCH, "\"scale\" is F32[]", "F32[1]");
    run_init(&r, 2);
    r.tensors[5].name = "m.scala";
    refused("checkpoint-1", &r, DS_SHAPE_MISMATCH, "no tensor \"m.scala\"", "optimizer.safetensors");
    run_init(&r, 2);
    r.checkpoint.weight_count--;
    refused("checkpoint-1", &r, DS_SHAPE_MISMATCH, "has 4 tensors", "this run has 3");
}

static void missing_files_are_refused(void **state) {
    (void)state;
    run r;
    run_init(&r, 2);
    refused("checkpoint-5", &r, DS_NOT_FOUND, "no such folder", NULL);
    for (int i = 0; i < FILES; i++) {
        char name[64], file[128];
        snprintf(name, sizeof name, "checkpoint-%d", i);
        snprintf(file, sizeof file, "%s/%s", name, files[i]);
        must_write(name, 1);
        scratch_delete(&scratch, file);
        refused(name, &r, DS_NOT_FOUND, files[i], "go on from an older one");
    }
}

static void cut_files_are_refused(void **state) {
    (void)state;
    run r;
    run_init(&r, 2);
    must_write("checkpoint-1", 1);
    for (int i = 0; i < FILES; i++) {
        char file[128];
        size_t size;
        snprintf(file, sizeof file, "checkpoint-1/%s", files[i]);
        char *whole = scratch_read(&scratch, file, &size);
        const size_t lengths[] = {0,        1,         7,        8,        9,        size / 3,
                                  size / 2, size - 33, size - 2, size - 1, size + 1, size + 64};
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            scratch_resize(&scratch, file, lengths[k]);
            refused("checkpoint-1", &r, DS_BAD_FORMAT, files[i], "go on from an older one");
            scratch_write(&scratch, file, whole, size);
        }
        free(whole);
    }
    must_read("checkpoint-1", 1);
}

/* Every byte of every file with one bit changed; only a version in the state's text may be told otherwise. */
static void changed_bytes_are_refused(void **state) {
    (void)state;
    run r, before;
    run_init(&r, 2);
    memcpy(&before, &r, sizeof r);
    must_write("checkpoint-1", 1);
    for (int i = 0; i < FILES; i++) {
        char file[128];
        size_t size;
        snprintf(file, sizeof file, "checkpoint-1/%s", files[i]);
        char *whole = scratch_read(&scratch, file, &size);
        FILE *out = fopen(path_of(file), "r+b");
        assert_non_null(out);
        setvbuf(out, NULL, _IONBF, 0);
        for (size_t at = 0; at < size; at++) {
            const int changed = (unsigned char)whole[at] ^ 1 << at % 8;
            assert_int_equal(fseek(out, (long)at, SEEK_SET), 0);
            assert_int_equal(fputc(changed, out), changed);
            ds_status status = ds__checkpoint_read(&heap, path_of("checkpoint-1"), &r.checkpoint, &r.texts, &error);
            if (status != DS_BAD_FORMAT && !(status == DS_UNSUPPORTED && i == 2 && at < 16))
                fail_msg("%s, byte %zu: %s: %s", files[i], at, ds_status_name(status), error.message);
            assert_memory_equal(&r, &before, sizeof r);
            assert_int_equal(heap.bytes, 0);
            assert_int_equal(fseek(out, (long)at, SEEK_SET), 0);
            assert_int_equal(fputc((unsigned char)whole[at], out), (unsigned char)whole[at]);
        }
        fclose(out);
        free(whole);
    }
    must_read("checkpoint-1", 1);
}

static void other_states_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *needle;
        ds_status status;
    } rows[] = {
        {"{\"version\":2,\"anything\":[}", "version 2", DS_UNSUPPORTED},
        {"{\"best_metric\":null,\"epoch\":3.0}", "begins with \"best_metric\"", DS_BAD_FORMAT},
        {"[]", "an object", DS_BAD_FORMAT},
        {"{\"version\":1}", "no fingerprint", DS_BAD_FORMAT},
        {"{\"version\":1,\"fingerprint\":\"\\u0000\"}", "NUL", DS_BAD_FORMAT},
        {"{\"version\":1,\"files\":{\"model.safetensors\":{\"bytes\":0}}}", "bytes is 0", DS_BAD_FORMAT},
        {"{\"version\":1,\"files\":{\"model.safetensors\":{\"bytes\":1,\"checksum\":\"0\"}}}", "16 digits",
         DS_BAD_FORMAT},
        {"{\"version\":1,\"files\":{\"other\":{}}}", "\"other\"", DS_BAD_FORMAT},
        {"{\"version\":1,\"step\":-1}", "step is -1", DS_BAD_FORMAT},
    };
    run r;
    run_init(&r, 2);
    must_write("checkpoint-1", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scratch_write_text(&scratch, "checkpoint-1/trainer_state.json", rows[i].text);
        refused("checkpoint-1", &r, rows[i].status, rows[i].needle, "start anew");
    }
}

/* ---- Faults ---- */

static void every_allocation_may_fail(void **state) {
    (void)state;
    run r, before;
    run_init(&r, 3);
    for (uint64_t n = 1;; n++) {
        heap.fail_at = heap.allocations + n;
        ds_status status = write_as("checkpoint-3", &r);
        const bool reached = heap.allocations >= heap.fail_at;
        heap.fail_at = 0;
        assert_int_equal(heap.bytes, 0);
        if (!reached) {
            assert_int_equal(status, DS_OK);
            break;
        }
        if (status != DS_OUT_OF_MEMORY) fail_msg("allocation %d: %s", (int)n, ds_status_name(status));
        assert_int_equal(entries(), 0);
    }
    run_init(&r, 4);
    memcpy(&before, &r, sizeof r);
    for (uint64_t n = 1;; n++) {
        heap.fail_at = heap.allocations + n;
        ds_status status = ds__checkpoint_read(&heap, path_of("checkpoint-3"), &r.checkpoint, &r.texts, &error);
        const bool reached = heap.allocations >= heap.fail_at;
        heap.fail_at = 0;
        if (!reached) {
            assert_int_equal(status, DS_OK);
            ds__buffer_deinit(&r.texts);
            break;
        }
        if (status != DS_OUT_OF_MEMORY) fail_msg("allocation %d: %s", (int)n, ds_status_name(status));
        assert_memory_equal(&r, &before, sizeof r);
        assert_int_equal(heap.bytes, 0);
    }
    must_read("checkpoint-3", 3);
}

static ds_status use_folder(int64_t *best) {
    int64_t steps[4];
    size_t count;
    ds_status status = ds__checkpoint_list(&heap, scratch.path, steps, 4, &count, &error);
    if (status == DS_OK) status = ds__checkpoint_mark_best(&heap, scratch.path, 1, &error);
    if (status == DS_OK) status = ds__checkpoint_best(&heap, scratch.path, best, &error);
    if (status == DS_OK) status = ds__checkpoint_prune(&heap, scratch.path, 1, &error);
    return status;
}

static void every_allocation_may_fail_in_the_folder(void **state) {
    (void)state;
    for (uint64_t n = 1;; n++) {
        int64_t best = 0;
        for (int i = 1; i <= 3; i++) {
            char name[32];
            snprintf(name, sizeof name, "checkpoint-%d", i);
            if (!ds__file_exists(path_of(name))) must_write(name, (uint64_t)i);
        }
        heap.fail_at = heap.allocations + n;
        ds_status status = use_folder(&best);
        const bool reached = heap.allocations >= heap.fail_at;
        heap.fail_at = 0;
        assert_int_equal(heap.bytes, 0);
        if (!reached) {
            assert_int_equal(status, DS_OK);
            assert_int_equal(best, 1);
            assert_int_equal(entries(), 3); /* 3, 1 and best */
            break;
        }
        if (status != DS_OUT_OF_MEMORY) fail_msg("allocation %d: %s", (int)n, ds_status_name(status));
    }
}

/* A disk that is full after so many bytes of a file: the process may not write files longer than that. */
static void a_full_disk_leaves_nothing(void **state) {
    (void)state;
    struct rlimit was, limit;
    run r;
    run_init(&r, 5);
    must_write("checkpoint-4", 4);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    ds_status status = DS_IO;
    size_t refusals = 0;
    for (rlim_t bytes = 0; status != DS_OK; bytes += 97, refusals++) {
        limit = (struct rlimit){bytes, was.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        status = write_as("checkpoint-5", &r);
        ds_status marked = ds__checkpoint_mark_best(&heap, scratch.path, 4, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        if (marked != (bytes ? DS_OK : DS_IO)) fail_msg("%s", error.message);
        if (status != DS_OK && status != DS_IO) fail_msg("%s", error.message);
        assert_int_equal(heap.bytes, 0);
        if (status != DS_OK) assert_int_equal(entries(), bytes ? 2 : 1);
    }
    assert_true(refusals > 20);
    must_read("checkpoint-4", 4);
    must_read("checkpoint-5", 5);
}

static void every_read_may_be_short_or_fail(void **state) {
    (void)state;
    must_write("checkpoint-6", 6);
    for (uint64_t n = 1; n < 4; n++) {
        run r;
        run_init(&r, 7);
        ds__file_inject_read_fault(n, DS__READ_SHORT);
        must_read("checkpoint-6", 6);
        ds__file_inject_read_fault(n, DS__READ_FAIL);
        ds_status status = ds__checkpoint_read(&heap, path_of("checkpoint-6"), &r.checkpoint, &r.texts, &error);
        assert_int_equal(status, n == 1 ? DS_IO : DS_OK);
        ds__buffer_deinit(&r.texts);
    }
    ds__file_inject_read_fault(0, DS__READ_SHORT);
}

/* ---- The folder ---- */

static void checkpoints_are_listed_newest_first(void **state) {
    (void)state;
    int64_t steps[8];
    size_t count = 9;
    assert_int_equal(ds__checkpoint_list(&heap, path_of("none"), steps, 8, &count, &error), DS_OK);
    assert_int_equal(count, 0);
    static const char *const folders[] = {
        "checkpoint-9",   "checkpoint-10", "checkpoint-0",  "checkpoint-1000000000000",
        "checkpoint-007", "checkpoint-",   "checkpoint-1x", "checkpoint--1",
        "Checkpoint-3",   "other"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) scratch_make_folder(&scratch, folders[i]);
    scratch_make_folder(&scratch, "checkpoint-99999999999999999999");
    scratch_write_text(&scratch, "checkpoint-12", "a file");
    assert_int_equal(ds__checkpoint_list(&heap, scratch.path, steps, 8, &count, &error), DS_OK);
    assert_int_equal(count, 4);
    const int64_t want[] = {1000000000000, 10, 9, 0};
    assert_memory_equal(steps, want, sizeof want);
    assert_int_equal(ds__checkpoint_list(&heap, scratch.path, steps, 2, &count, &error), DS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(steps[1], 10);
    ds__buffer path;
    ds__buffer_init(&path, &heap);
    assert_string_equal(ds__checkpoint_path(&path, "a/b", 313), "a/b/checkpoint-313");
    ds__buffer_deinit(&path);
    assert_int_equal(ds__checkpoint_list(&heap, path_of("checkpoint-12"), steps, 8, &count, &error), DS_IO);
}

static void old_ones_are_removed_but_not_the_best(void **state) {
    (void)state;
    int64_t steps[8], best;
    size_t count;
    for (int i = 1; i <= 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "checkpoint-%d", i);
        must_write(name, (uint64_t)i);
    }
    assert_int_equal(ds__checkpoint_best(&heap, scratch.path, &best, &error), DS_OK);
    assert_int_equal(best, -1);
    assert_int_equal(ds__checkpoint_mark_best(&heap, scratch.path, 5, &error), DS_OK);
    assert_int_equal(ds__checkpoint_mark_best(&heap, scratch.path, 2, &error), DS_OK);
    assert_int_equal(ds__checkpoint_best(&heap, scratch.path, &best, &error), DS_OK);
    assert_int_equal(best, 2);
    assert_int_equal(ds__checkpoint_prune(&heap, scratch.path, 2, &error), DS_OK);
    assert_int_equal(ds__checkpoint_list(&heap, scratch.path, steps, 8, &count, &error), DS_OK);
    const int64_t want[] = {5, 4, 2};
    assert_int_equal(count, 3);
    assert_memory_equal(steps, want, sizeof want);
    assert_int_equal(entries(), 4);
    must_read("checkpoint-2", 2);
    must_read("checkpoint-4", 4);
    scratch_write_text(&scratch, "best", "checkpoint-x");
    assert_int_equal(ds__checkpoint_best(&heap, scratch.path, &best, &error), DS_BAD_FORMAT);
    assert_int_equal(ds__checkpoint_prune(&heap, scratch.path, 0, &error), DS_BAD_FORMAT);
    assert_int_equal(entries(), 4);
    assert_int_equal(ds__checkpoint_mark_best(&heap, path_of("none"), 2, &error), DS_NOT_FOUND);
}

/* ---- Killed processes ---- */

static void pause_us(long us) { nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL); }

static void list_all(int64_t *steps, size_t most, size_t *count) {
    if (ds__checkpoint_list(&heap, scratch.path, steps, most, count, &error) != DS_OK) fail_msg("%s", error.message);
}

static void only_leftovers_of_the_dead_are_removed(void **state) {
    (void)state;
    int64_t steps[4];
    size_t count;
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        ds__save save;
        ds_status status = ds__save_begin(&heap, path_of("checkpoint-8"), &save, &error);
        if (status == DS_OK) status = ds__save_text(&save, "model.safetensors", DS_STR("half"), &error);
        if (status != DS_OK || write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    ds__save own; /* our own is not removed either */
    assert_int_equal(ds__save_begin(&heap, path_of("checkpoint-9"), &own, &error), DS_OK);
    scratch_make_folder(&scratch, "checkpoint-5.tmp-1"); /* nobody's, though there is a process 1 */
    scratch_make_folder(&scratch, "checkpoint-5.tmp-1/inside");
    scratch_write_text(&scratch, "checkpoint-5.tmp-1/inside/file", "x");
    scratch_make_folder(&scratch, "mine.tmp-1"); /* not a checkpoint's */
    list_all(steps, 4, &count);
    assert_int_equal(count, 0);
    assert_int_equal(entries(), 3);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    list_all(steps, 4, &count);
    assert_int_equal(entries(), 2);
    ds__save_abandon(&own);
    assert_int_equal(entries(), 1);
    /* What a process with our number left behind is in nobody's way. */
    char leftover[64];
    snprintf(leftover, sizeof leftover, "checkpoint-9.tmp-%ld", (long)getpid());
    scratch_make_folder(&scratch, leftover);
    must_write("checkpoint-9", 9);
    assert_int_equal(entries(), 2);
    close(ready[0]);
    close(ready[1]);
}

/* Writes, marks and prunes as fast as it can, until it is killed. */
static void train_for_ever(int64_t from) {
    for (int64_t step = from;; step++) {
        run r;
        char name[40];
        run_init(&r, (uint64_t)step);
        snprintf(name, sizeof name, "checkpoint-%lld", (long long)step);
        if (write_as(name, &r) != DS_OK || ds__checkpoint_mark_best(&heap, scratch.path, step, &error) != DS_OK ||
            ds__checkpoint_prune(&heap, scratch.path, 2, &error) != DS_OK)
            _exit(1);
    }
}

static void a_killed_process_leaves_whole_checkpoints(void **state) {
    (void)state;
    enum { KILLS = 80, MOST = KILLS + 4 };
    ds__random random = {42};
    int64_t steps[MOST], last = 1, best;
    size_t count, leftovers = 0;
    must_write("checkpoint-1", 1);
    for (int i = 0; i < KILLS; i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) train_for_ever(last + 1);
        pause_us(ds__random_below(&random, i % 2 ? 20000 : 3000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        size_t before = entries();
        list_all(steps, MOST, &count);
        leftovers += before - entries();
        assert_in_range(count, 1, MOST - 1); /* more than are kept where the killing came before the pruning */
        assert_true(steps[0] >= last);
        last = steps[0];
        for (size_t k = 0; k < count; k++) {
            char name[40];
            snprintf(name, sizeof name, "checkpoint-%lld", (long long)steps[k]);
            must_read(name, (uint64_t)steps[k]);
        }
        assert_int_equal(ds__checkpoint_best(&heap, scratch.path, &best, &error), DS_OK);
        bool listed = best == -1;
        for (size_t k = 0; k < count; k++) listed = listed || best == steps[k];
        assert_true(listed);
        assert_in_range(entries(), count, count + 2); /* best, and what it is written as */
    }
    printf("%d kills at step %lld, %d leftovers removed\n", (int)KILLS, (long long)last, (int)leftovers);
    assert_true(last > 1 && leftovers > 0);
}

/* ---- The checksum ---- */

static void a_checksum_does_not_depend_on_pieces(void **state) {
    (void)state;
    unsigned char data[200];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 37);
    for (size_t size = 0; size <= sizeof data; size++) {
        ds__checksum whole, pieces;
        ds__checksum_init(&whole);
        ds__checksum_add(&whole, data, size);
        for (size_t step = 1; step <= 67; step += 11) {
            ds__checksum_init(&pieces);
            for (size_t at = 0; at < size; at += step)
                ds__checksum_add(&pieces, data + at, size - at < step ? size - at : step);
            assert_true(ds__checksum_value(&whole) == ds__checksum_value(&pieces));
        }
        ds__checksum_add(&pieces, "", 1); /* a zero more is another text, also where it was padding */
        assert_true(ds__checksum_value(&whole) != ds__checksum_value(&pieces));
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(nothing_to_keep_is_kept),
        TEST(texts_of_an_earlier_reading_live_on),
        TEST(what_cannot_come_back_is_not_written),
        TEST(another_run_is_refused),
        TEST(other_tensors_are_refused),
        TEST(missing_files_are_refused),
        TEST(cut_files_are_refused),
        TEST(changed_bytes_are_refused),
        TEST(other_states_are_refused),
        TEST(every_allocation_may_fail),
        TEST(every_allocation_may_fail_in_the_folder),
        TEST(a_full_disk_leaves_nothing),
        TEST(every_read_may_be_short_or_fail),
        TEST(checkpoints_are_listed_newest_first),
        TEST(old_ones_are_removed_but_not_the_best),
        TEST(only_leftovers_of_the_dead_are_removed),
        TEST(a_killed_process_leaves_whole_checkpoints),
        TEST(a_checksum_does_not_depend_on_pieces),
    };
    return cmocka_run_group_tests_name("checkpoints", tests, NULL, NULL);
}
