/* The training log: its lines, what a resumed run keeps of them, torn lines, a full disk, memory that runs out. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/json.h"
#include "support/scratch_folder.h"
#include "train/run_log.h"

static scratch_folder folder;
static ds__heap heap;

static int open_folder(void **state) {
    scratch_create(&folder);
    ds__heap_init(&heap, NULL, 0);
    return 0;
}

static int close_folder(void **state) {
    scratch_destroy(&folder);
    return heap.bytes == 0 ? 0 : -1;
}

static ds__run_log *must_open_log(int64_t from_step) {
    ds__run_log *log;
    ds_error error;
    if (ds__run_log_open(&heap, scratch_path(&folder, "log"), from_step, &log, &error) != DS_OK)
        fail_msg("%s", error.message);
    return log;
}

static void content_is(const char *expected) {
    char *text = scratch_read(&folder, "log", NULL);
    assert_string_equal(text, expected);
    free(text);
}

static void put(ds__run_log *log, const char *text) {
    ds__buffer line;
    ds__buffer_init(&line, &heap);
    ds__buffer_text(&line, text);
    assert_int_equal(ds__run_log_put(log, &line, NULL), DS_OK);
    ds__buffer_deinit(&line);
}

static void lines_are_whole_json_objects(void **state) {
    ds_fit_event event = {.kind = DS_FIT_STEP,
                          .step = {4.25, 2.5, 1e-4f, 17, 412, 0, 0, 0},
                          .epoch = 0.5,
                          .samples_per_s = 101.25,
                          .seconds = 0.32};
    ds__buffer out;
    ds__buffer_init(&out, &heap);
    ds__run_log_step(&out, &event);
    assert_string_equal(ds__buffer_cstr(&out), "{\"event\":\"step\",\"step\":17,\"epoch\":0.5,\"loss\":4.25,"
                                               "\"gradient_norm\":2.5,\"learning_rate\":0.0001,\"tokens\":412,"
                                               "\"samples_per_s\":101.25,\"seconds\":0.320}");
    event.metrics = (ds_metrics){100, 1.5, 0.75, 0.5, 0.25, NAN, NAN, NAN, 0.125};
    ds__run_log_eval(&out, &event, (const uint32_t[]){3, 1, 0, UINT32_MAX}, 2);
    assert_string_equal(ds__buffer_cstr(&out),
                        "{\"event\":\"eval\",\"step\":17,\"epoch\":0.5,\"loss\":1.5,\"accuracy\":0.75,\"f1\":0.5,"
                        "\"f1_macro\":0.25,\"ece\":0.125,\"count\":100,\"confusion\":[[3,1],[0,4294967295]]}");
    event.metrics = (ds_metrics){5, NAN, NAN, NAN, NAN, NAN, 0.5, -0.5, NAN};
    ds__run_log_eval(&out, &event, NULL, 2);
    assert_string_equal(ds__buffer_cstr(&out), "{\"event\":\"eval\",\"step\":17,\"epoch\":0.5,\"pearson\":0.5,"
                                               "\"spearman\":-0.5,\"count\":5}");
    ds__run_log_calibration(&out, &(ds_calibration){40, 1.25f, 0.5, 0.375, NAN, NAN});
    assert_string_equal(ds__buffer_cstr(&out), "{\"event\":\"calibrated\",\"rows\":40,\"temperature\":1.25,"
                                               "\"loss_before\":0.5,\"loss_after\":0.375}");
    ds__run_log_text(&out, "warning", "text", "a \"quote\",\na line\xff");
    assert_string_equal(ds__buffer_cstr(&out),
                        "{\"event\":\"warning\",\"text\":\"a \\\"quote\\\",\\na line\xEF\xBF\xBD\"}");
    event.step.loss = INFINITY; /* JSON has no such number */
    ds__run_log_step(&out, &event);
    assert_non_null(strstr(ds__buffer_cstr(&out), "\"loss\":null"));
    ds__buffer_deinit(&out);
}

static void a_confusion_matrix_has_at_most_200_labels(void **state) {
    static uint32_t confusion[201 * 201];
    ds_fit_event event = {.kind = DS_FIT_EVALUATED};
    ds__buffer out;
    ds__buffer_init(&out, &heap);
    ds__run_log_eval(&out, &event, confusion, 200);
    assert_non_null(strstr(ds__buffer_cstr(&out), "confusion"));
    ds__run_log_eval(&out, &event, confusion, 201);
    assert_null(strstr(ds__buffer_cstr(&out), "confusion"));
    ds__run_log_eval(&out, &event, confusion, 0);
    assert_null(strstr(ds__buffer_cstr(&out), "confusion"));
    ds__buffer_deinit(&out);
}

static void every_line_is_in_the_file_at_once(void **state) {
    ds__run_log *log = must_open_log(0);
    content_is("");
    put(log, "{\"event\":\"start\"}");
    content_is("{\"event\":\"start\"}\n");
    put(log, "{\"event\":\"step\",\"step\":1}");
    content_is("{\"event\":\"start\"}\n{\"event\":\"step\",\"step\":1}\n");
    ds__run_log_close(log);
    ds__run_log_close(NULL);
}

#define START "{\"event\":\"start\",\"settings\":{\"step\":9}}\n"
#define STEP(n) "{\"event\":\"step\",\"step\":" #n ",\"loss\":1}\n"
#define SAVED "{\"event\":\"saved\",\"step\":2,\"path\":\"checkpoint-2\"}\n"
#define NOTE "{\"event\":\"warning\",\"text\":\"step\"}\n"

static void a_resumed_run_keeps_what_it_stands_on(void **state) {
    static const struct {
        int64_t from_step;
        const char *before, *after;
    } rows[] = {
        {2, START STEP(1) STEP(2) SAVED STEP(3) NOTE STEP(4), START STEP(1) STEP(2) SAVED},
        {4, START STEP(1) STEP(2) NOTE STEP(4), START STEP(1) STEP(2) NOTE STEP(4)},
        {9, START STEP(1) NOTE, START STEP(1) NOTE},
        {3, START STEP(1) "{\"event\":\"step\",\"step\":2,\"lo", START STEP(1)}, /* killed while it wrote */
        {3, START "no JSON\n\n[7]\n" STEP(3) STEP(4), START "no JSON\n\n[7]\n" STEP(3)},
        {3, START "{\"step\":-1}\n{\"step\":1e99}\n{\"step\":\"4\"}\n",
         START "{\"step\":-1}\n{\"step\":1e99}\n{\"step\":\"4\"}\n"},
        {0, START STEP(1), ""}, /* a run from the beginning stands on nothing */
        {5, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scratch_write_text(&folder, "log", rows[i].before);
        ds__run_log *log = must_open_log(rows[i].from_step);
        content_is(rows[i].after);
        put(log, "{}");
        ds__run_log_close(log);
        char *text = scratch_read(&folder, "log", NULL);
        size_t kept = strlen(rows[i].after);
        assert_string_equal(text + kept, "{}\n");
        free(text);
    }
}

static void a_log_that_cannot_be_written_is_refused(void **state) {
    ds__run_log *log;
    ds_error error;
    assert_int_equal(ds__run_log_open(&heap, scratch_path(&folder, "no/log"), 0, &log, &error), DS_NOT_FOUND);
    assert_non_null(strstr(error.message, "no/log: cannot write"));
    assert_int_equal(ds__run_log_open(&heap, folder.path, 0, &log, &error), DS_IO);
    assert_non_null(strstr(error.message, "is a folder"));
}

/* /dev/full refuses every write: it takes the place of the log's file while the log is open. */
static void a_full_disk_is_told_once(void **state) {
    ds_error error = {DS_OK, ""};
    ds__buffer line;
    ds__buffer_init(&line, &heap);
    ds__buffer_text(&line, "{}");
    ds__run_log *log = must_open_log(0);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), last = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0 && last == full + 1);
    int log_fd = full - 1; /* the number that was free before: the log's */
    int kept = dup(log_fd);
    assert_true(dup2(full, log_fd) == log_fd);
    assert_int_equal(ds__run_log_put(log, &line, &error), DS_IO);
    assert_non_null(strstr(error.message, "log: cannot write: No space left"));
    error = (ds_error){DS_OK, "untouched"};
    assert_int_equal(ds__run_log_put(log, &line, &error), DS_OK);
    assert_string_equal(error.message, "untouched");
    assert_true(dup2(kept, log_fd) == log_fd); /* there is room again */
    assert_int_equal(ds__run_log_put(log, &line, &error), DS_OK);
    assert_int_equal(ds__run_log_put(log, &line, &error), DS_OK);
    content_is("\n{}\n{}\n"); /* what may have been torn is ended */
    close(kept);
    close(full);
    close(last);
    ds__run_log_close(log);
    ds__buffer_deinit(&line);
}

static void lost_memory_leaves_nothing(void **state) {
    ds_error error;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        ds__heap weak;
        ds__run_log *log;
        ds__buffer line;
        scratch_write_text(&folder, "log", START STEP(1) STEP(2));
        ds__heap_init(&weak, NULL, 0);
        weak.fail_at = nth;
        ds__buffer_init(&line, &weak);
        failed = ds__run_log_open(&weak, scratch_path(&folder, "log"), 1, &log, &error) != DS_OK;
        if (!failed) {
            ds__run_log_text(&line, "warning", "text", "a");
            failed = ds__run_log_put(log, &line, &error) != DS_OK;
            ds__run_log_close(log);
        }
        ds__buffer_deinit(&line);
        if (failed) assert_int_equal(error.status, DS_OUT_OF_MEMORY);
        assert_int_equal(weak.bytes, 0);
        assert_true(nth < 50);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_whole_json_objects),
        cmocka_unit_test(a_confusion_matrix_has_at_most_200_labels),
        cmocka_unit_test(every_line_is_in_the_file_at_once),
        cmocka_unit_test(a_resumed_run_keeps_what_it_stands_on),
        cmocka_unit_test(a_log_that_cannot_be_written_is_refused),
        cmocka_unit_test(a_full_disk_is_told_once),
        cmocka_unit_test(lost_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
