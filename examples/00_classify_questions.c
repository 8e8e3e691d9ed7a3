/* The main job: tells what a bank's customers want, with the model that comes with the repository.
 *
 *   00_classify_questions MODEL [QUESTION...]
 *   cc 00_classify_questions.c $(pkg-config --cflags --libs deepseek) -o classify_questions */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <deepseek/deepseek.h>

/* Under this score a question is taken for none of the intents; models/README.md shows what that catches. */
#define THRESHOLD 0.5f

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* The largest resident size so far. */
static double peak_mb(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss * 1024 / 1e6 : 0;
}

static int failed(const ds_error *error) {
    fprintf(stderr, "%s\n", error->message);
    return 1;
}

int main(int argc, char **argv) {
    static const char *const defaults[] = {"My card has not come in the mail yet",
                                           "Why was I charged for taking out cash?", "How do I change my PIN?",
                                           "What is the weather like in Lisbon tomorrow?"};
    ds_context *context;
    ds_model *model;
    ds_session *session;
    ds_error error;
    if (argc < 2) return fprintf(stderr, "usage: %s MODEL [QUESTION...]\n", argv[0]), 2;
    const double start = now_ms();
    if (ds_context_create(NULL, &context, &error) != DS_OK ||
        ds_model_open(context, argv[1], NULL, &model, &error) != DS_OK ||
        ds_session_create(model, &session, &error) != DS_OK)
        return failed(&error);
    const double loaded = now_ms();
    const char *const *questions = argc > 2 ? (const char *const *)argv + 2 : defaults;
    const size_t count = argc > 2 ? (size_t)argc - 2 : sizeof defaults / sizeof *defaults;
    float *scores = malloc(((size_t)ds_model_describe(model)->labels + 1) * sizeof *scores);
    if (!scores) return fprintf(stderr, "out of memory\n"), 1;
    for (size_t q = 0; q < count; q++) {
        const ds_text text = {questions[q], strlen(questions[q])};
        int32_t answer;
        const ds_classify_options options = {.answers = &answer, .threshold = THRESHOLD};
        const double asked = now_ms();
        if (ds_classify(session, &text, NULL, 1, &options, scores, NULL, &error) != DS_OK) return failed(&error);
        const double took = now_ms() - asked;
        float best = scores[0];
        for (int32_t i = 1; i < ds_model_describe(model)->labels; i++) best = scores[i] > best ? scores[i] : best;
        printf("%s\n  %-32s score %.2f   %.1f ms\n\n", questions[q],
               answer == DS_LABEL_UNKNOWN ? "unknown" : ds_model_label(model, answer), (double)best, took);
    }
    printf("loaded in %.0f ms; largest resident size %.0f MB\n", loaded - start, peak_mb());
    free(scores);
    ds_session_destroy(session);
    ds_model_close(model);
    ds_context_destroy(context);
    return 0;
}
