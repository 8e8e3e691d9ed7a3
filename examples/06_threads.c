/* One loaded model, a session for each thread: the weights are shared, the activations are not.
 *
 *   cc 06_threads.c $(pkg-config --cflags --libs deepseek) -pthread -o threads && ./threads MODEL */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <deepseek/deepseek.h>

enum { THREADS = 3, CALLS = 20 };

/* NULL, or what went wrong. */
static void *serve(void *argument) {
    static char no_session[] = "no session", no_vectors[] = "a call failed";
    ds_model *model = argument;
    ds_session *session;
    ds_error error;
    static const ds_text texts[] = {{"Where is my card?", 17}, {"I want my money back", 20}};
    if (ds_session_create(model, &session, &error) != DS_OK) return no_session;
    float *vectors = malloc(2 * (size_t)ds_model_describe(model)->hidden_size * sizeof *vectors);
    void *wrong = NULL;
    for (int i = 0; i < CALLS && !wrong; i++)
        if (ds_embed(session, texts, 2, NULL, vectors, NULL, &error) != DS_OK) wrong = no_vectors;
    free(vectors);
    ds_session_destroy(session);
    return wrong;
}

int main(int argc, char **argv) {
    ds_context *context;
    ds_model *model;
    ds_error error;
    pthread_t threads[THREADS];
    int failures = 0;
    if (argc < 2) return fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
    if (ds_context_create(NULL, &context, &error) != DS_OK ||
        ds_model_open(context, argv[1], NULL, &model, &error) != DS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, serve, model) != 0) return 1;
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        if (wrong) printf("thread %d: %s\n", i, (const char *)wrong);
        failures += wrong != NULL;
    }
    printf("%d threads made %d calls each on one model: %llu bytes held, %llu at most\n", THREADS, CALLS,
           (unsigned long long)ds_context_memory(context).bytes,
           (unsigned long long)ds_context_memory(context).peak_bytes);
    ds_model_close(model);
    ds_context_destroy(context);
    return failures != 0;
}
