/* deepseek/base-model, which comes with the repository: it answers, knows what it does not know, embeds, and is small.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "support/model_case.h"

#define FOLDER DS_TEST_DATA "/../../models/deepseek/base-model"
#define QUESTIONS DS_TEST_DATA "/../../examples/data/out_of_scope.txt"

enum { INTENTS = 77, HIDDEN = 384 };

typedef struct opened {
    ds_context *context;
    ds_model *model;
    ds_session *session;
} opened;

static opened open_it(void) {
    opened o;
    ds_error error;
    assert_int_equal(ds_context_create(NULL, &o.context, &error), DS_OK);
    o.model = must_open(o.context, FOLDER);
    o.session = must_session(o.model);
    return o;
}

static void close_it(opened *o) {
    ds_session_destroy(o->session);
    ds_model_close(o->model);
    ds_context_destroy(o->context);
}

static ds_text text_of(const char *text) { return (ds_text){text, strlen(text)}; }

/* The label, or "unknown" under the threshold. */
static const char *answer(const opened *o, ds_text text, float threshold) {
    static float scores[INTENTS];
    int32_t best;
    ds_error error;
    const ds_classify_options options = {.answers = &best, .threshold = threshold};
    assert_int_equal(ds_classify(o->session, &text, NULL, 1, &options, scores, NULL, &error), DS_OK);
    return best == DS_LABEL_UNKNOWN ? "unknown" : ds_model_label(o->model, best);
}

/* Questions in our own words. */
static void answers_questions(void **state) {
    (void)state;
    static const struct {
        const char *question, *intent;
    } cases[] = {
        {"How do I change my PIN?", "change_pin"},
        {"My card has not come in the mail yet", "card_arrival"},
        {"Can I exchange currencies within the app?", "exchange_via_app"},
        {"I think somebody stole my phone", "lost_or_stolen_phone"},
        {"My card was swallowed by the machine", "card_swallowed"},
        {"Why was I charged for taking out cash?", "cash_withdrawal_charge"},
        {"The cash machine gave me less than I asked for", "wrong_amount_of_cash_received"},
        {"I do not remember my passcode", "passcode_forgotten"},
        {"I want to close my account", "terminate_account"},
        {"Can I pay with Apple Pay?", "apple_pay_or_google_pay"},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    opened o = open_it();
    assert_int_equal(ds_model_describe(o.model)->labels, INTENTS);
    assert_true(ds_model_describe(o.model)->temperature > 0);
    int right = 0;
    for (size_t i = 0; i < CASES; i++) {
        const char *said = answer(&o, text_of(cases[i].question), 0);
        if (strcmp(said, cases[i].intent) == 0)
            right++;
        else
            printf("%s: %s, not %s\n", cases[i].question, said, cases[i].intent);
    }
    assert_true(right >= CASES - 1);
    close_it(&o);
}

/* At the quickstart's threshold most questions that are none of the intents are called so. */
static void knows_what_it_does_not_know(void **state) {
    (void)state;
    char line[256];
    size_t questions = 0, unknown = 0;
    opened o = open_it();
    FILE *file = fopen(QUESTIONS, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        questions++;
        if (strcmp(answer(&o, text_of(line), 0.5f), "unknown") == 0) unknown++;
    }
    fclose(file);
    assert_int_equal(questions, 30);
    printf("%zu of %zu are unknown\n", unknown, questions);
    assert_true(unknown >= 20);
    close_it(&o);
}

/* The same folder gives vectors: sentences of one meaning are nearer than others, also far from banks. */
static void embeds(void **state) {
    (void)state;
    static const char *const sentences[] = {"A man is playing the guitar.", "Someone plays a guitar.",
                                            "The company's profit fell last year."};
    static float vectors[3 * HIDDEN];
    ds_text texts[3];
    ds_error error;
    opened o = open_it();
    for (size_t i = 0; i < 3; i++) texts[i] = text_of(sentences[i]);
    assert_true(ds_model_describe(o.model)->normalize);
    assert_int_equal(ds_embed(o.session, texts, 3, NULL, vectors, NULL, &error), DS_OK);
    double near = 0, far = 0;
    for (size_t i = 0; i < HIDDEN; i++) {
        near += (double)vectors[i] * vectors[HIDDEN + i];
        far += (double)vectors[i] * vectors[2 * HIDDEN + i];
    }
    printf("cosine %.3f of one meaning, %.3f of another\n", near, far);
    assert_true(near > 0.7 && far < 0.3);
    close_it(&o);
}

static uint64_t size_of(const char *folder) {
    uint64_t bytes = 0;
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));) {
        char path[1024];
        struct stat status;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        assert_int_equal(stat(path, &status), 0);
        bytes += S_ISDIR(status.st_mode) ? size_of(path) : (uint64_t)status.st_size;
    }
    closedir(entries);
    return bytes;
}

static void is_small(void **state) {
    (void)state;
    assert_true(size_of(FOLDER) <= UINT64_C(16) << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_questions),
        cmocka_unit_test(knows_what_it_does_not_know),
        cmocka_unit_test(embeds),
        cmocka_unit_test(is_small),
    };
    return cmocka_run_group_tests_name("base_model", tests, NULL, NULL);
}
