/* The main job in thirty lines: texts in, vectors out.
 *
 *   cc 01_embed.c $(pkg-config --cflags --libs deepseek) -o embed && ./embed MODEL 'Where is my card?' 'Hello' */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <deepseek/deepseek.h>

int main(int argc, char **argv) {
    ds_context *context;
    ds_model *model;
    ds_session *session;
    ds_error error;
    if (argc < 3) return fprintf(stderr, "usage: %s MODEL TEXT...\n", argv[0]), 2;
    if (ds_context_create(NULL, &context, &error) != DS_OK ||
        ds_model_open(context, argv[1], NULL, &model, &error) != DS_OK ||
        ds_session_create(model, &session, &error) != DS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    size_t count = (size_t)argc - 2, hidden = (size_t)ds_model_describe(model)->hidden_size;
    ds_text *texts = malloc(count * sizeof *texts);
    float *vectors = malloc(count * hidden * sizeof *vectors);
    for (size_t i = 0; i < count; i++) texts[i] = (ds_text){argv[i + 2], strlen(argv[i + 2])};
    if (ds_embed(session, texts, count, NULL, vectors, NULL, &error) != DS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    for (size_t i = 0; i < count; i++)
        printf("%-40s %8.4f %8.4f %8.4f ... (%zu numbers)\n", argv[i + 2], (double)vectors[i * hidden],
               (double)vectors[i * hidden + 1], (double)vectors[i * hidden + 2], hidden);
    free(texts);
    free(vectors);
    ds_session_destroy(session);
    ds_model_close(model);
    ds_context_destroy(context);
    return 0;
}
