/* Search: embeds the texts of a file and answers questions with their nearest neighbours.
 *
 *   08_nearest_questions MODEL TEXTS [QUESTION...]
 *   cc 08_nearest_questions.c $(pkg-config --cflags --libs deepseek) -o nearest */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <deepseek/deepseek.h>

enum { MAX_TEXTS = 1024, NEAREST = 3 };

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Reads a file's lines; the texts point into *memory. */
static size_t read_lines(const char *path, char **memory, ds_text texts[MAX_TEXTS]) {
    FILE *file = fopen(path, "rb");
    size_t count = 0, size = 0, room = 1 << 20;
    *memory = malloc(room);
    if (file && *memory) size = fread(*memory, 1, room, file);
    if (file) fclose(file);
    for (size_t at = 0; at < size && count < MAX_TEXTS;) {
        const char *end = memchr(*memory + at, '\n', size - at);
        size_t length = end ? (size_t)(end - (*memory + at)) : size - at;
        if (length) texts[count++] = (ds_text){*memory + at, length};
        at += length + 1;
    }
    return count;
}

/* Prints the texts whose vectors are nearest to the question's: normalised vectors, so the product is the cosine. */
static void print_nearest(const ds_text *texts, float *scores, size_t count) {
    for (int place = 0; place < NEAREST && (size_t)place < count; place++) {
        size_t best = 0;
        for (size_t i = 1; i < count; i++) best = scores[i] > scores[best] ? i : best;
        printf("  %.3f  %.*s\n", (double)scores[best], (int)texts[best].size, texts[best].data);
        scores[best] = -2;
    }
}

static int failed(const ds_error *error) {
    fprintf(stderr, "%s\n", error->message);
    return 1;
}

int main(int argc, char **argv) {
    static const char *const defaults[] = {"My card has not come in the mail yet", "Somebody stole my phone, what now?",
                                           "Why was I charged for taking out cash?"};
    static ds_text texts[MAX_TEXTS];
    char *memory;
    ds_error error;
    ds_context *context;
    ds_model *model;
    ds_session *session;
    if (argc < 3) return fprintf(stderr, "usage: %s MODEL TEXTS [QUESTION...]\n", argv[0]), 2;
    size_t count = read_lines(argv[2], &memory, texts);
    if (!count) return fprintf(stderr, "%s: has no text\n", argv[2]), 1;
    double start = now_ms();
    if (ds_context_create(NULL, &context, &error) != DS_OK ||
        ds_model_open(context, argv[1], NULL, &model, &error) != DS_OK ||
        ds_session_create(model, &session, &error) != DS_OK)
        return failed(&error);
    double loaded = now_ms();
    const char *const *questions = argc > 3 ? (const char *const *)argv + 3 : defaults;
    size_t asked = argc > 3 ? (size_t)argc - 3 : 3, hidden = (size_t)ds_model_describe(model)->hidden_size;
    float *vectors = malloc(count * hidden * sizeof *vectors), *question = malloc(hidden * sizeof *question);
    float *scores = malloc(count * sizeof *scores);
    ds_embed_options unit = {.normalize = DS_SWITCH_YES};
    ds_run_stats stats;
    if (ds_embed(session, texts, count, &unit, vectors, &stats, &error) != DS_OK) return failed(&error);
    double embedded = now_ms();
    for (size_t q = 0; q < asked; q++) {
        ds_text text = {questions[q], strlen(questions[q])};
        if (ds_embed(session, &text, 1, &unit, question, NULL, &error) != DS_OK) return failed(&error);
        for (size_t i = 0; i < count; i++) {
            scores[i] = 0;
            for (size_t c = 0; c < hidden; c++) scores[i] += question[c] * vectors[i * hidden + c];
        }
        printf("%s%s\n", q ? "\n" : "", questions[q]);
        print_nearest(texts, scores, count);
    }
    printf("\nloaded in %.0f ms; %zu texts (%zu tokens) embedded in %.0f ms; %zu questions answered in %.0f ms\n",
           loaded - start, count, stats.tokens, embedded - loaded, asked, now_ms() - embedded);
    free(scores);
    free(question);
    free(vectors);
    free(memory);
    ds_session_destroy(session);
    ds_model_close(model);
    ds_context_destroy(context);
    return 0;
}
